// NIP-09: deletion requests by id and by address; NIP-59's: gift wraps are deleted by whom they are for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { now, person, relay_under_test, sha256 } from "./lib.mjs";

const relay = relay_under_test({ settings: { url: "wss://relay.example/" } });
const deletion = (author, tags, created_at = now()) => author.sign(5, { tags, created_at, content: "by mistake" });

test("deletes what its author names, keeps the request, and refuses the event from then on", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const events = Array.from({ length: 4 }, (_, i) => alice.sign(1, { content: `${i}`, created_at: now() - 10 }));
  await client.accepts(...events);
  const request = deletion(alice, [["e", events[0].id], ["k", "1"], ["e", events[1].id, "wss://hint"]]);
  await client.accepts(request);
  assert.deepEqual((await client.ids({ authors: [alice.key] })).sort(), [request.id, events[2].id, events[3].id].sort());
  assert.deepEqual(await client.ids({ ids: [events[0].id, events[1].id] }), []);
  assert.equal((await client.count({ authors: [alice.key], kinds: [1] })).count, 2);
  for (const event of events.slice(0, 2)) await client.refuses(event, /^(blocked|invalid|restricted): /);
  assert.deepEqual(await client.query({ kinds: [5], authors: [alice.key] }), [request]);
  assert.deepEqual(await client.ids({ kinds: [5], "#e": [events[0].id] }), [request.id]);
});

test("goes out to who listens like any event", async () => {
  const [client, listener, alice] = [await relay.connect(), await relay.connect(), person()];
  const subscription = await listener.subscribe({ kinds: [5], authors: [alice.key] });
  const request = deletion(alice, [["e", sha256("unknown here")]]);
  await client.accepts(request);
  assert.deepEqual(await listener.live(subscription), request);
});

test("another's events stay, whoever asks", async () => {
  const [client, alice, mallory] = [await relay.connect(), person(), person()];
  const [note, article] = [alice.sign(1), alice.sign(30_023, { tags: [["d", "x"]] })];
  await client.accepts(note, article);
  await client.accepts(deletion(mallory, [["e", note.id], ["e", article.id], ["a", `30023:${alice.key}:x`], ["p", alice.key]], now() + 5));
  assert.equal((await client.ids({ authors: [alice.key] })).length, 2);
  assert.match((await client.publish(note)).text, /^duplicate: /);
});

test("a request that comes first holds for its author only", async () => {
  const [client, alice, mallory] = [await relay.connect(), person(), person()];
  const [mine, theirs] = [alice.sign(1, { content: "mine" }), alice.sign(1, { content: "theirs" })];
  await client.accepts(deletion(alice, [["e", mine.id]]), deletion(mallory, [["e", theirs.id]]));
  await client.refuses(mine, /^(blocked|invalid|restricted): /);
  await client.accepts(theirs);
});

test("a request by id holds also for an event that is newer than it", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1, { created_at: now() });
  await client.accepts(event, deletion(alice, [["e", event.id]], now() - 1000));
  assert.deepEqual(await client.ids({ ids: [event.id] }), []);
});

test("to delete a deletion does nothing, before and after", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1);
  await client.accepts(event);
  const request = deletion(alice, [["e", event.id]]);
  const early = deletion(alice, [["e", request.id]], now() - 5);
  await client.accepts(early, request);
  await client.accepts(deletion(alice, [["e", request.id], ["a", `5:${alice.key}:`]], now() + 5));
  assert.deepEqual(await client.ids({ ids: [request.id] }), [request.id]);
  await client.refuses(event, /^(blocked|invalid|restricted): /);
  // Nor does the request of the request of the request.
  const third = deletion(alice, [["e", early.id]], now() + 6);
  await client.accepts(third, deletion(alice, [["e", third.id]], now() + 7));
  await client.refuses(event, /^(blocked|invalid|restricted): /);
});

test("by address: all versions up to the request's time, and none after", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const version = (created_at, content, d = "post") => alice.sign(30_023, { tags: [["d", d]], created_at, content });
  const at = now() - 100;
  await client.accepts(version(at, "first"), version(at, "other", "another post"));
  await client.accepts(deletion(alice, [["a", `30023:${alice.key}:post`, "wss://hint"]], at + 10));
  assert.deepEqual((await client.query({ kinds: [30_023], authors: [alice.key] })).map(({ content }) => content), ["other"]);
  await client.refuses(version(at, "first"), /^(blocked|invalid|restricted): /);
  await client.refuses(version(at + 9, "older than the request"), /^(blocked|invalid|restricted): /);
  await client.refuses(version(at + 10, "of its second"), /^(blocked|invalid|restricted): /);
  const later = version(at + 11, "newer");
  await client.accepts(later);
  // An older request takes nothing back, a newer one holds further.
  await client.accepts(deletion(alice, [["a", `30023:${alice.key}:post`]], at + 5));
  assert.deepEqual(await client.ids({ authors: [alice.key], "#d": ["post"] }), [later.id]);
  await client.accepts(deletion(alice, [["a", `30023:${alice.key}:post`]], at + 11));
  assert.deepEqual(await client.ids({ authors: [alice.key], "#d": ["post"] }), []);
});

test("by address: replaceable kinds, with nothing after the second colon", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const at = now() - 100;
  for (const kind of [0, 3, 10_002]) {
    const event = alice.sign(kind, { created_at: at, content: "{}" });
    await client.accepts(event, deletion(alice, [["a", `${kind}:${alice.key}:nothing`], ["a", `${kind}:${alice.key}`], ["a", `${kind + 1}:${alice.key}:`]], at + 1));
    assert.deepEqual(await client.ids({ ids: [event.id] }), [event.id]);
    await client.accepts(deletion(alice, [["a", `${kind}:${alice.key}:`]], at + 2));
    assert.deepEqual(await client.ids({ ids: [event.id] }), []);
    await client.accepts(alice.sign(kind, { created_at: at + 3 }));
  }
});

test("by address: d with colons, long ones, the empty one", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const at = now() - 100;
  for (const d of ["", "a:b:c", ":", "x".repeat(2_000), "ü 🦊", sha256("d")]) {
    const [event, neighbour] = [alice.sign(30_001, { tags: [["d", d]], created_at: at }), alice.sign(30_001, { tags: [["d", `${d}x`]], created_at: at })];
    await client.accepts(event, neighbour, deletion(alice, [["a", `30001:${alice.key}:${d}`]], at + 1));
    assert.deepEqual(await client.ids({ ids: [event.id, neighbour.id] }), [neighbour.id]);
  }
});

test("what is no id and no address is passed over", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1);
  await client.accepts(event);
  await client.accepts(deletion(alice, [["e"], ["e", ""], ["e", event.id.slice(0, 63)], ["e", event.id.toUpperCase() === event.id ? "x" : event.id.toUpperCase()], ["a"], ["a", ""], ["a", "::"], ["a", `1:${alice.key}:`],
    ["a", `01:${alice.key}:`], ["a", `99999:${alice.key}:`], ["a", `-1:${alice.key}:`], ["x", event.id], ["E", event.id], ["p", alice.key]]));
  assert.deepEqual(await client.ids({ ids: [event.id] }), [event.id]);
  await client.accepts(deletion(alice, []));
});

test("thousands at once", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const events = Array.from({ length: 1_500 }, (_, i) => alice.sign(1, { content: `${i}`, created_at: now() - i }));
  await client.accepts(...events);
  await client.accepts(deletion(alice, events.map(({ id }) => ["e", id])));
  assert.equal((await client.count({ authors: [alice.key], kinds: [1] })).count, 0);
});

test("holds over a restart", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const [event, article] = [alice.sign(1), alice.sign(30_000, { tags: [["d", "x"]], created_at: now() - 5 })];
  await client.accepts(event, article, deletion(alice, [["e", event.id], ["a", `30000:${alice.key}:x`]]));
  await relay.restart();
  const again = await relay.connect();
  assert.deepEqual((await again.query({ authors: [alice.key] })).map(({ kind }) => kind), [5]);
  await again.refuses(event, /^(blocked|invalid|restricted): /);
  await again.refuses(article, /^(blocked|invalid|restricted): /);
});

test("a gift wrap is deleted by whom it is for, and by nobody else", async () => {
  const [client, alice, bob, mallory] = [await relay.connect(), person(), person(), person()];
  const wrap = () => person().sign(1059, { content: "sealed", tags: [["p", alice.key], ["p", bob.key]] });
  const [one, two, early, note] = [wrap(), wrap(), wrap(), person().sign(1, { tags: [["p", alice.key]] })];
  await client.authenticate(alice, "wss://relay.example/");
  await client.authenticate(bob, "wss://relay.example/");
  await client.accepts(one, two, note, deletion(mallory, [["e", one.id], ["e", two.id]]), deletion(alice, [["e", note.id]]));
  assert.equal((await client.ids({ ids: [one.id, two.id, note.id] })).length, 3);
  await client.accepts(deletion(bob, [["e", one.id], ["k", "1059"]]));
  assert.deepEqual(await client.ids({ kinds: [1059], "#p": [alice.key] }), [two.id]);
  await client.refuses(one, /^(blocked|invalid|restricted): /);
  await client.accepts(deletion(alice, [["e", early.id]]));
  await client.refuses(early, /^(blocked|invalid|restricted): /);
});
