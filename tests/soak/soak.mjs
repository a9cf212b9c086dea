// A mixed load with faults, and the proof that nothing acknowledged is lost and every refusal says why.
//
// Publishers keep a ledger of what was acknowledged, in their own memory: the relay may be killed at any moment. After each fault and
// at the end every acknowledged event must be found (or its successor, or its deletion), every event acknowledged while a listener
// was connected must have come to it, once, and each OK false and CLOSED must begin with a standard prefix (the client's monitor
// finds others). What was sent and never answered may be there or not.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, person, RelayProcess } from "../conformance/lib.mjs";
import { Bed, kBin, kRoot, random_of, until } from "../e2e/lib.mjs";
import { frame, kOpcode, Raw } from "../hostile/lib.mjs";
import { kFaults } from "./faults.mjs";

const kPlugin = path.join(kRoot, "tests/relay/scripted_plugin.mjs");  // accepts what tells it nothing else
const kFaultLibrary = path.join(kBin, "soak_faults.so");
const [kAddresses, kIdsAQuestion, kCalmMs] = [20, 500, 1_500];
/** Longer than any stall of a shared machine: what takes longer never comes. */
const kAnswerMsMax = 60_000;

/** Ends a connection that could go on. */
const kEnough = new Error("enough of this connection");

export class Soak {
  relay = new RelayProcess();
  counts = { published: 0, acknowledged: 0, refused: {}, unanswered: 0, queries: 0, hostile: 0, heard: 0, connections: 0, checked: 0 };
  faults = {};
  /** What every client's monitor found. */
  flaws = [];
  is_over = false;
  /** Publishers rest while the ledger is compared. */
  is_resting = false;
  #ledger = new Map();       // id -> {event, at_ms}: acknowledged
  #deleted = new Set();      // ids whose deletion was acknowledged
  #may_be_deleted = new Set();
  #latest = new Map();       // address -> the newest version that was acknowledged
  #under_way = 0;
  #listeners = [];

  constructor({ seed, say = () => {} }) {
    this.random = random_of(seed);  // who draws when depends on the relay: a run repeats its faults, not each step
    this.say = say;
  }

  get can_preload() { return fs.existsSync(kFaultLibrary); }

  async start() {
    const { relay } = this;
    relay.bed = new Bed();
    this.data = path.join(relay.bed.folder, "relay");
    this.control = path.join(relay.bed.folder, "control");
    fs.writeFileSync(this.control, Buffer.alloc(16));
    const env = this.can_preload ? { LD_PRELOAD: kFaultLibrary, NOSTRIL_SOAK_CONTROL: this.control, NOSTRIL_SOAK_DIRECTORY: this.data } : {};
    // A map of 4 MiB: it has to grow under load.
    relay.options = { data: this.data, env, sections: { store: { map_bytes: 4 << 20 }, limits: { pending_bytes_max: 4 << 20, write_stall_s_max: 5 },
      plugins: [{ command: [process.execPath, kPlugin], timeout_ms: 5_000 }] } };
    await this.run_relay(0);
  }

  /** Anew on the same files; what clients had open is gone. */
  async run_relay(port = this.relay.started.port) {
    this.relay.started = await this.relay.bed.relay({ ...this.relay.options, port });
    this.relay.url = `${this.relay.started.url}/`;
    this.relay.http = this.relay.started.url.replace(/^ws/, "http");
  }

  /** Both numbers of tests/soak/faults.cpp. */
  steer({ clock_off_s = 0, disk_is_full = false }) {
    const bytes = Buffer.alloc(16);
    bytes.writeBigInt64LE(BigInt(clock_off_s), 0);
    bytes.writeBigInt64LE(disk_is_full ? 1n : 0n, 8);
    const file = fs.openSync(this.control, "r+");
    fs.writeSync(file, bytes, 0, 16, 0);
    fs.closeSync(file);
  }

  /** Bytes of the store's file that the relay has mapped. */
  map_bytes() {
    const lines = fs.readFileSync(`/proc/${this.relay.pid}/maps`, "utf8").split("\n").filter((line) => line.endsWith("/data.mdb"));
    return lines.reduce((sum, line) => {
      const [from, to] = line.split(" ")[0].split("-").map((text) => Number.parseInt(text, 16));
      return sum + to - from;
    }, 0);
  }

  async #connect() {
    for (;;) {
      try {
        const client = await Client.connect(this.relay.url, { handshakeTimeout: 5_000 });
        this.counts.connections += 1;
        client.wait_ms = kAnswerMsMax;
        return client;
      } catch {
        if (this.is_over) throw new Error("over");
        await sleep(100);
      }
    }
  }

  /** `body(client)` again and again, on a new connection when one has broken. */
  async #always(body, rest_ms = 0) {
    let client;
    while (!this.is_over) {
      try {
        client ??= await this.#connect();
        await body(client);
        if (rest_ms > 0) await sleep(rest_ms);
      } catch (error) {
        // A connection that broke is what faults are for; all else, an answer that never comes among it, is not.
        if (client && !client.closed && !this.is_over && error !== kEnough) throw error;
        this.#bury(client);
        client = undefined;
      }
    }
    this.#bury(client);
  }

  #bury(client) {
    if (!client) return;
    this.flaws.push(...client.flaws);
    client.socket.terminate();
  }

  // --- Who takes part.

  /** What a publisher publishes next: mostly notes; versions of an address; deletions of what it has; ephemeral ones. */
  #event_of(who, mine) {
    const dice = this.random();
    const created_at = Math.floor(Date.now() / 1000) - 60;
    if (dice < 0.1) {
      this.version = (this.version ?? 0) + 1;
      return who.sign(30_078, { content: `version ${this.version}`, tags: [["d", `${Math.floor(this.random() * kAddresses)}`]], created_at: created_at + (this.version % 30) });
    }
    if (dice < 0.13 && mine.length > 50) {
      const [target] = mine.splice(Math.floor(this.random() * mine.length), 1);
      this.#may_be_deleted.add(target.id);
      return who.sign(5, { tags: [["e", target.id]], created_at });
    }
    const size = dice < 0.9 ? 200 : dice < 0.99 ? 3_000 : 60_000;
    const tags = [["t", `topic${Math.floor(this.random() * 20)}`], ["expiration", `${created_at + 10_000_000}`]];
    return who.sign(1, { content: `${this.random()}`.padEnd(Math.floor(this.random() * size), "lorem ipsum "), tags, created_at });
  }

  /** As if it had been acknowledged: a check that can't fail proves nothing. */
  claim(event) { this.#acknowledge(event, []); }

  #acknowledge(event, mine) {
    const at_ms = performance.now();
    this.counts.acknowledged += 1;
    if (event.kind === 5) {
      this.#deleted.add(event.tags[0][1]);
    } else if (event.kind === 1) {
      mine.push(event);
    } else {
      const address = `${event.pubkey}:${event.tags[0][1]}`;
      const before = this.#latest.get(address);
      if (!before || event.created_at > before.created_at || (event.created_at === before.created_at && event.id < before.id)) this.#latest.set(address, event);
      return;
    }
    this.#ledger.set(event.id, { event, at_ms });
  }

  async #publisher() {
    const [who, mine] = [person(), []];
    await this.#always(async (client) => {
      if (this.is_resting) return sleep(20);
      const events = Array.from({ length: 1 + Math.floor(this.random() * 20) }, () => this.#event_of(who, mine));
      this.#under_way += 1;
      let answered = 0;
      try {
        for (const event of events) client.send("EVENT", event);
        this.counts.published += events.length;
        for (const event of events) {
          const [, , accepted, text] = await client.take(["OK", event.id]);
          answered += 1;
          if (accepted) this.#acknowledge(event, mine);
          else {
            const why = text.split(":")[0];
            this.counts.refused[why] = (this.counts.refused[why] ?? 0) + 1;
          }
        }
      } finally {
        this.counts.unanswered += events.length - answered;
        this.#under_way -= 1;
      }
    }, 10);
  }

  async #listener() {
    const own = { heard: new Map(), from_ms: Infinity, client: undefined };
    this.#listeners.push(own);
    while (!this.is_over) {
      const client = await this.#connect().catch(() => undefined);
      if (!client) return;
      own.heard = new Map();
      try {
        const subscription = await client.subscribe({ kinds: [1, 5], limit: 0 });
        Object.assign(own, { from_ms: performance.now(), client });
        while (!this.is_over) {
          const [, , event] = await client.take(([word, id]) => word === "EVENT" && id === subscription.id, 2 ** 30);
          this.counts.heard += 1;
          own.heard.set(event.id, (own.heard.get(event.id) ?? 0) + 1);
        }
      } catch (error) {
        if (!client.closed && !this.is_over) throw error;
      }
      own.client = undefined;
      this.#bury(client);
    }
  }

  #reader() {
    return this.#always(async (client) => {
      const dice = this.random();
      const topics = [`topic${Math.floor(this.random() * 20)}`];
      this.counts.queries += 1;
      if (dice < 0.2) return client.count({ kinds: [1], "#t": topics });
      const { id, closed, events } = await client.subscribe(dice < 0.6 ? { kinds: [1], "#t": topics, limit: 50 } : dice < 0.8 ? { kinds: [1, 30_078], limit: 100 } : { kinds: [30_078], "#d": ["1", "2"], limit: 20 });
      const times = events.map(({ created_at }) => created_at);
      assert.deepEqual(times, [...times].sort((a, b) => b - a), "the order of an answer");
      if (closed) this.counts.refused[`CLOSED ${closed.split(":")[0]}`] = (this.counts.refused[`CLOSED ${closed.split(":")[0]}`] ?? 0) + 1;
      if (!closed) client.send("CLOSE", id);
      if (this.random() < 0.05) throw kEnough;
      client.take_all(["EVENT", id]);
      return undefined;
    }, 30);
  }

  async #hostile() {
    const attacks = [
      (raw) => raw.send(frame("x", { mask: false })), (raw) => raw.send(frame("x", { length: 2n ** 63n - 1n })), (raw) => raw.send(frame(Buffer.from([0xff, 0xfe]))), (raw) => raw.send(frame("[".repeat(100_000))),
      (raw) => { for (let i = 0; i < 200; i++) raw.send(frame(JSON.stringify(["REQ", `s${i}`, { kinds: [1], limit: 500 }]))); }, (raw) => { for (let i = 0; i < 500; i++) raw.send(frame("p".repeat(100), { opcode: kOpcode.ping })); },
      (raw) => { raw.socket.pause(); for (let i = 0; i < 20; i++) raw.send(frame(JSON.stringify(["REQ", `s${i}`, { limit: 500 }]))); }, (raw) => raw.send(frame('["EVENT",{"id":"x"}]')), (raw) => raw.send(frame("x".repeat(600_000))), (raw) => raw.send(frame("half", { fin: false })),
    ];
    while (!this.is_over) {
      try {
        const raw = await Raw.connect(this.relay);
        if (this.random() < 0.2) raw.send("GET / HTTP/1.1\r\nHost: ");
        else {
          await raw.upgrade();
          attacks[Math.floor(this.random() * attacks.length)](raw);
        }
        this.counts.hostile += 1;
        await sleep(50);
        raw.destroy();
      } catch {
        await sleep(100);  // the relay is away
      }
    }
  }

  // --- The proof.

  async #found(client, ids) {
    const found = new Set();
    for (let i = 0; i < ids.length; i += kIdsAQuestion) {
      for (const id of await client.ids({ ids: ids.slice(i, i + kIdsAQuestion), limit: kIdsAQuestion })) found.add(id);
    }
    return found;
  }

  /** With nothing under way: all that was acknowledged is there, all that was deleted is not, and listeners have heard it. */
  async check() {
    this.is_resting = true;
    await until(kAnswerMsMax + 10_000, "publishers rest", () => this.#under_way === 0);
    const client = await this.#connect();
    const kept = [...this.#ledger.keys()].filter((id) => !this.#may_be_deleted.has(id));
    const found = await this.#found(client, kept);
    const lost = kept.filter((id) => !found.has(id));
    assert.deepEqual(lost.slice(0, 5), [], `${lost.length} acknowledged events are lost`);
    assert.equal((await this.#found(client, [...this.#deleted])).size, 0, "what was deleted is back");
    for (const [address, event] of this.#latest) {
      const [author, d] = address.split(":");
      const versions = await client.query({ kinds: [30_078], authors: [author], "#d": [d] });
      assert.equal(versions.length, 1, `versions of ${address}`);
      // One that was never answered may have replaced it.
      const [now] = versions;
      assert.ok(now.id === event.id || now.created_at > event.created_at || (now.created_at === event.created_at && now.id < event.id), `an older version of ${address}`);
    }
    for (const listener of this.#listeners) {
      const { client: connection, from_ms } = listener;
      if (!connection) continue;
      const due = [...this.#ledger.values()].filter(({ event, at_ms }) => at_ms > from_ms + 1_000 && event.kind === 1).map(({ event }) => event.id);
      await until(15_000, "listeners have heard what was acknowledged", () => connection.closed || due.every((id) => listener.heard.has(id)));
      if (!connection.closed) assert.ok([...listener.heard.values()].every((times) => times === 1), "a listener heard an event twice");
    }
    this.flaws.push(...client.flaws);
    client.socket.terminate();
    assert.deepEqual(this.flaws.slice(0, 5), [], "what no relay may say");
    this.counts.checked += 1;
    this.is_resting = false;
  }

  /** `times` rounds of all faults, or as many as fit into `ms`. */
  async run({ ms, publishers = 4, listeners = 3, readers = 3, hostile = 2 }) {
    await this.start();
    const began = performance.now();
    const first_map = this.map_bytes();
    const people = [...Array.from({ length: publishers }, () => this.#publisher()), ...Array.from({ length: listeners }, () => this.#listener()), ...Array.from({ length: readers }, () => this.#reader()), ...Array.from({ length: hostile }, () => this.#hostile())];
    const all = Promise.all(people);
    let failure;
    all.catch((error) => { failure = error; });
    try {
      const order = Object.entries(kFaults).filter(([name, { needs_preload }]) => {
        if (needs_preload && !this.can_preload) this.say(`left out: ${name} (${path.basename(kFaultLibrary)} is not built)`);
        return !needs_preload || this.can_preload;
      });
      for (let i = 0; i < order.length || performance.now() - began < ms; i++) {
        await sleep(Math.max(kCalmMs, i < order.length ? 0 : this.random() * 5_000));
        if (failure) throw failure;
        const [name, fault] = order[i % order.length];
        this.say(`${((performance.now() - began) / 1000).toFixed(0)} s: ${name}; ${this.counts.acknowledged} acknowledged, ${this.counts.heard} heard`);
        await fault.run(this);
        this.faults[name] = (this.faults[name] ?? 0) + 1;
        await this.check();
        if (failure) throw failure;
      }
      assert.ok(this.map_bytes() > first_map, `the map did not grow from ${first_map}`);
      this.map = [first_map, this.map_bytes()];
    } finally {
      this.is_over = true;
      for (const { client } of this.#listeners) client?.socket.terminate();
      await all.catch(() => {});
    }
    if (failure) throw failure;
    assert.equal(this.relay.started.program.result, undefined, "the relay has ended");
    await this.relay.started.program.stop();
    assert.equal(this.relay.started.program.result.code, 0, this.relay.started.program.err.slice(-2_000));
    // Every record and every index, by the relay's own check; then as text.
    execFileSync(path.join(kBin, "nostril-relay"), ["check", "--data", this.data], { stdio: ["ignore", "pipe", "pipe"] });
    this.seconds = (performance.now() - began) / 1000;
  }

  async stop() { await this.relay.bed?.close(); }
}
