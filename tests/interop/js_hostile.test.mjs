// client/js against nodes, relays, verifiers and disks that lie or fail: nothing is sent unproven, nothing paid that is not
// owed, nothing believed that was not signed, and no key is shown.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { inspect } from "node:util";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { WebSocket } from "ws";
import { DoneHolder } from "../../client/js/dist/answer_stream.js";
import { charge, nextRunningHash, usageMax } from "../../client/js/dist/channel.js";
import { readEvent } from "../../client/js/dist/event.js";
import { parseFrame, printFrame } from "../../client/js/dist/frames.js";
import { readVerdicts } from "../../client/js/dist/gateway_verifier.js";
import { parseStrictJson } from "../../client/js/dist/strict_json.js";
import { ClientSession, FileStorage, GatewayVerifier, isVerified, MemoryStorage, Nostril, nostrilFetch, OfferBook, readOffer, readRecord, RefusedError, RelayPool,
  samplingSuits, SecretKeySigner, VerifiedOffer, Wallet } from "../../client/js/dist/node.js";
import { until, within } from "../e2e/lib.mjs";
import { accepted_offer, accepting, FakeNode, FakeRelay, now_s, signed, verdict_on } from "./js_support.mjs";

const kMs = 15_000;
const zeros = "00".repeat(32);
const kBody = utf8ToBytes(JSON.stringify({ model: "fake-model", messages: [], max_tokens: 100 }));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "nostril-js-"));
const stops = [];
after(async () => {
  for (const stop of stops.reverse()) await stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

// ---- Verdicts -----------------------------------------------------------------------------------

describe("a verdict", () => {
  const refuses = (promise, why) => assert.rejects(promise, (error) => error instanceof RefusedError && why.test(error.message));

  it("counts only when it accepts exactly this offer and evidence, now", async () => {
    const node = new FakeNode();
    assert.ok(VerifiedOffer.isOne(await accepted_offer(node)));
    for (const [changes, why] of [
      [{ accepted: false }, /refused: test/], [{ accepted: "true" }, /true or false/], [{ accepted: undefined }, /true or false/], [{ simulated: undefined }, /true or false/],
      [{ simulated: true }, /SIMULATED/], [{ offer: zeros }, /another offer/], [{ statement: zeros }, /another offer/], [{ evidence: zeros }, /other evidence/],
      [{ evidence: undefined }, /must name/], [{ holdsUntil: now_s() - 1 }, /has ended/], [{ holdsUntil: NaN }, /bad end/], [{ level: "none" }, /only level none/], [{ level: "best" }, /bad level/],
    ]) await refuses(accepted_offer(node, { changes }), why);
    await refuses(accepted_offer(node, { verifier: { verify: async () => undefined } }), /not judged/);
    await refuses(accepted_offer(node, { options: { minLevel: "image" } }), /only level declared/);
    await assert.rejects(accepted_offer(node, { verifier: { verify: async () => { throw new Error("no"); } } }));
    const simulated = await accepted_offer(node, { changes: { simulated: true }, options: { allowSimulated: true } });
    assert.equal(simulated.label, "declared; simulated");
    for (const allowSimulated of ["yes", 1, {}]) await refuses(accepted_offer(node, { changes: { simulated: true }, options: { allowSimulated } }), /SIMULATED/);
  });

  it("is not asked for when offer and attestation do not belong together", async () => {
    const asked = [];
    const verifier = { verify: async (...pair) => { asked.push(pair); return verdict_on(...pair); } };
    for (const changes of [{ offer_changes: { key: [getPublicKey(generateSecretKey()), `${now_s() + 3000}`] } }, { offer_changes: { weights: ["11".repeat(32)] } },
      { attestation_changes: { nonce: ["22".repeat(32)] } }, { attestation_changes: { d: ["33".repeat(32)] } }]) {
      const node = new FakeNode().publish_evidence(changes);
      await refuses(accepted_offer(node, { verifier }), /another one|different keys/);
    }
    assert.equal(asked.length, 0);
  });

  it("can't be gone around: a session takes nothing that only looks like a verified offer", async () => {
    const made = await accepted_offer(new FakeNode());
    const request = { request: "00".repeat(16), method: "POST", path: "/", headers: [], body: kBody };
    const now = { ms: 0, unixS: now_s() };
    assert.ok(new ClientSession(made, request, now).takeEvents(now).length === 1);
    for (const fake of [{ offer: made.offer, verdict: made.verdict, usableAt: () => true }, { ...made }, Object.create(VerifiedOffer.prototype), null]) {
      assert.throws(() => new ClientSession(fake, request, now), /no verified offer/);
    }
    assert.throws(() => new ClientSession(made, request, { ms: 0, unixS: made.offer.expiresAt }), /no verified offer/);
    assert.throws(() => new VerifiedOffer(Symbol("made by verifyOffer"), made.offer, made.verdict), /only verifyOffer/);
    assert.throws(() => { made.verdict.level = "weights"; }, TypeError);
  });

  it("comes from this machine or over HTTPS, in the form that is agreed", async () => {
    assert.throws(() => new GatewayVerifier("http://gateway.example"), /this machine/);
    new GatewayVerifier("https://gateway.example");
    for (const text of ["", "[]", "{}", '{"offers":{}}', '{"offers":[{"offer":"00","statement":"","evidence":""}]}']) assert.throws(() => readVerdicts(text), RefusedError, text);
    assert.deepEqual(readVerdicts('{"offers":[{"offer":"00","statement":"00"}]}'), [], "evidence that has not come is not judged");
    const node = new FakeNode();
    const answers = [{ ok: false, status: 503 }, { ok: true, text: async () => "{" }, { ok: true, text: async () => '{"offers":[]}' }];
    for (const answer of answers) await assert.rejects(accepted_offer(node, { verifier: new GatewayVerifier("http://127.0.0.1:1", async () => answer) }));
  });
});

describe("the book of offers", () => {
  /** A book that is fed by hand; `judge` gives the verdicts. */
  function fed_book(judge = accepting, limits = undefined) {
    let feed;
    const book = new OfferBook({ subscribe: (_, callbacks) => { feed = callbacks.onEvent; return () => {}; } }, judge, {}, limits);
    stops.push(() => book.close());
    return { book, feed: (...events) => events.forEach((event) => feed(event)) };
  }

  it("is not filled by masses of offers that are refused, nor by their evidence", async () => {
    const honest = [new FakeNode(), new FakeNode()];
    const only_honest = { verify: async (offer, attestation) => verdict_on(offer, attestation, { accepted: honest.some((node) => node.public === offer.node) }) };
    const { book, feed } = fed_book(only_honest, { offersMax: 3, evidenceBytesMax: 40, judgesMax: 1 });
    feed(honest[0].offer, honest[0].attestation);
    await until(kMs, "the first offer", () => book.usable.length === 1);
    for (let count = 0; count < 8; ++count) {
      const liar = new FakeNode();
      feed(liar.offer, liar.attestation);
    }
    await until(kMs, "refusals", () => book.rejected.length > 0);
    feed(honest[1].offer, honest[1].attestation);
    await until(kMs, "the second offer", () => book.usable.length === 2);
    assert.ok(book.rejected.length <= 1);
  });

  it("keeps the newest offer of an address, and drops the older one when the newer is refused", async () => {
    const node = new FakeNode();
    let accepts = true;
    const { book, feed } = fed_book({ verify: async (...pair) => verdict_on(...pair, { accepted: accepts }) });
    feed(node.offer, node.attestation);
    await until(kMs, "an offer", () => book.usable.length === 1);
    const newer = node.event(31470, node.offer.tags);
    const event = { ...newer, created_at: newer.created_at + 10 };
    accepts = false;
    feed({ ...event, id: zeros });
    await until(kMs, "no offer", () => book.usable.length === 0);
    feed(node.offer);
    assert.equal(book.usable.length, 0, "an older one does not come back");
  });

  it("obeys a node's deletion of its own offers only", async () => {
    const node = new FakeNode();
    const { book, feed } = fed_book();
    feed(node.offer, node.attestation);
    await until(kMs, "an offer", () => book.usable.length === 1);
    const tags = [["a", `31470:${node.public}:fake-model@default`], ["k", "31470"]];
    feed(signed({ kind: 5, created_at: now_s(), tags, content: "" }, generateSecretKey()));
    assert.equal(book.usable.length, 1);
    feed(signed({ kind: 5, created_at: now_s(), tags, content: "" }, node.secret));
    assert.equal(book.usable.length, 0);
  });

  it("asks again when no verdict came, and believes what the verifier says then", async () => {
    const node = new FakeNode();
    let asked = 0;
    const { book, feed } = fed_book({ verify: async (...pair) => { asked += 1; if (asked === 1) throw new Error("starting"); return asked === 2 ? undefined : verdict_on(...pair); } });
    feed(node.offer, node.attestation);
    await until(kMs, "a verdict", () => book.usable.length === 1);
    assert.equal(asked, 3);
    assert.deepEqual(book.rejected, []);
  });
});

// ---- Events, frames -----------------------------------------------------------------------------

describe("what comes from outside", () => {
  const event = new FakeNode().offer;

  it("is an event only in exactly the form of the protocol", () => {
    assert.deepEqual(readEvent(event), event);
    for (const change of [{ extra: 1 }, { id: event.id.toUpperCase() }, { id: event.id.slice(1) }, { pubkey: 1 }, { sig: event.id }, { created_at: 1.5 }, { created_at: -1 }, { created_at: -0 },
      { created_at: "1" }, { created_at: 2 ** 53 }, { kind: 65_536 }, { kind: null }, { content: null }, { content: "a\0" }, { content: "x".repeat(102_401) }, { content: "ż".repeat(60_000) },
      { tags: {} }, { tags: [[]] }, { tags: [["a", 1]] }, { tags: ["a"] }, { tags: [["a", "\0"]] }, { tags: Array(5001).fill(["a"]) }, { tags: [Array(257).fill("a")] }]) {
      assert.equal(readEvent({ ...event, ...change }), undefined, JSON.stringify(change).slice(0, 80));
    }
    for (const name of Object.keys(event)) {
      const { [name]: _, ...less } = event;
      assert.equal(readEvent(less), undefined, `without ${name}`);
    }
    for (const value of [null, undefined, 1, "x", [], [event]]) assert.equal(readEvent(value), undefined);
  });

  it("is an offer only with each tag once and within its bounds", () => {
    readOffer(event);
    const changes = { d: ["x@default"], v: ["2"], M: ["x".repeat(129)], T: ["a b"], key: ["00", "1"], attestation: ["00"], a: ["31471:x:y"], credit: ["01", "msat"], context: ["-1"], output: ["1.0"],
      engine: ["x"], relay: ["http://x"], price: ["input", "1", "1", "msat"], expiration: [""] };
    for (const [name, tag] of Object.entries(changes)) {
      const others = event.tags.filter((entry) => entry[0] !== name);
      assert.throws(() => readOffer({ ...event, tags: [...others, [name, ...tag]] }), RefusedError, `bad ${name}`);
      if (name !== "price") assert.throws(() => readOffer({ ...event, tags: others }), RefusedError, `no ${name}`);
      if (name !== "relay" && name !== "price") assert.throws(() => readOffer({ ...event, tags: [...event.tags, event.tags.find((entry) => entry[0] === name)] }), RefusedError, `${name} twice`);
    }
    assert.throws(() => readOffer({ ...event, tags: [...event.tags, event.tags.find(([name]) => name === "price")] }), RefusedError, "a price twice");
    assert.throws(() => readOffer({ ...event, kind: 31471 }), RefusedError);
  });

  it("is a frame only when every member is there and sound", () => {
    const hex = (bytes) => "ab".repeat(bytes);
    const good = {
      accept: { request: hex(16), session: hex(32), features: [], queue: 0, credit: 1 }, data: { text: "x" }, progress: { stage: "queued", position: 0 },
      ack: { upto: 1, missing: [[2, 3], [5, 5]], credit: 0 }, credit: { credit: 1 }, resume: { upto: 0, missing: [], credit: 0 }, checkpoint: { bytes: 1, hash: hex(32), input: 1, cached: 1, output: 1 },
      error: { code: "busy", retryable: true, retry_after_ms: 0, message: "", final: true }, cancel: { reason: "" },
    };
    const print = (t, members, n = 1) => JSON.stringify({ t, n, ...members });
    for (const [t, members] of Object.entries(good)) {
      assert.equal(parseFrame(print(t, { ...members, unknown: {} })).frame.t, t);
      for (const name of Object.keys(members)) {
        const { [name]: _, ...less } = members;
        assert.throws(() => parseFrame(print(t, less)), RefusedError, `${t} without ${name}`);
        for (const bad of [null, {}, -1, 1.5, [1], "\u0001ż"]) {
          if (t === "data" && typeof bad === "string") continue;
          if (t === "cancel" && typeof bad === "string") continue;
          assert.throws(() => parseFrame(print(t, { ...members, [name]: bad })), RefusedError, `${t} ${name} ${JSON.stringify(bad)}`);
        }
      }
    }
    for (const [t, change] of [["data", { base64: "" }], ["data", { status: 200 }], ["data", { status: 99, type: "" }], ["data", { status: 200, type: "ż" }], ["data", { text: "x".repeat(7169) }],
      ["ack", { missing: [[3, 2]] }], ["ack", { missing: [[2, 3], [3, 4]] }], ["ack", { missing: Array.from({ length: 33 }, (_, i) => [2 * i, 2 * i]) }], ["accept", { features: ["zstd"] }],
      ["error", { code: "toString" }], ["checkpoint", { cached: 2 }], ["accept", { record: event }]]) {
      assert.throws(() => parseFrame(print(t, { ...good[t], ...change })), RefusedError, `${t} ${JSON.stringify(change).slice(0, 80)}`);
    }
    for (const text of ["", "[]", "null", "{}", '{"t":"ack"}', '{"t":"constructor","n":1}', print("data", { base64: "QQ=" }), print("data", { base64: "QR==" }), '{"t":"data","n":1,"text":"\\ud800"}', print("ack", good.ack, 2 ** 53), print("data", { text: "" }).padEnd(10_241)]) {
      assert.throws(() => parseFrame(text), RefusedError, text.slice(0, 60));
    }
  });

  it("is JSON without a name that stands twice, and with plain integers only", () => {
    for (const text of ['{"a":1,"b":[{"a":1},{"a":1}],"c":{"a":"\\u0061,{\\\"a\\":"}}', "[]", ' [ 0 , 10 ,"1.5",null,true ] ', '{"":{"":0}}', '"x"', "[[[[[[[[1]]]]]]]]"]) {
      assert.deepEqual(parseStrictJson(text), JSON.parse(text), text);
    }
    for (const text of ['{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '[{"x":{"b":1,"c":[],"b":2}}]', "[1.0]", "[1e3]", "[-0]", "[-1]", "[1E1]", "", "[", "{]", "[01]", "[1]x", "[[[[[[[[[1]]]]]]]]]"]) {
      assert.equal(parseStrictJson(text), undefined, text);
    }
    assert.throws(() => parseFrame('{"t":"credit","n":1,"credit":1,"credit":2}'), RefusedError);
    assert.throws(() => parseFrame('{"t":"credit","n":1.0,"credit":1}'), RefusedError);
  });

  it("whatever it is, is refused by RefusedError and nothing else", () => {
    const seed = Number(process.env.NOSTRIL_SEED ?? Date.now() % 2 ** 31);
    let state = seed;
    const random = (n) => { state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff; return (state >> 8) % n; };
    const node = new FakeNode();
    const texts = [printFrame(1, { t: "data", head: { status: 200, type: "a" }, bytes: kBody }), JSON.stringify(node.offer), JSON.stringify(node.attestation),
      JSON.stringify(node.record({ request: "00".repeat(16), offer: zeros, attestation: zeros }, { body: kBody, response: kBody }))];
    const insertions = ["0", "-", "\"", "{", "}", "[", "]", ",", "null", "1e999", "\\u0000", "\\ud800", "__proto__"];
    for (let round = 0; round < 4_000; ++round) {
      let text = texts[round % texts.length];
      for (let edits = 1 + random(3); edits > 0; --edits) {
        const at = random(text.length);
        text = text.slice(0, at) + insertions[random(insertions.length)] + text.slice(at + random(3));
      }
      try {
        if (round % texts.length === 0) parseFrame(text);
        else {
          const value = readEvent(JSON.parse(text));
          if (value) (value.kind === 1471 ? readRecord : readOffer)(value);
        }
      } catch (error) {
        assert.ok(error instanceof RefusedError || error instanceof SyntaxError, `seed ${seed}, round ${round}: ${error.stack}`);
      }
    }
  });

  it("is a statement of sampling only as the body asked for it", () => {
    const body = '{"model":"m","top_p":0.5,"temperature":1,"seed":7,"min_p":null}';
    assert.ok(samplingSuits('{"seed":7,"temperature":1,"top_p":0.5}', body));
    for (const bad of [undefined, "", "[]", '{"seed":8,"temperature":1,"top_p":0.5}', '{"seed":7,"top_p":0.5,"temperature":1}', '{"seed":7,"temperature":1}', '{"seed":7,"temperature":1,"top_p":0.6}',
      '{"seed":7,"temperature":1,"top_p":0.5,"top_k":1}', '{"seed":-1}']) assert.ok(!samplingSuits(bad, body), bad);
    assert.ok(samplingSuits('{"seed":5}', '{"seed":null}') && samplingSuits('{"seed":5}', '{"seed":-3}') && !samplingSuits('{"seed":4294967295}', "{}"));
  });

  it("may state no more usage than the request can have had", () => {
    const offer = readOffer(event);
    assert.deepEqual(usageMax(offer, '{"max_tokens":10,"n_predict":0,"n":3,"best_of":200}', 5), { input: 4096, cached: 4096, output: 1280, milliseconds: 1005 });
    assert.equal(usageMax(offer, "x".repeat(5000), 0).input, 5000);
    assert.equal(usageMax({ ...offer, contextTokens: 0 }, "xx", 0).input, 8194);
    assert.equal(usageMax(offer, '{"max_tokens":"10"}', 0).output, 4096);
  });

  it("is held from its last line on, wherever the pieces are cut", () => {
    for (const last of ["data: [DONE]", "event: response.completed", "event: message_stop"]) {
      const text = Buffer.from(`data: [DON\nevent: response.c\ndata: {"x":"${last}"}\n\n\n${last}\n\n: more\n`);
      const end = text.lastIndexOf(last);
      for (let size = 1; size <= text.length; ++size) {
        const holder = new DoneHolder();
        const out = [];
        for (let at = 0; at < text.length; at += size) out.push(holder.feed(text.subarray(at, at + size)));
        assert.equal(Buffer.concat(out).toString(), text.subarray(0, end).toString(), `pieces of ${size}`);
        assert.equal(Buffer.from(holder.take()).toString(), text.subarray(end).toString());
      }
    }
  });
});

// ---- Sessions -----------------------------------------------------------------------------------

describe("a session with a node or relay that lies", () => {
  const request = { request: "cd".repeat(16), method: "POST", path: "/v1/chat/completions", headers: [], body: kBody, payment: { signer: getPublicKey(generateSecretKey()), salt: "00".repeat(16) } };
  const at = (ms) => ({ ms, unixS: now_s() });
  const notes_of = (session) => {
    const notes = [];
    for (let note = session.nextNote(); note; note = session.nextNote()) notes.push(note);
    return notes;
  };

  const node = new FakeNode();
  const made = accepted_offer(node);

  async function opened(changes = {}) {
    const session = new ClientSession(await made, { ...request, ...changes }, at(0));
    return { session, there: node.accept(session.takeEvents(at(0))[0]) };
  }

  async function running() {
    const all = await opened();
    all.session.onEvent(all.there.accept_event(), at(0));
    assert.equal(all.session.state, "open");
    notes_of(all.session);
    return all;
  }

  const end_of = ({ session }, type = "failed") => notes_of(session).findLast((note) => note.type === type);
  const data = (text, head) => ({ t: "data", head: head ? { status: 200, type: "x" } : undefined, bytes: utf8ToBytes(text) });

  it("does not take an accept that a relay wrapped under its own key, and takes the true one after it", async () => {
    const { session, there } = await opened();
    session.onEvent(there.accept_event({}, generateSecretKey()), at(1));
    assert.equal(session.state, "opening");
    session.onEvent({ ...there.accept_event(), content: "nonsense" }, at(1));
    assert.equal(session.state, "opening");
    session.onEvent(there.accept_event(), at(1));
    assert.equal(session.state, "open");
  });

  it("fails when the accept is for another request, or nonsense under the right key", async () => {
    for (const spoil of [(there) => there.accept_event({ request: "00".repeat(16) }), (there) => there.handshake_event("{}"), (there) => there.handshake_event(data("x", true))]) {
      const all = await opened();
      all.session.onEvent(spoil(all.there), at(1));
      assert.equal(end_of(all).failure, "bad-handshake");
    }
  });

  it("repeats its first frame, sealed anew, and gives up in time", async () => {
    const { session } = await opened();
    const ids = new Set();
    for (let ms = 1000; ms < 10_000; ms += 1000) {
      session.onTimer(at(ms));
      const events = session.takeEvents(at(ms));
      assert.equal(events.length, 1);
      ids.add(events[0].id);
    }
    assert.equal(ids.size, 9);
    session.onTimer(at(10_000));
    assert.equal(end_of({ session }).failure, "accept-timeout");
  });

  it("gives up when the node falls silent", async () => {
    const all = await running();
    all.session.onTimer(at(29_999));
    assert.equal(all.session.state, "open");
    all.session.onTimer(at(30_000));
    assert.equal(end_of(all).failure, "node-silent");
  });

  it("ignores frames of strangers", async () => {
    const { session, there } = await running();
    const stranger = generateSecretKey();
    const genuine = there.frame_event(1, data("x", true));
    session.onEvent(finalizeEvent({ ...genuine, tags: genuine.tags, pubkey: undefined }, stranger), at(1));
    session.onEvent({ ...genuine, tags: [["p", zeros]] }, at(1));
    session.onEvent({ ...genuine, tags: [...genuine.tags, ...genuine.tags] }, at(1));
    session.onEvent({ ...genuine, content: genuine.content.slice(0, -4) + "AAAA" }, at(1));
    assert.deepEqual(notes_of(session), []);
    session.onEvent(genuine, at(1));
    session.onEvent(genuine, at(2));
    assert.deepEqual(notes_of(session).map(({ type }) => type), ["head", "data"], "once, though it came twice");
  });

  it("fails on frames that may not stand there", async () => {
    for (const frames of [[data("x", false)], [data("x", true), data("y", true)], [{ t: "open", request: request.request, offer: zeros, attestation: zeros, method: "POST", path: "/", headers: [], bodyBytes: 0, body: new Uint8Array(), durable: false, credit: 0 }],
      [{ t: "cancel", reason: "" }]]) {
      const all = await running();
      frames.forEach((frame, index) => all.session.onEvent(all.there.unsigned_frame(index + 1, frame), at(1)));
      assert.equal(end_of(all).failure, "protocol", frames.at(-1).t);
    }
    const all = await running();
    all.session.onEvent(all.there.seal_text('{"t":"data"}'), at(1));
    assert.equal(end_of(all).failure, "protocol");
  });

  it("fails when the node sends more than its credit", async () => {
    const all = await running();
    const piece = data("x".repeat(7000), false);
    for (let n = 1; n <= 38; ++n) all.session.onEvent(all.there.unsigned_frame(n, n === 1 ? { ...piece, head: { status: 200, type: "" } } : piece), at(1));
    const notes = notes_of(all.session);
    assert.equal(notes.at(-1).failure, "protocol");
    assert.ok(notes.filter(({ type }) => type === "data").reduce((sum, { bytes }) => sum + bytes.length, 0) <= 262_144);
  });

  it("asks for what is missing, and hands on nothing out of order", async () => {
    const { session, there } = await running();
    for (const n of [3, 5, 6, 300]) session.onEvent(there.unsigned_frame(n, data(`${n}`, false)), at(10));
    assert.deepEqual(notes_of(session), []);
    session.onTimer(at(100));
    const ack = session.takeEvents(at(100)).map(({ content }) => there.opener.open(content).frame).findLast(({ t }) => t === "ack");
    assert.deepEqual(ack.missing, [[1, 2], [4, 4], [7, 300]]);
  });

  it("fails on a checkpoint of other bytes, and goes on with a right one", async () => {
    const { createHash } = await import("node:crypto");
    const hash = createHash("sha256").update("x").digest("hex");
    for (const [change, good] of [[{}, true], [{ hash: zeros }, false], [{ bytes: 2 }, false]]) {
      const all = await running();
      all.session.onEvent(all.there.unsigned_frame(1, data("x", true)), at(1));
      all.session.onEvent(all.there.unsigned_frame(2, { t: "checkpoint", bytes: 1, hash, input: 1, cached: 0, output: 1, ...change }), at(1));
      assert.equal(end_of(all)?.failure, good ? undefined : "bad-record");
    }
  });

  it("believes no record but the node's own, of this request and these bytes", async () => {
    const response = utf8ToBytes("x");
    const right = { body: kBody, response };
    const cases = { right: [right, "end"], author: [{ ...right, secret: generateSecretKey() }, "end"], body: [{ ...right, body: utf8ToBytes("y") }, "end"], response: [{ ...right, response: utf8ToBytes("y") }, "end"],
      request: [{ ...right, changes: { request: ["00".repeat(16)] } }, "end"], offer: [{ ...right, changes: { offer: [zeros] } }, "end"], attestation: [{ ...right, changes: { attestation: [zeros] } }, "end"],
      model: [{ ...right, changes: { model: ["better"] } }, "end"], weights: [{ ...right, changes: { weights: [zeros] } }, "end"], partial: [{ ...right, status: "partial" }, "end"], ended: [right, "need-receipt"],
      twice: [{ ...right, changes: { usage: ["1", "2", "1", "1"] } }, "end"], version: [{ ...right, changes: { v: ["2"] } }, "end"], money: [{ ...right, changes: { spent: ["0", "1"] } }, "end"] };
    for (const [name, [options, t]] of Object.entries(cases)) {
      const all = await running();
      all.session.onEvent(all.there.unsigned_frame(1, data("x", true)), at(1));
      all.session.onEvent(all.there.unsigned_frame(2, { t, record: all.there.record(options) }), at(1));
      const last = notes_of(all.session).at(-1);
      assert.equal(last.type === "failed" ? last.failure : last.type, name === "right" ? "ended" : "bad-record", name);
    }
    const all = await running();
    all.session.onEvent(all.there.unsigned_frame(1, data("x", true)), at(1));
    const record = all.there.record(right);
    all.session.onEvent(all.there.unsigned_frame(2, { t: "end", record: { ...record, sig: record.sig.replace(/^./, (c) => (c === "0" ? "1" : "0")) } }), at(1));
    assert.equal(end_of(all).failure, "bad-record", "signature");
  });

  it("can be cancelled before and after the accept, and holds its body when asked to", async () => {
    const { session, there } = await opened({ holdBody: true });
    assert.equal(there.open.body.length, 0);
    assert.equal(there.open.bodyBytes, kBody.length);
    session.onEvent(there.accept_event(), at(1));
    const sent = session.takeEvents(at(1)).map(({ content }) => there.opener.open(content).frame);
    assert.deepEqual(Buffer.from(sent.find(({ t }) => t === "data").bytes), Buffer.from(kBody));

    const early = await opened();
    early.session.cancel("no\nmore", at(0));
    early.session.onEvent(early.there.accept_event(), at(1));
    const frames = early.session.takeEvents(at(1)).map(({ content }) => early.there.opener.open(content).frame);
    assert.deepEqual(frames.map(({ t }) => t), ["cancel"]);
  });

  it("keeps working over three generations of keys", async () => {
    const { session, there } = await running();
    let bytes = 0;
    for (let n = 1; n <= 2100; ++n) {
      session.onEvent(there.unsigned_frame(n, data("x", n === 1)), at(n));
      session.takeEvents(at(n));
      bytes += notes_of(session).filter(({ type }) => type === "data").length;
    }
    assert.equal(bytes, 2100);
  });
});

// ---- Relays, money ------------------------------------------------------------------------------

/** A FakeNode behind a FakeRelay: `answer(there)` gives the frames, sent in order, and gets what the client sends later. */
async function world({ answer, rules = {}, node = new FakeNode(), relay_count = 1, client = {} } = {}) {
  const sessions = new Map();
  const received = [];
  const on_event = (event, relay) => {
    if (event.kind !== 21472) return false;
    const to = event.tags[0][1];
    if (to === node.N_public) {
      if (sessions.has(event.pubkey)) return true;
      const there = node.accept(event);
      sessions.set(event.pubkey, there);
      const frames = answer?.(there) ?? [];
      relay.pass(there.accept_event(there.accept_changes));
      frames.forEach((frame, index) => relay.pass(there.frame_event(index + 1, frame)));
      return true;
    }
    const there = sessions.get(event.pubkey);
    const opened = there?.opener.open(event.content);
    if (opened) {
      received.push(opened.frame);
      there.on_frame?.(opened.frame, relay);
    }
    return there !== undefined;
  };
  const relays = [];
  for (let count = 0; count < relay_count; ++count) {
    const relay = await FakeRelay.start({ on_event, ...rules });
    relay.stored.push(node.offer, node.attestation);
    relays.push(relay);
    stops.push(() => relay.close());
  }
  const nostril = await Nostril.open({ relays: relays.map(({ url }) => url), WebSocket, verifier: accepting, onWarning() {}, ...client });
  stops.push(() => nostril.close());
  return { relays, relay: relays[0], nostril, node, received, sessions };
}

const whole = (text = "answer", options = {}) => (there) => [
  { t: "data", head: { status: 200, type: "application/json" }, bytes: utf8ToBytes(text) },
  { t: "end", record: there.record({ body: kBody, response: utf8ToBytes(text), ...options }) }];
/** Acknowledges all numbered frames, so that nothing lingers. */
const acknowledging = (answer) => (there) => {
  let upto = 0;
  const frames = answer(there);
  there.on_frame = (frame, relay) => {
    if (!["data", "cancel", "receipt"].includes(frame.t)) return;
    upto += 1;
    relay.pass(there.frame_event(frames.length, { t: "ack", upto, missing: [], credit: 1e6 }));
  };
  return frames;
};
const ask = (nostril, model = "fake-model") => within(kMs, "an end", nostril.ask({ path: "/v1/chat/completions", model, body: kBody }).ended);

describe("relays and money", { timeout: 60_000, concurrency: 4 }, () => {
  it("a frame leaves only after EOSE of its subscription, and the answer is paid", async () => {
    const { nostril, relay, received } = await world({ answer: acknowledging(whole()) });
    const result = await ask(nostril);
    assert.ok(isVerified(result), result.detail);
    const request = relay.seen.findIndex(([command, , filter]) => command === "REQ" && filter.kinds?.[0] === 21472);
    const first = relay.seen.findIndex(([command]) => command === "EVENT");
    assert.ok(request >= 0 && request < first);
    assert.equal(received.find(({ t }) => t === "receipt").receipt.id, result.receipt.id);
    assert.ok(!JSON.stringify(relay.seen).includes("fake-model\\"), "no word of the request is seen");
  });

  it("sends no byte of the request before the accept when asked to", async () => {
    const lengths = [];
    const answer = (there) => { lengths.push(there.open.body.length); return acknowledging(whole())(there); };
    for (const holdBody of [true, undefined]) assert.ok(isVerified(await ask((await world({ answer, client: { holdBody } })).nostril)));
    assert.deepEqual(lengths, [0, kBody.length]);
  });

  it("a relay that never sends EOSE gets no frame", async () => {
    const rules = { on_message: ([command, , filter]) => command === "REQ" && filter.kinds?.[0] === 21472 };
    const { nostril, relay } = await world({ answer: whole(), rules });
    const running = nostril.ask({ path: "/", model: "fake-model", body: kBody });
    await until(kMs, "the subscription", () => relay.seen.some(([command, , filter]) => command === "REQ" && filter.kinds?.[0] === 21472));
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(!relay.seen.some(([command]) => command === "EVENT"));
    running.drop();
  });

  it("mute: from all relays ends it soon, as does a refusal; each says so", async () => {
    await Promise.all([[false, "mute: nobody", "nobody-listens"], [true, "mute: nobody", "nobody-listens"], [false, "blocked: no", "not-taken"]].map(async ([accepted, text, failure]) => {
      const rules = { on_message: ([command, event], send) => command === "EVENT" && (send("OK", event.id, accepted, text), true) };
      const { nostril } = await world({ rules });
      const result = await ask(nostril);
      assert.equal(result.failure, failure);
      assert.match(result.detail, new RegExp(text));
    }));
  });

  it("finds the node on a relay that its offer names when its own does not know it", async () => {
    const named = await FakeRelay.start();
    stops.push(() => named.close());
    const { relay, nostril } = await world({ node: new FakeNode({ relays: [named.url] }), answer: acknowledging(whole()) });
    named.rules.on_event = relay.rules.on_event;
    relay.rules.on_event = () => false;
    const result = await ask(nostril);
    assert.ok(isVerified(result), result.detail);
  });

  it("goes on over a relay that the offer names when its own is gone in the middle of the answer", async () => {
    const named = await FakeRelay.start();
    stops.push(() => named.close());
    let gone;
    const { relay, nostril } = await world({ node: new FakeNode({ relays: [named.url] }), answer: (there) => {
      const frames = whole()(there);
      there.on_frame = (frame, over) => {
        if (frame.t === "resume") over.pass(there.frame_event(2, frames[1]));
        if (frame.t === "receipt") over.pass(there.frame_event(2, { t: "ack", upto: 1, missing: [], credit: 0 }));
      };
      setTimeout(() => { gone = relay.close(); }, 50);
      return [frames[0]];
    } });
    named.rules.on_event = relay.rules.on_event;
    const result = await ask(nostril);
    assert.ok(isVerified(result), result.detail);
    assert.ok(named.seen.some(([command]) => command === "EVENT"));
    await gone;
  });

  it("answers NIP-42 with a key of its own, and only when asked", async () => {
    const authors = [];
    const known = new Set();
    const rules = {
      on_open: (send) => send("AUTH", "challenge-1"),
      on_message: ([command, value], send) => {
        if (command === "AUTH") {
          assert.ok(value.kind === 22242 && value.tags.some(([name, text]) => name === "challenge" && text === "challenge-1"));
          authors.push(value.pubkey);
          known.add(value.pubkey);
          send("OK", value.id, true, "");
          return true;
        }
        if (known.size > 0) return false;
        if (command === "REQ") { send("CLOSED", value, "auth-required: who are you"); return true; }
        return false;
      },
    };
    const { nostril } = await world({ answer: acknowledging(whole()), rules });
    assert.ok(isVerified(await ask(nostril)));
    assert.equal(authors.length, 1);
    assert.notEqual(authors[0], nostril.wallet.signer);
  });

  it("finds its way when the relay drops it in the middle of an answer", async () => {
    let frames;
    const { nostril, relay, received } = await world({ answer: (there) => {
      frames = whole()(there);
      there.on_frame = (frame, back) => {
        if (frame.t === "resume") back.pass(there.frame_event(2, frames[1]));
        if (frame.t === "receipt") back.pass(there.frame_event(2, { t: "ack", upto: 1, missing: [], credit: 0 }));
      };
      setTimeout(() => relay.drop_connections(), 50);
      return [frames[0]];
    } });
    const result = await ask(nostril);
    assert.ok(isVerified(result), result.detail);
    assert.ok(received.some(({ t }) => t === "resume"));
  });

  it("one answer though two relays carry everything, and rubbish besides", async () => {
    const rules = { on_message: ([command, name], send) => {
      if (command === "REQ") for (const rubbish of [["EVENT", name, null], ["EVENT", name, { id: 1 }], ["EVENT"], ["OK"], [], {}, ["EOSE", "s999"], ["NOTICE", "x".repeat(10_000)], ["EVENT", "s1", new FakeNode().record({ request: "00".repeat(16), offer: zeros, attestation: zeros }, { body: kBody, response: kBody })]]) send(...[rubbish].flat());
      return false;
    } };
    const { nostril } = await world({ answer: acknowledging(whole()), relay_count: 2, rules });
    const pieces = [];
    const running = nostril.ask({ path: "/", model: "fake-model", body: kBody }, { onData: (bytes) => pieces.push(bytes) });
    assert.ok(isVerified(await within(kMs, "an end", running.ended)));
    assert.equal(Buffer.concat(pieces).toString(), "answer");
  });

  it("pays nothing for a record whose price, usage or number is wrong", async () => {
    for (const [options, why] of [
      [{ changes: { cost: ["999", "msat"], spent: ["999", "0"] } }, /usage times price/], [{ usage: { input: 10, cached: 0, output: 101, milliseconds: 0 } }, /more was stated/],
      [{ usage: { input: 1, cached: 0, output: 1, milliseconds: 60_000 } }, /more was stated/], [{ changes: { channel: [zeros, "1"] } }, /another channel/], [{ changes: { cost: ["14", "usd"] } }, /another asset/],
    ]) {
      const { nostril, received } = await world({ answer: acknowledging(whole("answer", options)) });
      const result = await ask(nostril);
      assert.equal(result.failure, "not-payable");
      assert.match(result.detail, why);
      assert.ok(!received.some(({ t }) => t === "receipt"));
      assert.deepEqual(await nostril.wallet.receipts(), []);
    }
  });

  it("pays nothing above its budget", async () => {
    const { nostril } = await world({ answer: acknowledging(whole()), client: { budget: 13n } });
    const result = await ask(nostril);
    assert.equal(result.failure, "not-payable");
    assert.match(result.detail, /budget/);
  });

  it("pays nothing that it could not store or sign first", async () => {
    class FullDisk extends MemoryStorage {
      async put(rows) {
        if (rows.some(([key]) => key.startsWith("receipt/"))) throw new Error("the disk is full");
        return super.put(rows);
      }
    }
    const signer = new SecretKeySigner();
    const other = new SecretKeySigner();
    const liar = { publicKey: signer.publicKey, sign: (draft) => other.sign(draft) };
    for (const client of [{ storage: new FullDisk() }, { signer: liar }]) {
      const { nostril, received } = await world({ answer: acknowledging(whole()), client });
      const result = await ask(nostril);
      assert.equal(result.failure, "storage", result.detail);
      assert.ok(!received.some(({ t }) => t === "receipt"));
    }
  });

  it("a record that comes before the one it names waits for that of the other answer", async () => {
    const offer = readOffer(new FakeNode().offer);
    const node = new FakeNode();
    const own = readOffer(node.offer);
    const wallet = await Wallet.open(new MemoryStorage(), 1000n);
    const tickets = [await wallet.open(own), await wallet.open(own)];
    assert.equal(tickets[0].channel, tickets[1].channel);
    const open = (request) => ({ request, offer: own.id, attestation: own.attestation, payment: tickets[0] });
    const usage = { input: 10, cached: 0, output: 20, milliseconds: 5 };
    const first = readRecord(node.record(open("01".repeat(16)), { body: kBody, response: kBody, usage }));
    const second = readRecord(node.record(open("02".repeat(16)), { body: kBody, response: kBody, usage, n: 2, before: charge(own.prices, usage), previous: first.id }));
    const expected = (record) => ({ offer: own.id, request: record.request, requestHash: record.requestHash, responseHash: record.responseHash, limit: usage });
    const paid = [];
    const pay = (ticket, record) => wallet.pay(ticket, own, record, expected(record)).then((receipt) => { paid.push(record.n); return receipt; });
    const early = pay(tickets[1], second);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(paid, []);
    const receipts = [await pay(tickets[0], first), await early];
    assert.deepEqual(paid, [1, 2]);
    assert.deepEqual((await wallet.receipts()).map(({ id }) => id), receipts.map(({ id }) => id));
    await wallet.close(tickets[0], true);
    await wallet.close(tickets[1], true);
    await assert.rejects(wallet.pay(tickets[0], offer, first, expected(first)), /another channel/);
  });

  it("a promise of sampling is held to", async () => {
    const { nostril } = await world({ answer: acknowledging(whole()), node: new FakeNode({ features: ["seed"] }) });
    const result = await ask(nostril);
    assert.equal(result.failure, "not-payable");
    assert.match(result.detail, /sampling/);
  });

  it("adopts its own newer receipt from the node, and no forged one", async () => {
    for (const forged of [0n, 1n]) {
      const secret = generateSecretKey();
      const node = new FakeNode();
      const before = { input: 100, cached: 0, output: 50, milliseconds: 0 };
      const answer = acknowledging((there) => {
        const record = there.record({ body: kBody, response: kBody, usage: before });
        const paid = readRecord(record);
        const tags = [["d", paid.channel], ["amount", `${paid.spent + forged}`], ["x", nextRunningHash(zeros, paid)]];
        const receipt = signed({ kind: 1472, created_at: now_s(), content: "", tags }, secret);
        there.accept_changes = { resync: { record, receipt, previous: zeros } };
        return whole("answer", { n: 2, before: charge({ input: 150_000n, output: 600_000n }, before), previous: record.id })(there);
      });
      const { nostril } = await world({ node, answer, client: { signer: new SecretKeySigner(secret) } });
      const result = await ask(nostril);
      assert.equal(result.failure, forged ? "not-payable" : undefined, result.detail);
    }
  });

  it("falls over to the other node before the first byte, under the same request id, and not after it", async () => {
    const silent = new FakeNode({ prices: { input: "1", output: "1" } });
    const { nostril, relay, sessions, node } = await world({ answer: acknowledging(whole()) });
    relay.stored.push(silent.offer, silent.attestation);
    relay.pass(silent.offer);
    relay.pass(silent.attestation);
    await until(kMs, "both offers", () => nostril.offers.length === 2);
    const chosen = [];
    const running = nostril.ask({ path: "/", model: "fake-model", body: kBody }, { onOffer: ({ offer }) => chosen.push(offer.node) });
    assert.ok(isVerified(await within(kMs, "an end", running.ended)));
    assert.deepEqual(chosen, [silent.public, node.public], "the cheaper one first, then the one that listens");
    assert.equal(sessions.size, 1);
  });

  it("an abort is heard at once though the node does not answer it", async () => {
    const { nostril, received } = await world({ answer: (there) => whole()(there).slice(0, 1) });
    const fetch = nostrilFetch(nostril);
    for (const stream of [true, false]) {
      const controller = new AbortController();
      const asked = fetch("http://x/v1/chat/completions", { method: "POST", body: JSON.stringify({ model: "fake-model", stream }), signal: controller.signal });
      const seen = received.length;
      const whole_text = asked.then((response) => response.text());
      whole_text.catch(() => {});
      await until(kMs, "a session", () => received.length > seen);
      controller.abort();
      await within(2_000, "the abort", assert.rejects(whole_text, { name: "AbortError" }));
      await until(kMs, "the cancel", () => received.some(({ t }) => t === "cancel"));
    }
  });

  it("an answer with a wrong record is no answer to an application", async () => {
    const sse = "data: {}\n\ndata: [DONE]\n\n";
    const wrong = { changes: { "response-hash": [zeros] } };
    const { nostril } = await world({ answer: acknowledging(whole(sse, wrong)) });
    const fetch = nostrilFetch(nostril);
    for (const stream of [true, false]) {
      const response = await fetch("http://anywhere/v1/chat/completions", { method: "POST", body: JSON.stringify({ model: "fake-model", stream }) });
      const text = await response.text();
      assert.doesNotMatch(text, /\[DONE\]/);
      assert.match(text, /"error":/);
      assert.equal(response.status, stream ? 200 : 424);
    }
    for (const [url, init, status] of [["http://x/v1/models", {}, 200], ["http://x/v1/other", {}, 404], ["http://x/v1/chat/completions", { method: "POST", body: "x" }, 400], ["http://x/v1/chat/completions", { method: "DELETE" }, 400]]) {
      assert.equal((await fetch(url, init)).status, status, url);
    }
    await assert.rejects(fetch("http://x/v1/models", { signal: AbortSignal.abort() }), { name: "AbortError" });
  });
});

// ---- Keys, disks --------------------------------------------------------------------------------

describe("keys and disks", () => {
  it("no key is shown by a log, an inspector or JSON", async () => {
    const secret = generateSecretKey();
    const { nostril } = await world({ answer: acknowledging(whole()), client: { signer: new SecretKeySigner(secret) } });
    const running = nostril.ask({ path: "/", model: "fake-model", body: kBody });
    const node = new FakeNode();
    const now = { ms: 0, unixS: now_s() };
    const session = new ClientSession(await accepted_offer(node), { request: "00".repeat(16), method: "POST", path: "/", headers: [], body: kBody }, now);
    const there = node.accept(session.takeEvents(now)[0]);
    session.onEvent(there.accept_event(), now);
    await running.ended;
    const shown = [nostril, running, session, new SecretKeySigner(secret)].map((value) => inspect(value, { depth: 20, showHidden: true, maxArrayLength: null, maxStringLength: null }) + JSON.stringify(value)).join();
    assert.ok(!shown.includes(Buffer.from(secret).toString("hex")));
    assert.doesNotMatch(shown, /Uint8Array|#secret|#k0|Buffer/, "no bytes of any key");
  });

  it("a wiped session opens and seals nothing", async () => {
    const node = new FakeNode();
    const now = { ms: 0, unixS: now_s() };
    const session = new ClientSession(await accepted_offer(node), { request: "00".repeat(16), method: "POST", path: "/", headers: [], body: kBody }, now);
    const there = node.accept(session.takeEvents(now)[0]);
    session.onEvent(there.accept_event(), now);
    session.wipe();
    session.onEvent(there.frame_event(1, { t: "data", head: { status: 200, type: "" }, bytes: kBody }), now);
    session.onTimer({ ...now, ms: 1e6 });
    assert.deepEqual(session.takeEvents(now), []);
    while (session.nextNote()) assert.ok(true);
    assert.equal(session.nextTimerMs, Infinity);
  });

  it("rows survive a torn line, and are nobody else's to read or write", async () => {
    const at = path.join(folder, "store");
    const first = new FileStorage(at);
    await first.put([["a/1", "1"], ["a/2", "2"]]);
    await first.put([["a/1", "3"]]);
    const second = new FileStorage(at);
    assert.equal(await first.exclusive(), true);
    assert.equal(await second.exclusive(), false);
    await second.close();
    await first.close();
    fs.appendFileSync(path.join(at, "rows.jsonl"), '[["a/2","to');
    const third = new FileStorage(at);
    assert.equal(await third.exclusive(), true);
    assert.deepEqual(await third.list("a/"), [["a/1", "3"], ["a/2", "2"]]);
    await third.put([["b", "4"]]);
    await third.close();
    const fourth = new FileStorage(at);
    assert.deepEqual(await fourth.list("b"), [["b", "4"]]);
    await fourth.close();
    assert.equal(fs.statSync(at).mode & 0o777, 0o700);
    for (const file of fs.readdirSync(at)) assert.equal(fs.statSync(path.join(at, file)).mode & 0o077, 0, file);
  });

  it("the lock of a process that was killed is taken over", async () => {
    const at = path.join(folder, "killed");
    const script = `import { FileStorage } from ${JSON.stringify(new URL("../../client/js/dist/node.js", import.meta.url).href)};
      const storage = new FileStorage(${JSON.stringify(at)}); await storage.put([["a", "1"]]); process.kill(process.pid, "SIGKILL");`;
    assert.equal(spawnSync(process.execPath, ["--input-type=module", "-e", script], { timeout: kMs }).signal, "SIGKILL");
    const storage = new FileStorage(at);
    assert.equal(await storage.exclusive(), true);
    assert.deepEqual(await storage.list("a"), [["a", "1"]]);
    await storage.close();
  });

  it("a channel of which an answer did not end is left after a restart, and counts for the budget", async () => {
    const storage = new MemoryStorage();
    const offer = readOffer(new FakeNode().offer);
    const wallet = await Wallet.open(storage, 100n);
    const kept = await wallet.open(offer);
    assert.notEqual((await (await Wallet.open(storage, 100n)).open(offer)).channel, kept.channel, "open: left");
    await wallet.close(kept, true);
    assert.equal((await (await Wallet.open(storage, 100n)).open(offer)).channel, kept.channel, "settled: goes on");
    class Shared extends MemoryStorage { async exclusive() { return false; } }
    const shared = new Shared();
    const tab = await Wallet.open(shared, 100n);
    const own = await tab.open(offer);
    await tab.close(own, true);
    const later = new MemoryStorage();
    await later.put(await shared.list(""));
    assert.notEqual((await (await Wallet.open(later, 100n)).open(offer)).channel, own.channel, "of a tab that shared the storage: left");
  });

  it("a pool refuses what is no relay's URL, and publishes to nobody without a word", async () => {
    for (const urls of [[], ["http://x"], ["wss://user:pw@x"], ["x"], Array.from({ length: 17 }, (_, i) => `ws://127.0.0.1:1/${i}`)]) assert.throws(() => new RelayPool(urls, { WebSocket }));
    const pool = new RelayPool(["ws://127.0.0.1:1"], { WebSocket });
    const published = pool.publish(new FakeNode().offer);
    pool.close();
    assert.equal((await published).accepted, false);
  });
});
