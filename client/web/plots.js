// Plots of our own: SVG of theme colours, with a title for every mark and a table behind them where it matters.
import { h, svg } from "./dom.js";

const kColours = 6;
/** The same model has the same colour everywhere on the page. */
export const colour_of = (names) => (name) => `series-${names.indexOf(name) % kColours}`;

/** A digit times a power of ten, not below `value`. */
function round_up(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}

/**
 * Columns of stacked parts. columns: [{label, parts: [{name, value}]}]; text: value to words.
 */
export function stacked_columns({ columns, colour, text, label }) {
  const [width, height, left, bottom, top] = [720, 220, 52, 26, 12];
  const total = ({ parts }) => parts.reduce((sum, { value }) => sum + value, 0);
  const ceiling = round_up(Math.max(...columns.map(total), 0));
  const y_of = (value) => top + (height - top - bottom) * (1 - value / ceiling);
  const step = (width - left - 4) / columns.length;
  const bar = Math.min(28, step * 0.7);
  const lines = [0, 0.5, 1].map((part) => [
    svg("line", { class: "grid", x1: left, x2: width, y1: y_of(part * ceiling), y2: y_of(part * ceiling) }),
    svg("text", { class: "tick", x: left - 8, y: y_of(part * ceiling) + 4, "text-anchor": "end" }, text(part * ceiling)),
  ]);
  const every = Math.ceil(columns.length / 6);
  const drawn = columns.map((column, index) => {
    const middle = left + step * (index + 0.5);
    let sum = 0;
    const parts = column.parts.filter(({ value }) => value > 0).map(({ name, value }) => {
      const [from, to] = [y_of(sum), y_of(sum + value)];
      sum += value;
      return svg("rect", { class: colour(name), x: middle - bar / 2, y: to, width: bar, height: Math.max(1, from - to), rx: 2 },
        svg("title", {}, `${column.label}: ${name}, ${text(value)}`));
    });
    const tick = (columns.length - 1 - index) % every === 0 && svg("text", { class: "tick", x: index === columns.length - 1 ? width : middle, y: height - 6, "text-anchor": index === columns.length - 1 ? "end" : "middle" }, column.label);
    return [parts, tick];
  });
  return svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, lines, drawn);
}

/** A line of some values over time, steps between them. points: [[x, y], …] in order. */
export function sparkline({ points, label, kind = "line" }) {
  const [width, height, edge] = [84, 22, 3];
  if (points.length === 0) return h("span", { class: "dim" }, "–");
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  const x_of = (x) => edge + (width - 2 * edge) * (x1 === x0 ? 1 : (x - x0) / (x1 - x0));
  const y_of = (y) => height - edge - (height - 2 * edge) * (y1 === y0 ? 0.5 : (y - y0) / (y1 - y0));
  let path = `M${x_of(x0) === x_of(x1) ? edge : x_of(xs[0])} ${y_of(ys[0])}`;
  points.forEach(([x, y]) => { path += kind === "step" ? `H${x_of(x)}V${y_of(y)}` : `L${x_of(x)} ${y_of(y)}`; });
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    svg("title", {}, label), svg("path", { d: path }), svg("circle", { cx: x_of(xs.at(-1)), cy: y_of(ys.at(-1)), r: 2 }));
}

/** How much of a whole is used. */
export function meter({ part, label }) {
  const used = Math.min(1, Math.max(0, part));
  const level = used > 0.9 ? "bad" : used > 0.7 ? "warn" : "good";
  return svg("svg", { class: `meter ${level}`, viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("rect", { class: "back", width: 100, height: 6 }), svg("rect", { class: "used", width: Math.max(used * 100, used > 0 ? 1 : 0), height: 6 }));
}

export function legend(names, colour) {
  return h("ul", { class: "legend" }, names.map((name) => h("li", {}, svg("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("rect", { class: colour(name), width: 10, height: 10, rx: 2 })), name)));
}
