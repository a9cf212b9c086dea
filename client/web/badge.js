// The level of a node's evidence, said the same way everywhere. Simulated evidence is said first and loud.
import { h, icon } from "./dom.js";
import { level_name } from "./format.js";

/** offer: {accepted, simulated, level}. */
export function badge(offer) {
  if (!offer.accepted) return h("span", { class: "badge bad" }, icon("failed"), "Refused");
  if (offer.simulated) return h("span", { class: "badge loud" }, "Simulated");
  return h("span", { class: `badge ${offer.level === "declared" ? "warn" : "good"}` }, icon("shield"), level_name(offer.level));
}

export const warning_of_simulation = (accepted = true) => h("p", { class: "simulated", role: "note" },
  h("strong", {}, "Simulated evidence, not a TEE."), " No trusted hardware stands behind this node, whatever else is said here.",
  accepted ? " It is taken only because the gateway was told to trust a test root." : "");

/** A node's reputation as a number of -100 to 100; proven fraud is no number. */
export function score_badge({ score, fraud }) {
  if (fraud) return h("span", { class: "badge bad" }, icon("failed"), "Proven fraud");
  const text = score > 0 ? `+${score}` : score < 0 ? `\u2212${-score}` : "0";
  return h("span", { class: `badge ${score < 0 ? "bad" : score > 0 ? "good" : "plain"}` }, text);
}
