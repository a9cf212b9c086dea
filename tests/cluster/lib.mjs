// Three machines, each with a nats-server and a relay: started, waited for, hurt and stopped. What a test asks about comes from the
// outside: the relays' sockets and metrics, the servers' own API.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { metrics_at, person } from "../conformance/lib.mjs";
import { Bed, kBin, kPatience, Program, until, within } from "../e2e/lib.mjs";
import { kClientPort, kPrefix, kUsers, NatsClient, server_config } from "./nats.mjs";
import { Machine } from "./world.mjs";

export const kRelayPort = 7447;
/** An election after the leader was lost takes up to nine seconds of this server (its election timeout); a busy machine more. */
export const kSettleMs = 60_000;

/** A relay has all that its server has, when nothing has moved for so long. */
const kStandsMs = 15_000;

/** May moderate every relay. */
export const operator = person();

const toml_lines = (values) => Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join("");
const toml_text = (sections) => Object.entries(sections).map(([name, values]) => `[${name}]\n${toml_lines(values)}`).join("");

/** An authority, and a certificate of each machine: {ca, of(machine) -> {certificate, key, ca}}, files. */
export function make_certificates(folder, machines) {
  const file = (name) => path.join(folder, name);
  const openssl = (...args) => execFileSync("openssl", args, { stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  openssl("req", "-x509", ...key, "-subj", "/CN=cluster", "-keyout", file("ca.key"), "-out", file("ca.pem"));
  for (const { name, address, client_address } of machines) {
    fs.writeFileSync(file(`${name}.ext`), `subjectAltName=IP:${address},IP:${client_address},IP:127.0.0.1\n`);
    openssl("req", ...key, "-subj", `/CN=${name}`, "-keyout", file(`${name}.key`), "-out", file(`${name}.csr`));
    openssl("x509", "-req", "-days", "2", "-in", file(`${name}.csr`), "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial", "-extfile", file(`${name}.ext`), "-out", file(`${name}.pem`));
  }
  return { ca: file("ca.pem"), of: ({ name }) => ({ certificate: file(`${name}.pem`), key: file(`${name}.key`), ca: file("ca.pem") }) };
}

/** One machine's share: its server, its relay, both of which may be down. */
export class Member {
  server = undefined;
  relay = undefined;

  constructor(cluster, machine) {
    Object.assign(this, { cluster, machine, name: machine.name });
    this.data = path.join(cluster.bed.folder, `${machine.name}-relay`);
    this.server_data = path.join(cluster.bed.folder, `${machine.name}-nats`);
    this.url = `ws://${machine.client_address}:${kRelayPort}/`;
    this.http = `http://${machine.client_address}:${kRelayPort}`;
  }

  /** Its own program: what its `nostril-relay cluster` prints, whatever its status. */
  status() {
    const [file, args] = this.machine.command(path.join(kBin, "nostril-relay"), ["cluster", "status", "--config", this.config]);
    const { stdout, stderr } = spawnSync(file, args, { encoding: "utf8", timeout: 60_000 });
    return `${stdout}${stderr}`;
  }

  #run(name, file, args) {
    const program = new Program(`${name} ${this.name}`, ...this.machine.command(file, args));
    this.cluster.add(program);
    return program;
  }

  async start_server() {
    const config = `${this.server_data}.conf`;
    const { machines, secure, bytes_max, credentials } = this.cluster;
    fs.writeFileSync(config, server_config({ machine: this.machine, machines, folder: this.server_data, secure: secure?.of(this.machine), users: credentials?.server, bytes_max }));
    this.server = this.#run("nats-server", "nats-server", ["-c", config]);
    await this.server.said(/Server is ready/);
  }

  /** `sections`: added to its configuration. `is_alone`: a relay of no cluster. */
  write_config({ sections = this.sections ?? {}, is_alone = false } = {}) {
    Object.assign(this, { sections, is_alone });
    this.config = `${this.data}.toml`;
    const { machines, secure, credentials } = this.cluster;
    const secret = path.join(this.cluster.bed.folder, "secret");
    if (!fs.existsSync(secret)) fs.writeFileSync(secret, credentials?.relay ?? `${kUsers.relay.password}\n`, { mode: 0o600 });  // another relay may be reading it
    const user = credentials ? { credentials: secret } : { user: kUsers.relay.user, password_file: secret };
    // Its own machine's server first, then the others.
    const scheme = secure ? "tls" : "nats";
    const servers = [this.machine, ...machines.filter((other) => other !== this.machine)].map(({ address }) => `${scheme}://${address}:${kClientPort}`);
    const own = secure?.of(this.machine);
    const lines = own ? { tls_ca: own.ca, tls_certificate: own.certificate, tls_key: own.key } : { allow_insecure: true };
    const { cluster, ...rest } = sections;
    fs.writeFileSync(this.config, `listen = "${this.machine.client_address}:${kRelayPort}"\ndata = ${JSON.stringify(this.data)}\nurl = "wss://relay.example/"\nlog_level = "debug"\n` +
      toml_text({ admin: { keys: [operator.key] }, ...rest,
        ...(is_alone ? {} : { cluster: { name: kPrefix, relay: this.name, servers, ...user, stream_bytes_max: this.cluster.bytes_max / 2, ...lines, ...cluster } }) }));
  }

  /** `before`: words of a command that runs the program in its own place, e.g. `env …`. */
  async start_relay({ serving = true, before = [], ...config } = {}) {
    this.write_config(config);
    const [file, ...args] = [...before, path.join(kBin, "nostril-relay"), "run", "--config", this.config];
    this.relay = this.#run("relay", file, args);
    await this.relay.line(/^listening on (ws:\/\/\S+)$/m);
    if (serving) await this.serves();
  }

  serves(ms = kSettleMs) { return until(ms, `relay ${this.name} serves`, () => this.is_serving()); }

  async is_serving() {
    try {
      return (await fetch(`${this.http}/${this.is_alone ? "metrics" : "health"}`, { signal: AbortSignal.timeout(2_000) })).status === 200;
    } catch {
      return false;
    }
  }

  /** Its figures, without their common beginning; undefined when it doesn't answer. */
  async metrics() {
    try {
      return await within(3_000, "metrics", metrics_at(this.http));
    } catch {
      return undefined;
    }
  }

  async cluster_metric(name) {
    const all = await this.metrics();
    if (all) assert.ok(`cluster_${name}` in all, `no metric cluster_${name}`);
    return all?.[`cluster_${name}`];
  }

  is_up(program) { return program && !program.result; }

  async stop_relay() {
    if (!this.is_up(this.relay)) return;
    await this.relay.stop();
    assert.equal(this.relay.result.code, 0, `the relay ${this.name} ended with ${JSON.stringify(this.relay.result.code)} ${this.relay.result.signal}: ${this.relay.err.slice(-2_000)}`);
  }

  /** What is in the store: lines of JSON, in order. */
  exported() {
    const out = execFileSync(path.join(kBin, "nostril-relay"), ["export", "--data", this.data], { maxBuffer: 1 << 30, stdio: ["ignore", "pipe", "ignore"] });
    return out.toString().split("\n").filter(Boolean).sort();
  }

  nats(options = {}) {
    const { secure } = this.cluster;
    const own = secure?.of(this.machine);
    const pem = own && Object.fromEntries(Object.entries(own).map(([name, file]) => [name, fs.readFileSync(file)]));
    return NatsClient.connect({ host: this.machine.client_address, secure: pem, ...options });
  }
}

export class Cluster {
  static #machines = [];  // of this process; one test after the other uses them
  bed = new Bed();
  #programs = [];

  /** `is_secure`: TLS with certificates of both sides on every line of NATS; `credentials`: of make_credentials(), in place of users and passwords. */
  constructor({ count = 3, is_secure = false, credentials, bytes_max = 512 << 20 } = {}) {
    Object.assign(this, { bytes_max, credentials });
    this.machines = Array.from({ length: count }, (_, i) => (Cluster.#machines[i] ??= new Machine(i + 1)));
    if (is_secure) this.secure = make_certificates(this.bed.folder, this.machines);
    this.members = this.machines.map((machine) => new Member(this, machine));
  }

  add(program) {
    this.#programs.push(program);
    this.bed.programs.push(program);
  }

  async start_servers() {
    await Promise.all(this.members.map((member) => member.start_server()));
    if (!this.credentials) await this.ready_for_streams();
  }

  /** Until the servers have elected who places streams. */
  async ready_for_streams() {
    await until(kSettleMs, "the servers agree on a leader", async () => {
      try {
        const client = await this.members[0].nats({ ms: 1_000 });
        try {
          await client.json("$JS.API.INFO", undefined, { ms: 1_000 });
          return true;
        } finally {
          client.close();
        }
      } catch {
        return false;
      }
    });
  }

  async start(options) {
    await this.start_servers();
    await Promise.all(this.members.map((member) => member.start_relay(options)));
  }

  /** Asks each server that answers; undefined when none does. */
  async stream(name = kPrefix) {
    for (const member of this.members) {
      if (!member.is_up(member.server)) continue;
      try {
        const client = await member.nats({ ms: 1_000 });
        try {
          return await client.stream(name, { ms: 1_000 });
        } finally {
          client.close();
        }
      } catch { /* the next one */ }
    }
    return undefined;
  }

  /** The member whose server leads the stream now. */
  async leader(name = kPrefix) {
    const info = await until(kSettleMs, "the stream has a leader", async () => {
      const info = await this.stream(name);
      return info?.cluster?.leader ? info : undefined;
    });
    return this.members.find((member) => member.name === info.cluster.leader);
  }

  /** All relays have applied all that is in the stream. */
  async settled(ms = kSettleMs) {
    let seen;
    let still = {};
    try {
      await until(ms, "all relays have applied the whole stream", async () => {
        const info = await this.stream();
        const relays = this.members.filter((member) => member.is_up(member.relay));
        const positions = await Promise.all(relays.map((member) => member.cluster_metric("position")));
        seen = { last: info?.state?.last_seq, positions };
        if (!info || JSON.stringify(seen) !== still.seen) still = { seen: JSON.stringify(seen), since_ms: performance.now() };
        // Servers that disagreed may number the same messages otherwise, for ever. Whether anything is missing the contents tell.
        return info && (positions.every((position) => position >= info.state.last_seq) || performance.now() - still.since_ms > kStandsMs);
      });
    } catch (error) {
      const figures = await Promise.all(this.members.map((member) => member.metrics()));
      for (const [i, all] of figures.entries()) console.error(this.members[i].name, JSON.stringify(Object.fromEntries(Object.entries(all ?? {}).filter(([name]) => name.startsWith("cluster_")))));
      throw new Error(`${error.message}: ${JSON.stringify(seen)}`);
    }
    return seen;
  }

  show_logs() { this.bed.show_logs(); }

  async close() {
    for (const program of this.#programs) if (!program.result) program.child.kill("SIGCONT");
    await Promise.all(this.members.map(({ relay }) => relay?.stop()));
    await Promise.all(this.#programs.map((program) => program.stop()));
    await this.bed.close();
  }
}

/** One test with a cluster of its own. `skip`: why not. */
export function cluster_test(name, { skip, ms = 110_000, ...options }, body) {
  return test(name, { timeout: (ms + 30_000) * kPatience, skip }, async (t) => {
    const cluster = new Cluster(options);
    try {
      await within(ms, name, body(cluster, t));
    } catch (error) {
      console.error(`${name}: ${error.stack}`);  // before all that the programs have said
      cluster.show_logs();
      throw error;
    } finally {
      await cluster.close();
    }
  });
}
