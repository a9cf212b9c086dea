// NIP-40: what has expired is refused, and shown to nobody from that second on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { now, person, relay_under_test, until } from "./lib.mjs";

const relay = relay_under_test();
const expiring = (author, at, { kind = 1, tags = [], ...rest } = {}) => author.sign(kind, { tags: [["expiration", `${at}`], ...tags], ...rest });

test("what has expired is refused", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const at of [0, 1, 1_600_000_000, now() - 1, now()]) await client.refuses(expiring(alice, at), /^invalid: /);
  await client.refuses(expiring(alice, now() - 1, { kind: 30_000, tags: [["d", "x"]] }), /^invalid: /);
  assert.deepEqual(await client.ids({ authors: [alice.key] }), []);
});

test("what expires later is taken; what is no time does not expire", async () => {
  const [client, alice] = [await relay.connect(), person()];
  await client.accepts(expiring(alice, now() + 1_000), expiring(alice, 2 ** 40));
  for (const text of ["", "soon", "-1", "1.5", "1e3", " 1", "1 ", "0x1", "null"]) await client.accepts(alice.sign(1, { tags: [["expiration", text]], content: text }));
  await client.accepts(alice.sign(1, { tags: [["expiration"]] }), alice.sign(1, { tags: [["Expiration", "1"]] }));
  assert.equal((await client.ids({ authors: [alice.key] })).length, 13);
});

test("from its second on it is in no answer, by whichever filter, nor counted", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const at = now() + 2;
  const events = [expiring(alice, at, { kind: 1_040, tags: [["t", "gone"], ["e", "a".repeat(64)]] }), expiring(alice, at, { kind: 10_040 }), expiring(alice, at, { kind: 30_040, tags: [["d", "x"]] })];
  const stays = alice.sign(1_040, { tags: [["t", "gone"]] });
  await client.accepts(...events, stays);
  assert.equal((await client.ids({ authors: [alice.key] })).length, 4);
  await until(5_000, "the second", () => now() >= at);
  const filters = [{ authors: [alice.key] }, { ids: events.map(({ id }) => id).concat(stays.id) }, { "#t": ["gone"] }, { authors: [alice.key], kinds: [1_040, 10_040, 30_040] }, { kinds: [1_040, 10_040, 30_040], since: now() - 60 }, { authors: [alice.key], "#t": ["gone"] }];
  for (const filter of filters) {
    assert.deepEqual(await client.ids(filter), [stays.id], JSON.stringify(filter));
    assert.equal((await client.count(filter)).count, 1, JSON.stringify(filter));
  }
  // Nor taken again; but its place is free.
  for (const event of events) await client.refuses(event, /^(invalid|duplicate): /);
  const older = alice.sign(10_040, { created_at: now() - 500, content: "older" });
  await client.accepts(older);
  assert.deepEqual(await client.ids({ authors: [alice.key], kinds: [10_040] }), [older.id]);
});

test("a subscription is not told of what expired meanwhile", async () => {
  const [client, listener, alice] = [await relay.connect(), await relay.connect(), person()];
  const subscription = await listener.subscribe({ authors: [alice.key] });
  const event = expiring(alice, now() + 5);
  await client.accepts(event);
  assert.deepEqual(await listener.live(subscription), event);
});

test("expired events leave the store", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const before = await relay.metric("events_swept_total");
  await client.accepts(...Array.from({ length: 20 }, (_, i) => expiring(alice, now() + 1, { content: `${i}` })));
  await until(15_000, "the sweep", async () => (await relay.metric("events_swept_total")) >= before + 20 || sleep(200).then(() => false));
});
