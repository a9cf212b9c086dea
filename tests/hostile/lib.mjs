// What no well-behaved library sends: bytes on a socket. And beside it, a client that only wants its service.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { RelayProcess, sha256 } from "../conformance/lib.mjs";
import { kPatience } from "../e2e/lib.mjs";

export { metrics_at, now, person, relay_under_test, sha256, until, with_relay, within } from "../conformance/lib.mjs";

const kWaitMs = 20_000 * kPatience;
export const kOpcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/**
 * One frame of a client. `length`: what the header claims, if not what follows; `form`: 7, 16 or 64 bits of length whatever it is;
 * `mask`: false, or four bytes.
 */
export function frame(payload = "", { opcode = kOpcode.text, fin = true, rsv = 0, mask = randomBytes(4), length, form } = {}) {
  const bytes = Buffer.from(payload);
  const claimed = BigInt(length ?? bytes.length);
  const bits = form ?? (claimed < 126n ? 7 : claimed < 65_536n ? 16 : 64);
  const head = [Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode, (mask ? 0x80 : 0) | (bits === 7 ? Number(claimed) : bits === 16 ? 126 : 127)])];
  if (bits !== 7) {
    const long = Buffer.alloc(8);
    long.writeBigUInt64BE(claimed);
    head.push(long.subarray(bits === 16 ? 6 : 0));
  }
  if (!mask) return Buffer.concat([...head, bytes]);
  const masked = Buffer.from(bytes);
  for (let i = 0; i < masked.length; i++) masked[i] ^= mask[i & 3];
  return Buffer.concat([...head, mask, masked]);
}

export const handshake = ({ path = "/", headers = {}, extra = "", method = "GET", version = "HTTP/1.1" } = {}) => {
  const fields = { Host: "127.0.0.1", Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", ...headers };
  return `${method} ${path} ${version}\r\n${Object.entries(fields).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}\r\n`).join("")}${extra}\r\n`;
};

/** A TCP connection to the relay: all that came, and how it ended. */
export class Raw {
  bytes = Buffer.alloc(0);
  ended = false;
  frames = [];
  #messages = [];
  #frames_told = 0;
  #at = 0;
  #waiting = [];

  static async connect(relay, options = {}) {
    const raw = new Raw();
    raw.socket = net.connect({ host: "127.0.0.1", port: relay.started.port, ...options });
    raw.socket.on("data", (bytes) => {
      raw.bytes = Buffer.concat([raw.bytes, bytes]);
      raw.#read_frames();
      raw.#wake();
    });
    const end = () => {
      raw.ended = true;
      raw.#wake();
    };
    raw.socket.on("close", end).on("error", end);
    await new Promise((resolve, reject) => raw.socket.once("connect", resolve).once("error", reject));
    return raw;
  }

  /** A WebSocket, by a handshake of one's own. */
  static async websocket(relay, options) {
    const raw = await Raw.connect(relay);
    await raw.upgrade(options);
    return raw;
  }

  async upgrade(options) {
    this.send(handshake(options));
    assert.match(await this.head(), /^HTTP\/1\.1 101 /);
  }

  send(...pieces) {
    if (this.ended) return true;
    return this.socket.write(Buffer.concat(pieces.map((piece) => Buffer.from(piece))));
  }

  async #until(what, probe, ms_max = 20_000) {
    const ms = ms_max * kPatience;
    let [is_late, timer] = [false, undefined];
    for (;;) {
      const value = probe();
      if (value !== undefined) {
        clearTimeout(timer);
        return value;
      }
      if (is_late) throw new Error(`not within ${ms} ms: ${what}; got ${JSON.stringify(this.bytes.subarray(0, 300).toString("latin1"))}`);
      timer ??= setTimeout(() => {
        is_late = true;
        this.#wake();
      }, ms);
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** The head of the answer; frames after it are read from here on. */
  async head(ms) {
    const end = await this.#until("an answer", () => {
      const at = this.bytes.indexOf("\r\n\r\n");
      return at >= 0 ? at : this.ended ? -1 : undefined;
    }, ms);
    if (end < 0) return "";
    const text = this.bytes.subarray(0, end).toString("latin1");
    if (/^HTTP\/1\.1 101/.test(text)) {
      this.#at = end + 4;
      this.is_open = true;
      this.#read_frames();
    }
    return text;
  }

  #read_frames() {
    while (this.is_open && this.bytes.length >= this.#at + 2) {
      const [first, second] = [this.bytes[this.#at], this.bytes[this.#at + 1]];
      let [start, size] = [this.#at + 2, second & 0x7f];
      assert.equal(second & 0x80, 0, "a server masks nothing");
      if (size >= 126) {
        const width = size === 126 ? 2 : 8;
        if (this.bytes.length < start + width) return;
        size = width === 2 ? this.bytes.readUInt16BE(start) : Number(this.bytes.readBigUInt64BE(start));
        start += width;
      }
      if (this.bytes.length < start + size) return;
      const payload = this.bytes.subarray(start, start + size);
      const opcode = first & 0x0f;
      this.frames.push({ opcode, fin: (first & 0x80) !== 0, payload });
      if (opcode === kOpcode.close) this.code = size >= 2 ? payload.readUInt16BE(0) : 1005;
      this.#at = start + size;
    }
    if (this.#at > 1 << 20) {
      this.bytes = this.bytes.subarray(this.#at);
      this.#at = 0;
    }
  }

  /**
   * What the relay has answered; the challenge of NIP-42, which every connection gets first, is no answer. Each is parsed once: who
   * waits for the last of thousands asks with every piece that comes.
   */
  get messages() {
    for (; this.#frames_told < this.frames.length; this.#frames_told++) {
      const { opcode, payload } = this.frames[this.#frames_told];
      if (opcode !== kOpcode.text) continue;
      const message = JSON.parse(payload);
      if (message[0] !== "AUTH") this.#messages.push(message);
    }
    return this.#messages;
  }

  message(fits, ms) { return this.#until("a message", () => this.messages.find(fits) ?? (this.ended ? null : undefined), ms); }

  pong(payload) { return this.#until("a pong", () => this.frames.find((one) => one.opcode === kOpcode.pong && one.payload.equals(Buffer.from(payload))) ?? (this.ended ? null : undefined)); }

  /** The code of the relay's Close frame, or undefined when it just ended the connection. */
  async end(ms) {
    await this.#until("the end", () => (this.ended ? true : undefined), ms);
    return this.code;
  }

  /** The connection still serves. */
  async serves() {
    const id = `alive${Math.random()}`;
    this.send(frame(JSON.stringify(["COUNT", id, { ids: ["0".repeat(64)] }])));
    const answer = await this.message((message) => message[1] === id);
    assert.ok(answer, "the connection is gone");
  }

  destroy() { this.socket.destroy(); }
}

export function rss_mb(relay) {
  const status = fs.readFileSync(`/proc/${relay.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) / 1024;
}

/** A sanitizer's shadow memory is terabytes: there, memory says nothing about the relay. */
const is_instrumented = (relay) => Number(/VmSize:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${relay.pid}/status`, "utf8"))[1]) > 1 << 30;

const quantile = (values, part) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];

/** bystander.mjs in its thread. */
class Bystander {
  #answers = [];

  constructor(relay) {
    this.worker = new Worker(new URL("bystander.mjs", import.meta.url), { workerData: { url: relay.url } });
    this.ended = new Promise((resolve) => this.worker.once("exit", resolve));
    this.worker.on("message", (message) => {
      if (message.failure) this.failure = message.failure;
      this.#answers.splice(0).forEach((resolve) => resolve(message.times_ms ?? []));
    });
    this.worker.on("error", (error) => { this.failure = error.stack; });
  }

  /** Its times since the last report: `count` of them at least. */
  async report(count) {
    const times = [];
    const deadline = performance.now() + kWaitMs;
    while (times.length < count) {
      if (this.failure) throw new Error(`the bystander was not served: ${this.failure}`);
      if (performance.now() > deadline) throw new Error(`the bystander did ${times.length} of ${count} rounds in ${kWaitMs} ms`);
      times.push(...await new Promise((resolve) => {
        this.#answers.push(resolve);
        this.worker.postMessage("report");
      }));
      await sleep(20);
    }
    return times;
  }

  async end() {
    this.worker.postMessage("end");
    await this.ended;
    if (this.failure) throw new Error(`the bystander was not served: ${this.failure}`);
  }
}

// Generous: other work shares the machine. What a hostile peer must not do is stop the service.
const [kSlowMsMax, kSlowTimesMax, kRoundsMin] = [3_000, 20, 30];

/**
 * `attack()` with a well-behaved client beside it, whose every request must be answered. Reports its p99 in calm and under
 * attack, and the relay's memory: `rss_mb_max` is how much it may grow.
 */
export async function beside_a_bystander(t, relay, attack, { rss_mb_max = 96 } = {}) {
  const bystander = new Bystander(relay);
  try {
    await bystander.report(5);
    const calm = quantile(await bystander.report(kRoundsMin), 0.99);
    const before_mb = rss_mb(relay);
    let [is_over, peak_mb] = [false, before_mb];
    const watched = (async () => {
      while (!is_over) {
        peak_mb = Math.max(peak_mb, rss_mb(relay));
        await sleep(20);
      }
    })();
    await attack().finally(() => { is_over = true; });
    await watched;
    const times = await bystander.report(kRoundsMin);
    const during = quantile(times, 0.99);
    t.diagnostic(`bystander p99 ${calm.toFixed(1)} ms in calm, ${during.toFixed(1)} ms (x${(during / calm).toFixed(1)}, ${times.length} rounds) under attack; relay ${before_mb.toFixed(0)} -> ${peak_mb.toFixed(0)} MB at its peak`);
    assert.ok(during < Math.max(kSlowMsMax, kSlowTimesMax * calm), `the bystander's p99 went from ${calm} to ${during} ms`);
    if (!is_instrumented(relay)) assert.ok(peak_mb - before_mb < rss_mb_max, `the relay grew from ${before_mb} to ${peak_mb} MB`);
    await bystander.end();
  } finally {
    await bystander.worker.terminate();
  }
}

/** What `reason` of connection_errors_total counts more after `body`. */
export async function counted(relay, reason, body) {
  const name = `connection_errors_total{reason="${reason}"}`;
  const before = await relay.metric(name);
  await body();
  // What a peer has read is counted a moment later, maybe.
  const deadline = performance.now() + 2_000;
  for (;;) {
    const more = (await relay.metric(name)) - before;
    if (more > 0 || performance.now() > deadline) return more;
    await sleep(25);
  }
}

export { RelayProcess, sleep };
export const no_event = () => sha256(randomBytes(32));
