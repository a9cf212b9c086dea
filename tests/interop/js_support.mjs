// For the tests of client/js: a node in a few lines, by the same spec, that can be told to lie; and a relay in memory that can
// be told to fail. Both use the package's frames and keys and nostr-tools' events.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import * as nip44 from "nostr-tools/nip44";
import { WebSocketServer } from "ws";
import { charge, channelId, spentOf } from "../../client/js/dist/channel.js";
import { printFrame, parseFrame } from "../../client/js/dist/frames.js";
import { conversationKey, FrameOpener, FrameSealer, sessionKeys } from "../../client/js/dist/keys.js";
import { expectedStatementDigest, readAttestation, readOffer } from "../../client/js/dist/offer.js";
import { verifyOffer } from "../../client/js/dist/verdict.js";

export const sha256_hex = (bytes) => createHash("sha256").update(bytes).digest("hex");
export const now_s = () => Math.floor(Date.now() / 1000);
/** A plain event, without nostr-tools' mark that it was verified. */
export function signed(draft, secret) {
  const { id, pubkey, created_at, kind, tags, content, sig } = finalizeEvent(draft, secret);
  return { id, pubkey, created_at, kind, tags, content, sig };
}
const zeros = "00".repeat(32);

/** Copies tags with some replaced, or taken away by undefined. */
const with_tags = (tags, changes) => tags.filter(([name]) => !(name in changes)).concat(Object.entries(changes).filter(([, tag]) => tag).map(([name, tag]) => [name, ...tag]));

export class FakeNode {
  constructor({ model = "fake-model", prices = { input: "150000", output: "600000" }, features = [], relays = ["ws://127.0.0.1:1"] } = {}) {
    Object.assign(this, { model, prices, features, relays, secret: generateSecretKey(), N: generateSecretKey() });
    this.public = getPublicKey(this.secret);
    this.N_public = getPublicKey(this.N);
    this.publish_evidence();
  }

  /** Signed by the node. `changes`: tags by name. */
  event(kind, tags, content = "", changes = {}) {
    return signed({ kind, created_at: now_s(), tags: with_tags(tags, changes), content }, this.secret);
  }

  /** Makes attestation and offer; `evidence` is any text: the tests' verifiers judge it. */
  publish_evidence({ evidence = "evidence", offer_changes = {}, attestation_changes = {} } = {}) {
    const ends = `${now_s() + 3000}`;
    const key = [this.N_public, ends];
    const skeleton = { d: [zeros], v: ["1"], T: ["simulated"], key, tls: [zeros], gpu: [zeros], weights: [zeros], nonce: [sha256_hex("nonce")], expiration: [ends] };
    const as_tags = (object) => Object.entries(object).map(([name, values]) => [name, ...values]);
    const unsigned_offer = (digest) => [
      ["d", `${this.model}@default`], ["v", "1"], ["M", this.model], ["T", "simulated"], ["key", ...key], ["attestation", digest],
      ["a", `31471:${this.public}:${digest}`], ["credit", "1000000", "msat"], ["context", "4096"], ["output", "4096"], ["engine", "fake", "1"],
      ["expiration", ends], ...this.relays.map((url) => ["relay", url]), ...this.features.map((name) => ["feature", name]),
      ...Object.entries(this.prices).map(([unit, amount]) => ["price", unit, amount, ["input", "output", "cached"].includes(unit) ? "1000000" : "1", "msat"])];
    const draft = { offer: readOffer(this.event(31470, unsigned_offer(zeros))), attestation: readAttestation(this.event(31471, as_tags(skeleton), evidence)) };
    const digest = expectedStatementDigest(draft.offer, draft.attestation);
    this.offer = this.event(31470, unsigned_offer(digest), "", offer_changes);
    this.attestation = this.event(31471, as_tags({ ...skeleton, d: [digest] }), evidence, attestation_changes);
    return this;
  }

  /** The node's end of the session that `first` opens. */
  accept(first) {
    const k0 = conversationKey(this.N, first.pubkey);
    const { frame: open } = parseFrame(nip44.decrypt(first.content, k0));
    const s = generateSecretKey();
    const s_public = getPublicKey(s);
    const derived = sessionKeys(k0, conversationKey(s, first.pubkey),
      { offer: open.offer, attestation: open.attestation, client: first.pubkey, encryption: this.N_public, node: s_public, request: open.request });
    const sealer = new FrameSealer(derived.nodeToClient);
    const to_client = (content, secret = s) => signed({ kind: 21472, created_at: now_s(), tags: [["p", first.pubkey]], content }, secret);
    const accept = { t: "accept", request: open.request, session: s_public, queue: 0, credit: 262144 };
    return {
      open, s, client: first.pubkey, opener: new FrameOpener(derived.clientToNode),
      seal_text: (text) => to_client(nip44.encrypt(text, derived.nodeToClient)),
      handshake_event: (frame, secret) => to_client(nip44.encrypt(typeof frame === "string" ? frame : printFrame(0, frame), k0), secret),
      accept_event: (changes = {}, secret = undefined) => to_client(nip44.encrypt(printFrame(0, { ...accept, ...changes }), k0), secret),
      frame_event: (n, frame) => to_client(sealer.seal(n, frame)),
      /** As good to a client that trusts the sealing, and some milliseconds cheaper. */
      unsigned_frame: (n, frame) => ({ id: "", sig: "", pubkey: s_public, created_at: now_s(), kind: 21472, tags: [["p", first.pubkey]], content: sealer.seal(n, frame) }),
      record: (options) => this.record(open, options),
    };
  }

  /** A right record of the channel's first statement; `changes` makes it another one. */
  record(open, { body, response, usage = { input: 10, cached: 0, output: 20, milliseconds: 5 }, n = 1, before = 0n, previous, status = "ok", changes = {}, secret = this.secret }) {
    const prices = Object.fromEntries(Object.entries(this.prices).map(([unit, amount]) => [unit, BigInt(amount)]));
    const micro = before + charge(prices, usage);
    const cost = spentOf(micro) - spentOf(before);
    const channel = open.payment ? channelId({ ...open.payment, node: this.public, asset: "msat" }) : zeros;
    const tags = [["v", "1"], ["request", open.request], ["request-hash", sha256_hex(body)], ["response-hash", sha256_hex(response)], ["offer", open.offer],
      ["attestation", open.attestation], ["model", this.model], ["engine", "fake", "1"],
      ["usage", ...[usage.input, usage.cached, usage.output, usage.milliseconds].map(String)], ["channel", channel, `${n}`], ...(previous ? [["previous", previous]] : []),
      ["cost", `${cost}`, "msat"], ["spent", `${spentOf(micro)}`, `${micro % 1000000n}`], ["status", status, "stop"], ["time", "1", "2", "3"]];
    return signed({ kind: 1471, created_at: now_s(), content: "", tags: with_tags(tags, changes) }, secret);
  }
}

/** A verdict that accepts exactly this, as a verifier would give it. */
export const verdict_on = (offer, attestation, changes = {}) => ({
  accepted: true, simulated: false, level: "declared", holdsUntil: now_s() + 3600, offer: offer.id, statement: offer.attestation,
  evidence: attestation.evidenceDigest, summary: "test", ...changes,
});
export const accepting = { verify: async (offer, attestation) => verdict_on(offer, attestation) };

/** The VerifiedOffer of a FakeNode's events, or of a changed verdict, or a refusal. */
export function accepted_offer(node, { changes = {}, options = {}, verifier } = {}) {
  const offer = readOffer(node.offer);
  const judge = verifier ?? { verify: async (...pair) => verdict_on(...pair, changes) };
  return verifyOffer(offer, readAttestation(node.attestation), judge, options, now_s);
}

/** A relay in memory: stores what `store()` gets, passes the rest to who asks for it. `rules` may answer in its place. */
export class FakeRelay {
  stored = [];
  seen = [];
  #subscriptions = new Map();

  static async start(rules = {}) {
    const relay = new FakeRelay();
    relay.rules = rules;
    relay.server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(relay.server, "listening");
    relay.url = `ws://127.0.0.1:${relay.server.address().port}`;
    relay.server.on("connection", (socket) => {
      relay.#subscriptions.set(socket, new Map());
      const send = (...message) => socket.send(JSON.stringify(message));
      rules.on_open?.(send);
      socket.on("message", (bytes) => relay.#on_message(socket, send, JSON.parse(bytes.toString())));
      socket.on("close", () => relay.#subscriptions.delete(socket));
      socket.on("error", () => {});
    });
    return relay;
  }

  #on_message(socket, send, message) {
    this.seen.push(message);
    if (this.rules.on_message?.(message, send, this)) return;
    const [command, name] = message;
    const own = this.#subscriptions.get(socket);
    if (command === "REQ") {
      own?.set(name, message.slice(2));
      for (const event of this.stored) if (this.#matches(message.slice(2), event)) send("EVENT", name, event);
      send("EOSE", name);
    } else if (command === "CLOSE") {
      own?.delete(name);
    } else if (command === "EVENT") {
      const listeners = this.pass(name);
      send("OK", name.id, listeners > 0, listeners > 0 ? "" : "mute: nobody listens");
    }
  }

  #matches(filters, event) {
    return filters.some((filter) => (filter.kinds ?? [event.kind]).includes(event.kind) &&
      (!filter["#p"] || event.tags.some(([name, value]) => name === "p" && filter["#p"].includes(value))));
  }

  /** To all who asked for it; how many did. Nodes listen by on_event. */
  pass(event) {
    let count = 0;
    for (const [socket, own] of this.#subscriptions) {
      for (const [name, filters] of own) {
        if (!this.#matches(filters, event)) continue;
        socket.send(JSON.stringify(["EVENT", name, event]));
        count += 1;
      }
    }
    return count + (this.rules.on_event?.(event, this) ? 1 : 0);
  }

  drop_connections() { for (const socket of this.server.clients) socket.terminate(); }

  async close() {
    this.drop_connections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
