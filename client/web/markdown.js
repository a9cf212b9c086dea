// Markdown of answers as elements. Text stays text: no markup of an answer is read as HTML, pictures are shown as links (so
// that nothing is fetched), and links lead to http, https and mailto only.
import { h, icon } from "./dom.js";

const kDepthMax = 12;
const kLink = /^\[((?:[^\[\]\\]|\\.)*)\]\(\s*<?([^\s<>()]+)>?(?:\s+"[^"]*")?\s*\)/;
const kAutolink = /^https?:\/\/[^\s<>()"'`]+[^\s<>()"'`.,;:!?]/;
const kMarks = [["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

function safe_url(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

function link(url, children) {
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, children);
}

/** `…` with as many backticks as it begins with. */
function code_span(text) {
  const fence = /^`+/.exec(text)[0];
  const end = text.indexOf(fence, fence.length);
  if (end < 0) return undefined;
  const inside = text.slice(fence.length, end);
  const content = inside.startsWith(" ") && inside.endsWith(" ") && inside.trim() ? inside.slice(1, -1) : inside;
  return [h("code", {}, content), end + fence.length];
}

function marked(text, before, depth) {
  for (const [mark, tag] of kMarks) {
    if (!text.startsWith(mark) || /\s/.test(text[mark.length] ?? " ")) continue;
    if (mark.startsWith("_") && /\w/.test(before)) continue;
    let end = text.indexOf(mark, mark.length + 1);
    while (end > 0 && (/\s/.test(text[end - 1]) || text[end - 1] === "\\" || (mark.length === 1 && (text[end + 1] === mark || text[end - 1] === mark)))) {
      end = text.indexOf(mark, end + 1);
    }
    if (end < 0) continue;
    return [h(tag, {}, inline(text.slice(mark.length, end), depth + 1)), end + mark.length];
  }
  return undefined;
}

function linked(text, depth) {
  const picture = text.startsWith("!");
  const found = kLink.exec(picture ? text.slice(1) : text);
  if (!found) return undefined;
  const url = safe_url(found[2]);
  const name = found[1] || found[2];
  const length = found[0].length + (picture ? 1 : 0);
  if (!url) return [name, length];
  return [link(url, picture ? [`picture: ${name}`] : inline(name, depth + 1)), length];
}

/** Words of one block. */
function inline(text, depth = 0) {
  if (depth > kDepthMax) return [text];
  const out = [];
  let plain = "";
  const flush = () => { if (plain) out.push(plain); plain = ""; };
  for (let at = 0; at < text.length;) {
    const c = text[at];
    const rest = () => text.slice(at);
    let found;
    if (c === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "")) {
      plain += text[at + 1];
      at += 2;
      continue;
    }
    if (c === "`") found = code_span(rest());
    else if (c === "*" || c === "_" || c === "~") found = marked(rest(), text[at - 1] ?? "", depth);
    else if (c === "[" || (c === "!" && text[at + 1] === "[")) found = linked(rest(), depth);
    else if (c === "h" && !/\w/.test(text[at - 1] ?? "")) {
      const url = kAutolink.exec(rest())?.[0];
      if (url && safe_url(url)) found = [link(safe_url(url), [url]), url.length];
    } else if (c === "\n") found = [h("br"), 1];
    if (found) {
      flush();
      out.push(found[0]);
      at += found[1];
    } else {
      plain += c;
      at += 1;
    }
  }
  flush();
  return out;
}

const kFence = /^ {0,3}(```+|~~~+)\s*([^`]*)$/;
const kHeading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const kRule = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const kItem = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const kTableRule = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

const begins_block = (line) => kFence.test(line) || kHeading.test(line) || kRule.test(line) || kItem.test(line) || /^ {0,3}>/.test(line);

/** Source split into blocks: [{kind, lines, …}]. A stream only ever changes the last one. */
function split(text) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const out = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at];
    const fence = kFence.exec(line);
    const begin = at;
    if (!line.trim()) { at += 1; continue; }
    if (fence) {
      at += 1;
      while (at < lines.length && !lines[at].trim().startsWith(fence[1])) at += 1;
      out.push({ kind: "code", name: fence[2].trim(), lines: lines.slice(begin + 1, at) });
      at += 1;
    } else if (kHeading.test(line)) {
      out.push({ kind: "heading", lines: [line] });
      at += 1;
    } else if (kRule.test(line)) {
      out.push({ kind: "rule", lines: [line] });
      at += 1;
    } else if (/^ {0,3}>/.test(line)) {
      while (at < lines.length && lines[at].trim()) at += 1;
      out.push({ kind: "quote", lines: lines.slice(begin, at) });
    } else if (kItem.test(line)) {
      at = end_of_list(lines, at);
      out.push({ kind: "list", lines: lines.slice(begin, at) });
    } else if (line.includes("|") && kTableRule.test(lines[at + 1] ?? "") && (lines[at + 1] ?? "").includes("-")) {
      at += 2;
      while (at < lines.length && lines[at].includes("|")) at += 1;
      out.push({ kind: "table", lines: lines.slice(begin, at) });
    } else {
      at += 1;
      while (at < lines.length && lines[at].trim() && !begins_block(lines[at])) at += 1;
      out.push({ kind: "paragraph", lines: lines.slice(begin, at) });
    }
  }
  return out;
}

function end_of_list(lines, begin) {
  let at = begin + 1;
  while (at < lines.length) {
    const line = lines[at];
    if (line.trim() === "") {
      const next = lines[at + 1] ?? "";
      if (!kItem.test(next) && !/^\s{2,}\S/.test(next)) break;
    } else if (!kItem.test(line) && !/^\s/.test(line) && begins_block(line)) break;
    at += 1;
  }
  return at;
}

/** Items with what is indented below them. */
function list(lines, depth) {
  const first = kItem.exec(lines[0]);
  const indent = first[1].length;
  const ordered = /\d/.test(first[2]);
  const items = [];
  for (const line of lines) {
    const found = kItem.exec(line);
    if (found && found[1].length <= indent + 1) items.push([found[3]]);
    else items.at(-1).push(line.replace(/^(\t| {1,4})/, ""));
  }
  const start = ordered ? Number.parseInt(first[2], 10) : undefined;
  return h(ordered ? "ol" : "ul", { start: start === 1 ? undefined : start }, items.map((item) => {
    const inside = split(item.join("\n"));
    const tight = inside.every(({ kind }, index) => (index === 0 ? kind === "paragraph" : kind === "list"));
    if (!tight) return h("li", {}, inside.map((block) => render_block(block, depth + 1)));
    return h("li", {}, inside.map((block, index) => (index === 0 ? inline(block.lines.join("\n")) : render_block(block, depth + 1))));
  }));
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function table(lines) {
  const align = cells(lines[1]).map((rule) => (rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "right") : undefined));
  const row = (line, tag) => h("tr", {}, cells(line).map((cell, index) => h(tag, { class: align[index] }, inline(cell))));
  return h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Table" }, h("table", {}, h("thead", {}, row(lines[0], "th")), h("tbody", {}, lines.slice(2).map((line) => row(line, "td")))));
}

function code(block) {
  const text = block.lines.join("\n");
  const button = h("button", { class: "quiet copy", type: "button", "aria-label": "Copy this code", onclick: () => navigator.clipboard.writeText(text).then(() => { button.lastChild.textContent = "Copied"; }, () => {}) }, icon("copy"), h("span", {}, "Copy"));
  return h("figure", { class: "code" }, h("figcaption", {}, h("span", {}, block.name || "text"), button), h("pre", { tabindex: "0" }, h("code", {}, text)));
}

function render_block(block, depth = 0) {
  const text = block.lines.join("\n");
  if (depth > kDepthMax) return h("p", {}, text);
  switch (block.kind) {
    case "code": return code(block);
    case "rule": return h("hr");
    case "heading": {
      const [, marks, words] = kHeading.exec(block.lines[0]);
      return h(`h${Math.min(6, marks.length + 2)}`, {}, inline(words));  // the page's own headings are above
    }
    case "quote": return h("blockquote", {}, split(block.lines.map((line) => line.replace(/^ {0,3}> ?/, "")).join("\n")).map((inner) => render_block(inner, depth + 1)));
    case "list": return list(block.lines, depth);
    case "table": return table(block.lines);
    default: return h("p", {}, inline(text));
  }
}

/** Shows `text` in `element`; blocks that are as they were keep their elements. */
export function show_markdown(element, text) {
  const blocks = split(text);
  const old = element.shown_blocks ?? [];
  const shown = blocks.map((block) => `${block.kind} ${block.name ?? ""}\n${block.lines.join("\n")}`);
  let same = 0;
  while (same < shown.length && shown[same] === old[same]) same += 1;
  while (element.childNodes.length > same) element.lastChild.remove();
  element.append(...blocks.slice(same).map((block) => render_block(block)));
  element.shown_blocks = shown;
}
