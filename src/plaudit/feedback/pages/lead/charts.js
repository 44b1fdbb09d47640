/* Charts as inline SVG: intervals on a scale, a line with its band, columns. Each has its figures
   in words beside it, so that none is needed to read the page. */

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.flat(Infinity).filter(Boolean));
  return made;
}

const text = (x, y, content, className = "chart-label", anchor = "start") =>
  svg("text", { x, y, class: className, "text-anchor": anchor }, document.createTextNode(content));

const LINE = 26;

/* Rows of an estimate with its interval: [{name, low, point, high, mark}] on one scale from `from`
   to `to`; `mark` is a second figure, drawn as a hollow tick. */
export function intervals(rows, { from = 0, to = 1, ticks = [0, 0.25, 0.5, 0.75, 1], label }) {
  const width = 400, left = 110, right = 14, height = rows.length * LINE + 26;
  const x = (value) => left + (width - left - right) * (Math.min(Math.max(value, from), to) - from) / (to - from);
  const grid = ticks.map((tick) => [
    svg("line", { x1: x(tick), x2: x(tick), y1: 4, y2: height - 22, class: "chart-grid" }),
    text(x(tick), height - 7, String(tick).replace("-", "−"), "chart-tick", "middle"),
  ]);
  const drawn = rows.map((row, number) => {
    const y = number * LINE + 17;
    return [
      text(left - 10, y + 4, shortened(row.name), "chart-label", "end"),
      row.low !== undefined && svg("line", { x1: x(row.low), x2: x(row.high), y1: y, y2: y, class: "chart-interval" }),
      row.point !== undefined && svg("circle", { cx: x(row.point), cy: y, r: 4.5, class: "chart-point" }),
      row.mark !== undefined && svg("line", { x1: x(row.mark), x2: x(row.mark), y1: y - 8, y2: y + 8, class: "chart-mark" }),
      row.point === undefined && text(left + 6, y + 4, row.why ?? "", "chart-none"),
    ];
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" }, grid, drawn);
}

/* An estimate over time with its band: [{at, low, point, high}]. */
export function band(points, { from = 0, to = 1, ticks = [0, 0.5, 1], label, name }) {
  const width = 400, height = 140, left = 40, right = 12, bottom = 24;
  const begin = points[0].at, span = Math.max(points.at(-1).at - begin, 1);
  const x = (at) => left + (width - left - right) * (points.length > 1 ? (at - begin) / span : 0.5);
  const y = (value) => 8 + (height - bottom - 8) * (1 - (Math.min(Math.max(value, from), to) - from) / (to - from));
  const path = (pairs) => pairs.map(([px, py], i) => `${i ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
  const outline = [...points.map((p) => [x(p.at), y(p.high)]), ...points.toReversed().map((p) => [x(p.at), y(p.low)])];
  const grid = ticks.map((tick) => [
    svg("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: "chart-grid" }),
    text(left - 8, y(tick) + 4, String(tick).replace("-", "−"), "chart-tick", "end"),
  ]);
  const ends = points.length > 1 ? [points[0], points.at(-1)] : [points[0]];
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" },
    grid,
    points.length > 1 && svg("path", { d: `${path(outline)}Z`, class: "chart-band" }),
    points.length > 1 && svg("path", { d: path(points.map((p) => [x(p.at), y(p.point)])), class: "chart-line" }),
    points.map((p) => svg("circle", { cx: x(p.at), cy: y(p.point), r: 3.5, class: "chart-point" })),
    ends.map((p, i) => text(x(p.at), height - 6, name(p.at), "chart-tick", points.length === 1 ? "middle" : i ? "end" : "start")));
}

/* Columns: [{at, value}]. */
export function columns(points, { label, name }) {
  const width = 400, height = 110, bottom = 24, top = 18;
  const most = Math.max(...points.map((p) => p.value), 1), step = width / points.length;
  const bars = points.map((p, i) => {
    const tall = (height - bottom - top) * p.value / most;
    return svg("rect", { x: i * step + 1.5, y: height - bottom - tall, width: Math.max(step - 3, 1), height: tall, rx: 2, class: "chart-bar" },
      svg("title", {}, document.createTextNode(`${name(p.at)}: ${p.value}`)));
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" },
    svg("line", { x1: 0, x2: width, y1: height - bottom, y2: height - bottom, class: "chart-grid" }),
    bars, text(0, 12, `most in a day: ${most}`, "chart-tick"),
    text(0, height - 6, name(points[0].at), "chart-tick"),
    text(width, height - 6, name(points.at(-1).at), "chart-tick", "end"));
}

/* A small bar for a cell of a table: a rate with its interval. */
export function meter(point, low, high, label) {
  const made = svg("svg", { viewBox: "0 0 64 10", class: "chart-meter", role: "img", "aria-label": label },
    svg("rect", { x: 0, y: 3.5, width: 64, height: 3, rx: 1.5, class: "chart-track" }));
  if (low !== undefined) made.append(svg("rect", { x: 64 * low, y: 2.5, width: Math.max(64 * (high - low), 1), height: 5, rx: 2, class: "chart-range" }));
  made.append(svg("circle", { cx: 3 + 58 * point, cy: 5, r: 3, class: "chart-point" }));
  return made;
}

const shortened = (name) => (name.length > 16 ? `${name.slice(0, 15)}…` : name);
