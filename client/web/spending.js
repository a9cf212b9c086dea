// What was paid: by day, by model, and how much of the budget each node has had.
import * as api from "./api.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { colour_of, legend, meter, stacked_columns } from "./plots.js";

const kDays = 30;
const kDayMs = 86_400_000;

const sum = (rows) => rows.reduce((total, { cost }) => total + BigInt(cost), 0n);
const day_text = (ms) => new Date(ms).toISOString().slice(0, 10);

export class SpendingView {
  #asset;

  constructor() { this.element = h("section", { class: "page", "aria-label": "Spending" }); }

  async draw() {
    try {
      this.data = await api.spending();
    } catch (problem) {
      this.element.replaceChildren(h("h1", {}, "Spending"), h("div", { class: "trouble", role: "alert" }, h("p", {}, h("strong", {}, problem.message)), h("p", {}, problem.advice)));
      return;
    }
    this.#show();
  }

  #show() {
    const assets = [...new Set([...this.data.days, ...this.data.channels].map(({ asset }) => asset))].sort();
    if (!assets.includes(this.#asset)) this.#asset = assets[0];
    const unit = this.#asset === undefined ? "" : format.asset(this.#asset);
    const days = this.data.days.filter(({ asset }) => asset === this.#asset);
    const choose = assets.length > 1 && h("label", { class: "choose" }, "Asset ", h("select", { onchange: (event) => { this.#asset = event.target.value; this.#show(); } },
      assets.map((asset) => h("option", { value: asset, selected: asset === this.#asset }, format.asset(asset)))));
    this.element.replaceChildren(h("h1", {}, "Spending"),
      h("p", { class: "lead" }, "Added up from the nodes' signed records in this gateway's journal; whole base units, no estimates."), choose || "",
      ...(days.length === 0 ? [h("p", { class: "note" }, "Nothing has been spent yet.")] : [this.#tiles(days, unit), this.#by_day(days, unit), this.#by_model(days, unit)]),
      this.#channels(unit), this.#backed(unit), this.#payments(unit));
  }

  #tiles(days, unit) {
    const today = day_text(this.data.now * 1000);
    const month = day_text(this.data.now * 1000 - (kDays - 1) * kDayMs);
    const recent = days.filter(({ day }) => day >= month);
    const answers = recent.reduce((total, row) => total + row.answers, 0);
    const tile = (name, value, more) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, h("span", { class: "big" }, value), h("span", { class: "dim" }, more)));
    return h("dl", { class: "tiles" }, tile("Today", format.amount(sum(days.filter(({ day }) => day === today))), unit), tile(`Last ${kDays} days`, format.amount(sum(recent)), unit),
      tile("Answers", format.count(answers), `last ${kDays} days`), tile("Mean per answer", answers > 0 ? format.amount(sum(recent) / BigInt(answers)) : "–", unit));
  }

  #by_day(days, unit) {
    const names = [...new Set(days.map(({ model }) => model))].sort();
    const colour = colour_of(names);
    const columns = Array.from({ length: kDays }, (_, index) => {
      const day = day_text(this.data.now * 1000 - (kDays - 1 - index) * kDayMs);
      const rows = days.filter((row) => row.day === day);
      return { label: format.day(day), parts: names.map((name) => ({ name, value: Number(sum(rows.filter(({ model }) => model === name))) })) };
    });
    const plot = stacked_columns({ columns, colour, text: (value) => `${format.short_count(value)}`, label: `Spending of the last ${kDays} days by model, in ${unit}; the table below has the numbers` });
    return h("section", { class: "card" }, h("h2", {}, "By day"), plot, legend(names, colour));
  }

  #by_model(days, unit) {
    const names = [...new Set(days.map(({ model }) => model))].sort();
    const rows = names.map((name) => {
      const own = days.filter(({ model }) => model === name);
      const add = (field) => own.reduce((total, row) => total + row[field], 0);
      return { name, cost: sum(own), answers: add("answers"), input: add("input"), output: add("output") };
    }).sort((a, b) => (a.cost < b.cost ? 1 : -1));
    const number = (value, minor) => h("td", { class: `right number${minor ? " minor" : ""}` }, value);
    return h("section", { class: "card" }, h("h2", {}, "By model"), h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Spending by model" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Model", "Answers", "Tokens in", "Tokens out", unit].map((text, index) => h("th", { scope: "col", class: index === 0 ? undefined : index === 2 || index === 3 ? "right minor" : "right" }, text)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.name), number(format.count(row.answers)), number(format.count(row.input), true),
        number(format.count(row.output), true), number(format.amount(row.cost))))))));
  }

  #channels(unit) {
    const budget = BigInt(this.data.budget);
    const own = this.data.channels.filter(({ asset }) => asset === this.#asset);
    const nodes = [...new Set(own.map(({ node }) => node))];
    const rows = nodes.map((node) => {
      const channels = own.filter((channel) => channel.node === node);
      const paid = channels.reduce((total, { receipted }) => total + BigInt(receipted), 0n);
      return { node, paid, channels: channels.length, part: budget > 0n ? Number((paid * 10_000n) / budget) / 10_000 : 0 };
    }).sort((a, b) => (a.paid < b.paid ? 1 : -1));
    return h("section", { class: "card" }, h("h2", {}, "Budget"), h("p", { class: "dim" }, `Each node may be owed ${format.amount(this.data.budget)} at most, over all its channels; above that nothing is signed. Set by --budget.`),
      rows.length > 0 ? h("ul", { class: "budgets" }, rows.map(({ node, paid, channels, part }) => h("li", {},
        h("span", { class: "node", title: node }, format.short_id(node)), meter({ part, label: `${(part * 100).toFixed(1)} % of the budget` }),
        h("span", { class: "number" }, `${format.amount(paid)} ${unit}`), h("span", { class: "dim" }, `${part > 0 && part < 0.001 ? "< 0.1" : (part * 100).toFixed(1)} % · ${channels} ${channels === 1 ? "channel" : "channels"}`)))) : "");
  }

  /** Channels with money behind them: locked on a chain, or paid over Lightning. */
  #backed(unit) {
    const own = this.data.channels.filter(({ asset, backing }) => asset === this.#asset && backing);
    if (own.length === 0) return "";
    const in_of = ({ rail, locked, deposited }) => BigInt(rail === "chain" ? locked : deposited);
    const rows = own.map(({ node, receipted, backing }) => {
      const rest = in_of(backing) - BigInt(receipted) - BigInt(backing.refunded ?? 0);
      return { node, receipted, backing, rest };
    });
    const number = (value, minor) => h("td", { class: `right number${minor ? " minor" : ""}` }, format.amount(value));
    return h("section", { class: "card" }, h("h2", {}, "Wallet"),
      h("p", { class: "dim" }, "What stands behind your channels: locked in the contract as your wallet last saw it, or paid over Lightning. Owed is what an answer has cost and no deposit covers."),
      h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Channels with money behind them" }, h("table", {},
        h("thead", {}, h("tr", {}, ["Node", "Over", "Paid in", "Receipts", "Given back", `Left, ${unit}`].map((text, index) =>
          h("th", { scope: "col", class: index < 2 ? undefined : index === 4 ? "right minor" : "right" }, text)))),
        h("tbody", {}, rows.map(({ node, receipted, backing, rest }) => h("tr", {}, h("th", { scope: "row", title: node }, format.short_id(node)),
          h("td", {}, backing.rail === "chain" ? `a chain, ${backing.state}` : "Lightning"), number(in_of(backing)), number(receipted), number(backing.refunded ?? "0", true),
          h("td", { class: "right number" }, rest < 0n ? `owed ${format.amount(-rest)}` : format.amount(rest))))))));
  }

  #payments(unit) {
    const { payments } = this.data;
    if (this.#asset !== "msat" || payments.length === 0) return "";
    const names = { deposit: "paid in advance", step: "paid by itself", refund: "given back" };
    return h("section", { class: "card" }, h("h2", {}, "Over Lightning"), h("p", { class: "dim" }, "The newest payments. One that waits is looked up, and never sent twice."),
      h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Payments over Lightning" }, h("table", {},
        h("thead", {}, h("tr", {}, ["When", "What", "State", unit, "Fees"].map((text, index) => h("th", { scope: "col", class: index < 3 ? undefined : index === 4 ? "right minor" : "right" }, text)))),
        h("tbody", {}, payments.map(({ what, state, amount, fees, at }) => h("tr", {}, h("th", { scope: "row" }, format.day(day_text(at * 1000))), h("td", {}, names[what] ?? what), h("td", {}, state),
          h("td", { class: "right number" }, format.amount(amount)), h("td", { class: "right number minor" }, format.amount(fees))))))));
  }
}
