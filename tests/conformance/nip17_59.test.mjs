// NIP-17, NIP-59 and kind 4: letters are shown to their parties only, by whichever filter; kind 21059 is never stored.
import assert from "node:assert/strict";
import { test } from "node:test";
import { now, person, relay_under_test } from "./lib.mjs";

const kUrl = "wss://relay.example/";
const relay = relay_under_test({ settings: { url: kUrl } });

async function scene() {
  const [alice, bob, mallory] = [person(), person(), person()];
  const wrapper = person();
  const [publisher, nobody, stranger, reader] = await Promise.all([relay.connect(), relay.connect(), relay.connect(), relay.connect()]);
  await stranger.authenticate(mallory, kUrl);
  await reader.authenticate(bob, kUrl);
  const wrap = wrapper.sign(1059, { tags: [["p", bob.key, "wss://hint"]], content: "sealed" });
  const letter = alice.sign(4, { tags: [["p", bob.key]], content: "sealed?iv=x" });
  const note = alice.sign(1, { tags: [["p", bob.key]] });
  await publisher.accepts(wrap, letter, note);
  return { alice, bob, mallory, wrapper, publisher, nobody, stranger, reader, wrap, letter, note };
}

test("who asks for nothing else is told to authenticate first", async () => {
  const { nobody, bob } = await scene();
  for (const filter of [{ kinds: [1059] }, { kinds: [4] }, { kinds: [4, 1059] }, { kinds: [1059], "#p": [bob.key] }, { kinds: [21_059] }]) {
    assert.match(await nobody.refused(filter), /^auth-required: /);
    assert.match((await nobody.count(filter)).closed, /^auth-required: /);
  }
});

test("no filter shows them to others, and no count tells of them", async () => {
  const { alice, bob, wrapper, nobody, stranger, wrap, letter, note } = await scene();
  const filters = [{ ids: [wrap.id, letter.id] }, { authors: [wrapper.key] }, { "#p": [bob.key] }, { authors: [alice.key] }, { authors: [alice.key, wrapper.key], kinds: [1, 4, 1059] }, { since: now() - 60, "#p": [bob.key] }, { ids: [wrap.id, letter.id], kinds: [1] }, { kinds: [1], authors: [alice.key] }];
  for (const client of [nobody, stranger]) {
    for (const filter of filters) {
      const ids = await client.ids(filter);
      assert.ok(!ids.includes(wrap.id) && !ids.includes(letter.id), JSON.stringify(filter));
      assert.equal((await client.count(filter)).count, ids.length, JSON.stringify(filter));
    }
  }
  assert.deepEqual(await stranger.ids({ kinds: [4, 1059] }), []);
  assert.equal((await stranger.count({ kinds: [4, 1059] })).count, 0);
  assert.deepEqual(await stranger.ids({ kinds: [1059], "#p": [bob.key] }), []);
  assert.deepEqual(await nobody.ids({ "#p": [bob.key] }), [note.id]);
});

test("receivers see them, an author sees his letters", async () => {
  const { alice, bob, publisher, reader, wrap, letter, note } = await scene();
  assert.deepEqual((await reader.ids({ "#p": [bob.key] })).sort(), [wrap.id, letter.id, note.id].sort());
  assert.deepEqual(await reader.ids({ kinds: [1059] }), [wrap.id]);
  assert.equal((await reader.count({ kinds: [4, 1059], "#p": [bob.key] })).count, 2);
  await publisher.authenticate(alice, kUrl);
  assert.deepEqual(await publisher.ids({ kinds: [4], authors: [alice.key] }), [letter.id]);
  assert.deepEqual(await publisher.ids({ kinds: [1059] }), []);
});

test("a limit counts what is shown", async () => {
  const { alice, bob, publisher, nobody } = await scene();
  const notes = Array.from({ length: 5 }, (_, i) => alice.sign(1, { tags: [["p", bob.key]], created_at: now() - 100 - i }));
  const letters = Array.from({ length: 20 }, (_, i) => alice.sign(4, { tags: [["p", bob.key]], created_at: now() - 50, content: `${i}` }));
  await publisher.accepts(...notes, ...letters);
  assert.equal((await nobody.ids({ authors: [alice.key], limit: 5 })).length, 5);
});

test("live: only the parties hear", async () => {
  const { alice, bob, publisher, nobody, stranger, reader } = await scene();
  const filter = { "#p": [bob.key], limit: 0 };
  const [deaf, curious, right] = [await nobody.subscribe(filter), await stranger.subscribe(filter), await reader.subscribe(filter)];
  const events = [person().sign(1059, { tags: [["p", bob.key]] }), alice.sign(4, { tags: [["p", bob.key]], content: "new" }), person().sign(21_059, { tags: [["p", bob.key]] }), alice.sign(1, { tags: [["p", bob.key]], content: "new" })];
  for (const event of events) {
    await publisher.publish(event);
    assert.deepEqual(await reader.live(right), event);
  }
  assert.deepEqual(await nobody.live(deaf), events[3]);
  assert.deepEqual(await stranger.live(curious), events[3]);
  // A subscription of before the proof sees what comes after it.
  await nobody.authenticate(bob, kUrl);
  const later = person().sign(1059, { tags: [["p", bob.key]] });
  await publisher.accepts(later);
  assert.deepEqual(await nobody.live(deaf), later);
});

test("all receivers that it names", async () => {
  const [client, people] = [await relay.connect(), [person(), person(), person()]];
  const wrap = person().sign(1059, { tags: people.map((one) => ["p", one.key]) });
  await client.accepts(wrap);
  for (const one of people) {
    const reader = await relay.connect();
    await reader.authenticate(one, kUrl);
    assert.deepEqual(await reader.ids({ kinds: [1059] }), [wrap.id]);
  }
});

test("a p tag that only looks like the key opens nothing", async () => {
  const [client, reader, alice] = [await relay.connect(), await relay.connect(), person()];
  await reader.authenticate(alice, kUrl);
  await client.accepts(...[[["P", alice.key]], [["p", alice.key.slice(0, 63)]], [["p", "", alice.key]], [["e", alice.key]], [["p"]]].map((tags) => person().sign(1059, { tags })));
  assert.deepEqual(await reader.ids({ kinds: [1059] }), []);
});

test("kind 21059 is heard, and nowhere afterwards", async () => {
  const { bob, publisher, reader } = await scene();
  const before = await relay.metric("store_events");
  const subscription = await reader.subscribe({ kinds: [21_059] });
  const event = person().sign(21_059, { tags: [["p", bob.key]] });
  await publisher.accepts(event);
  assert.deepEqual(await reader.live(subscription), event);
  assert.deepEqual(await reader.ids({ kinds: [21_059] }), []);
  assert.deepEqual(await reader.ids({ ids: [event.id] }), []);
  assert.deepEqual(await reader.ids({ "#p": [bob.key], kinds: [21_059] }), []);
  assert.equal(await relay.metric("store_events"), before);
});

test("the relay lists what it keeps to", async () => {
  const { supported_nips } = await relay.information();
  for (const nip of [17, 42, 59]) assert.ok(supported_nips.includes(nip), `NIP-${nip}`);
});
