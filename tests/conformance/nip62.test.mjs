// NIP-62: who asks to vanish is forgotten, and stays so.
import assert from "node:assert/strict";
import { test } from "node:test";
import { information_at, kNameless, now, person, relay_under_test, with_relay } from "./lib.mjs";

const kUrl = "wss://here.example/";
const options = { settings: { url: kUrl } };
const relay = relay_under_test(options);
const vanish = (who, relays, change = {}) => who.sign(62, { tags: relays.map((url) => ["relay", url]), ...change });

test("it is offered where the relay knows its name", async () => {
  assert.ok((await information_at(relay.http)).supported_nips.includes(62));
  await with_relay(kNameless, async (nameless) => assert.ok(!(await information_at(nameless.http)).supported_nips.includes(62)));
});

for (const target of [kUrl, "ALL_RELAYS", "ws://HERE.example"]) {
  test(`everything up to the request goes and can't come back: ${target}`, async () => {
    const [client, alice, bob] = [await relay.connect(), person(), person()];
    const old = [1, 0, 30_023, 5, 10_002].map((kind, i) => alice.sign(kind, { created_at: now() - 50 - i, tags: [["d", "x"], ["e", "0".repeat(64)]] }));
    const wrap = bob.sign(1059, { tags: [["p", alice.key]], created_at: now() - 100 });
    const [of_bob, later] = [bob.sign(1, { tags: [["p", alice.key]] }), alice.sign(1, { created_at: now() + 5 })];
    await client.accepts(...old, wrap, of_bob, later);
    const request = vanish(alice, ["wss://other.example", target]);
    await client.accepts(request);
    assert.deepEqual(await client.ids({ authors: [alice.key] }), [later.id, request.id]);
    assert.deepEqual(await client.ids({ "#p": [alice.key], kinds: [1, 1059] }), [of_bob.id]);
    for (const event of [...old, wrap]) await client.refuses(event, /^blocked: /);
    await client.refuses(alice.sign(1, { created_at: request.created_at - 1, content: "never seen" }), /^blocked: /);
    await client.accepts(alice.sign(1, { created_at: request.created_at + 1 }));
    await client.accepts(alice.sign(5, { tags: [["e", request.id]], created_at: request.created_at + 1 }));
    assert.deepEqual(await client.ids({ ids: [request.id] }), [request.id], "a deletion has no effect on a request");
  });
}

test("a request that names other relays only, changes nothing", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const note = alice.sign(1, { created_at: now() - 9 });
  await client.accepts(note, vanish(alice, ["wss://other.example/", "wss://here.example/other", "all_relays"]));
  assert.deepEqual(await client.ids({ ids: [note.id] }), [note.id]);
});

test("a request that names no relay asks for nothing, and is told so", async () => {
  const client = await relay.connect();
  await client.refuses(vanish(person(), []), /^invalid: /);
  await client.refuses(person().sign(62, { tags: [["relay"], ["r", kUrl]] }), /^invalid: /);
});

test("it is the key's own: a forged request is refused", async () => {
  const [client, alice, mallory] = [await relay.connect(), person(), person()];
  const note = alice.sign(1, { created_at: now() - 9 });
  await client.accepts(note);
  await client.refuses({ ...vanish(alice, [kUrl]), sig: vanish(mallory, [kUrl]).sig }, /^invalid: /);
  assert.deepEqual(await client.ids({ ids: [note.id] }), [note.id]);
});

test("it holds over a restart, for many events, and for who may not write", async () => {
  const [alice, friend] = [person(), person()];
  const closed = { settings: { url: kUrl }, sections: { policy: { allowed_authors: [friend.key], work_bits_min: 0 } } };
  await with_relay(options, async (own) => {
    let client = await own.connect();
    const notes = Array.from({ length: 1_200 }, (_, i) => alice.sign(1, { created_at: now() - 2_000 + i, content: `${i}` }));
    await client.accepts(...notes);
    await own.restart(closed);
    client = await own.connect();
    await client.refuses(alice.sign(1), /^restricted: /);
    await client.accepts(vanish(alice, ["ALL_RELAYS"]));
    await own.restart(options);
    client = await own.connect();
    for (let left = 1_200; left > 0;) left = (await client.count({ authors: [alice.key], kinds: [1] })).count;
    await client.refuses(notes[1_100], /^blocked: /);
  });
});
