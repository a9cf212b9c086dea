// A relay process of this build, people who sign, and a client that holds the relay to the grammar of its own messages: whatever
// a test is about, each message that comes is one that NIP-01, 42, 45, 67 or 77 knows, with a standard prefix where one is due, an
// EVENT only for an open subscription and a filter of it, one EOSE a REQ. What breaks that fails the test file.
//
//   const relay = relay_under_test({ settings: { url: "wss://relay.example/" }, sections: { limits: { limit_max: 10 } } });
//   test("…", async () => {
//     const [client, alice] = [await relay.connect(), person()];
//     await client.accepts(alice.sign(1, { content: "hello" }));
//     assert.deepEqual(await client.ids({ authors: [alice.key] }), […]);
//   });
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { pathToFileURL } from "node:url";
import { Bed, kPatience, WebSocket } from "../e2e/lib.mjs";

export { Bed, WebSocket, until, within } from "../e2e/lib.mjs";

const require = createRequire(new URL("../interop/package.json", import.meta.url));
const { schnorr, secp256k1 } = await import(pathToFileURL(require.resolve("@noble/curves/secp256k1.js")));

export const kWaitMs = 15_000 * kPatience;
const kNoSuchId = "f".repeat(64);
/** NIP-01's, and NIP-42's two. */
export const kPrefixes = ["duplicate", "pow", "blocked", "rate-limited", "invalid", "restricted", "mute", "error", "auth-required"];
const kPrefixed = new RegExp(`^(${kPrefixes.join("|")}): \\S`);
const kMembers = ["content", "created_at", "id", "kind", "pubkey", "sig", "tags"];

/** Of a relay that can't know what it is called: `url` is not set, and there is a proxy. */
export const kNameless = { sections: { proxy: { trusted: ["192.0.2.1"] } } };

export const now = () => Math.floor(Date.now() / 1000);
export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
/** What NIP-01 hashes; for text that is UTF-8 it is what JSON.stringify writes. */
export const canonical = ({ pubkey, created_at, kind, tags, content }) => JSON.stringify([0, pubkey, created_at, kind, tags, content]);
export const id_of = (event) => sha256(canonical(event));
/** Newest first, the lowest id where times are equal: NIP-01's order of stored events. */
export const in_order = (events) => [...events].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1));

// --- People.

const kOrder = secp256k1.Point.Fn.ORDER;
const kNonce = secp256k1.Point.BASE.toBytes(true).slice(1);  // x of 1·G, whose y is even
const kTag = createHash("sha256").update("BIP0340/challenge").digest();
const to_number = (bytes) => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);

/**
 * A BIP-340 signature whose nonce is 1: as valid as any, gives its key away, and takes 30 us where an honest one takes 5 ms. Tests
 * sign thousands of events; none of these keys is worth anything.
 */
function quick_signature(id, key, secret) {
  const challenge = createHash("sha256").update(kTag).update(kTag).update(kNonce).update(key).update(id).digest();
  const s = (1n + (to_number(challenge) % kOrder) * secret) % kOrder;
  return Buffer.from(kNonce).toString("hex") + s.toString(16).padStart(64, "0");
}

/** {secret, key, sign(kind, {content, tags, created_at})}: events are plain objects of the seven members. */
export function person(secret = randomBytes(32)) {
  const point = secp256k1.Point.BASE.multiply(to_number(secret) % kOrder);
  const key_bytes = point.toBytes(true).slice(1);
  const key = Buffer.from(key_bytes).toString("hex");
  const even_secret = point.toBytes(true)[0] === 2 ? to_number(secret) % kOrder : kOrder - (to_number(secret) % kOrder);
  const sign_id = (id) => quick_signature(Buffer.from(id, "hex"), key_bytes, even_secret);
  return {
    secret: new Uint8Array(secret),
    key,
    /** Over an id of any origin. */
    sign_id,
    /** As every client does it, slowly. */
    sign_id_honestly: (id) => Buffer.from(schnorr.sign(Buffer.from(id, "hex"), secret)).toString("hex"),
    sign(kind, { content = "", tags = [], created_at = now() } = {}) {
      const event = { id: "", pubkey: key, created_at, kind, tags, content, sig: "" };
      event.id = id_of(event);
      event.sig = sign_id(event.id);
      return event;
    },
  };
}

/** The event of `template` with the lowest, or highest, id among `tries`: for ties of created_at. */
export function by_id(author, kind, template, count) {
  return Array.from({ length: count }, (_, i) => author.sign(kind, { ...template, content: `${template.content ?? ""}${i}` }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

export function zero_bits(id) {
  let bits = 0;
  for (const digit of id) {
    const value = Number.parseInt(digit, 16);
    if (value !== 0) return bits + Math.clz32(value) - 28;
    bits += 4;
  }
  return bits;
}

/** Mined to `bits` zero bits at least (and below `below`), with `claim` as NIP-13's third element. */
export function mine(author, kind, { bits, below = 256, claim = bits, content = "", tags = [], created_at = now() }) {
  for (let nonce = 0; ; nonce++) {
    const work = claim === undefined ? ["nonce", `${nonce}`] : ["nonce", `${nonce}`, `${claim}`];
    const event = { id: "", pubkey: author.key, created_at, kind, tags: [...tags, work], content, sig: "" };
    event.id = id_of(event);
    const found = zero_bits(event.id);
    if (found < bits || found >= below) continue;
    event.sig = author.sign_id(event.id);
    return event;
  }
}

// --- The client.

const is_text = (value) => typeof value === "string";
const tag_has = (event, name, values) => event.tags.some((tag) => tag[0] === name && tag.length > 1 && values.includes(tag[1]));

/** NIP-01's filter, in plain words; `search` (NIP-50) is not looked at. */
export const matches = (filter, event) => Object.entries(filter).every(([key, value]) => {
  if (key === "ids") return value.includes(event.id);
  if (key === "authors") return value.includes(event.pubkey);
  if (key === "kinds") return value.includes(event.kind);
  if (key === "since") return event.created_at >= value;
  if (key === "until") return event.created_at <= value;
  if (key.startsWith("#")) return tag_has(event, key.slice(1), value);
  return true;
});

/** What is wrong with a message of the relay; undefined when nothing is. */
function flaw_of(message, open) {
  if (!Array.isArray(message) || !is_text(message[0])) return "not an array that begins with a word";
  const [word, first, ...rest] = message;
  switch (word) {
    case "EVENT": {
      const [event, ...more] = rest;
      if (more.length > 0 || typeof event !== "object") return "EVENT has three elements";
      if (!open.has(first)) return "EVENT for no open subscription";
      if (Object.keys(event).sort().join() !== kMembers.join()) return "an event has seven members";
      if (event.id !== id_of(event)) return "the id is not the hash";
      if (!open.get(first).filters.some((filter) => matches(filter, event))) return "no filter asks for it";
      return undefined;
    }
    case "OK": {
      const [accepted, text, ...more] = rest;
      if (more.length > 0 || !is_text(first) || typeof accepted !== "boolean" || !is_text(text)) return "OK: id, true or false, text";
      if (accepted && !/^[0-9a-f]{64}$/.test(first)) return "OK true to what is no id";
      if (!kPrefixed.test(text) && !(accepted && /^(info: .+)?$/.test(text))) return "OK without a standard prefix";
      return undefined;
    }
    case "EOSE":
      if (rest.length > 1) return "EOSE with too much";
      if (!open.has(first)) return "EOSE for no open subscription";
      if (open.get(first).eose) return "a second EOSE";
      return undefined;
    case "CLOSED":
      if (rest.length !== 1 || !is_text(first) || !is_text(rest[0])) return "CLOSED: id, text";
      if (!kPrefixed.test(rest[0])) return "CLOSED without a standard prefix";
      return undefined;
    case "COUNT":
      if (rest.length !== 1 || !Number.isSafeInteger(rest[0]?.count) || rest[0].count < 0) return "COUNT: id, {count}";
      return undefined;
    case "NOTICE":
    case "AUTH":
      return rest.length === 0 && is_text(first) ? undefined : `${word}: one text`;
    case "NEG-MSG":
    case "NEG-ERR":
      return rest.length === 1 && is_text(first) && is_text(rest[0]) ? undefined : `${word}: id, text`;
    default:
      return "an unknown word";
  }
}

let next_subscription = 1;

/** One connection. Messages wait in the inbox until a test takes them. */
export class Client {
  inbox = [];
  wait_ms = kWaitMs;
  /** What the relay said that no relay may say. */
  flaws = [];
  /** Of the Close frame, or that of a connection that broke (1006). */
  closed = undefined;
  #open = new Map();
  #waiters = new Set();

  /** `options` as of ws: {headers, perMessageDeflate, …}. */
  static async connect(url, options = {}) {
    const client = new Client();
    client.socket = new WebSocket(url, { perMessageDeflate: false, ...options });
    client.socket.on("message", (data, binary) => client.#receive(data, binary));
    client.socket.on("close", (code, reason) => {
      client.closed = { code, reason: reason.toString() };
      client.#look();
    });
    await new Promise((resolve, reject) => client.socket.once("open", resolve).once("error", reject));
    client.socket.on("error", () => {});
    return client;
  }

  #receive(data, binary) {
    const text = data.toString();
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      message = undefined;
    }
    const flaw = binary ? "a binary message" : message === undefined ? "not JSON" : flaw_of(message, this.#open);
    if (flaw) this.flaws.push(`${flaw}: ${text.slice(0, 500)}`);
    if (flaw) return;
    if (message[0] === "EOSE") this.#open.get(message[1]).eose = true;
    if (message[0] === "CLOSED") this.#open.delete(message[1]);
    this.inbox.push(message);
    this.#look();
  }

  #look() {
    for (const waiter of [...this.#waiters]) waiter();
  }

  /** Text as it stands. */
  raw(text) { this.socket.send(text); }

  send(...message) {
    const [word, id, ...filters] = message;
    if (word === "REQ" && is_text(id)) this.#open.set(id, { filters, eose: false });
    this.raw(JSON.stringify(message));
    // What was under way when CLOSE was sent may still come: a test that minds it takes a barrier first.
  }

  /** From here on an EVENT of this subscription is a flaw. */
  forget(id) { this.#open.delete(id); }

  /** The first message in the inbox, or to come, whose beginning is `start` or of which `start(message)` is true; taken out of it. */
  take(start, ms = this.wait_ms) {
    const fits = typeof start === "function" ? start : (message) => start.every((part, i) => message[i] === part);
    return new Promise((resolve, reject) => {
      const look = () => {
        const at = this.inbox.findIndex(fits);
        if (at < 0 && !this.closed) return;
        end();
        if (at >= 0) resolve(this.inbox.splice(at, 1)[0]);
        else reject(new Error(`the connection ended (${JSON.stringify(this.closed)}) before ${JSON.stringify(start)}`));
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`nothing like ${typeof start === "function" ? start : JSON.stringify(start)} in ${ms} ms; flaws ${JSON.stringify(this.flaws.slice(0, 2))}; inbox ${JSON.stringify(this.inbox.slice(-5)).slice(0, 2000)}`));
      }, ms);
      const end = () => {
        clearTimeout(timer);
        this.#waiters.delete(look);
      };
      this.#waiters.add(look);
      look();
    });
  }

  /** All of them that are in the inbox now. */
  take_all(start) {
    const fits = (message) => start.every((part, i) => message[i] === part);
    const found = this.inbox.filter(fits);
    this.inbox = this.inbox.filter((message) => !fits(message));
    return found;
  }

  /** {accepted, text} of the OK. */
  async publish(event) {
    this.send("EVENT", event);
    const [, , accepted, text] = await this.take(["OK", event.id]);
    return { accepted, text };
  }

  async accepts(...events) {
    for (const event of events) this.send("EVENT", event);
    for (const event of events) {
      const [, , accepted, text] = await this.take(["OK", event.id]);
      assert.equal(accepted, true, text);
    }
  }

  async refuses(event, why) {
    const { accepted, text } = await this.publish(event);
    assert.equal(accepted, false, `accepted: ${JSON.stringify(event).slice(0, 500)}`);
    assert.match(text, why);
  }

  /** Opens a subscription and waits for EOSE: {id, events, close()}; with `closed` in it when the relay refused. */
  async subscribe(...filters) {
    return this.subscribe_as(`sub${next_subscription++}`, ...filters);
  }

  async subscribe_as(id, ...filters) {
    this.send("REQ", id, ...filters);
    const events = [];
    for (;;) {
      const message = await this.take(([word, of]) => of === id && (word === "EVENT" || word === "EOSE" || word === "CLOSED"));
      if (message[0] === "EVENT") events.push(message[2]);
      if (message[0] === "CLOSED") return { id, events, closed: message[2], close: () => {} };
      if (message[0] === "EOSE") return { id, events, eose: message, close: () => this.close_subscription(id) };
    }
  }

  /** CLOSE, and nothing of it from the next barrier on. */
  async close_subscription(id) {
    this.send("CLOSE", id);
    await this.barrier();
    this.take_all(["EVENT", id]);
    this.forget(id);
  }

  /** The stored events of a subscription that is closed at once. */
  async query(...filters) {
    const subscription = await this.subscribe(...filters);
    assert.equal(subscription.closed, undefined, `${subscription.closed} for ${JSON.stringify(filters).slice(0, 500)}`);
    await subscription.close();
    return subscription.events;
  }

  async ids(...filters) { return (await this.query(...filters)).map((event) => event.id); }

  /** Why the relay closed it. */
  async refused(...filters) {
    const { closed } = await this.subscribe(...filters);
    assert.ok(closed, `not refused: ${JSON.stringify(filters).slice(0, 500)}`);
    return closed;
  }

  /** The next new event of a subscription. */
  async live(subscription, ms) { return (await this.take(["EVENT", subscription.id], ms))[2]; }

  /** {count, …}, or {closed}. */
  async count(...filters) {
    const id = `count${next_subscription++}`;
    this.send("COUNT", id, ...filters);
    const message = await this.take(([word, of]) => of === id && (word === "COUNT" || word === "CLOSED"));
    return message[0] === "COUNT" ? message[2] : { closed: message[2] };
  }

  /** Everything that the relay said to this connection's earlier messages is here: it answers them in turn. */
  async barrier() {
    const id = `barrier${next_subscription++}`;
    this.send("REQ", id, { ids: [kNoSuchId], limit: 1 });
    await this.take(([word, of]) => of === id && (word === "EOSE" || word === "CLOSED"));
    this.raw(JSON.stringify(["CLOSE", id]));
    this.forget(id);
  }

  /** The challenge of NIP-42; the last, when there were several. */
  async challenge() {
    if (!this.challenged) [, this.challenged] = await this.take(["AUTH"]);
    for (const [, challenge] of this.take_all(["AUTH"])) this.challenged = challenge;
    return this.challenged;
  }

  /** {accepted, text}; `change`: what is different from a right proof, {kind, created_at, tags}. */
  async authenticate(who, url, change = {}) {
    const tags = [["relay", url], ["challenge", await this.challenge()]];
    const { kind = 22242, ...rest } = change;
    const event = who.sign(kind, { tags, ...rest });
    this.send("AUTH", event);
    const [, , accepted, text] = await this.take(["OK", event.id]);
    return { accepted, text };
  }

  /** Waits for the end of the connection: {code, reason}. */
  async ended(ms = kWaitMs) {
    if (this.closed) return this.closed;
    await this.take(() => false, ms).catch((error) => { if (!this.closed) throw error; });
    return this.closed;
  }

  close() { this.socket.close(); }
}

// --- The relay.

export async function metrics_at(http) {
  const text = await (await fetch(`${http}/metrics`)).text();
  return Object.fromEntries(text.split("\n").filter((line) => line && !line.startsWith("#"))
    .map((line) => [line.slice("nostril_relay_".length, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

export async function information_at(http) {
  return (await fetch(`${http}/`, { headers: { Accept: "application/nostr+json" } })).json();
}

/**
 * The relay of a test file, in its own process: started before its tests, ended after them with status 0 and no flaw found.
 * `prepare(relay)`: what has to be there before the first test (hooks of one file don't wait for each other).
 */
export function relay_under_test(options = {}, prepare = () => {}) {
  const relay = new RelayProcess();
  before(async () => prepare(await relay.start(options)));
  after(() => relay.stop());
  return relay;
}

/** For a test that wants a relay of its own: `await using`-less, so the body is passed in. */
export async function with_relay(options, body) {
  const relay = new RelayProcess();
  await relay.start(options);
  try {
    await body(relay);
  } catch (error) {
    relay.show_logs();
    throw error;
  } finally {
    await relay.stop();
  }
}

export class RelayProcess {
  #clients = [];

  /** `settings`, `sections`: of its configuration; see Bed.relay(). */
  async start(options = {}) {
    this.bed = new Bed();
    this.options = options;
    this.started = await this.bed.relay(options);
    this.url = `${this.started.url.replace(/\/$/, "")}/`;
    this.http = this.started.url.replace(/^ws/, "http").replace(/\/$/, "");
    return this;
  }

  /** The same again on the same files and port. */
  async restart(options = this.options) {
    await this.started.program.stop();
    const { port, data } = this.started;
    this.started = await this.bed.relay({ ...options, port, data });
  }

  get pid() { return this.started.program.pid; }

  async connect(options) {
    const client = await Client.connect(options?.url ?? this.url, options);
    this.#clients.push(client);
    return client;
  }

  /** Values by name and labels, e.g. events_refused_total{reason="expired"}. */
  metrics() { return metrics_at(this.http); }

  async metric(name) {
    const value = (await this.metrics())[name];
    assert.notEqual(value, undefined, `no metric ${name}`);
    return value;
  }

  information() { return information_at(this.http); }

  show_logs() { this.bed.show_logs(); }

  async stop() {
    const flaws = this.#clients.flatMap((client) => client.flaws);
    for (const client of this.#clients) client.socket.terminate();
    const { program } = this.started ?? {};
    const died = program?.result;
    await this.bed.close();
    assert.equal(died, undefined, `the relay had ended: ${JSON.stringify(died)}\n${program?.err.slice(-4_000)}`);
    // A sanitizer that found something changes the status.
    assert.equal(program?.result.code, 0, program?.err.slice(-4_000));
    assert.deepEqual(flaws, [], "what no relay may say");
  }
}
