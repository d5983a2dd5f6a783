// The bar chart of the dashboard: completed and failed jobs, one bar an hour, as inline SVG.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 40, TOP = 10, BOTTOM = 192, HEIGHT = 220;
const LABEL_WIDTH = 60;
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

function draw(tag, attributes, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

/** The smallest of 1, 2, 5, 10, 20, 50 … that is no less than `most`, and at least 4. */
function roundUp(most) {
  if (most <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].find((step) => step * power >= most) * power;
}

function grid(top, right) {
  return [0, 0.5, 1].flatMap((share) => {
    const y = BOTTOM - share * (BOTTOM - TOP);
    return [
      draw("line", { x1: LEFT, x2: right, y1: y, y2: y, class: "px-grid" }),
      draw("text", { x: LEFT - 8, y: y + 4, class: "px-axis px-axis-y" }, (top * share).toLocaleString()),
    ];
  });
}

function bar(hour, x, width, top) {
  const scale = (BOTTOM - TOP) / top;
  const when = new Date(hour.start).toLocaleString(undefined, { weekday: "short", ...CLOCK });
  const group = draw("g", {});
  group.append(draw("title", {}, `${when}: ${hour.completed} completed, ${hour.failed} failed`));
  group.append(draw("rect", { x, y: TOP, width, height: BOTTOM - TOP, class: "px-hover" }));
  let y = BOTTOM;
  for (const [value, name] of [[hour.completed, "px-done"], [hour.failed, "px-lost"]]) {
    // A single failure among thousands must still be seen.
    const height = value ? Math.max(2, value * scale) : 0;
    y -= height;
    group.append(draw("rect", { x: x + width * 0.15, y, width: width * 0.7, height, class: name }));
  }
  return group;
}

function label(hour, middle) {
  const text = new Date(hour.start).toLocaleTimeString(undefined, CLOCK);
  return draw("text", { x: middle, y: BOTTOM + 20, class: "px-axis px-axis-x" }, text);
}

/** Draw `hours` ([{start, completed, failed}], oldest first) into `svg`, as wide as it is now. */
export function chart(svg, hours) {
  const right = Math.max(240, svg.clientWidth);
  const width = (right - LEFT) / hours.length;
  const top = roundUp(Math.max(...hours.map((hour) => hour.completed + hour.failed)));
  const step = [2, 3, 4, 6, 8].find((each) => each * width >= LABEL_WIDTH) ?? 12;
  svg.setAttribute("viewBox", `0 0 ${right} ${HEIGHT}`);
  svg.replaceChildren(...grid(top, right));
  hours.forEach((hour, index) => {
    const x = LEFT + index * width;
    svg.append(bar(hour, x, width, top));
    const middle = x + width / 2;
    const fits = middle + LABEL_WIDTH / 3 <= right;
    if (fits && new Date(hour.start).getHours() % step === 0) svg.append(label(hour, middle));
  });
}
