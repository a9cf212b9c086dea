// What was paid: by day, by model, how much of the budget each node has had, and what stands behind channels.
import * as api from "./api.js";
import { csv } from "./csv.js";
import { download, h, icon } from "./dom.js";
import * as format from "./format.js";
import { colour_of, legend, meter, stacked_columns } from "./plots.js";

const kDays = 30;
const kDayMs = 86_400_000;

const sum = (rows) => rows.reduce((total, { cost }) => total + BigInt(cost), 0n);
const day_text = (ms) => new Date(ms).toISOString().slice(0, 10);

/** Sums of a channel's backing: paid in, settled (the node has it for good), given back, left. */
function sums_of({ receipted, backing }) {
  const on_chain = backing.rail === "chain";
  const paid_in = BigInt(on_chain ? backing.locked : backing.deposited);
  const given_back = BigInt(backing.refunded ?? 0);
  const left = paid_in - BigInt(receipted) - given_back;
  return { on_chain, paid_in, given_back, left, settled: on_chain ? BigInt(backing.claimed) : paid_in - given_back - (left > 0n ? left : 0n) };
}

/** The heading of a card whose table can be saved. */
function headed(title, file, names, rows) {
  const save = () => download(`nostril-${file}.csv`, csv(names, rows()), "text/csv");
  return h("div", { class: "headed" }, h("h2", {}, title), h("button", { class: "quiet", type: "button", "aria-label": `Save “${title}” as CSV`, onclick: save }, icon("save"), "CSV"));
}

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
    return h("section", { class: "card" }, headed("By model", "spending", ["day", "model", "node", "asset", "answers", "input", "cached", "output", "cost"], () => this.data.days), h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Spending by model" }, h("table", {},
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
    const rows = own.map((channel) => ({ ...channel, ...sums_of(channel) }));
    const total = (pick) => rows.reduce((all, row) => all + pick(row), 0n);
    const positive = (value) => (value > 0n ? value : 0n);
    const tile = (name, value, more) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, h("span", { class: "big" }, format.amount(value)), h("span", { class: "dim" }, more)));
    const number = (value, minor) => h("td", { class: `right number${minor ? " minor" : ""}` }, format.amount(value));
    const names = ["channel", "node", "asset", "rail", "state", "paid_in", "receipted", "settled", "given_back", "left"];
    return h("section", { class: "card wallet" },
      headed("Wallet", "channels", names, () => rows.map((row) => ({ ...row, rail: row.backing.rail, state: row.backing.state }))),
      h("p", { class: "dim" }, "What stands behind your channels: locked in the contract as your wallet last saw it, or paid over Lightning. Owed is what an answer has cost and no deposit covers."),
      h("dl", { class: "tiles" }, tile("Left to spend", total(({ left }) => positive(left)), unit),
        tile("Exposed", total(({ on_chain, left }) => (on_chain ? 0n : positive(left))), "what nodes hold on their word: not spent, over Lightning"),
        tile("Locked", total(({ on_chain, left }) => (on_chain ? positive(left) : 0n)), "on a chain; comes back a day after a close"),
        tile("Settled", total(({ settled }) => settled), "nodes have it for good")),
      h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Channels with money behind them" }, h("table", {},
        h("thead", {}, h("tr", {}, ["Node", "Over", "Paid in", "Receipts", "Settled", "Given back", "Left"].map((text, index) =>
          h("th", { scope: "col", class: index < 2 ? undefined : index === 4 || index === 5 ? "right minor" : "right" }, text)))),
        h("tbody", {}, rows.map(({ node, receipted, backing, on_chain, paid_in, settled, given_back, left }) => h("tr", {}, h("th", { scope: "row", title: node }, format.short_id(node)),
          h("td", {}, on_chain ? `a chain, ${backing.state}` : "Lightning"), number(paid_in), number(receipted), number(settled, true), number(given_back, true),
          h("td", { class: "right number" }, left < 0n ? `owed ${format.amount(-left)}` : format.amount(left))))))));
  }

  #payments(unit) {
    const { payments } = this.data;
    if (this.#asset !== "msat" || payments.length === 0) return "";
    const names = { deposit: "paid in advance", step: "paid by itself", refund: "given back" };
    return h("section", { class: "card" }, headed("Over Lightning", "payments", ["at", "what", "state", "amount", "fees", "channel"], () => payments), h("p", { class: "dim" }, "The newest payments. One that waits is looked up, and never sent twice."),
      h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Payments over Lightning" }, h("table", {},
        h("thead", {}, h("tr", {}, ["When", "What", "State", unit, "Fees"].map((text, index) => h("th", { scope: "col", class: index < 3 ? undefined : index === 4 ? "right minor" : "right" }, text)))),
        h("tbody", {}, payments.map(({ what, state, amount, fees, at }) => h("tr", {}, h("th", { scope: "row" }, format.day(day_text(at * 1000))), h("td", {}, names[what] ?? what), h("td", {}, state),
          h("td", { class: "right number" }, format.amount(amount)), h("td", { class: "right number minor" }, format.amount(fees))))))));
  }
}
