// spec/vectors/session.json, computed again by the package client/js: nostr-tools, @noble/hashes and no line of C++.
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as nip44 from "nostr-tools/nip44";
import { finalizeEvent, getPublicKey } from "nostr-tools/pure";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { charge, firstRunningHash, nextRunningHash, PayerChannel, PaymentRefusedError, spentOf } from "../../client/js/dist/channel.js";
import { isGenuine } from "../../client/js/dist/event.js";
import { parseFrame, printFrame } from "../../client/js/dist/frames.js";
import { conversationKey, FrameOpener, FrameSealer, ratchet, sessionInfo, sessionKeys } from "../../client/js/dist/keys.js";
import { readOffer } from "../../client/js/dist/offer.js";
import { readRecord } from "../../client/js/dist/record.js";
import { ClientSession } from "../../client/js/dist/session.js";
import { accepted_offer, FakeNode } from "./js_support.mjs";

const vectors = JSON.parse(readFileSync(new URL("../../spec/vectors/session.json", import.meta.url)));
const keys = Object.fromEntries(["node", "N", "c", "s", "payer"].map((name) => {
  const secret = sha256(utf8ToBytes(name));
  return [name, { secret, public: getPublicKey(secret) }];
}));
const offer = readOffer(vectors.offer);
const anything = { input: 1e9, cached: 1e9, output: 1e9, milliseconds: 1e9 };

/** What a payer must know of a statement of the vectors to find it right. */
const expected = (record) => ({ offer: record.offer, request: record.request, requestHash: record.requestHash, responseHash: record.responseHash, limit: anything });

function derive() {
  const { frame: open } = parseFrame(vectors.open.text);
  const k0 = conversationKey(keys.c.secret, keys.N.public);
  const context = { offer: offer.id, attestation: offer.attestation, client: keys.c.public, encryption: keys.N.public, node: keys.s.public, request: open.request };
  return { k0, context, keys: sessionKeys(k0, conversationKey(keys.c.secret, keys.s.public), context) };
}

test("keys are SHA-256 of their names", () => {
  for (const [name, pair] of Object.entries(keys)) {
    assert.equal(vectors.keys[name].secret, bytesToHex(pair.secret));
    assert.equal(vectors.keys[name].public, pair.public);
  }
});

test("key schedule from either side", () => {
  const { k0, context, keys: derived } = derive();
  assert.equal(bytesToHex(k0), vectors.k0);
  assert.equal(bytesToHex(conversationKey(keys.N.secret, keys.c.public)), vectors.k0);
  assert.equal(bytesToHex(conversationKey(keys.s.secret, keys.c.public)), vectors.ephemeral);
  assert.equal(bytesToHex(sessionInfo(context)), vectors.info);
  assert.equal(vectors.info.length / 2, 193);
  assert.equal(bytesToHex(derived.clientToNode), vectors.client_to_node);
  assert.equal(bytesToHex(derived.nodeToClient), vectors.node_to_client);
  const first = ratchet(derived.nodeToClient);
  assert.equal(bytesToHex(first), vectors.node_to_client_generation_1);
  assert.equal(bytesToHex(ratchet(first)), vectors.node_to_client_generation_2);
});

test("handshake payloads seal, open and have one spelling", () => {
  const { k0 } = derive();
  for (const item of [vectors.open, vectors.accept]) {
    assert.equal(nip44.decrypt(item.payload, k0), item.text);
    assert.equal(nip44.encrypt(item.text, k0, hexToBytes(item.nonce)), item.payload);
    const { n, frame } = parseFrame(item.text);
    assert.equal(printFrame(n, frame), item.text);
  }
  assert.equal(parseFrame(vectors.open.text).frame.offer, offer.id);
  assert.equal(parseFrame(vectors.accept.text).frame.session, keys.s.public);
});

test("frames seal, open and keep their bytes", () => {
  const { keys: derived } = derive();
  const sides = {
    client: [new FrameSealer(derived.clientToNode), new FrameOpener(derived.clientToNode)],
    node: [new FrameSealer(derived.nodeToClient), new FrameOpener(derived.nodeToClient)],
  };
  for (const item of vectors.frames) {
    const [sealer, opener] = sides[item.from];
    const { n, frame } = opener.open(item.payload);
    assert.equal(printFrame(n, frame), item.text, "one spelling");
    assert.equal(sealer.seal(n, frame, hexToBytes(item.nonce)), item.payload);
  }
});

test("a changed payload does not open", () => {
  const { keys: derived } = derive();
  const { payload } = vectors.frames[1];
  for (const at of [4, 60, payload.length - 8]) {
    const changed = payload.slice(0, at) + (payload[at] === "A" ? "B" : "A") + payload.slice(at + 1);
    assert.equal(new FrameOpener(derived.nodeToClient).open(changed), undefined);
  }
  assert.equal(new FrameOpener(derived.clientToNode).open(payload), undefined, "a frame is not reflected");
});

test("a frame whose number is of another generation than its key is refused", () => {
  const { keys: derived } = derive();
  const sealed = nip44.encrypt(printFrame(1024, { t: "credit", credit: 1 }), derived.nodeToClient);
  assert.throws(() => new FrameOpener(derived.nodeToClient).open(sealed), /another key/);
  const next = nip44.encrypt(printFrame(1024, { t: "credit", credit: 1 }), ratchet(derived.nodeToClient));
  const opener = new FrameOpener(derived.nodeToClient);
  assert.equal(opener.open(next).n, 1024);
  assert.equal(opener.open(nip44.encrypt(printFrame(5, { t: "credit", credit: 1 }), derived.nodeToClient)).n, 5, "the generation before still opens");
  const ahead = nip44.encrypt(printFrame(3072, { t: "credit", credit: 1 }), ratchet(ratchet(ratchet(derived.nodeToClient))));
  assert.equal(opener.open(ahead), undefined, "two generations ahead does not");
});

test("events have their ids and signatures", () => {
  for (const event of [vectors.offer, ...vectors.statements.flatMap((s) => [s.record, s.receipt])]) {
    assert.ok(isGenuine(event));
    assert.ok(!isGenuine({ ...event, created_at: event.created_at + 1 }));
    assert.ok(!isGenuine({ ...event, sig: event.sig.replace(/^../, (pair) => (pair === "00" ? "01" : "00")) }));
  }
  assert.equal(offer.node, keys.node.public);
});

test("channel id, running hash and receipts follow from the records", () => {
  const { signer, node, salt, asset, id, start } = vectors.channel;
  const book = new PayerChannel({ signer, node, salt, asset });
  assert.equal(book.id, id);
  assert.equal(book.snapshot.runningHash, start);
  assert.equal(firstRunningHash(id), start);
  let hash = start;
  for (const { record: event, running_hash, receipt } of vectors.statements) {
    const record = readRecord(event);
    hash = nextRunningHash(hash, record);
    const draft = book.pay(record, expected(record), offer.prices, 10n ** 20n, 1_800_000_000);
    assert.equal(book.snapshot.runningHash, running_hash);
    assert.equal(hash, running_hash);
    assert.deepEqual(receipt.tags, draft.tags);
    assert.equal(receipt.content, "");
    assert.equal(receipt.pubkey, signer);
    assert.deepEqual(book.pay(record, expected(record), offer.prices, 10n ** 20n, 1_800_000_000), draft, "the same record again, the same receipt");
    const restored = new PayerChannel({ signer, node, salt, asset }, JSON.parse(JSON.stringify(book.snapshot)));
    assert.deepEqual(restored.snapshot, book.snapshot);
  }
});

test("the book refuses a record that is wrong by one, and has then not moved", () => {
  const { signer, node, salt, asset } = vectors.channel;
  const right = readRecord(vectors.statements[0].record);
  const cases = {
    spent: { spent: right.spent + 1n }, cost: { cost: right.cost + 1n }, remainder: { remainder: right.remainder + 1n },
    usage: { usage: { ...right.usage, output: right.usage.output + 2 } }, n: { n: 2 }, zero: { n: 0 }, previous: { previous: right.id },
    node: { node: right.id }, channel: { channel: right.id }, asset: { asset: "usd" }, offer: { offer: right.id }, request: { request: "00".repeat(16) },
    requestHash: { requestHash: right.id }, responseHash: { responseHash: right.id },
  };
  for (const [name, change] of Object.entries(cases)) {
    const book = new PayerChannel({ signer, node, salt, asset });
    const before = book.snapshot;
    assert.throws(() => book.pay({ ...right, ...change }, expected(right), offer.prices, 10n ** 20n, 1_800_000_000), PaymentRefusedError, name);
    assert.deepEqual(book.snapshot, before);
  }
  const book = new PayerChannel({ signer, node, salt, asset });
  assert.throws(() => book.pay(right, expected(right), offer.prices, right.spent - 1n, 1_800_000_000), /over budget/);
  for (const [unit, less] of [["input", right.usage.input - 1], ["output", right.usage.output - 1]]) {
    const limit = { ...anything, [unit]: less };
    assert.throws(() => book.pay(right, { ...expected(right), limit }, offer.prices, 10n ** 20n, 1_800_000_000), /more was stated/);
  }
});

test("meters", () => {
  for (const meter of vectors.meters) {
    const prices = { input: BigInt(meter.input), cached: BigInt(meter.cached), output: BigInt(meter.output) };
    let micro = 0n;
    for (const { usage: [input, cached, output], spent, remainder } of meter.steps) {
      micro += charge(prices, { input: Number(input), cached: Number(cached), output: Number(output), milliseconds: 0 });
      assert.equal(spentOf(micro).toString(), spent);
      assert.equal(micro % 1_000_000n, BigInt(remainder));
    }
  }
});

test("a session completes against a minimal node, with loss", async () => {
  const node = new FakeNode();
  const made = await accepted_offer(node);
  const body = utf8ToBytes("x".repeat(9000));
  const answer = Buffer.from("data: grüße\n\n".repeat(3000));
  const now = { ms: 0, unixS: Math.floor(Date.now() / 1000) };
  const session = new ClientSession(made, { request: "ab".repeat(16), method: "POST", path: "/v1/chat/completions", headers: [], body }, now);
  const [first] = session.takeEvents(now);
  const there = node.accept(first);
  session.onEvent(there.accept_event(), now);
  const frames_up = () => session.takeEvents(now).map((event) => there.opener.open(event.content).frame);
  let got = there.open.body;
  for (const frame of frames_up()) if (frame.t === "data") got = Buffer.concat([got, frame.bytes]);
  assert.deepEqual(Buffer.from(got), Buffer.from(body));

  const frames = [];
  for (let at = 0; at < answer.length; at += 1000) {
    frames.push({ t: "data", head: at === 0 ? { status: 200, type: "text/event-stream" } : undefined, bytes: answer.subarray(at, at + 1000) });
  }
  frames.push({ t: "end", record: there.record({ body, response: answer }) });
  const numbered = frames.map((frame, index) => [index + 1, frame]);
  // Odd frames are lost at first; then all come, the last first.
  for (const [n, frame] of numbered.filter(([n]) => n % 2 === 1)) session.onEvent(there.frame_event(n, frame), now);
  session.onTimer({ ...now, ms: 100 });
  const ack = frames_up().filter((frame) => frame.t === "ack").at(-1);
  assert.ok(ack.missing.length > 3);
  for (const [n, frame] of numbered.toReversed()) session.onEvent(there.frame_event(n, frame), now);
  const notes = [];
  for (let note = session.nextNote(); note; note = session.nextNote()) notes.push(note);
  assert.deepEqual(notes.filter(({ type }) => type === "failed"), []);
  assert.deepEqual(Buffer.concat(notes.filter(({ type }) => type === "data").map(({ bytes }) => bytes)), answer);
  assert.equal(notes.at(-1).type, "ended");
  assert.equal(notes.at(-1).record.status, "ok");
  const receipt = finalizeEvent({ kind: 1472, created_at: 1_800_000_000, tags: [], content: "" }, keys.payer.secret);
  session.sendReceipt(receipt, now);
  assert.equal(frames_up().find((frame) => frame.t === "receipt").receipt.id, receipt.id);
});
