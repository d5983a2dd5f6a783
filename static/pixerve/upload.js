// One dropped picture: its card, its upload, and its results as they come.

import { Problem, status, upload } from "./api.js";
import { bytes, make, many } from "./dom.js";

const SHOWN = /\.(jpe?g|png|webp|avif|gif)$/i; // by every browser of today
const FINAL = new Set(["completed", "failed", "cancelled"]);
const PAUSES_MS = [150, 250, 400, 700, 1000, 1500, 2500];
const PATIENCE = 20; // failed looks in a row before giving up
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** This server's own address of a hosted file, by whatever name the page itself was reached. */
function here(url) {
  const { pathname } = new URL(url, location.href);
  return location.origin + pathname;
}

function fileEntry(file) {
  const size = `${file.width} × ${file.height}`;
  const shown = file.url && SHOWN.test(file.name);
  const picture = shown
    ? make("img", { src: here(file.url), alt: `${file.format}, ${size}`, loading: "lazy" })
    : make("span", { className: "blank", text: file.format });
  const caption = make("span", {
    className: "caption",
    children: [make("b", { text: `${file.format} ${size}` }), make("span", { text: bytes(file.bytes) })],
  });
  const link = make("a", {
    href: file.url && here(file.url), title: file.name, target: "_blank", rel: "noopener", children: [picture, caption],
  });
  return make("li", { children: [link] });
}

/** A card in the list of uploads. */
export class Card {
  constructor(list, file, speak) {
    this.file = file;
    this.speak = speak;
    this.state = make("span", { className: "state", text: "waiting" });
    this.said = make("span", { className: "said", text: bytes(file.size) });
    this.progress = make("progress", { max: 1, value: 0, "aria-label": `Progress of ${file.name}` });
    this.more = make("div");
    this.element = make("li", { className: "panel", children: [this.#head(), this.progress, this.more] });
    list.prepend(this.element);
  }

  #head() {
    const name = make("span", { className: "name", text: this.file.name, title: this.file.name, dir: "auto" });
    const preview = make("img", { src: URL.createObjectURL(this.file), alt: "" });
    preview.onload = () => URL.revokeObjectURL(preview.src);
    preview.onerror = () => preview.replaceWith(make("span", { className: "blank" }));
    return make("div", { className: "upload-head", children: [preview, name, this.state, this.said] });
  }

  /** Upload the file and follow it to its end. Never throws. */
  async run(token) {
    try {
      this.#show("uploading", bytes(this.file.size));
      const accepted = await upload(this.file, token, (share) => { this.progress.value = share; });
      await this.#follow(accepted, token);
    } catch (error) {
      const known = error instanceof Problem;
      this.#end("refused", "", known ? error.message : "Something went wrong on this page.");
      if (!known) throw error;
    }
  }

  async #follow(accepted, token) {
    this.#show("pending", "Accepted; waits for a worker");
    let misses = 0;
    for (let look = 0; ; look += 1) {
      await pause(PAUSES_MS[Math.min(look, PAUSES_MS.length - 1)]);
      try {
        const found = await status(accepted.hash, token);
        misses = 0;
        if (found.job_id === accepted.job_id && FINAL.has(found.state)) return this.#finish(found);
        this.#advance(found);
      } catch (error) {
        const passes = error.status === 0 || error.status === 429 || error.status >= 500;
        if (!passes || (misses += 1) > PATIENCE) throw error;
        this.said.textContent = `${error.message} Trying again…`;
      }
    }
  }

  #advance(found) {
    const { done, total } = found.progress;
    this.progress.max = Math.max(1, total);
    this.progress.value = done;
    this.#show(found.state, found.state === "processing" ? `${found.stage ?? "working"}: ${done} of ${total}` : "Waits for a worker");
  }

  #finish(found) {
    const took = (new Date(found.finished_at) - new Date(found.created_at)) / 1000;
    if (found.state !== "completed") {
      const reason = found.error?.message ?? found.error ?? "The job was cancelled.";
      return this.#end(found.state, bytes(this.file.size), reason);
    }
    const files = found.files ?? [];
    this.#end("completed", `${many(files.length, "file")} from ${bytes(this.file.size)}${took >= 2 ? ` in ${took} s` : ""}`);
    for (const warning of found.warnings ?? []) this.more.append(make("p", { className: "warning", text: warning.message }));
    this.more.append(make("ul", { className: "files", children: files.map(fileEntry) }));
  }

  #show(state, said) {
    this.state.textContent = state;
    this.state.className = `state ${state}`;
    this.said.textContent = said;
  }

  #end(state, said, problem = "") {
    this.#show(state, said);
    this.progress.remove();
    if (problem) this.more.append(make("p", { className: "problem", text: problem }));
    this.speak(`${this.file.name}: ${state}. ${problem || said}`);
  }
}
