// The start page: health, the token, the drop zone.

import { poll, say } from "./dom.js";
import { describe } from "./token.js";
import { Card } from "./upload.js";

const AT_ONCE = 3;
const HEALTH_EVERY_MS = 10000;
const { health: HEALTH, ready: READY, upload: UPLOAD, status: STATUS } = document.body.dataset;
const token = document.getElementById("token");
const note = document.getElementById("token-note");
const drop = document.getElementById("drop");
const files = document.getElementById("files");
const lamp = document.getElementById("lamp");
const waiting = [];
let running = 0;

async function lookAtHealth() {
  try {
    const [health, ready] = await Promise.all([fetch(HEALTH), fetch(READY)]);
    const { version, uptime } = await health.json();
    lamp.className = `lamp ${ready.ok ? "good" : "warn"}`;
    say("health", `${ready.ok ? "Healthy" : "Alive, but not ready for work"} · ${version} · up ${uptime}`);
  } catch {
    lamp.className = "lamp bad";
    say("health", "No answer from the server");
  }
}

function tokenText() {
  return token.value.replace(/\s+/g, "").replace(/^Bearer/i, "");
}

function judgeToken() {
  const found = tokenText() ? describe(tokenText()) : { ok: false, text: "Paste a token first: it says what to make." };
  note.textContent = found.text;
  note.classList.toggle("bad", !found.ok);
  return found.ok;
}

async function runNext() {
  if (running >= AT_ONCE || !waiting.length) return;
  running += 1;
  const { card, token: itsToken } = waiting.shift();
  try {
    await card.run(itsToken);
  } finally {
    running -= 1;
    runNext();
  }
}

function take(chosen) {
  if (!chosen.length) return;
  if (!judgeToken()) return token.focus();
  for (const file of chosen) {
    const card = new Card(document.getElementById("uploads"), file, (text) => say("spoken", text));
    waiting.push({ card, token: tokenText() });
    runNext();
  }
}

files.addEventListener("change", () => {
  take([...files.files]);
  files.value = ""; // so that the same picture can be chosen again
});
token.addEventListener("input", judgeToken);
document.getElementById("form").addEventListener("submit", (event) => event.preventDefault());
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take([...event.dataTransfer.files]);
});

say("here", location.origin + UPLOAD);
say("there", `${location.origin + STATUS}?hash=…`);
poll(lookAtHealth, HEALTH_EVERY_MS)();
