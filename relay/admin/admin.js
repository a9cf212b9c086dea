// The operator's page: signs in, then shows one view at a time. Every text from the relay becomes a text node (dom.js).
import { announce, by_id, h } from "/admin/dom.js";
import { caller } from "/admin/api.js";
import { figures_view, short } from "/admin/figures.js";
import { kLists } from "/admin/lists.js";
import { extension_signer, has_extension, secret_signer } from "/admin/signer.js";

const kLookMs = 3000;
const main = by_id("main");
let signer;
let call;
let view = "now";
let timer;
let before;

const show = (...children) => main.replaceChildren(...children.flat(Infinity).filter(Boolean));
const note = (text, kind = "") => h("p", { class: `note ${kind}`, role: kind === "bad" ? "alert" : undefined }, text);

/** Runs `work`; says what went wrong where `place` is. True when nothing did. */
async function trying(place, work) {
  place.replaceChildren();
  try {
    await work();
    return true;
  } catch (error) {
    place.replaceChildren(note(error.message, "bad"));
    return false;
  }
}

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// ---- who

/** A relay that has just started takes no signature for some seconds: waited for here. */
async function sign_in(make, place) {
  place.replaceChildren(note("Asking the relay …"));
  const candidate = await make();
  const ask = caller(candidate);
  for (;;) {
    try {
      await ask("supportedmethods");
      break;
    } catch (error) {
      if (error.status !== 503 || !error.again_in_s) throw error;
      place.replaceChildren(note(`The relay has just started and takes signatures in ${error.again_in_s} s.`));
      await sleep(error.again_in_s * 1000);
    }
  }
  signer = candidate;
  call = ask;
  frame();
  go("now");
}

function welcome() {
  const said = h("div", {});
  const field = h("input", { id: "nsec", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const by_secret = async (event) => {
    event.preventDefault();
    const text = field.value;
    field.value = "";
    await trying(said, () => sign_in(() => secret_signer(text), said));
  };
  show(h("div", { class: "narrow" },
    h("h1", {}, "Relay administration"),
    h("p", {}, "Each request is signed by a key that the relay's configuration names under [admin], or to which its operator has assigned methods."),
    has_extension() ? h("p", {}, h("button", { type: "button", class: "main", onclick: () => trying(said, () => sign_in(extension_signer, said)) }, "Sign in with the extension"))
      : h("p", { class: "dim" }, "No extension of this browser offers to sign (NIP-07)."),
    h("form", { onsubmit: by_secret },
      h("label", { for: "nsec" }, "Or the secret key (nsec)"), field,
      h("p", { class: "dim" }, "Kept in this page's memory until you leave it, and never sent. An extension keeps it from the page altogether."),
      h("button", {}, "Sign in")),
    said));
}

// ---- frame

const kViews = [["now", "Now"], ["moderation", "Reports"], ["lists", "Lists"], ["events", "Events"], ["relay", "Relay"], ["settings", "Configuration"]];

function frame() {
  by_id("top").replaceChildren(
    h("nav", { "aria-label": "Views" }, kViews.map(([id, name]) => h("button", { type: "button", "data-view": id, onclick: () => go(id) }, name))),
    h("span", { class: "who" }, short(signer.key), h("button", { type: "button", onclick: leave }, "Sign out")));
}

function leave() {
  clearTimeout(timer);
  signer = call = before = undefined;
  by_id("top").replaceChildren();
  welcome();
  announce("Signed out");
}

function go(id) {
  clearTimeout(timer);
  view = id;
  for (const button of by_id("top").querySelectorAll("[data-view]")) {
    if (button.dataset.view === id) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  const name = kViews.find(([one]) => one === id)[1];
  document.title = `${name} · Relay administration`;
  const said = h("div", { class: "said" });
  const body = h("div", {});
  show(h("h1", {}, name), said, body);
  main.focus({ preventScroll: true });
  kShow[id](body, said);
}

// ---- views

async function decide(said, question, method, item, done) {
  const reason = await ask_reason(question);
  if (reason === undefined) return;
  if (await trying(said, () => call(method, item, reason))) {
    announce(`${question} Done.`);
    done();
  }
}

/** A dialog with a reason; undefined: not after all. */
function ask_reason(question) {
  return new Promise((resolve) => {
    const reason = h("input", { id: "reason", autocomplete: "off", maxlength: 500 });
    const dialog = h("dialog", { "aria-labelledby": "question" },
      h("form", { method: "dialog" }, h("h2", { id: "question" }, question), h("label", { for: "reason" }, "Reason (kept with it)"), reason,
        h("p", { class: "row" }, h("button", { value: "yes", class: "main" }, "Yes"), h("button", { value: "no", formnovalidate: true }, "No"))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? reason.value : undefined);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

async function show_now(body, said) {
  const act = {
    block: (ip) => decide(said, `Block ${ip}?`, "blockip", ip, () => go("now")),
    ban: (key) => decide(said, `Ban ${key.slice(0, 8)}… and remove its events?`, "banpubkey", key, () => go("now")),
  };
  const mine = call;
  const look = async () => {
    const at = document.activeElement?.getAttribute("aria-label");
    await trying(said, async () => {
      const now = await mine("nostril_figures");
      if (view !== "now" || call !== mine) return;
      body.replaceChildren(...figures_view(now, before, act));
      before = now;
      if (at) body.querySelector(`[aria-label="${CSS.escape(at)}"]`)?.focus();
    });
    if (view === "now" && call === mine && body.isConnected) timer = setTimeout(look, kLookMs);
  };
  await look();
}

const event_row = (event, actions) => h("article", { class: "event" },
  h("p", { class: "dim" }, `kind ${event.kind} · `, new Date(event.created_at * 1000).toLocaleString(), " · ", short(event.pubkey)),
  h("p", { class: "text" }, event.content.length > 500 ? `${event.content.slice(0, 500)}…` : event.content || "(no text)"),
  h("details", {}, h("summary", {}, "All of it"), h("pre", {}, JSON.stringify(event, null, 2))),
  h("p", { class: "row" }, actions));

const ban_actions = (event, said, done) => [
  h("button", { type: "button", onclick: () => decide(said, "Remove this event and refuse it from now on?", "banevent", event.id, done) }, "Ban the event"),
  h("button", { type: "button", onclick: () => decide(said, "Ban its author and remove all his events?", "banpubkey", event.pubkey, done) }, "Ban the author"),
];

async function show_moderation(body, said) {
  await trying(said, async () => {
    const rows = await call("listeventsneedingmoderation");
    const events = new Map(rows.length ? (await call("nostril_events", { ids: rows.slice(0, 100).map(({ id }) => id) })).map((event) => [event.id, event]) : []);
    body.replaceChildren(...(rows.length ? rows.slice(0, 100).flatMap(({ id, reason }) => {
      const event = events.get(id);
      if (!event) return [];
      return [h("section", {}, note(reason), event_row(event, [
        h("button", { type: "button", onclick: () => decide(said, "Keep this event?", "allowevent", id, () => go("moderation")) }, "Keep"), ...ban_actions(event, said, () => go("moderation"))]))];
    }) : [h("p", { class: "dim" }, "No stored event is reported and undecided.")]));
  });
}

async function show_lists(body, said) {
  for (const list of kLists) {
    const rows = h("div", {});
    const problem = h("div", {});
    const field = h("input", { id: `add-${list.id}`, autocomplete: "off", spellcheck: "false", required: true });
    const reason = h("input", { id: `why-${list.id}`, autocomplete: "off", maxlength: 500 });
    const fill = () => trying(problem, async () => {
      const found = await call(list.list);
      rows.replaceChildren(found.length === 0 ? h("p", { class: "dim" }, "None.") : h("ul", { class: "rows" }, found.slice(0, 500).map((row) => {
        const item = list.item ? row[list.item] : row;
        return h("li", {}, h("code", {}, String(item)), row.reason ? h("span", { class: "dim" }, row.reason) : null,
          list.remove ? h("button", { type: "button", "aria-label": `Take ${item} out of: ${list.name}`,
            onclick: async () => { if (await trying(problem, () => call(list.remove, item))) { announce("Taken out"); await fill(); } } }, "Take out") : null);
      })), found.length > 500 ? h("p", { class: "dim" }, `and ${found.length - 500} more`) : h("span", {}));
    });
    const add = async (event) => {
      event.preventDefault();
      const item = list.read(field.value);
      const done = await trying(problem, async () => {
        if (item === undefined) throw new Error(list.wrong ?? "That is not what belongs here.");
        await call(list.add, item, ...(list.has_reason ? [reason.value] : []));
      });
      if (!done) return;
      field.value = reason.value = "";
      announce(`Added: ${list.name}`);
      await fill();
    };
    body.append(h("section", { class: "card", "aria-labelledby": `list-${list.id}` }, h("h2", { id: `list-${list.id}` }, list.name), h("p", { class: "dim" }, list.about), problem, rows,
      h("form", { class: "adds", onsubmit: add }, h("div", {}, h("label", { for: `add-${list.id}` }, list.label), field),
        list.has_reason ? h("div", {}, h("label", { for: `why-${list.id}` }, "Reason"), reason) : null, h("button", {}, "Add"))));
    await fill();
  }
  void said;
}

async function show_events(body, said) {
  const field = h("textarea", { id: "filter", rows: 4, spellcheck: "false" });
  field.value = '{"kinds": [1], "limit": 20}';
  const found = h("div", {});
  const search = (event) => {
    event?.preventDefault();
    return trying(said, async () => {
      let filter;
      try { filter = JSON.parse(field.value); } catch { throw new Error("The filter is not JSON."); }
      const events = await call("nostril_events", filter);
      found.replaceChildren(h("p", { role: "status" }, `${events.length} found${events.length === 100 ? ", no more are shown" : ""}`),
        ...events.map((one) => event_row(one, ban_actions(one, said, () => search()))));
    });
  };
  body.append(h("form", { onsubmit: search }, h("label", { for: "filter" }, "Filter (NIP-01)"), field, h("button", { class: "main" }, "Search")), found);
}

async function show_relay(body, said) {
  await trying(said, async () => {
    const response = await fetch("/", { headers: { Accept: "application/nostr+json" }, cache: "no-store", credentials: "omit" });
    const info = await response.json();
    for (const [name, method, value] of [["Name", "changerelayname", info.name], ["Description", "changerelaydescription", info.description], ["Icon (URL)", "changerelayicon", info.icon]]) {
      const field = h("input", { id: method, autocomplete: "off", maxlength: 900 });
      field.value = value ?? "";
      body.append(h("form", { class: "adds", onsubmit: async (event) => {
        event.preventDefault();
        if (await trying(said, () => call(method, field.value))) announce(`${name} changed`);
      } }, h("div", {}, h("label", { for: method }, name), field), h("button", { "aria-label": `Change: ${name}` }, "Change")));
    }
  });
}

async function show_settings(body, said) {
  await trying(said, async () => {
    const rows = await call("nostril_settings");
    body.append(h("p", {}, "Edit the file, and the relay takes over what may change at once; it names the rest in its log. SIGUSR2 restarts it without refusing anybody."),
      h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, ["Key", "Value", "Changes", "What it is"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, row.key)), h("td", {}, h("code", {}, row.value)),
          h("td", {}, row.may_change ? "while it runs" : "with a restart"), h("td", { class: "dim" }, row.comment)))))));
  });
}

const kShow = { now: show_now, moderation: show_moderation, lists: show_lists, events: show_events, relay: show_relay, settings: show_settings };

welcome();
// Extensions come when they like.
if (!has_extension()) setTimeout(() => { if (!signer && has_extension() && !by_id("nsec").value) welcome(); }, 500);
