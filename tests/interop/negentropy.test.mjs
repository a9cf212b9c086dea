// Reconciliation (NIP-77) with foreign clients: nostr-tools' own implementation against our relay, in small
// messages too, and a client that sets its filter in an array, as NDK does.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { nip77 } from "nostr-tools";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { Relay, useWebSocketImplementation } from "nostr-tools/relay";
import WebSocket from "ws";
import { Bed, within } from "../e2e/lib.mjs";

const { Negentropy, NegentropyStorageVector, NegentropySync } = nip77;
useWebSocketImplementation(WebSocket);

const secret = generateSecretKey();
const author = getPublicKey(secret);
const now = Math.floor(Date.now() / 1000);
const kShared = 300;
const kOnlyTheirs = 40;
const kOnlyMine = 30;

let bed;
let url;
let relay;
const shared = [];
const onlyTheirs = [];
const onlyMine = [];

before(async () => {
  bed = new Bed();
  ({ url } = await bed.relay());
  relay = await Relay.connect(url);
  const sign = (i) => finalizeEvent({ kind: 1, content: `${i}`, tags: [], created_at: now - 1000 + (i % 97) }, secret);
  for (let i = 0; i < kShared; ++i) shared.push(sign(i));
  for (let i = 0; i < kOnlyTheirs; ++i) onlyTheirs.push(sign(10_000 + i));
  for (let i = 0; i < kOnlyMine; ++i) onlyMine.push(sign(20_000 + i));
  await Promise.all([...shared, ...onlyTheirs].map((event) => relay.publish(event)));
});

after(async () => {
  relay?.close();
  await bed?.close();
});

const ids = (events) => events.map((event) => event.id).sort();

function storageOf(events) {
  const storage = new NegentropyStorageVector();
  for (const event of events) storage.insert(event.created_at, event.id);
  storage.seal();
  return storage;
}

test("nostr-tools finds the differences on our relay", async () => {
  const have = [];
  const need = [];
  await within(20_000, "the end", new Promise((resolve, reject) => {
    new NegentropySync(relay, storageOf([...shared, ...onlyMine]), { kinds: [1], authors: [author] }, {
      onhave: (id) => have.push(id),
      onneed: (id) => need.push(id),
      onclose: (reason) => (reason ? reject(new Error(reason)) : resolve()),
    }).start();
  }));
  assert.deepEqual(have.sort(), ids(onlyMine));
  assert.deepEqual(need.sort(), ids(onlyTheirs));
});

/** The protocol by hand: what `send` opened, until nothing more is asked. */
function reconcile(negentropy, open) {
  const socket = new WebSocket(url);
  const have = [];
  const need = [];
  let rounds = 0;
  return within(20_000, "the end", new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("open", () => socket.send(JSON.stringify(open(negentropy.initiate()))));
    socket.on("message", (data) => {
      const message = JSON.parse(data.toString());
      if (message[0] === "AUTH") return undefined;
      if (message[0] !== "NEG-MSG") return reject(new Error(data.toString()));
      ++rounds;
      const next = negentropy.reconcile(message[2], (id) => have.push(id), (id) => need.push(id));
      if (next) return socket.send(JSON.stringify(["NEG-MSG", message[1], next]));
      socket.close();
      resolve({ have, need, rounds });
    });
  }));
}

test("a filter that stands in an array is taken, as NDK sends it", async () => {
  const { have, need } = await reconcile(new Negentropy(storageOf(shared)), (message) =>
    ["NEG-OPEN", "ndk", [{ kinds: [1] }], message]);
  assert.deepEqual(have, []);
  assert.deepEqual(need.sort(), ids(onlyTheirs));
});

test("a foreign side with small messages ends with the same", async () => {
  const { have, need, rounds } = await reconcile(new Negentropy(storageOf([]), 4096), (message) =>
    ["NEG-OPEN", "small", { kinds: [1] }, message]);
  assert.deepEqual(have, []);
  assert.deepEqual(need.sort(), ids([...shared, ...onlyTheirs]));
  assert.ok(rounds >= 1);
});

test("what can't be answered is refused with NEG-ERR", async () => {
  await assert.rejects(
    reconcile(new Negentropy(storageOf([])), () => ["NEG-OPEN", "bad", { kinds: [1] }, "70"]),
    /\["NEG-ERR","bad","invalid: not a message of negentropy version 1"\]/,
  );
});

test("the relay's document names NIP-77", async () => {
  const answer = await fetch(url.replace("ws", "http"), { headers: { Accept: "application/nostr+json" } });
  assert.ok((await answer.json()).supported_nips.includes(77));
});
