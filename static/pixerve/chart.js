// The bar chart of the dashboard: completed and failed jobs, one bar an hour, as inline SVG.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 40, RIGHT = 716, TOP = 10, BOTTOM = 192;

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

function grid(top) {
  return [0, 0.5, 1].flatMap((share) => {
    const y = BOTTOM - share * (BOTTOM - TOP);
    return [
      draw("line", { x1: LEFT, x2: RIGHT, y1: y, y2: y, class: "px-grid" }),
      draw("text", { x: LEFT - 8, y: y + 4, class: "px-axis px-axis-y" }, (top * share).toLocaleString()),
    ];
  });
}

function bar(hour, index, count, top) {
  const width = (RIGHT - LEFT) / count;
  const scale = (BOTTOM - TOP) / top;
  const x = LEFT + index * width + width * 0.15;
  const start = new Date(hour.start);
  const group = draw("g", {});
  group.append(draw("title", {}, `${start.toLocaleString(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" })}: ${hour.completed} completed, ${hour.failed} failed`));
  group.append(draw("rect", { x: LEFT + index * width, y: TOP, width, height: BOTTOM - TOP, class: "px-hover" }));
  let y = BOTTOM;
  for (const [value, name] of [[hour.completed, "px-done"], [hour.failed, "px-lost"]]) {
    // A single failure among thousands must still be seen.
    const height = value ? Math.max(2, value * scale) : 0;
    y -= height;
    group.append(draw("rect", { x, y, width: width * 0.7, height, class: name }));
  }
  if (start.getHours() % 4 === 0) {
    const label = start.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
    group.append(draw("text", { x: x + width * 0.35, y: BOTTOM + 20, class: "px-axis px-axis-x" }, label));
  }
  return group;
}

/** Draw `hours` ([{start, completed, failed}]) into `svg`. */
export function chart(svg, hours) {
  const top = roundUp(Math.max(...hours.map((hour) => hour.completed + hour.failed)));
  const bars = hours.map((hour, index) => bar(hour, index, hours.length, top));
  svg.replaceChildren(...grid(top), ...bars);
}
