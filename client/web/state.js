// What the page knows, and who wants to hear of it. One object; parts of the page subscribe and draw anew.
import * as api from "./api.js";

const kNodesMs = 5_000;

const listeners = new Set();
export const on_change = (listener) => { listeners.add(listener); };
const changed = () => { for (const listener of listeners) listener(); };

export const state = {
  /** Of /nostril/v1/nodes; undefined before the first answer. */
  nodes: undefined,
  /** Why the nodes could not be read. */
  problem: undefined,
  model: localStorage.getItem("nostril-model") ?? "",
};

let timer;
export async function refresh_nodes() {
  clearTimeout(timer);
  try {
    const fresh = await api.nodes();
    const news = JSON.stringify(fresh.offers) !== JSON.stringify(state.nodes?.offers) || state.problem;
    state.nodes = fresh;
    state.problem = undefined;
    // Until somebody chooses: the first that may be asked.
    if (!localStorage.getItem("nostril-model") && !chosen_model()?.best) state.model = models()[0]?.name ?? "";
    if (news) changed();
  } catch (problem) {
    const news = problem.message !== state.problem?.message;
    state.problem = problem;
    if (news) changed();
  }
  timer = setTimeout(refresh_nodes, document.hidden ? 4 * kNodesMs : kNodesMs);
}

export function choose_model(name) {
  state.model = name;
  localStorage.setItem("nostril-model", name);
  changed();
}

const rank = (offer) => offer.prices.filter(({ unit }) => ["input", "output", "request"].includes(unit)).reduce((sum, { amount }) => sum + BigInt(amount), 0n);

/** Below zero a node comes after all others, by doublings (docs/reputation.md). */
export const blame = ({ reputation: { score } }) => (score < 0 ? 32 - Math.clz32(-score) : 0);

/** Models by name: {name, best: the offer that is asked first or undefined, usable, refused}. */
export function models() {
  const out = new Map();
  for (const offer of state.nodes?.offers ?? []) {
    const model = out.get(offer.model) ?? { name: offer.model, best: undefined, usable: [], refused: [] };
    (offer.accepted ? model.usable : model.refused).push(offer);
    out.set(offer.model, model);
  }
  for (const model of out.values()) {
    model.usable.sort((a, b) => Number(a.simulated) - Number(b.simulated) || blame(a) - blame(b) || (rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0));
    model.best = model.usable[0];
  }
  return [...out.values()].sort((a, b) => Number(!a.best) - Number(!b.best) || a.name.localeCompare(b.name));
}

export const chosen_model = () => models().find(({ name }) => name === state.model);
