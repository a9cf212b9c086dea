// The second implementation (session.mjs: nostr-tools and @noble/hashes, no line of ours) talks to the
// real node through the real relay.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { bytesToHex, concatBytes, hexToBytes, randomBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { finalizeEvent, generateSecretKey, getPublicKey, verifyEvent } from "nostr-tools/pure";
import { decode } from "nostr-tools/nip19";
import { Relay, useWebSocketImplementation } from "nostr-tools/relay";
import WebSocket from "ws";
import { Bed, kLongQuestion, tag, until, within, words_of } from "../e2e/lib.mjs";
import * as session from "./session.mjs";

useWebSocketImplementation(WebSocket);
const kTimerMs = 1_000;
const kCredit = 5;  // msat: about twelve tokens at the default price

let bed;
let engine;
let tap;
let node;
let connection;
let offer;
let attestation;

/** The stored events of a filter. */
function stored(filter) {
  return within(5_000, "stored events", new Promise((resolve) => {
    const events = [];
    const subscription = connection.subscribe([filter], {
      onevent: (event) => events.push(event),
      oneose: () => { subscription.close(); resolve(events); },
    });
  }));
}

/** One request over the relay until its end; gives the ended session. */
async function converse(client, { twice = false, ms = 30_000, on_event = () => {} } = {}) {
  const publish = async () => {
    for (const event of client.takeEvents()) {
      on_event(event);
      await connection.publish(event);
      if (twice) await connection.publish(event).catch(() => {});
    }
  };
  let failure;
  const act = (step) => { step(); publish().catch((error) => { failure = error; }); };
  const subscription = await within(5_000, "EOSE", new Promise((resolve) => {
    const made = connection.subscribe([{ kinds: [session.KIND.frame], "#p": [client.client] }], {
      onevent: (event) => { on_event(event); act(() => client.onEvent(event)); },
      oneose: () => resolve(made),
    });
  }));
  act(() => {});
  const timer = setInterval(() => act(() => client.onTimer()), kTimerMs);
  const beat = setInterval(() => act(() => client.onBeat()), session.QUIET_PERIOD_MS);
  try {
    // The last receipt is acknowledged, too, if the node took it.
    await until(ms, "the session's end", () => failure || client.failed || (client.ended && (client.error || client.sent.size === 0)));
  } finally {
    clearInterval(timer);
    clearInterval(beat);
    subscription.close();
  }
  if (failure ?? client.failed) throw failure ?? client.failed;
  return client;
}

function payer() {
  const secret = generateSecretKey();
  const terms = { signer: getPublicKey(secret), node: offer.pubkey, salt: bytesToHex(randomBytes(16)), asset: "msat" };
  const receipts = [];
  const sign = (template) => { receipts.push(finalizeEvent(template, secret)); return receipts.at(-1); };
  return { ...terms, sign, receipts, channel: new session.PayerChannel(terms) };
}

const body_of = (question, max_tokens = 60) => JSON.stringify({
  model: engine.model, messages: [{ role: "user", content: question }], temperature: 0, max_tokens, stream: true,
});

before(async () => {
  bed = new Bed();
  const relay = await bed.relay();
  engine = await bed.engine({ slow_ms: 20 });
  tap = await bed.http_tap(engine);
  node = await bed.node({ relay, engine_url: tap.url, sections: { offer: { credit: kCredit }, limits: { receipt_wait_s: 1 } } });
  connection = await Relay.connect(relay.url);
  const author = decode(node.npub).data;
  [offer] = await stored({ kinds: [session.KIND.offer], authors: [author] });
  [attestation] = await stored({ kinds: [31471], authors: [author] });
});

after(async () => {
  connection?.close();
  await bed.close();
});

describe("a client in JavaScript", { timeout: 90_000 }, () => {
  it("reads an offer whose attestation states exactly its keys", () => {
    assert.ok(verifyEvent(structuredClone(offer)) && verifyEvent(structuredClone(attestation)));
    assert.equal(tag(offer, "a"), `31471:${offer.pubkey}:${tag(attestation, "d")}`);
    assert.equal(tag(offer, "key"), tag(attestation, "key"));
    assert.equal(tag(offer, "key", 2), tag(attestation, "key", 2));
    const now = Math.floor(Date.now() / 1000);
    assert.ok(Number(tag(offer, "key", 2)) > now && Number(tag(offer, "key", 2)) <= now + 3600);

    const prefixed = (bytes) => concatBytes(Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes);
    const expiry = new Uint8Array(8);
    new DataView(expiry.buffer).setBigInt64(0, BigInt(tag(attestation, "key", 2)));
    const no_gpus = session.taggedHash("nostril/att/gpus", prefixed(new Uint8Array(4)));
    assert.equal(tag(attestation, "gpu"), bytesToHex(no_gpus));
    const statement = concatBytes(...[hexToBytes(tag(attestation, "nonce")), hexToBytes(attestation.pubkey), hexToBytes(tag(attestation, "key")),
      expiry, hexToBytes(tag(attestation, "tls")), no_gpus, hexToBytes(tag(attestation, "weights"))].map(prefixed));
    assert.equal(statement.length, 214);
    assert.equal(bytesToHex(session.taggedHash("nostril/att/cpu", statement)), tag(attestation, "d"));
    assert.equal(Buffer.from(attestation.content, "base64").readUInt32LE(0), 0xfd2fb528, "a zstd frame");
  });

  it("gets the engine's bytes, a right record, and pays on the way when its credit is used up", async () => {
    const payment = payer();
    const first = await converse(new session.SessionClient(offer, { body: body_of(kLongQuestion), payment }));
    assert.equal(first.error, undefined);
    assert.equal(first.head.status, 200);
    assert.equal(first.response.toString(), Buffer.concat(tap.completions().at(-1).response).toString());
    assert.ok(words_of(first.response).length > 50);
    assert.equal(first.record.status, "ok");
    assert.equal(first.record.weights, undefined);
    const amounts = payment.receipts.map((receipt) => BigInt(tag(receipt, "amount")));
    assert.ok(amounts.length >= 3, `${amounts} paid at a credit of ${kCredit}`);
    assert.ok(amounts[0] === BigInt(kCredit) && amounts.every((amount, i) => i === 0 || amount >= amounts[i - 1]), `${amounts}`);
    assert.equal(amounts.at(-1), first.record.spent);

    // The node took the last receipt: the channel goes on.
    const second = await converse(new session.SessionClient(offer, { body: body_of("What is a relay?"), payment }));
    assert.equal(second.record.status, "ok");
    assert.equal(second.record.channel, first.record.channel);
    assert.ok(second.record.spent > first.record.spent);
  });

  it("gets the same answer for the same request id, charged once", async () => {
    const payment = payer();
    const body = body_of("What is a relay?", 8);
    const first = await converse(new session.SessionClient(offer, { body, payment }));
    const asked = tap.completions().length;
    const paid = { ...payment, channel: { pay: () => null } };  // the same record again: nothing to pay
    const again = await converse(new session.SessionClient(offer, { body, request: first.request, payment: paid }));
    assert.equal(again.response.toString(), first.response.toString());
    assert.equal(again.record.id, first.record.id);
    assert.equal(tap.completions().length, asked, "the engine is not asked again");
    const other = await converse(new session.SessionClient(offer, { body: body_of("hello"), request: first.request, payment: paid }));
    assert.equal(other.error.code, "bad-request");
    assert.equal(tap.completions().length, asked);
  });

  it("uses zstd when it asks for it only", async () => {
    for (const features of [["zstd"], []]) {
      const client = await converse(new session.SessionClient(offer, { body: body_of("What is a relay?", 8), payment: payer(), features }));
      assert.deepEqual(client.features, features);
      assert.equal(client.response.toString(), Buffer.concat(tap.completions().at(-1).response).toString());
    }
  });

  it("is answered in frames of one size and no more than five a second when it asks for quiet", async () => {
    const sent = [];
    const quiet = new session.SessionClient(offer, { body: body_of("What is a relay?", 8), payment: payer(), features: ["zstd", "quiet"] });
    await converse(quiet, { on_event: (event) => sent.push([event.pubkey, event.content.length, performance.now()]) });
    assert.equal(quiet.record.status, "ok");
    const frames = sent.filter(([, , at]) => at > sent.find(([from]) => from === quiet.node)[2]);  // after the accept
    assert.ok(frames.length > 5, `${frames.length} frames`);
    assert.deepEqual([...new Set(frames.map(([, size]) => size))], [frames[0][1]]);
    const from_node = frames.filter(([from]) => from === quiet.node).map(([, , at]) => at);
    assert.ok((from_node.at(-1) - from_node[0]) / (from_node.length - 1) > 150, "one each 200 ms");
  });

  it("is answered once though each of its events is sent twice", async () => {
    const asked = tap.completions().length;
    const client = await converse(new session.SessionClient(offer, { body: body_of("What is a relay?", 8), payment: payer() }), { twice: true });
    assert.equal(client.record.status, "ok");
    assert.equal(tap.completions().length, asked + 1);
  });

  it("is cut off and refused when it does not pay", async () => {
    const miser = payer();
    miser.channel.pay = () => null;  // judges nothing, signs nothing
    const cut = await converse(new session.SessionClient(offer, { body: body_of(kLongQuestion), payment: miser }));
    assert.equal(cut.record.status, "unpaid");
    assert.ok(cut.record.spent <= BigInt(kCredit), `${cut.record.spent} msat given away at a credit of ${kCredit}`);
    const asked = tap.completions().length;
    const refused = await converse(new session.SessionClient(offer, { body: body_of(kLongQuestion), payment: miser }));
    assert.equal(refused.error.code, "payment-required");
    assert.equal(tap.completions().length, asked);
  });

  it("is refused by words when its request makes no sense", async () => {
    for (const [options, code] of [
      [{ body: "not json" }, "bad-request"],
      [{ body: JSON.stringify({ model: "gpt-none", messages: [] }) }, "not-found"],
      [{ body: body_of("hello"), path: "/v1/secrets" }, "not-found"],
    ]) {
      const refused = await converse(new session.SessionClient(offer, { payment: payer(), ...options }));
      assert.equal(refused.error.code, code);
      assert.equal(refused.record, undefined);
    }
    const unpayable = await converse(new session.SessionClient(offer, { body: body_of("hello") }));
    assert.equal(unpayable.error.code, "payment-required");
  });

  it("can't open a session under an offer that was changed on the way", async () => {
    const changed = { ...offer, id: bytesToHex(randomBytes(32)) };
    const refused = await converse(new session.SessionClient(changed, { body: body_of("hello"), payment: payer() }));
    assert.equal(refused.error.code, "unknown-offer");
  });
});
