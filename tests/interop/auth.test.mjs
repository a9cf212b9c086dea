// Who may see and publish what, by nostr-tools: authentication (NIP-42), private kinds (NIP-17, NIP-59), protected events
// (NIP-70), proof of work (NIP-13).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { minePow } from "nostr-tools/nip13";
import { makeAuthEvent } from "nostr-tools/nip42";
import { finalizeEvent, generateSecretKey, getEventHash, getPublicKey } from "nostr-tools/pure";
import { Relay, useWebSocketImplementation } from "nostr-tools/relay";
import WebSocket from "ws";
import { Bed, within } from "../e2e/lib.mjs";

useWebSocketImplementation(WebSocket);

const kUrl = "wss://relay.example.org/";
const now = Math.floor(Date.now() / 1000);
const person = () => {
  const secret = generateSecretKey();
  return { secret, key: getPublicKey(secret), sign: (kind, tags = [], content = "") => finalizeEvent({ kind, content, tags, created_at: now }, secret) };
};
const [alice, bob, carol] = [person(), person(), person()];

let bed;
let url;

before(async () => {
  bed = new Bed();
  ({ url } = await bed.relay({ settings: { url: kUrl } }));
});

after(() => bed?.close());

async function connect() {
  const relay = await Relay.connect(url);
  bed.on_stop(() => relay.close());
  return relay;
}

/** The relay's public address is not the one under which this test reaches it: the proof names the former. */
const authenticate = (relay, { secret }, name = kUrl) => relay.auth(async (template) =>
  finalizeEvent(makeAuthEvent(name, template.tags.find(([tag]) => tag === "challenge")[1]), secret));

const challenged = (relay) => within(5_000, "a challenge", (async () => {
  while (!relay.challenge) await new Promise((resolve) => setTimeout(resolve, 5));
})());

/** Ids of the stored events, or the reason why there are none. */
const query = (relay, filter) => within(10_000, "EOSE", new Promise((resolve) => {
  const found = [];
  const subscription = relay.subscribe([filter], {
    onevent: (event) => found.push(event.id), oneose: () => { resolve(found); subscription.close(); }, onclose: (reason) => resolve(reason) });
}));

test("gift wraps and direct messages are shown to their parties only, stored, counted and live", async () => {
  const [stranger, reader] = [await connect(), await connect()];
  const to_alice = carol.sign(1059, [["p", alice.key]]);
  const to_bob = carol.sign(1059, [["p", bob.key]]);
  const letter = alice.sign(4, [["p", bob.key]]);
  const note = alice.sign(1, [["p", bob.key]]);
  for (const event of [to_alice, to_bob, letter, note]) await stranger.publish(event);

  assert.match(await query(stranger, { kinds: [1059] }), /^auth-required: /);
  assert.deepEqual(await query(stranger, { "#p": [alice.key, bob.key] }), [note.id]);
  assert.deepEqual(await query(stranger, { ids: [to_alice.id] }), []);
  assert.equal(await stranger.count([{ "#p": [alice.key, bob.key] }], {}), 1);

  await challenged(reader);
  assert.equal(await authenticate(reader, alice), "");
  assert.deepEqual(await query(reader, { kinds: [1059] }), [to_alice.id]);
  assert.deepEqual((await query(reader, { "#p": [alice.key, bob.key] })).sort(), [to_alice.id, letter.id, note.id].sort());
  assert.equal(await reader.count([{ kinds: [4, 1059] }], {}), 2);

  const heard = [];
  const subscription = reader.subscribe([{ kinds: [1059], since: now }], { onevent: (event) => heard.push(event.id) });
  await query(reader, { kinds: [1], limit: 1 });  // the subscription before it is open by now
  const later = [bob.sign(1059, [["p", bob.key]]), bob.sign(1059, [["p", alice.key]])];
  for (const event of later) await stranger.publish(event);
  await within(5_000, "the live event", (async () => {
    while (!heard.includes(later[1].id)) await new Promise((resolve) => setTimeout(resolve, 5));
  })());
  assert.ok(!heard.includes(later[0].id) && !heard.includes(to_bob.id));
  subscription.close();

  // A second key of the same connection sees what is its own as well.
  assert.equal(await authenticate_again(reader, bob), true);
  assert.ok((await query(reader, { kinds: [1059] })).includes(to_bob.id));
});

/** nostr-tools authenticates a connection once; the protocol allows several keys. */
function authenticate_again(relay, who) {
  const event = finalizeEvent(makeAuthEvent(kUrl, relay.challenge), who.secret);
  return within(5_000, "OK", new Promise((resolve) => {
    const before = relay.ws.onmessage;
    relay.ws.onmessage = (message) => {
      const [word, id, accepted] = JSON.parse(message.data);
      if (word === "OK" && id === event.id) resolve(accepted);
      before.call(relay.ws, message);
    };
    relay.send(JSON.stringify(["AUTH", event]));
  }));
}

test("a proof for another relay, or of another challenge, is none", async () => {
  const relay = await connect();
  await challenged(relay);
  await assert.rejects(authenticate(relay, alice, "wss://evil.example.org/"), /invalid: .*another relay/);
  assert.match(await query(relay, { kinds: [4] }), /^auth-required: /);
  await assert.rejects(relay.publish(alice.sign(22242, [["relay", kUrl], ["challenge", relay.challenge]])), /invalid/);
});

test("a protected event is taken from its author only", async () => {
  const relay = await connect();
  const event = alice.sign(1, [["-"]], "mine");
  await assert.rejects(relay.publish(event), /auth-required: /);
  await challenged(relay);
  await authenticate(relay, alice);
  await relay.publish(event);
  await assert.rejects(relay.publish(bob.sign(1, [["-"]])), /restricted: /);
});

test("NIP-11 says what holds", async () => {
  const answer = await fetch(url.replace(/^ws/, "http"), { headers: { Accept: "application/nostr+json" } });
  assert.deepEqual((await answer.json()).supported_nips, [1, 9, 11, 17, 40, 42, 45, 50, 59, 62, 65, 70, 77]);
});

test("a relay that wants work or authentication says so and means it", async () => {
  const strict = await bed.relay({ data: `${bed.folder}/strict`, settings: { url: kUrl }, sections: { policy: { work_bits_min: 12 }, auth: { to_read: true, to_write: true } } });
  const answer = await fetch(strict.url.replace(/^ws/, "http"), { headers: { Accept: "application/nostr+json" } });
  const { supported_nips, limitation } = await answer.json();
  assert.ok(supported_nips.includes(13));
  assert.deepEqual([limitation.min_pow_difficulty, limitation.auth_required, limitation.restricted_writes], [12, true, true]);
  const relay = await Relay.connect(strict.url);
  bed.on_stop(() => relay.close());
  const mine = (bits) => {
    const mined = minePow({ kind: 1, content: "work", tags: [], created_at: now, pubkey: alice.key }, bits);
    return finalizeEvent({ kind: 1, content: "work", tags: mined.tags, created_at: mined.created_at }, alice.secret);
  };
  const worked = mine(12);
  assert.equal(worked.id, getEventHash(worked));
  await assert.rejects(relay.publish(worked), /auth-required: /);
  assert.match(await query(relay, { kinds: [1] }), /^auth-required: /);
  await challenged(relay);
  await authenticate(relay, bob);
  await assert.rejects(relay.publish(alice.sign(1)), /pow: /);
  await relay.publish(worked);
  assert.deepEqual(await query(relay, { kinds: [1] }), [worked.id]);
});
