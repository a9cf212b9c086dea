// NIP-13: work, and what its author aimed at.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mine, person, relay_under_test, zero_bits } from "./lib.mjs";

const relay = relay_under_test({ sections: { policy: { work_bits_min: 9 } } });

test("so many bits are enough, one less is not", async () => {
  const [client, alice] = [await relay.connect(), person()];
  await client.accepts(mine(alice, 1, { bits: 9, below: 10 }), mine(alice, 0, { bits: 9 }), mine(alice, 7, { bits: 12 }));
  for (const below of [9, 8, 4]) {
    const event = mine(alice, 1, { bits: below - 1, below, claim: 9 });
    assert.equal(zero_bits(event.id), below - 1);
    await client.refuses(event, /^pow: /);
  }
  // Ephemeral events are no exception.
  await client.refuses(mine(alice, 20_001, { bits: 0, below: 9 }), /^pow: /);
});

test("who aimed at less was lucky, and is refused", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const claim of [0, 1, 8]) await client.refuses(mine(alice, 1, { bits: 9, claim }), /^pow: /);
  await client.accepts(mine(alice, 1, { bits: 9, claim: 9 }));
});

test("a claim of more than was done is as good as what was done", async () => {
  const [client, alice] = [await relay.connect(), person()];
  await client.accepts(mine(alice, 1, { bits: 9, below: 12, claim: 30 }));
});

test("a claim that is no number is none that counts", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const claim of ["x", "9x", "-9", "", "9.5", "1e9"]) await client.refuses(mine(alice, 1, { bits: 9, claim }), /^pow: /);
});

test("the relay says how much it wants", async () => {
  const { limitation, supported_nips } = await relay.information();
  assert.equal(limitation.min_pow_difficulty, 9);
  assert.ok(supported_nips.includes(13));
  assert.equal(limitation.restricted_writes, true);
  assert.ok((await relay.metric('events_refused_total{reason="lacks_work"}')) > 0);
});
