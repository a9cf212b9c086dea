// What it costs: `./scripts/bench contracts` prints the same figures beside those of others.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { kBounds, measure } from "./support/gas.mjs";
import { World } from "./support/world.mjs";

let world;
before(async () => { world = await World.start(); });
after(() => world?.stop());

test("no operation costs more gas than its bound", async (t) => {
  const gas = await measure(world);
  for (const [question, value] of Object.entries(gas)) t.diagnostic(`${question}: ${Math.round(value)}`);
  for (const [question, bound] of Object.entries(kBounds)) assert.ok(gas[question] <= bound, `${question}: ${gas[question]} > ${bound}`);
});
