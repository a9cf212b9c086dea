// What lib.mjs does itself is right by foreign eyes: ids and signatures by nostr-tools, the monitor by what it must find.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { WebSocketServer } from "../e2e/lib.mjs";
import { Client, id_of, in_order, matches, mine, now, person, relay_under_test, zero_bits } from "./lib.mjs";

const require = createRequire(new URL("../interop/package.json", import.meta.url));
const { getEventHash, verifyEvent } = require("nostr-tools/pure");
const { minePow } = require("nostr-tools/nip13");
const { matchFilter } = require("nostr-tools/filter");

const kUrl = "wss://relay.example/";
const relay = relay_under_test({ settings: { url: kUrl } });

test("events are those of nostr-tools, whichever way they were signed", () => {
  for (let i = 0; i < 20; i++) {
    const who = person();
    const event = who.sign(1, { content: `\u0001\u007f\u2028 ünï 🦊 ${i}`, tags: [["t", "\n"]] });
    assert.equal(id_of(event), getEventHash(event));
    assert.ok(verifyEvent(event));
    const honest = { ...event, sig: who.sign_id_honestly(event.id) };
    assert.ok(verifyEvent(honest));
    assert.ok(!verifyEvent({ ...who.sign(2), sig: event.sig }));
  }
});

test("work is what nostr-tools counts", () => {
  const event = mine(person(), 1, { bits: 8, below: 9 });
  assert.equal(zero_bits(event.id), 8);
  assert.ok(zero_bits(minePow({ kind: 1, content: "", tags: [], created_at: now(), pubkey: event.pubkey }, 6).id) >= 6);
});

test("the filter is that of nostr-tools", () => {
  const who = person();
  const event = who.sign(1, { tags: [["t", "a"], ["p", who.key]], created_at: 1000 });
  for (const filter of [{}, { kinds: [1] }, { kinds: [2] }, { authors: [who.key] }, { authors: ["00".repeat(32)] }, { "#t": ["a", "b"] }, { "#t": ["b"] },
    { "#p": [who.key], since: 1000, until: 1000 }, { since: 1001 }, { until: 999 }, { ids: [event.id] }, { ids: [who.key] }]) {
    assert.equal(matches(filter, event), matchFilter(filter, event), JSON.stringify(filter));
  }
  assert.deepEqual(in_order([{ created_at: 1, id: "b" }, { created_at: 2, id: "c" }, { created_at: 1, id: "a" }]).map(({ id }) => id), ["c", "a", "b"]);
});

test("the client publishes, asks, counts, listens and proves who it is", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const events = Array.from({ length: 20 }, (_, i) => alice.sign(1, { content: `${i}`, created_at: now() - i }));
  await client.accepts(...events);
  assert.deepEqual(await client.ids({ authors: [alice.key] }), events.map(({ id }) => id));
  assert.equal((await client.count({ authors: [alice.key] })).count, 20);
  assert.deepEqual(await client.authenticate(alice, kUrl), { accepted: true, text: "" });
  const subscription = await client.subscribe({ authors: [alice.key], limit: 0 });
  const event = alice.sign(1, { content: "new" });
  await client.accepts(event);
  assert.deepEqual(await client.live(subscription), event);
  await subscription.close();
});

test("the monitor finds what no relay may say", async () => {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await new Promise((resolve) => server.once("listening", resolve));
  const id = "0".repeat(64);
  const event = person().sign(1);
  const wrong = ["{}", "[]", "x", '["HELLO"]', `["OK","${id}",false,"no"]`, `["OK","${id}",false,""]`, `["OK","${id}",true]`, '["OK","id",true,""]', '["OK",1,false,"invalid: x"]', '["CLOSED","s","sorry"]', '["EOSE","s"]',
    JSON.stringify(["EVENT", "s", event]), JSON.stringify(["EVENT", "open", event]), JSON.stringify(["EVENT", "any", { ...event, more: 1 }]),
    JSON.stringify(["EVENT", "any", { ...event, content: "x" }]), '["COUNT","s",{"count":-1}]', '["COUNT","s",{"count":"1"}]', '["NOTICE"]', '["AUTH",1]'];
  const right = ['["EOSE","open"]', JSON.stringify(["EVENT", "any", event]), `["OK","${id}",true,""]`, `["OK","${id}",false,"invalid: x"]`, '["OK","id",false,"invalid: x"]', '["NOTICE","x"]', '["AUTH","x"]'];
  server.on("connection", (socket) => socket.once("message", () => {
    for (const text of [...wrong, ...right, '["EOSE","open"]']) socket.send(text);
    socket.close();
  }));
  const client = await Client.connect(`ws://127.0.0.1:${server.address().port}`);
  client.send("REQ", "open", { kinds: [2] });
  client.send("REQ", "any", {});
  await client.ended();
  assert.equal(client.flaws.length, wrong.length + 1, client.flaws.join("\n"));
  assert.match(client.flaws.at(-1), /second EOSE/);
  assert.equal(client.inbox.length, right.length);
  server.close();
});
