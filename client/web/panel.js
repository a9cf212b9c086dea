// The panel beside the conversation: a node's verdict step by step, and what was signed about an answer.
import * as api from "./api.js";
import { badge, warning_of_simulation } from "./badge.js";
import { by_id, download, h, icon } from "./dom.js";
import * as format from "./format.js";
import { answer_file, check_answer, read_record } from "./record.js";
import { chosen_model, on_change, state } from "./state.js";

const kSteps = { passed: "passed", failed: "failed", excepted: "excepted", "not checked": "skipped" };

export class Panel {
  #tab = "node";
  #offer;       // of the node that is shown; undefined: the one that is asked first
  #shown = "";  // what the node's tab was drawn from
  #answer;
  #opener;

  constructor() {
    this.element = by_id("panel");
    this.element.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); this.close(); } });
    this.tabs = ["node", "answer"].map((name) => h("button", { id: `tab-${name}`, type: "button", role: "tab", "aria-controls": "proof", onclick: () => this.#show(name), onkeydown: (event) => this.#arrow(event) }, name === "node" ? "Node" : "Answer"));
    this.content = h("div", { id: "proof", role: "tabpanel", tabindex: "0" });
    this.element.append(h("header", {}, h("div", { role: "tablist", "aria-label": "What is proven" }, this.tabs),
      h("button", { class: "quiet square", type: "button", "aria-label": "Close the panel", onclick: () => this.close() }, icon("close"))), this.content);
    on_change(() => { if (!this.element.hidden && this.#tab === "node" && !this.#offer) this.#node(); });
  }

  get open() { return !this.element.hidden; }

  /** The verdict on one offer, by id; without one, on what is asked first for the chosen model. */
  show_node(offer) {
    this.#offer = offer;
    this.#shown = "";
    this.#reveal("node");
  }

  show_answer(message) {
    this.#answer = message;
    this.#offer = message.proof.record.tags.find(([name]) => name === "offer")?.[1];
    this.#shown = "";
    this.#reveal("answer");
  }

  close() {
    this.element.hidden = true;
    document.body.classList.remove("with-panel");
    this.#opener?.focus?.();
  }

  #reveal(tab) {
    if (this.element.hidden) this.#opener = document.activeElement;
    this.element.hidden = false;
    document.body.classList.add("with-panel");
    this.#show(tab);
    this.element.focus({ preventScroll: true });
  }

  #arrow(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    this.#show(this.#tab === "node" ? "answer" : "node");
    by_id(`tab-${this.#tab}`).focus();
  }

  #show(tab) {
    this.#tab = tab;
    for (const button of this.tabs) {
      const on = button.id === `tab-${tab}`;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
    }
    this.content.setAttribute("aria-labelledby", `tab-${tab}`);
    if (tab === "node") this.#shown = "";
    if (tab === "node") this.#node();
    else this.#draw_answer();
  }

  async #node() {
    const model = chosen_model();
    const offer = this.#offer ?? (model?.best ?? model?.refused[0])?.offer;
    if (!offer) return this.content.replaceChildren(h("p", { class: "dim" }, state.problem ? state.problem.message : "No node is known yet."));
    if (offer === this.#shown) return undefined;
    this.#shown = offer;
    try {
      const judged = await api.verdict(offer);
      if (this.#shown === offer && this.#tab === "node") this.content.replaceChildren(...verdict_elements(judged));
    } catch (problem) {
      if (this.#shown !== offer) return undefined;
      this.#shown = "";
      const gone = problem.status === 404;
      this.content.replaceChildren(h("p", { class: "note" }, gone ? "This offer has been replaced or withdrawn since. The record names it all the same." : problem.message));
    }
    return undefined;
  }

  async #draw_answer() {
    const message = this.#answer;
    if (!message) return this.content.replaceChildren(h("p", { class: "dim" }, "Choose “Record” below an answer to see what its node signed."));
    this.content.replaceChildren(...answer_elements(message));
    const checks = await check_answer(message.proof);
    if (this.#answer !== message || this.#tab !== "answer") return undefined;
    const bad = checks.filter(({ good }) => !good).length;
    by_id("answer-checks").replaceChildren(
      h("h3", {}, bad === 0 ? "Checked again in this page" : `${bad} of ${checks.length} checks failed`),
      h("ol", { class: "steps" }, checks.map((check) => step({ name: check.name, status: check.good ? "passed" : "failed", found: check.found, wanted: check.wanted }))));
    return undefined;
  }
}

const term = (name, ...value) => [h("dt", {}, name), h("dd", {}, ...value)];
const code = (text) => h("code", { class: "hash" }, h("bdi", {}, text));

/** One check; what was found and wanted opens below it. */
function step(check) {
  const look = kSteps[check.status] ?? "skipped";
  const bad = check.refuses ?? check.status === "failed";
  const details = [["Found", check.found], ["Wanted", check.wanted], ["Policy", check.note], ["Source", check.source]].filter(([, text]) => text);
  const said = bad && look === "skipped" ? "missing" : check.status;
  const head = [h("span", { class: "mark" }, icon(look)), h("span", { class: "what" }, check.name), h("span", { class: "status" }, said)];
  const classes = `${look}${bad ? " bad" : ""}`;
  if (details.length === 0) return h("li", { class: classes }, h("div", { class: "head" }, head));
  return h("li", { class: classes }, h("details", { open: bad || look === "excepted" }, h("summary", { class: "head" }, head),
    h("dl", {}, details.map(([name, text]) => term(name, h("bdi", {}, text))))));
}

function verdict_elements({ now, node, model, offer, statement, evidence, reason, verdict }) {
  const who = h("p", { class: "who" }, h("strong", {}, model), code(node));
  if (!verdict) {
    return [h("section", { class: "verdict bad" }, h("h2", {}, "Refused"), who, h("p", {}, reason)), h("p", { class: "dim" }, "The evidence has not been judged, so there are no steps to show. Nothing is sent to this node.")];
  }
  const asked = verdict.checks.filter((check) => check.status !== "not checked" || check.refuses);
  const skipped = verdict.checks.filter((check) => check.status === "not checked" && !check.refuses);
  const passed = asked.filter(({ status }) => status === "passed").length;
  const refused = asked.filter(({ refuses }) => refuses).sort((a, b) => Number(b.status === "failed") - Number(a.status === "failed"));
  const look = !verdict.accepted ? "bad" : verdict.simulated ? "loud" : verdict.level === "declared" ? "warn" : "good";
  const title = !verdict.accepted ? "Refused" : verdict.simulated ? "Accepted, but simulated" : format.level_name(verdict.level);
  const meaning = verdict.accepted ? [verdict.simulated ? h("strong", {}, `${format.level_name(verdict.level)}. `) : "", format.level_meaning(verdict.level)] : [reason || verdict.summary];
  return [
    verdict.simulated ? warning_of_simulation(verdict.accepted) : "",
    h("section", { class: `verdict ${look}` }, h("h2", {}, title), who, h("p", {}, meaning),
      h("p", { class: "dim" }, [`${passed} of ${asked.length} checks passed`, verdict.accepted && `holds until ${format.time(verdict.holds_until)}`, verdict.tcb_status && `TCB ${verdict.tcb_status}`].filter(Boolean).join(" · "))),
    refused.length > 0 ? h("h3", {}, "Why it is refused") : "",
    refused.length > 0 ? h("ol", { class: "steps" }, refused.map((check) => step({ ...check, name: format.words(check.name) }))) : "",
    h("h3", {}, "Step by step"),
    h("ol", { class: "steps" }, asked.filter((check) => !check.refuses).map((check) => step({ ...check, name: format.words(check.name) }))),
    skipped.length > 0 ? h("details", { class: "more" }, h("summary", {}, `${skipped.length} checks that your policy does not ask for`), h("ol", { class: "steps" }, skipped.map((check) => step({ ...check, name: format.words(check.name) })))) : "",
    verdict.claims.length > 0 ? h("details", { class: "more" }, h("summary", {}, "What the evidence says of itself"), h("p", { class: "dim" }, "True as far as the checks passed."),
      h("dl", {}, verdict.claims.map(({ name, value }) => term(format.words(name), h("bdi", {}, value))))) : "",
    h("details", { class: "more" }, h("summary", {}, "Identifiers"), h("dl", {}, term("Offer", code(offer)), term("Statement", code(statement)), evidence ? term("Evidence", code(evidence)) : "", term("Judged at", format.time(now)))),
  ];
}

function answer_elements({ proof }) {
  const record = read_record(proof.record);
  const save = h("button", { type: "button", class: "wide-button", onclick: () => download(`answer-${record.id.slice(0, 12)}.json`, answer_file(proof)) }, icon("save"), "Download the proof");
  return [
    proof.simulated ? warning_of_simulation() : "",
    h("section", { class: "amount" }, h("p", { class: "big" }, format.amount(record.cost), h("span", {}, ` ${format.asset(record.asset)}`)),
      h("p", { class: "dim" }, `${format.count(record.input)} tokens in${record.cached ? ` (${format.count(record.cached)} cached)` : ""}, ${format.count(record.output)} out · ${format.milliseconds(record.whole_ms)}`)),
    save, h("p", { class: "dim" }, "Anybody can check this file without a network: ", h("code", {}, "nostril verify --answer FILE")),
    h("div", { id: "answer-checks" }, h("h3", {}, "Checking…")),
    h("h3", {}, "Record, signed by the node"),
    h("dl", {}, term("Node", proof.node ? code(proof.node) : code(record.node), " ", proof.level ? badge({ accepted: true, simulated: proof.simulated, level: proof.level }) : ""),
      term("Model", record.model), record.engine ? term("Engine", record.engine) : "", term("Signed", format.time(record.at)),
      term("Statement", `no. ${format.count(record.n)} of its channel`), term("Request", code(record.request_hash)), term("Response", code(record.response_hash)),
      record.sampling ? term("Sampling", code(record.sampling)) : "", term("Record", code(record.id))),
    h("h3", {}, "Receipt, signed by you"),
    proof.receipt
      ? h("dl", {}, term("Pays", `${format.amount(record.spent)} ${format.asset(record.asset)} in all on this channel`), term("Channel", code(record.channel)), term("Receipt", code(proof.receipt.id)))
      : h("p", { class: "dim" }, "None: nothing is owed."),
  ];
}
