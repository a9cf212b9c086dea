// The model picker: a button and a list that is searched by typing and walked by arrow keys (WAI-ARIA combobox).
import { badge } from "./badge.js";
import { h, icon } from "./dom.js";
import * as format from "./format.js";
import { choose_model, models, state } from "./state.js";

export class Picker {
  #open = false;
  #at = 0;
  #shown = [];

  constructor() {
    this.button = h("button", { class: "pick", type: "button", "aria-haspopup": "listbox", "aria-expanded": "false", "aria-controls": "models", onclick: () => this.toggle() });
    this.input = h("input", {
      type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "models", "aria-label": "Find a model", "aria-autocomplete": "list",
      placeholder: "Find a model", autocomplete: "off", spellcheck: "false", oninput: () => this.#list(0), onkeydown: (event) => this.#key(event),
    });
    this.options = h("ul", { id: "models", role: "listbox", "aria-label": "Models" });
    this.popup = h("div", { class: "popup", hidden: true }, this.input, this.options);
    this.element = h("div", { class: "picker" }, this.button, this.popup);
    document.addEventListener("pointerdown", (event) => { if (this.#open && !this.element.contains(event.target)) this.close(false); });
    this.draw();
  }

  draw() {
    const model = models().find(({ name }) => name === state.model);
    const offer = model?.best ?? model?.refused[0];
    this.button.replaceChildren(h("span", { class: "name" }, state.model || "Choose a model"), offer ? badge(offer) : "", icon("down"));
    this.button.setAttribute("aria-label", `Model: ${state.model || "none"}. Change it`);
    if (this.#open) this.#list(this.#at);
  }

  toggle() { if (this.#open) this.close(); else this.open(); }

  open() {
    this.#open = true;
    this.popup.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.input.value = "";
    this.#list(Math.max(0, models().findIndex(({ name }) => name === state.model)));
    this.input.focus();
  }

  close(focus = true) {
    if (!this.#open) return;
    this.#open = false;
    this.popup.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    if (focus) this.button.focus();
  }

  #list(at) {
    const wanted = this.input.value.trim().toLowerCase();
    this.#shown = models().filter(({ name }) => name.toLowerCase().includes(wanted));
    this.#at = Math.min(Math.max(0, at), Math.max(0, this.#shown.length - 1));
    const items = this.#shown.map((model, index) => this.#option(model, index));
    this.options.replaceChildren(...(items.length > 0 ? items : [h("li", { class: "none", role: "option", "aria-disabled": "true" }, state.nodes ? "No model of that name." : "No offers yet.")]));
    this.input.setAttribute("aria-activedescendant", items.length > 0 ? `model-${this.#at}` : "");
    items[this.#at]?.scrollIntoView({ block: "nearest" });
  }

  #option(model, index) {
    const offer = model.best ?? model.refused[0];
    const nodes = model.best ? `${model.usable.length} ${model.usable.length === 1 ? "node" : "nodes"}` : "every node refused";
    return h("li", {
      id: `model-${index}`, role: "option", "aria-selected": String(index === this.#at), "aria-disabled": String(!model.best),
      class: model.name === state.model ? "current" : undefined, onclick: () => this.#take(index),
    },
    h("span", { class: "name" }, model.name), badge(offer),
    h("span", { class: "facts" }, `${format.context(offer.context_tokens)} context`, h("span", {}, `${format.price_text(offer)}${offer.prices.length > 0 ? " per M tokens" : ""}`), h("span", {}, nodes)));
  }

  #take(index) {
    const model = this.#shown[index];
    if (!model?.best) return;
    choose_model(model.name);
    this.close();
  }

  #key(event) {
    const last = this.#shown.length - 1;
    const moves = { ArrowDown: this.#at === last ? 0 : this.#at + 1, ArrowUp: this.#at === 0 ? last : this.#at - 1, Home: 0, End: last, PageDown: this.#at + 5, PageUp: this.#at - 5 };
    if (event.key in moves) this.#list(moves[event.key]);
    else if (event.key === "Enter") this.#take(this.#at);
    else if (event.key === "Escape") this.close();
    else if (event.key === "Tab") { this.close(); return; }
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
