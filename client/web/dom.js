// Elements without markup: every text that comes from elsewhere becomes a text node.

const kSvg = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** h("button", { class: "quiet", onclick: stop }, "Stop") */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes, ...children) => fill(document.createElementNS(kSvg, tag), attributes, children);

export const by_id = (id) => document.getElementById(id);

/** Line icons of 16 by 16; decoration, so nothing for a screen reader. */
const kIcons = {
  plus: "M8 3v10M3 8h10",
  chat: "M2.5 4.5a2 2 0 0 1 2-2h7a2 2 0 0 1 2 2v5a2 2 0 0 1-2 2H7l-3 2.5v-2.5a2 2 0 0 1-1.5-2z",
  nodes: "M3 3.5h10v3.5H3zM3 9.5h10V13H3zM5.2 5.3h.01M5.2 11.2h.01",
  spend: "M2.5 13.5h11M4.5 11V8M8 11V3.5M11.5 11V6",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  close: "M4 4l8 8M12 4l-8 8",
  send: "M8 13V3.5M4 7.5l4-4 4 4",
  stop: "M4.5 4.5h7v7h-7zM6 6.5h4M6 8h4M6 9.5h4",
  down: "M4.5 6.5L8 10l3.5-3.5",
  shield: "M8 2l5 2v4c0 3-2.2 5-5 6-2.8-1-5-3-5-6V4z",
  passed: "M3.5 8.5l3 3 6-7",
  failed: "M4 4l8 8M12 4l-8 8",
  excepted: "M8 3v6M8 12.4v.1",
  skipped: "M4 8h8",
  bin: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  save: "M8 2.5v8M4.8 7.5L8 10.7l3.2-3.2M3 13.5h10",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3",
  theme: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  key: "M9.5 6.5a3 3 0 1 1-2 2.8L3 13.5M4.5 12l1.5 1.5M7.5 9.3",
};

export const icon = (name) => svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: kIcons[name] }));

/** Says something to screen readers. */
export function announce(text) { by_id("said").textContent = text; }

/** A file for the reader's disk. */
export function download(name, text, type = "application/json") {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
