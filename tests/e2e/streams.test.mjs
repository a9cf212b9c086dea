// Many streams at once through one gateway, one relay and one node.
import assert from "node:assert/strict";
import http from "node:http";
import { describe } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { scenario, tag, until } from "./lib.mjs";
import { ask, checked } from "./paced.mjs";

const kStreams = Number(process.env.NOSTRIL_STREAMS ?? 80);
const kTokens = 20;
const kCrowd = Number(process.env.NOSTRIL_CROWD ?? 250);
const kCrowdTokens = 120;
const kArrivalMs = 20;
/** So late that all of the credit is owed for moments. */
const kLineMs = 150;
/** A node's by default, msat: docs/node.md. */
const kCredit = 1_000;
/** Offers, lists, beacons and frames together; a relay of ours allows 64 a connection, others 20. */
const kSubscriptionsMax = 16;

/** The most subscriptions that one connection held at a time. */
function most_subscriptions(messages) {
  const open = new Set();
  let most = 0;
  for (const { from, text } of messages) {
    if (from !== "client") continue;
    const [word, name] = JSON.parse(text);
    if (word === "REQ") open.add(name);
    if (word === "CLOSE") open.delete(name);
    most = Math.max(most, open.size);
  }
  return most;
}

/** A node without settings, and a gateway that knows its offer. */
async function start(bed, { at_node, at_gateway }) {
  const engine = await bed.scripted_engine();
  const node = await bed.node({ relay: at_node, engine_url: engine.url, settings: { log_level: "warn" } });
  const gateway = await bed.gateway({ relay: at_gateway, node });
  await until(20_000, "the gateway knows the node's offer", async () =>
    (await (await fetch(`${gateway.url}/models`)).json()).data?.length > 0);
  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
  bed.on_stop(() => agent.destroy());
  return { engine, gateway, agent };
}

async function whole_and_recorded(engine, answers, tokens) {
  for (const answer of answers) {
    await checked(engine, answer, tokens);
    assert.ok(answer.record, "with its record");
  }
  const counts = await (await fetch(`${engine.url}/counts`)).json();
  assert.deepEqual([counts.running, counts.aborted, counts.answered], [0, 0, answers.length]);
}

describe("streams", () => {
  scenario(`${kStreams} at once through one gateway and a node without settings: each exact, with its record, over a few subscriptions`, async (bed) => {
    const relay = await bed.relay();
    const at_node = await bed.websocket_tap(relay);
    const at_gateway = await bed.websocket_tap(relay);
    const { engine, gateway, agent } = await start(bed, { at_node, at_gateway });
    const answers = await Promise.all(Array.from({ length: kStreams }, (_, i) =>
      ask(agent, gateway.url, engine.model, { id: `stream-${i}`, tokens: kTokens, token_ms: 100 })));
    await whole_and_recorded(engine, answers, kTokens);
    for (const tap of [at_node, at_gateway]) assert.ok(most_subscriptions(tap.messages) <= kSubscriptionsMax);
  });

  scenario(`${kCrowd} of one payer over a slow line, who come while all that a node without settings gives as credit is owed: none is refused`, async (bed) => {
    const relay = await bed.relay();
    const at_gateway = await bed.websocket_tap(relay);
    at_gateway.delay_ms = kLineMs;
    const { engine, gateway, agent } = await start(bed, { at_node: relay, at_gateway });
    const answers = await Promise.all(Array.from({ length: kCrowd }, async (_, i) => {
      await sleep(i * kArrivalMs);
      return ask(agent, gateway.url, engine.model, { id: `crowd-${i}`, tokens: kCrowdTokens, token_ms: 10 });
    }));
    await whole_and_recorded(engine, answers, kCrowdTokens);
    const spent = Math.max(...answers.map(({ record }) => Number(tag(record, "spent"))));
    assert.ok(spent > 5 * kCredit, `spent ${spent}`);
  });
});
