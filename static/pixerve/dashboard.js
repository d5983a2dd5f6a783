// The dashboard: starts with the figures that came with the page, then asks for new ones.

import { chart } from "./chart.js";
import { bytes, make, many, poll, say, seconds } from "./dom.js";

const EVERY_MS = 4000;
const page = document.getElementById("dashboard");
let hours = [];

function ago(moment) {
  const passed = Math.max(0, (Date.now() - new Date(moment)) / 1000);
  if (passed < 5) return "just now";
  const [length, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([each]) => passed >= each);
  return `${Math.floor(passed / length)} ${unit} ago`;
}

function verdict(checks) {
  const ill = checks.filter((check) => !check.ok);
  page.dataset.health = ill.length ? "bad" : "good";
  say("verdict", ill.length ? "Needs attention" : "All is well");
  say("verdict-detail", ill.map((check) => `${check.name}: ${check.detail}`).join("; "));
}

function checkList(checks) {
  return checks.map((check) => make("li", {
    children: [
      make("span", { className: `px-lamp ${check.ok ? "px-good" : "px-bad"}`, "aria-hidden": "true" }),
      make("b", { text: check.name }),
      make("span", { className: "px-muted", text: check.ok ? check.detail : `NOT WELL: ${check.detail}` }),
    ],
  }));
}

function cards(found) {
  const { in_flight: flight, day } = found;
  const ended = day.completed + day.failed;
  say("waiting", (flight.pending + flight.created).toLocaleString());
  say("waiting-detail", found.oldest_wait_s === null ? "nothing waits" : `oldest ${seconds(found.oldest_wait_s)}`);
  say("working", flight.processing.toLocaleString());
  say("working-detail", found.typical_s === null ? "no job has ended yet" : `a job takes ${seconds(found.typical_s)}`);
  say("completed", day.completed.toLocaleString());
  say("completed-detail", `${many(day.files, "file")}, ${bytes(day.bytes)}`);
  say("failed", day.failed.toLocaleString());
  say("failed-detail", ended ? `${(100 * day.failed / ended).toFixed(1)} % of what ended` : "nothing ended");
  say("callbacks", found.callbacks.waiting.toLocaleString());
  say("callbacks-detail", `${found.callbacks.given_up.toLocaleString()} given up, 24 h`);
  document.getElementById("failed").classList.toggle("px-alarm", day.failed > 0);
}

function entry(item, state, label, detail) {
  return make("li", {
    children: [
      make("span", { className: `px-state px-${state}`, text: label }),
      make("a", { className: "px-link px-name", href: item.url, dir: "auto", title: item.name, text: item.name || "unnamed" }),
      make("span", { className: "px-muted px-when", text: ago(item.at) }),
      make("span", { className: "px-muted px-detail", dir: "auto", title: detail, text: detail }),
    ],
  });
}

function feed(id, entries, empty) {
  const list = document.getElementById(id);
  if (list.contains(document.activeElement)) return; // never pull a link from under the keyboard
  list.replaceChildren(...(entries.length ? entries : [make("li", { className: "px-empty", text: empty })]));
}

function drawChart() {
  chart(document.getElementById("chart"), hours);
}

function show(found) {
  verdict(found.checks);
  cards(found);
  hours = found.day.hours;
  drawChart();
  document.getElementById("checks").replaceChildren(...checkList(found.checks));
  say("running", `Pixerve ${found.version}, up ${found.uptime}`);
  feed("latest-jobs", found.latest_jobs.map((job) =>
    entry(job, job.state, job.state, `${job.done} of ${many(job.total, "output")} · ${job.subject}`)), "No uploads yet.");
  feed("latest-failures", found.latest_failures.map((failure) =>
    entry(failure, "failed", failure.code, failure.message)), "Nothing failed.");
}

async function refresh() {
  try {
    const answer = await fetch(page.dataset.source, { headers: { Accept: "application/json" } });
    if (answer.redirected) return location.reload(); // signed out meanwhile
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
  } catch {
    page.dataset.health = "bad";
    say("verdict", "No answer");
    say("verdict-detail", "The server did not send its figures; those below are old. Trying again.");
  }
}

window.addEventListener("resize", drawChart);
show(JSON.parse(document.getElementById("figures").textContent));
setTimeout(poll(refresh, EVERY_MS), EVERY_MS);
