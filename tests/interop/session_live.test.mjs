// The second implementation (client/js, no line of C++) talks to the real node through the real relay; the verdict on the
// node's evidence is the `nostril` command's.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { bytesToHex, randomBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { WebSocket } from "ws";
import { CommandVerifier, MemoryStorage, OfferBook, readReceipt, RelayPool, Wallet } from "../../client/js/dist/node.js";
import { readOffer } from "../../client/js/dist/offer.js";
import { Query } from "../../client/js/dist/query.js";
import { Bed, kBin, kLongQuestion, until, words_of } from "../e2e/lib.mjs";
import { accepted_offer } from "./js_support.mjs";

const kCredit = 5;  // msat: about twelve tokens at the default price

let bed;
let engine;
let tap;
let pool;
let book;
let made;

/** One request over the relay until its end. */
async function converse({ body, request = bytesToHex(randomBytes(16)), url_path = "/v1/chat/completions", wallet, over = pool, offer = made }) {
  const pieces = [];
  const query = new Query(over, wallet, offer,
    { request, method: "POST", path: url_path, headers: [["content-type", "application/json"]], body: utf8ToBytes(body), firstSentAtMs: performance.now() },
    { onData: (bytes) => { pieces.push(bytes); query.consumed(bytes.length); } });
  const result = await query.ended;
  return { ...result, response: Buffer.concat(pieces) };
}

const a_wallet = () => Wallet.open(new MemoryStorage(), 1_000_000n);
/** Judges nothing, signs nothing. */
const as_miser = (wallet) => ({ open: (offer) => wallet.open(offer), close: (...args) => wallet.close(...args), resync: async () => {}, pay: async () => undefined });

const body_of = (question, max_tokens = 60) => JSON.stringify({
  model: engine.model, messages: [{ role: "user", content: question }], temperature: 0, max_tokens, stream: true,
});

before(async () => {
  bed = new Bed();
  const relay = await bed.relay();
  engine = await bed.engine({ slow_ms: 20 });
  tap = await bed.http_tap(engine);
  const node = await bed.node({ relay, engine_url: tap.url, sections: { offer: { credit: kCredit }, limits: { receipt_wait_s: 1 } } });
  pool = new RelayPool([relay.url], { WebSocket });
  const verifier = new CommandVerifier({ command: path.join(kBin, "nostril"), args: bed.client_options({ relay, node, home: "judge" }) });
  book = new OfferBook(pool, verifier, { allowSimulated: true });
  made = await until(20_000, "a verified offer", () => book.usable[0]);
});

after(async () => {
  book?.close();
  pool?.close();
  await bed.close();
});

describe("a client in JavaScript", { timeout: 90_000 }, () => {
  it("takes the offer on the command's word, which names it and its evidence", () => {
    const { offer, verdict } = made;
    assert.equal(offer.model, engine.model);
    assert.equal(verdict.offer, offer.id);
    assert.equal(verdict.statement, offer.attestation);
    assert.equal(verdict.simulated, true);
    assert.equal(verdict.level, "declared");
    const now = Math.floor(Date.now() / 1000);
    assert.ok(offer.keyExpiresAt > now && offer.keyExpiresAt <= now + 3600);
  });

  it("gets the engine's bytes, a right record, and pays on the way when its credit is used up", async () => {
    const wallet = await a_wallet();
    const first = await converse({ body: body_of(kLongQuestion), wallet });
    assert.equal(first.failure, undefined, first.detail);
    assert.equal(first.response.toString(), Buffer.concat(tap.completions().at(-1).response).toString());
    assert.ok(words_of(first.response).length > 50);
    assert.equal(first.record.status, "ok");
    const amounts = (await wallet.receipts()).map((receipt) => readReceipt(receipt).amount);
    assert.ok(amounts.length >= 3, `${amounts} paid at a credit of ${kCredit}`);
    assert.ok(amounts[0] === BigInt(kCredit) && amounts.every((amount, i) => i === 0 || amount > amounts[i - 1]), `${amounts}`);
    assert.equal(amounts.at(-1), first.record.spent);

    // The node took the last receipt: the channel goes on.
    const second = await converse({ body: body_of("What is a relay?"), wallet });
    assert.equal(second.record.status, "ok");
    assert.equal(second.record.channel, first.record.channel);
    assert.ok(second.record.spent > first.record.spent);
  });

  it("gets the same answer for the same request id, charged once", async () => {
    const wallet = await a_wallet();
    const body = body_of("What is a relay?", 8);
    const request = bytesToHex(randomBytes(16));
    const first = await converse({ body, request, wallet });
    const asked = tap.completions().length;
    const again = await converse({ body, request, wallet });
    assert.equal(again.response.toString(), first.response.toString());
    assert.equal(again.record.id, first.record.id);
    assert.equal(again.receipt.id, first.receipt.id, "the same record is paid by the same receipt");
    assert.equal(tap.completions().length, asked, "the engine is not asked again");
    const other = await converse({ body: body_of("hello"), request, wallet });
    assert.equal(other.error.code, "bad-request");
    assert.equal(tap.completions().length, asked);
  });

  it("is answered once though each of its events is sent twice", async () => {
    const asked = tap.completions().length;
    const twice = {
      publish: (event) => { void pool.publish(event); return pool.publish(event); },
      subscribe: (...args) => pool.subscribe(...args),
      onLost: () => () => {},
      addNamed() {},
      get connectedCount() { return pool.connectedCount; },
      get problems() { return pool.problems; },
    };
    const result = await converse({ body: body_of("What is a relay?", 8), wallet: await a_wallet(), over: twice });
    assert.equal(result.record.status, "ok");
    assert.equal(tap.completions().length, asked + 1);
  });

  it("is cut off and refused when it does not pay", async () => {
    const wallet = as_miser(await a_wallet());
    const cut = await converse({ body: body_of(kLongQuestion), wallet });
    assert.equal(cut.record.status, "unpaid");
    assert.ok(cut.record.spent <= BigInt(kCredit), `${cut.record.spent} msat given away at a credit of ${kCredit}`);
    const asked = tap.completions().length;
    const refused = await converse({ body: body_of(kLongQuestion), wallet });
    assert.equal(refused.error.code, "payment-required");
    assert.equal(tap.completions().length, asked);
  });

  it("is refused by words when its request makes no sense", async () => {
    const wallet = await a_wallet();
    for (const [options, code] of [
      [{ body: "not json" }, "bad-request"],
      [{ body: JSON.stringify({ model: "gpt-none", messages: [] }) }, "not-found"],
      [{ body: body_of("hello"), url_path: "/v1/secrets" }, "not-found"],
    ]) {
      const refused = await converse({ wallet, ...options });
      assert.equal(refused.error?.code, code, refused.detail);
      assert.equal(refused.record, undefined);
    }
  });

  it("can't open a session under an offer that was changed on the way", async () => {
    const event = { ...made.offer.event, id: bytesToHex(randomBytes(32)) };
    assert.throws(() => readOffer({ ...event, tags: event.tags.filter(([name]) => name !== "key") }), /no tag key/);
    const attestation = await until(5_000, "the attestation", () => new Promise((resolve) => {
      const stop = pool.subscribe([{ kinds: [31471], authors: [event.pubkey] }], { onEvent: (found) => { stop(); resolve(found); } });
    }));
    const changed = await accepted_offer({ offer: event, attestation });
    const refused = await converse({ body: body_of("hello"), wallet: await a_wallet(), offer: changed });
    assert.equal(refused.error.code, "unknown-offer");
  });
});
