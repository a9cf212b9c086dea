// The page: pages by address (#/chat/ID, #/nodes, #/spending), conversations at the side, keys, theme.
import * as api from "./api.js";
import { ChatView } from "./chat.js";
import { announce, by_id, h, icon } from "./dom.js";
import { NodesView } from "./nodes.js";
import { Panel } from "./panel.js";
import { Picker } from "./picker.js";
import { SpendingView } from "./spending.js";
import { on_change, refresh_nodes, state } from "./state.js";
import { all_chats, delete_all, delete_chat } from "./store.js";

const kThemes = ["system", "light", "dark"];

const side = by_id("side");
const shade = by_id("shade");
const main = by_id("main");

function apply_theme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

const theme = () => localStorage.getItem("nostril-theme") ?? "system";
apply_theme(theme());

const panel = new Panel();
const picker = new Picker();
const chat = new ChatView({ panel, on_saved: () => draw_side() });
const pages = { chat, nodes: new NodesView({ panel }), spending: new SpendingView() };
const proof_button = h("button", { class: "quiet", type: "button", "aria-label": "Proof", onclick: () => (panel.open ? panel.close() : panel.show_node()) }, icon("shield"), h("span", {}, "Proof"));
const menu_button = h("button", { class: "quiet square menu", type: "button", "aria-label": "Pages and conversations", "aria-expanded": "false", "aria-controls": "side", onclick: () => open_side(!side.classList.contains("open")) }, icon("menu"));
const page = h("div", { class: "view" });
main.append(h("header", { class: "bar" }, menu_button, picker.element, proof_button), page);

function open_side(open) {
  side.classList.toggle("open", open);
  shade.hidden = !open;
  menu_button.setAttribute("aria-expanded", String(open));
  if (open) side.querySelector("button, a").focus();
}
shade.addEventListener("click", () => open_side(false));

async function route() {
  const [, name = "chat", id] = location.hash.split("/");
  const view = pages[name] ?? chat;
  if (view === chat) {
    const wanted = id && id !== chat.chat.id ? (await all_chats()).find((kept) => kept.id === id) : undefined;
    if (wanted || (!id && chat.chat.messages.length > 0)) chat.open(wanted);
  } else {
    view.draw();
  }
  page.replaceChildren(view.element);
  document.title = view === chat ? "Nostril" : `${name === "nodes" ? "Nodes" : "Spending"} · Nostril`;
  open_side(false);
  draw_side();
  if (view === chat && matchMedia("(hover: hover)").matches) chat.focus();
}

function new_chat() {
  chat.open(undefined);
  if (location.hash === "#/chat" || location.hash === "") route();
  else location.hash = "#/chat";
}

/** Asked twice: the second press within some seconds does it. */
function twice(button, question, work) {
  if (button.dataset.sure) { work(); return; }
  const before = [...button.childNodes];
  button.dataset.sure = "1";
  button.replaceChildren(question);
  setTimeout(() => { delete button.dataset.sure; button.replaceChildren(...before); }, 4_000);
}

async function forget(one) {
  const here = one.id === chat.chat.id;
  if (here) chat.forget();
  await delete_chat(one.id);
  if (here) new_chat();
  draw_side();
}

const page_link = (name, label, mark) => h("a", { href: `#/${name}`, "aria-current": location.hash === `#/${name}` ? "page" : undefined }, icon(mark), label);

function cycle_theme() {
  const next = kThemes[(kThemes.indexOf(theme()) + 1) % kThemes.length];
  localStorage.setItem("nostril-theme", next);
  apply_theme(next);
  announce(`Theme: ${next}`);
  draw_side();
}

async function draw_side() {
  const chats = await all_chats().catch(() => []);
  const here = location.hash.startsWith("#/nodes") || location.hash.startsWith("#/spending") ? undefined : chat.chat.id;
  const focused = document.activeElement?.closest("#side") ? document.activeElement.dataset.keep : undefined;
  const clear = h("button", { class: "quiet", type: "button", "data-keep": "clear", hidden: chats.length === 0, onclick: () => twice(clear, "Delete all? Press again", async () => { chat.forget(); await delete_all(); new_chat(); draw_side(); }) }, icon("bin"), h("span", {}, "Delete conversations"));
  side.replaceChildren(
    h("p", { class: "brand" }, "Nostril"),
    h("button", { class: "new", type: "button", "data-keep": "new", onclick: new_chat }, icon("plus"), "New conversation"),
    h("div", { class: "links" }, page_link("nodes", "Nodes", "nodes"), page_link("spending", "Spending", "spend")),
    h("h2", { class: "unseen" }, "Conversations"),
    h("ul", { class: "chats" }, chats.map((one) => h("li", {}, h("a", { href: `#/chat/${one.id}`, "aria-current": one.id === here ? "page" : undefined }, one.title || "Untitled"),
      h("button", { class: "quiet square", type: "button", "aria-label": `Delete “${one.title}”`, onclick: () => forget(one) }, icon("close"))))),
    h("div", { class: "end" }, clear,
      h("button", { class: "quiet", type: "button", "data-keep": "theme", onclick: cycle_theme }, icon("theme"), h("span", {}, `Theme: ${theme()}`)),
      api.key.get() ? h("button", { class: "quiet", type: "button", onclick: () => { api.key.set(""); draw_side(); refresh_nodes(); } }, icon("key"), h("span", {}, "Forget the key")) : "",
      h("p", { class: "dim" }, "Kept in this browser only.")));
  if (focused) side.querySelector(`[data-keep="${focused}"]`)?.focus();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "Escape") {
    if (side.classList.contains("open")) { open_side(false); menu_button.focus(); } else if (chat.busy) chat.stop();
    else if (panel.open) panel.close();
  } else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    if (chat.element.isConnected) chat.focus();
    else location.hash = `#/chat/${chat.chat.id}`;
  }
});
addEventListener("hashchange", route);
on_change(() => { picker.draw(); proof_button.disabled = !state.nodes?.offers.length; });
route();
refresh_nodes();
