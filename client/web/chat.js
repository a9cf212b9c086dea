// The conversation: what was asked, what comes, what it cost. One answer at a time.
import * as api from "./api.js";
import { badge, warning_of_simulation } from "./badge.js";
import { announce, h, icon } from "./dom.js";
import * as format from "./format.js";
import { show_markdown } from "./markdown.js";
import { read_record } from "./record.js";
import { chosen_model, models, on_change, refresh_nodes, state } from "./state.js";
import { put_chat } from "./store.js";

const kTitleLength = 48;
const kNearEndPx = 80;

const new_id = () => crypto.randomUUID();

export class ChatView {
  #running;  // {controller, message} of the answer under way
  #frame;
  #forgotten = new WeakSet();

  constructor({ panel, on_saved }) {
    this.panel = panel;
    this.on_saved = on_saved;
    this.log = h("div", { class: "log", role: "log", "aria-label": "Conversation", "aria-live": "off" });
    this.scroller = h("div", { class: "scroller" }, this.log);
    this.input = h("textarea", { id: "question", rows: "1", placeholder: "Ask in private", "aria-label": "Your question", "aria-describedby": "keys", oninput: () => this.#fit(), onkeydown: (event) => this.#key(event) });
    this.send = h("button", { class: "send", type: "submit", "aria-label": "Send" }, icon("send"));
    this.stop_button = h("button", { class: "send", type: "button", "aria-label": "Stop the answer", hidden: true, onclick: () => this.stop() }, icon("stop"));
    const form = h("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); this.#ask(); } }, this.input, this.send, this.stop_button);
    this.element = h("section", { class: "chat", "aria-label": "Chat" }, this.scroller, h("div", { class: "foot" }, form,
      h("p", { id: "keys", class: "hint" }, h("kbd", {}, "Enter"), " sends · ", h("kbd", {}, "Shift"), " + ", h("kbd", {}, "Enter"), " new line · ", h("kbd", {}, "Esc"), " stops · ", h("kbd", {}, "/"), " comes here")));
    on_change(() => { if (this.chat.messages.length === 0) this.draw(); });
    this.open(undefined);
  }

  get busy() { return this.#running !== undefined; }

  /** A kept conversation, or a new one. */
  open(chat) {
    this.stop();
    this.chat = chat ?? { id: new_id(), title: "", created: Date.now(), updated: Date.now(), messages: [] };
    this.draw();
    this.#end(true);
  }

  /** The conversation is deleted: an answer that still ends is not to bring it back. */
  forget() { this.#forgotten.add(this.chat); }

  focus() { this.input.focus(); }

  stop() { this.#running?.controller.abort(); }

  draw() {
    this.log.replaceChildren(...(this.chat.messages.length > 0 ? this.chat.messages.map((message) => this.#message(message)) : [this.#welcome()]));
  }

  #welcome() {
    const model = chosen_model();
    const offer = model?.best;
    if (state.problem) return this.#trouble(state.problem, () => refresh_nodes());
    if (!state.nodes) return h("div", { class: "welcome" }, h("h1", {}, "Looking for nodes…"));
    if (!offer) {
      if (models().some(({ best }) => best)) {
        return h("div", { class: "welcome" }, h("h1", {}, `No verified node offers ${state.model}`), h("p", {}, "Pick another model above, or see why the offers of this one are refused."),
          (model?.refused ?? []).slice(0, 3).map((one) => h("p", { class: "note bad" }, one.reason)), h("p", {}, h("a", { href: "#/nodes" }, "See all nodes and reasons")));
      }
      const refused = state.nodes.offers.filter(({ accepted }) => !accepted);
      return h("div", { class: "welcome" }, h("h1", {}, "No verified node yet"),
        h("p", {}, refused.length > 0 ? "There are offers, but their evidence did not pass your policy, so nothing can be sent." : "The relays have brought no offer so far. The page looks again by itself."),
        refused.slice(0, 3).map((one) => h("p", { class: "note bad" }, h("strong", {}, one.model), " ", one.reason)),
        h("p", {}, h("a", { href: "#/nodes" }, "See all nodes and reasons")));
    }
    return h("div", { class: "welcome" }, h("h1", {}, "Ask. Only a verified node can read it."),
      h("p", {}, "Your question is sealed on this machine to a node whose evidence has passed. The answer comes back with the node's signed record, and you pay by a signed receipt for exactly that."),
      offer.simulated ? warning_of_simulation() : "",
      h("dl", { class: "facts-row" }, [["Model", model.name], ["Context", `${format.context(offer.context_tokens)} tokens`], ["Price per M tokens", offer.prices.length > 0 ? `${format.price_text(offer)} ${format.asset(offer.asset)}` : "free"]]
        .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))), h("div", {}, h("dt", {}, "Evidence"), h("dd", {}, h("button", { class: "link", type: "button", onclick: () => this.panel.show_node() }, badge(offer), " see each step")))));
  }

  #message(message) {
    if (message.role === "user") return h("article", { class: "message mine", "aria-label": "You" }, h("div", { class: "text" }, message.content));
    const text = h("div", { class: "text" });
    show_markdown(text, message.content);
    const element = h("article", { class: "message", "aria-label": "Answer" });
    if (message.thought) element.append(h("details", { class: "thought" }, h("summary", {}, "Thinking"), h("p", {}, message.thought)));
    element.append(text);
    if (message === this.#running?.message) {
      element.classList.add("running");
      element.setAttribute("aria-busy", "true");
      if (!message.content) text.append(h("p", { class: "waiting" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), message.thought ? "Thinking" : "Sealed and sent to a verified node"));
    } else {
      element.append(this.#foot(message));
    }
    return element;
  }

  #foot(message) {
    if (message.failure) return this.#trouble(new api.ApiFailure(message.failure.status, message.failure.type, message.failure.message), () => this.#again(message));
    if (!message.proof) return h("footer", { class: "proof" }, h("span", { class: "badge warn" }, "Stopped"), h("span", { class: "dim" }, "The engine was told to stop. What it had done is recorded and paid; see Spending."));
    const record = read_record(message.proof.record);
    return h("footer", { class: "proof" },
      message.proof.simulated ? h("span", { class: "badge loud" }, "Simulated") : h("span", { class: "badge good" }, icon("passed"), "Verified"),
      h("button", { class: "quiet", type: "button", onclick: () => this.panel.show_answer(message) }, icon("shield"), "Record"),
      h("span", { class: "dim" }, `${format.amount(record.cost)} ${format.asset(record.asset)} · ${format.count(record.output)} tokens · ${record.model}`));
  }

  #trouble(problem, again) {
    const field = problem.status === 401 && h("form", { class: "key", onsubmit: (event) => { event.preventDefault(); api.key.set(event.target.elements.key.value.trim()); this.on_saved(this.chat); again(); } },
      h("input", { name: "key", type: "password", "aria-label": "Key of the gateway", placeholder: "Key of the gateway", autocomplete: "off" }), h("button", { type: "submit" }, "Use it"));
    return h("div", { class: "trouble", role: "alert" }, h("p", {}, h("strong", {}, problem.message)), h("p", {}, problem.advice), field || h("button", { type: "button", onclick: again }, icon("again"), "Try again"));
  }

  #key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#ask();
    }
  }

  #fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, window.innerHeight * 0.4)}px`;
  }

  #ask() {
    const content = this.input.value.trim();
    if (!content || this.busy) return;
    if (!state.model) { announce("Choose a model first."); return; }
    this.input.value = "";
    this.#fit();
    if (!this.chat.title) this.chat.title = content.replace(/\s+/g, " ").slice(0, kTitleLength);
    this.chat.messages.push({ role: "user", content });
    this.#answer();
  }

  /** The same question once more, in place of what failed. */
  #again(message) {
    if (this.busy) return;
    this.chat.messages.splice(this.chat.messages.indexOf(message));
    this.#answer();
  }

  async #answer() {
    const chat = this.chat;
    const messages = chat.messages.filter(({ content, failure }) => content && !failure).map(({ role, content }) => ({ role, content }));
    const message = { role: "assistant", content: "", thought: "" };
    const running = { controller: new AbortController(), message };
    chat.messages.push(message);
    this.#running = running;
    this.#buttons();
    this.draw();
    this.#end(true);
    this.#keep(chat);
    announce("Asked.");
    try {
      const { proof, request, response } = await api.ask({ model: state.model, messages, stream: true }, {
        signal: running.controller.signal,
        on_text: (text) => { message.content += text; this.#soon(message); },
        on_thought: (text) => { message.thought += text; this.#soon(message); },
      });
      message.proof = { ...proof, request, response };
      announce("The answer is whole and verified.");
    } catch (problem) {
      if (problem.name === "AbortError") announce("Stopped.");
      else message.failure = { status: problem.status ?? 0, type: problem.type ?? "", message: problem.message };
    }
    chat.updated = Date.now();
    this.#running = undefined;
    cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    this.#buttons();
    this.#keep(chat);
    if (this.chat !== chat) return;
    this.#redraw(message);
    this.focus();
    refresh_nodes();
  }

  async #keep(chat) {
    if (this.#forgotten.has(chat)) return;
    await put_chat(chat).catch(() => announce("This browser keeps no conversations."));
    this.on_saved(chat);
  }

  #buttons() {
    this.send.hidden = this.busy;
    this.stop_button.hidden = !this.busy;
  }

  /** Draws at most once a frame, however many words come. */
  #soon(message) {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      if (this.#running?.message !== message || this.log.lastChild === null) return;
      const text = this.log.lastChild.querySelector(":scope > .text");
      if (!message.content || !text) return this.#redraw(message);
      if (text.querySelector(".waiting")) text.replaceChildren();
      show_markdown(text, message.content);
      this.#end(false);
      return undefined;
    });
  }

  #redraw(message) {
    this.log.lastChild.replaceWith(this.#message(message));
    this.#end(false);
  }

  /** To the newest words, unless the reader has scrolled up. */
  #end(always) {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    if (always || scrollHeight - scrollTop - clientHeight < kNearEndPx + 60) this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}
