// Nobody who is hostile keeps a well-behaved client waiting: see fairness.mjs, which measures it longer.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { kAttacks } from "./attacks.mjs";
import { can_separate, fairness_of, relay_with_events } from "./fairness.mjs";

// Of the relay's own work, whatever else the machine does; generous, for a build for tests is slow. What this bound is for is an attack
// that gets in front of everybody.
const kWorkMsMax = 1_000;
let relay;
before(async () => { relay = await relay_with_events(); });
after(() => relay.stop());

// It has the machine for itself (tests/CMakeLists.txt), so it is short: all with NOSTRIL_LONG=1.
const kShort = ["forged events", "wide filters", "many subscriptions", "reconciliations"];
for (const name of process.env.NOSTRIL_LONG ? Object.keys(kAttacks) : kShort) {
  test(`a well-behaved client beside ${name}`, async (t) => {
    const { calm, attack, busy } = await fairness_of(name, relay, { rounds: 2, ms: 400 });
    t.diagnostic(`p99 ${calm.wall.toFixed(1)} ms in calm, ${attack.wall.toFixed(1)} ms beside it (x${(attack.wall / calm.wall).toFixed(1)}); the relay worked ${calm.work.toFixed(1)} and ${attack.work.toFixed(1)} ms meanwhile, and was ${(busy * 100).toFixed(0)}% busy`);
    if (can_separate) assert.ok(attack.work < kWorkMsMax, `the relay did ${attack.work} ms of work before it answered`);
  });
}
