// All nodes: what they ask, what is thought of them, how they answered, how busy they are, and why some are refused.
import { badge, score_badge } from "./badge.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { sparkline } from "./plots.js";
import { on_change, state } from "./state.js";

const kSorts = {
  model: (a, b) => a.model.localeCompare(b.model),
  price: (a, b) => Number(BigInt(format.price(a, "output")?.amount ?? 0) - BigInt(format.price(b, "output")?.amount ?? 0)),
  latency: (a, b) => (first_byte(a) ?? Infinity) - (first_byte(b) ?? Infinity),
  load: (a, b) => busy(a) - busy(b),
  reputation: (a, b) => b.reputation.score - a.reputation.score,
};

const first_byte = (offer) => format.median(offer.answers.map(({ first_ms }) => first_ms).filter((ms) => ms >= 0));
const busy = (offer) => (offer.load ? offer.load.running / offer.load.places + offer.load.waiting : 0.5);

/** In and out below each other, so that columns of digits compare. */
function price_lines(offer) {
  if (offer.prices.length === 0) return "free";
  const line = (value, word) => h("span", { class: "pair" }, value, h("span", { class: "dim" }, word));
  const extra = offer.prices.filter(({ unit }) => ["request", "second", "session"].includes(unit));
  const of = (unit) => format.amount(format.price(offer, unit)?.amount ?? "0");
  return [line(of("input"), "in"), line(of("output"), "out"), extra.map((tag) => line(format.amount(tag.amount), `a ${tag.unit}`)), h("span", { class: "dim" }, format.asset(offer.asset))];
}

/** A verdict that changed is worth a word. */
function refused_before(offer) {
  const last = offer.history.findLast(({ accepted }) => !accepted);
  return last ? h("span", { class: "dim" }, `refused at ${format.clock(last.at)}`) : "";
}

const signed = (value) => (value > 0 ? `+${value}` : value < 0 ? `\u2212${-value}` : "0");

/** The score, and its parts with where they come from; a part of nobody is left out. */
function reputation_lines({ reputation }) {
  const { own, follows, providers, approvals, flags } = reputation;
  const words = [[approvals, "for"], [flags, "against"]].filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}`).join(", ");
  const parts = [["own", own, "Your own answers, approvals and flags"], ["follows", follows, "Those you follow", words], ["providers", providers, "Ranks by providers that you named"]]
    .filter(([, value, , more]) => value !== 0 || more)
    .map(([name, value, title, more]) => h("span", { class: "dim", title }, `${signed(value)} ${name}${more ? `: ${more}` : ""}`));
  return [score_badge(reputation), parts.length > 0 ? parts : h("span", { class: "dim" }, "not known")];
}

/** How a price went, where it has changed. */
function price_line(offer) {
  const points = offer.history.map(({ at, output }) => [at, Number(output)]);
  const changed = new Set(points.map(([, value]) => value)).size > 1;
  return changed ? sparkline({ points, kind: "step", label: `Price of output since ${format.clock(points[0][0])}` }) : "";
}

function load_line(offer) {
  const points = offer.history.filter(({ places }) => places).map(({ at, running, places }) => [at, running / places]);
  return points.length > 1 ? sparkline({ points, kind: "step", label: "Load as the node stated it, since this gateway runs" }) : "";
}

export class NodesView {
  #sort = "price";

  constructor({ panel }) {
    this.panel = panel;
    this.element = h("section", { class: "page", "aria-label": "Nodes" });
    on_change(() => { if (this.element.isConnected) this.draw(); });
  }

  draw() {
    const offers = state.nodes?.offers ?? [];
    const usable = offers.filter(({ accepted }) => accepted).sort(kSorts[this.#sort]);
    const refused = offers.filter(({ accepted }) => !accepted);
    const focused = document.activeElement?.dataset?.sort;
    this.element.replaceChildren(h("h1", {}, "Nodes"),
      h("p", { class: "lead" }, "A question goes only to a node whose evidence passed. Those below zero in reputation are asked last; of the others the cheapest, then the quickest and least busy."),
      state.problem ? h("p", { class: "note bad" }, state.problem.message, " ", state.problem.advice) : "",
      usable.length > 0 ? this.#table(usable) : h("p", { class: "note" }, "No node has passed yet."),
      ...(refused.length > 0 ? [h("h2", {}, `Refused (${refused.length})`), h("ul", { class: "refused" }, refused.map((offer) => this.#refused(offer)))] : []));
    if (focused) this.element.querySelector(`[data-sort="${focused}"]`)?.focus();
  }

  #heading(text, sort, classes) {
    if (!sort) return h("th", { scope: "col", class: classes }, text);
    const on = this.#sort === sort;
    return h("th", { scope: "col", class: classes, "aria-sort": on ? (sort === "reputation" ? "descending" : "ascending") : undefined },
      h("button", { class: `sort${on ? " on" : ""}${sort === "reputation" ? " down" : ""}`, type: "button", "data-sort": sort, onclick: () => { this.#sort = sort; this.draw(); } }, text));
  }

  #table(offers) {
    return h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Usable nodes" }, h("table", { class: "nodes" },
      h("thead", {}, h("tr", {}, this.#heading("Model and node", "model"), this.#heading("Evidence"), this.#heading("Reputation", "reputation"), this.#heading("Price per M tokens", "price", "right"), this.#heading("Load", "load", "right"),
        this.#heading("First byte", "latency", "right"))),
      h("tbody", {}, offers.map((offer) => this.#row(offer)))));
  }

  #row(offer) {
    const ms = first_byte(offer);
    const answers = offer.answers.filter(({ first_ms }) => first_ms >= 0).map(({ at, first_ms }) => [at, first_ms]);
    // Who stopped or left was not let down by the node.
    const asked = offer.answers.filter(({ status }) => !["cancelled", "client-lost"].includes(status));
    const good = asked.filter(({ status }) => status === "ok").length;
    return h("tr", {},
      h("th", { scope: "row", "data-label": "Model and node" }, h("span", { class: "name" }, offer.model), h("span", { class: "dim node", title: offer.node }, format.short_id(offer.node)),
        h("span", { class: "dim" }, `${format.context(offer.context_tokens)} context · ${offer.tee}`)),
      h("td", { "data-label": "Evidence" }, h("button", { class: "link", type: "button", "aria-label": `Verdict on ${offer.model} of ${format.short_id(offer.node)}`, onclick: () => this.panel.show_node(offer.offer) }, badge(offer)),
        h("span", { class: "dim" }, `holds ${format.distance(offer.holds_until, state.nodes.now).replace(/^in (.*)$/, "$1 more")}`), refused_before(offer)),
      h("td", { class: "reputation", "data-label": "Reputation" }, reputation_lines(offer)),
      h("td", { class: "right number", "data-label": "Price per M tokens" }, price_lines(offer), price_line(offer)),
      h("td", { class: "right number", "data-label": "Load" }, offer.load ? `${offer.load.running} of ${offer.load.places}` : "not stated", load_line(offer), h("span", { class: "dim" }, offer.load?.waiting > 0 ? `${offer.load.waiting} waiting, ${format.milliseconds(offer.load.wait_ms)}` : "")),
      h("td", { class: "right number", "data-label": "First byte" }, ms === undefined ? "not asked yet" : format.milliseconds(ms), h("span", { class: "dim" }, asked.length > 0 ? `${good} of ${asked.length} whole` : ""),
        answers.length > 1 ? sparkline({ points: answers, label: `First byte of the last ${answers.length} answers, in the node's own words` }) : ""));
  }

  #refused(offer) {
    return h("li", {}, h("div", { class: "top" }, h("strong", {}, offer.model), badge(offer), offer.reputation.fraud || offer.reputation.score !== 0 ? score_badge(offer.reputation) : "", h("span", { class: "dim", title: offer.node }, format.short_id(offer.node))),
      h("p", {}, offer.reason),
      offer.judged && h("button", { class: "quiet", type: "button", "aria-label": `Why ${offer.model} of ${format.short_id(offer.node)} is refused, step by step`, onclick: () => this.panel.show_node(offer.offer) }, "See each step"));
  }
}
