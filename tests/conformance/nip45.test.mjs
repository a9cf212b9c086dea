// NIP-45: COUNT is what REQ would show.
import assert from "node:assert/strict";
import { test } from "node:test";
import { now, person, relay_under_test, sha256, with_relay } from "./lib.mjs";

const relay = relay_under_test();

test("counts what matches one of the filters, each event once", async () => {
  const [client, alice, bob] = [await relay.connect(), person(), person()];
  const events = Array.from({ length: 60 }, (_, i) => [alice, bob][i % 2].sign([1, 7][i % 3 === 0 ? 1 : 0], { created_at: now() - i, content: `${i}`, tags: [["e", sha256(`${i % 4}`)], ["e", sha256(`${i % 4}`)]] }));
  await client.accepts(...events);
  const count = async (...filters) => (await client.count(...filters)).count;
  const both = [alice.key, bob.key];
  assert.equal(await count({ authors: both }), 60);
  assert.equal(await count({ authors: [alice.key] }, { authors: both, kinds: [7] }), 40);
  assert.equal(await count({ authors: both }, { authors: both }), 60);
  assert.equal(await count({ authors: both, "#e": [sha256("1")] }), 15);
  assert.equal(await count({ authors: both, kinds: [7], since: now() - 1_000 }), 20);
  assert.equal(await count({ ids: events.slice(0, 9).map(({ id }) => id) }), 9);
  assert.equal(await count({ authors: [person().key] }), 0);
  assert.equal(await count({ authors: [] }), 0);
  assert.equal(await count({ kinds: [1], authors: both }, { kinds: [7], authors: both }), 60);
});

test("replaced, deleted and expired events count no more", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const note = alice.sign(1);
  await client.accepts(alice.sign(0, { created_at: now() - 9 }), alice.sign(0), note, alice.sign(30_000, { tags: [["d", "x"]], created_at: now() - 9 }), alice.sign(30_000, { tags: [["d", "x"]] }));
  assert.equal((await client.count({ authors: [alice.key] })).count, 3);
  await client.accepts(alice.sign(5, { tags: [["e", note.id]] }));
  assert.equal((await client.count({ authors: [alice.key], kinds: [0, 1, 30_000] })).count, 2);
});

test("a COUNT leaves subscriptions as they are, and needs no CLOSE", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const subscription = await client.subscribe_as("same", { authors: [alice.key] });
  client.send("COUNT", "same", { authors: [alice.key] });
  assert.deepEqual((await client.take(["COUNT", "same"]))[2].count, 0);
  const event = alice.sign(1);
  await client.accepts(event);
  assert.deepEqual(await client.live(subscription), event);
  for (let i = 0; i < 200; i++) assert.equal((await client.count({ authors: [alice.key] })).count, 1);
});

test("many at once are all answered or refused", async () => {
  const client = await relay.connect();
  for (let i = 0; i < 300; i++) client.send("COUNT", `q${i}`, { kinds: [i] });
  for (let i = 0; i < 300; i++) await client.take(([word, id]) => id === `q${i}` && (word === "COUNT" || word === "CLOSED"));
});

test("a refusal is CLOSED", async () => {
  const client = await relay.connect();
  for (const filter of [{ unknown: 1 }, { kinds: ["1"] }, { authors: ["x"] }]) assert.match((await client.count(filter)).closed, /^(invalid|error): /);
  client.raw('["COUNT","none"]');
  assert.match((await client.take(["CLOSED", "none"]))[2], /^invalid: /);
  client.raw('["COUNT","",{}]');
  assert.match((await client.take(["CLOSED", ""]))[2], /^invalid: /);
});

test("what would take too long is refused, not guessed", async () => {
  await with_relay({ sections: { limits: { count_visits_max: 50 } } }, async (small) => {
    const [client, alice] = [await small.connect(), person()];
    // More than one step of a query looks at.
    await client.accepts(...Array.from({ length: 4_500 }, (_, i) => alice.sign(1, { content: `${i}`, tags: [["t", "x"]] })));
    assert.match((await client.count({ "#t": ["x"] })).closed, /^(error|blocked|restricted|rate-limited): /);
  });
});

test("a count by one tag value comes with a HyperLogLog of the authors", async () => {
  const client = await relay.connect();
  const target = sha256("what is liked");
  const people = Array.from({ length: 40 }, person);
  await client.accepts(...people.flatMap((who) => [who.sign(7, { tags: [["e", target]] }), who.sign(7, { tags: [["e", target]], created_at: now() - 1 })]));
  const { count, hll } = await client.count({ "#e": [target], kinds: [7] });
  assert.equal(count, 80);
  const registers = Buffer.alloc(256);
  const offset = Number.parseInt(target[32], 16) + 8;
  for (const { key } of people) {
    const bytes = Buffer.from(key, "hex");
    const bits = [...bytes.subarray(offset + 1)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
    const zeros = bits.includes("1") ? bits.indexOf("1") : bits.length;
    registers[bytes[offset]] = Math.max(registers[bytes[offset]], zeros + 1);
  }
  assert.equal(hll, registers.toString("hex"));
  for (const filters of [[{ kinds: [7] }], [{ "#e": [target, sha256("x")] }], [{ "#e": [target] }, { kinds: [1] }]]) assert.equal((await client.count(...filters)).hll, undefined);
});
