// Small helpers. Text of strangers only ever goes in as textContent, never as markup.

/** A new element: its class, its text or children, its attributes. */
export function make(tag, { className = "", text = null, children = [], ...attributes } = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Set the text of the element with this id, if it changes anything. */
export function say(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}

/** 1536 → "1.5 KB". */
export function bytes(count) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

/** 75 → "1 min 15 s". */
export function seconds(count) {
  if (count < 1) return `${Math.round(count * 1000)} ms`;
  if (count < 60) return `${count < 10 ? count.toFixed(1) : Math.round(count)} s`;
  if (count < 3600) return `${Math.floor(count / 60)} min ${Math.round(count % 60)} s`;
  return `${Math.floor(count / 3600)} h ${Math.floor((count % 3600) / 60)} min`;
}

/** "1 file", "2 files", "1,200 files". */
export function many(count, noun) {
  return `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;
}

/** Call `work` again and again, `pauseMs` after it ended; not while the tab is hidden. */
export function poll(work, pauseMs) {
  let timer = null;
  let busy = false;
  async function turn() {
    if (document.hidden || busy) return;
    clearTimeout(timer);
    busy = true;
    await work();
    busy = false;
    timer = setTimeout(turn, pauseMs);
  }
  document.addEventListener("visibilitychange", turn);
  return turn;
}
