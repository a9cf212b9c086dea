// What a session may use beyond plain frames, and pick-up, in a second implementation: spec/05-session.md and
// spec/vectors/session.json, with nostr-tools, @noble/hashes and fzstd, no line of C++.
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Decompress } from "fzstd";
import * as nip44 from "nostr-tools/nip44";
import { finalizeEvent, getPublicKey, verifyEvent } from "nostr-tools/pure";
import { expand, hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";

const kDataBytesMax = 7_168;
const kQuietTextBytes = 4_096;
const kStoredFrame = 1_470;

const vectors = JSON.parse(readFileSync(new URL("../../spec/vectors/session.json", import.meta.url)));
const secret_of = (name) => sha256(utf8ToBytes(name));
const public_of = (name) => getPublicKey(secret_of(name));
const open = JSON.parse(vectors.open.text);
const asked = { secret: secret_of("c"), encryption: public_of("N"), offer: open.offer, attestation: open.attestation, request: open.request };

/** 96 bytes: client to node, node to client, stored. */
function session_keys({ secret, encryption, offer, attestation, request }, node) {
  const k0 = nip44.getConversationKey(secret, encryption);
  const info = concatBytes(utf8ToBytes("nostril/session/1"), ...[offer, attestation, getPublicKey(secret), encryption, node, request].map(hexToBytes));
  return hkdf(sha256, nip44.getConversationKey(secret, node), k0, info, 96);
}

const stored_answer_key = (all, request) => expand(sha256, all.subarray(64), concatBytes(utf8ToBytes("nostril/stored/1"), hexToBytes(request)), 32);

/** The zstd stream of one direction: parts in, in order, what each holds out. */
class ZstdStream {
  #out = [];
  #stream = new Decompress((bytes) => { this.#out.push(Uint8Array.from(bytes)); });

  read(part) {
    this.#stream.push(part, false);
    const bytes = concatBytes(...this.#out.splice(0));
    if (bytes.length === 0 || bytes.length > kDataBytesMax) throw new Error("bad part of a zstd stream");
    return bytes;
  }
}

function bytes_of(frame, stream) {
  if (frame.zstd !== undefined) return stream.read(Uint8Array.from(Buffer.from(frame.zstd, "base64")));
  return frame.text === undefined ? Uint8Array.from(Buffer.from(frame.base64, "base64")) : utf8ToBytes(frame.text);
}

/** A frame's text with a last member that makes it a multiple of the unit. */
function padded(text) {
  const opened = `${text.slice(0, -1)},"pad":"`;
  const least = Buffer.byteLength(opened) + 2;
  return `${opened}${"0".repeat(Math.ceil(least / kQuietTextBytes) * kQuietTextBytes - least)}"}`;
}

/** A finished answer from events of kind 1470, in any order, among others; nothing when it is not whole. */
function read_stored(what, events) {
  const frames = new Map();
  for (const event of events) {
    try {
      const key = stored_answer_key(session_keys(what, event.pubkey), what.request);
      const frame = JSON.parse(nip44.decrypt(event.content, key));
      frames.set(frame.n, frame);
    } catch { /* of somebody who knows the address */ }
  }
  const end = frames.get(frames.size);
  if (end?.t !== "end") return undefined;
  const stream = new ZstdStream();
  const chunks = [];
  for (let n = 1; n < frames.size; n += 1) chunks.push(bytes_of(frames.get(n), stream));
  const { status, type } = frames.get(1);
  return { status, type, body: Buffer.concat(chunks), record: end.record };
}

test("the keys are longer by a third, which leaves the others as they were", () => {
  const all = session_keys(asked, public_of("s"));
  assert.equal(bytesToHex(all.subarray(0, 32)), vectors.client_to_node);
  assert.equal(bytesToHex(all.subarray(32, 64)), vectors.node_to_client);
  assert.equal(bytesToHex(all.subarray(64)), vectors.stored);
  assert.equal(bytesToHex(stored_answer_key(all, open.request)), vectors.stored_answer_key);
});

test("two parts of a zstd stream hold their text", () => {
  const stream = new ZstdStream();
  const key = hexToBytes(vectors.node_to_client);
  const parts = vectors.zstd_frames.map(({ text, payload, nonce }) => {
    assert.equal(nip44.decrypt(payload, key), text);
    assert.equal(nip44.encrypt(text, key, hexToBytes(nonce)), payload);
    return JSON.parse(text);
  });
  assert.equal(parts.length, 2);
  assert.equal(parts.map((frame) => Buffer.from(bytes_of(frame, stream)).toString()).join(""), vectors.zstd_text);
});

test("a part alone, without those before it, is not readable", () => {
  assert.throws(() => bytes_of(JSON.parse(vectors.zstd_frames[1].text), new ZstdStream()));
});

test("a quiet frame is padded to its size", () => {
  const { text, payload, nonce } = vectors.quiet;
  assert.equal(Buffer.byteLength(text), kQuietTextBytes);
  const { pad, ...frame } = JSON.parse(text);
  assert.match(pad, /^0+$/);
  assert.equal(padded(JSON.stringify(frame)), text);
  assert.equal(nip44.encrypt(text, hexToBytes(vectors.node_to_client), hexToBytes(nonce)), payload);
});

test("a stored answer is picked up from events in any order, among forged ones", () => {
  const event = (item, author = "s") =>
    finalizeEvent({ kind: kStoredFrame, created_at: 1, tags: [["p", public_of("c")], ["expiration", "2"]], content: item.payload }, secret_of(author));
  const events = vectors.stored_frames.map((item) => event(item)).reverse();
  const answer = read_stored(asked, [event(vectors.stored_frames[0], "payer"), ...events]);
  assert.equal(answer.status, 200);
  assert.equal(answer.type, "text/event-stream");
  assert.equal(answer.body.toString(), vectors.zstd_text);
  assert.ok(verifyEvent({ ...answer.record }));
  for (const left_out of [0, 1, 2]) assert.equal(read_stored(asked, events.filter((_, i) => i !== left_out)), undefined);
  assert.equal(read_stored({ ...asked, request: "00".repeat(16) }, events), undefined);
});
