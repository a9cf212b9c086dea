// Real processes for the tests: started on free loopback ports, waited for by the line that they
// print, stopped by their own pid. Every wait is bounded. When a scenario fails, the end of each
// program's output is shown.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

// npm packages live beside tests/interop/package.json only.
const require = createRequire(new URL("../interop/package.json", import.meta.url));
export const { WebSocket, WebSocketServer } = require("ws");

export const kRoot = fileURLToPath(new URL("../..", import.meta.url));
export const kBin = process.env.NOSTRIL_BIN_DIR ?? path.join(kRoot, "build/dev/bin");
/** A build with one keeps freed memory, maps terabytes, and calls what the programs do not. */
export const has_sanitizer = (program) => /lib[atul]+san\.so/.test(spawnSync("ldd", [path.join(kBin, program)], { encoding: "utf8" }).stdout);
const kDemoFolder = path.join(kRoot, "node/demo_engine");
const kScriptedEngine = fileURLToPath(new URL("scripted_engine.mjs", import.meta.url));
/** How many times as long as elsewhere programs may take: tests/support/sanitized says so for a build with sanitizers. */
export const kPatience = Number(process.env.NOSTRIL_PATIENCE ?? 1);
const kReadyMsMax = 30_000;
const kStopMsMax = 10_000;
const kShownBytes = Number(process.env.NOSTRIL_SHOWN_BYTES ?? 4_000);
/** With the demo engine's --slow-ms at 100 this answer takes some seconds. */
export const kLongQuestion = "Tell me a story about a fox.";

const running = new Set();
process.on("exit", () => {
  for (const program of running) program.child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/** The promise's value, or a failure that names `what` after ms, times kPatience. */
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms * kPatience} ms: ${what}`)), ms * kPatience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The first true value that `probe` gives, asked again every 25 ms for ms times kPatience. */
export async function until(ms, what, probe) {
  const deadline = performance.now() + ms * kPatience;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`not within ${ms * kPatience} ms: ${what}`);
    await sleep(25);
  }
}

/** Draws from [0, 1), the same numbers for the same seed. */
export function random_of(seed) {
  let state = seed;
  return () => {  // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

/** A child process with all that it has printed. */
export class Program {
  constructor(name, file, args, env = {}) {
    this.name = name;
    this.out = Buffer.alloc(0);
    this.err = "";
    this.child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    running.add(this);
    this.child.stdout.on("data", (bytes) => { this.out = Buffer.concat([this.out, bytes]); });
    this.child.stderr.on("data", (bytes) => { this.err += bytes; });
    this.ended = new Promise((resolve) => {
      this.child.once("error", (error) => this.#end(resolve, { code: null, signal: null, error }));
      this.child.once("close", (code, signal) => this.#end(resolve, { code, signal }));
    });
  }

  #end(resolve, result) {
    running.delete(this);
    this.result ??= result;
    resolve({ ...this.result, out: this.out.toString(), err: this.err });
  }

  get pid() { return this.child.pid; }

  /** The first line of standard output that matches. */
  line(pattern, ms = kReadyMsMax) {
    return until(ms, `a line ${pattern} from ${this.name}`, () => {
      const found = pattern.exec(this.out.toString());
      if (found) return found;
      if (this.result) throw new Error(`${this.name} ended before its line ${pattern}: ${JSON.stringify(this.result)} ${this.err.slice(-kShownBytes)}`);
      return undefined;
    });
  }

  /** Something on standard error that matches. */
  said(pattern, ms = kReadyMsMax) {
    return until(ms, `${pattern} on standard error of ${this.name}`, () => pattern.exec(this.err));
  }

  /** How it ended: {code, signal, out, err}. */
  end(ms) { return within(ms, `${this.name} ends`, this.ended); }

  kill(signal) {
    this.child.kill(signal);
    return this.end(kStopMsMax);
  }

  /** Asked kindly, then not. */
  async stop() {
    if (this.result) return;
    this.child.kill("SIGTERM");
    await this.end(kStopMsMax).catch(() => this.kill("SIGKILL"));
  }
}

/** Pids of the children of a process. */
export function children_of(pid) {
  return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}

export function alive(pid) {
  try {
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

const urls_of = (relays) => [relays].flat().map((relay) => relay.url);
const toml_lines = (values) => Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join("");
const toml_text = (settings, sections) =>
  [toml_lines(settings), ...Object.entries(sections).flatMap(([name, values]) =>
    Array.isArray(values) ? values.map((item) => `[[${name}]]\n${toml_lines(item)}`) : `[${name}]\n${toml_lines(values)}`)].join("");

/** All that a scenario starts. Made and taken down by scenario(). */
export class Bed {
  #stops = [];
  programs = [];

  constructor() {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "nostril-e2e-"));
  }

  #run(name, file, args, env = {}) {
    const program = new Program(name, file, args, env);
    this.programs.push(program);
    this.#stops.push(() => program.stop());
    return program;
  }

  /** A relay; with the port and data of an earlier one its successor. `settings`, `sections`: see node(). */
  async relay({ port = 0, data = path.join(this.folder, "relay"), settings = {}, sections = {}, env = {} } = {}) {
    const config = `${data}.toml`;
    fs.writeFileSync(config, toml_text(settings, sections));
    const program = this.#run("relay", path.join(kBin, "nostril-relay"),
      ["run", "--config", config, "--listen", `127.0.0.1:${port}`, "--data", data], env);
    const [, url] = await program.line(/^listening on (wss?:\/\/\S+)$/m);
    return { url, port: Number(new URL(url).port), data, program };
  }

  /** A demo engine that the test owns; `name`: of its model. */
  async engine({ slow_ms = 0, name: own_name } = {}) {
    const file = path.join(kDemoFolder, "model/nostril-demo.gguf");
    const model = own_name ? path.join(this.folder, `${own_name}.gguf`) : file;
    if (own_name) fs.copyFileSync(file, model);
    const program = this.#run("engine", process.execPath,
      [path.join(kDemoFolder, "engine.mjs"), "--model", model, "--listen", "127.0.0.1:0", "--slow-ms", `${slow_ms}`]);
    const [, url, name] = await program.line(/^listening on (http:\/\/\S+) model (\S+)$/m);
    return { url, model: name, program };
  }

  /** A scripted engine (scripted_engine.mjs); with the port of an earlier one its successor. */
  async scripted_engine({ port = 0 } = {}) {
    const program = this.#run("engine", process.execPath, [kScriptedEngine, "--listen", `127.0.0.1:${port}`]);
    const [, url, model] = await program.line(/^listening on (http:\/\/\S+) model (\S+)$/m);
    return { url, port: Number(new URL(url).port), model, program };
  }

  /** A node with simulated evidence on one relay or several. `settings` and `sections` are added to its configuration: {limits: {…}}. */
  async node(options) {
    const node = this.node_program(options);
    const [, model, npub] = await node.program.line(/^serving (\S+) as (npub1\S+) on /m);
    return { ...node, model, npub };
  }

  /** The same, not waited for. */
  node_program({ relay, data = path.join(this.folder, "node"), engine_url, slow_ms = 0, settings = {}, sections = {}, env = {}, program_file = path.join(kBin, "nostril-node") }) {
    const engine = engine_url ? { url: engine_url } : { demo_folder: kDemoFolder, demo_slow_ms: slow_ms };
    // Scenarios count what an engine is asked, so warming up is for those that say so. A list of engines stands as it is.
    const all = { ...sections, engine: Array.isArray(sections.engine) ? sections.engine : { ...engine, warm_up: false, ...sections.engine } };
    // Who may use the HTTPS face is what few scenarios are about.
    if (sections.https && !sections.access) all.access = { mode: "open" };
    const config = path.join(this.folder, `${path.basename(data)}.toml`);
    fs.writeFileSync(config, toml_text({ relays: urls_of(relay), data, log_level: "debug", evidence: "simulated", ...settings }, all));
    const program = this.#run("node", program_file, ["run", "--config", config], env);
    return { program, data, config, root: path.join(data, "sim-root.der") };
  }

  /** The client's command; `home` keeps keys and receipts from one to the next. */
  client(args, env) {
    return this.#run(`nostril ${args[0]}`, path.join(kBin, "nostril"), args, env);
  }

  /** A command of the node's program that ends by itself. */
  node_command(args, env) {
    return this.#run(`nostril-node ${args[0]}`, path.join(kBin, "nostril-node"), args, env);
  }

  /** Options of every command that talks to a node. */
  client_options({ relay, node, home = "user", trust = true, ca_file }) {
    return ["--home", path.join(this.folder, home), ...urls_of(relay).flatMap((url) => ["--relay", url]),
      ...(trust ? ["--trust-test-root", node.root] : []), ...(ca_file ? ["--ca-file", ca_file] : [])];
  }

  chat({ question, save, ...options }) {
    const kept = save ? ["--save", save] : [];
    return this.client(["chat", ...this.client_options(options), ...kept, question]);
  }

  async gateway(options) {
    const program = this.client(["gateway", ...this.client_options(options), "--listen", "127.0.0.1:0"]);
    const [, url] = await program.line(/^listening on (http:\/\/\S+)$/m);
    return { url, program };
  }

  /**
   * A WebSocket proxy before a relay. `messages` holds what came: {from: "client"|"relay", text}. Before a message goes on,
   * `gate({from, text})` is awaited (false: it does not go on), then `delay_ms`; say(text) comes to the
   * clients as if from the relay; cut() drops all connections, which may be made anew.
   */
  async websocket_tap(relay) {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    const tap = { messages: [], gate: undefined, delay_ms: 0 };
    tap.say = (text) => { for (const socket of server.clients) socket.send(text); };
    tap.cut = () => { for (const socket of server.clients) socket.terminate(); };
    server.on("connection", (near) => {
      const far = new WebSocket(relay.url);
      const open = new Promise((resolve) => far.once("open", resolve));
      const pass = (from, to, ready) => {
        let line = ready;  // messages stay in order
        return (bytes, binary) => {
          const message = { from, text: bytes.toString() };
          const at = performance.now();
          tap.messages.push(message);
          line = line.then(async () => {
            if (await tap.gate?.(message) === false) return;
            if (tap.delay_ms > 0) await sleep(Math.max(0, at + tap.delay_ms - performance.now()));
            if (to.readyState === WebSocket.OPEN) to.send(bytes, { binary });
          });
        };
      };
      near.on("message", pass("client", far, open));
      far.on("message", pass("relay", near, Promise.resolve()));
      near.on("error", () => {}).on("close", () => far.terminate());
      far.on("error", () => {}).on("close", () => near.terminate());
    });
    await new Promise((resolve) => server.once("listening", resolve));
    this.#stops.push(() => {
      tap.cut();
      return new Promise((resolve) => server.close(resolve));
    });
    tap.url = `ws://127.0.0.1:${server.address().port}`;
    return tap;
  }

  /**
   * Bad weather before a relay: of the frames that pass either way, the parts `drop`, `double` and `late` (of 1) are lost,
   * delivered twice, and held back until others have passed. `seed` makes it repeatable. `slow_ms`: each message waits so long.
   * cut() drops all connections, which may be made anew. `counts` says what was done.
   */
  async lossy_relay(relay, { drop = 0, double = 0, late = 0, slow_ms = 0, seed = 1 } = {}) {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    const counts = { dropped: 0, doubled: 0, late: 0 };
    const chance = random_of(seed);
    const happens = (what, part) => {
      if (chance() >= part) return false;
      counts[what] += 1;
      return true;
    };
    const pass = (to, ready) => {
      const send = (text) => { if (to.readyState === WebSocket.OPEN) to.send(text); };
      let line = ready;
      const send_in_turn = (text) => {
        line = line.then(() => slow_ms > 0 && sleep(slow_ms)).then(() => send(text));
      };
      return (bytes) => {
        const text = bytes.toString();
        if (!text.startsWith('["EVENT"') || !text.includes('"kind":21472')) return send_in_turn(text);
        if (happens("dropped", drop)) return undefined;
        if (happens("late", late)) setTimeout(send_in_turn, 20 + 130 * chance(), text);
        else send_in_turn(text);
        if (happens("doubled", double)) send_in_turn(text);
        return undefined;
      };
    };
    server.on("connection", (near) => {
      const far = new WebSocket(relay.url);
      near.on("message", pass(far, new Promise((resolve) => far.once("open", resolve))));
      far.on("message", pass(near, Promise.resolve()));
      near.on("error", () => {}).on("close", () => far.terminate());
      far.on("error", () => {}).on("close", () => near.terminate());
    });
    await new Promise((resolve) => server.once("listening", resolve));
    const cut = () => { for (const socket of server.clients) socket.terminate(); };
    this.#stops.push(() => {
      cut();
      return new Promise((resolve) => server.close(resolve));
    });
    return { url: `ws://127.0.0.1:${server.address().port}`, counts, cut };
  }

  /**
   * An HTTP proxy before an engine. `calls` holds {path, request, status, response, done, broken}. Before bytes of an answer
   * go on, `gate(call, bytes)` is awaited, then `delay_ms`; cut() drops all connections, which may be made anew.
   */
  async http_tap(engine) {
    const calls = [];
    const tap = { calls, gate: undefined, delay_ms: 0, model: engine.model };
    const server = http.createServer((incoming, outgoing) => {
      const call = { path: incoming.url, request: [], response: [], done: false, broken: false };
      calls.push(call);
      const onward = http.request(engine.url + incoming.url,
        { method: incoming.method, headers: { ...incoming.headers, host: new URL(engine.url).host }, agent: false });
      incoming.on("data", (bytes) => { call.request.push(bytes); onward.write(bytes); }).on("end", () => onward.end());
      outgoing.on("close", () => { if (!call.done) { call.broken = true; onward.destroy(); } });
      onward.on("error", () => outgoing.destroy());
      onward.on("response", (answer) => {
        call.status = answer.statusCode;
        outgoing.writeHead(answer.statusCode, { "content-type": answer.headers["content-type"] ?? "text/plain" });
        let line = Promise.resolve();  // pieces stay in order
        const then = (step) => { line = line.then(step); };
        answer.on("data", (bytes) => {
          call.response.push(bytes);
          then(async () => {
            await tap.gate?.(call, bytes);
            if (tap.delay_ms > 0) await sleep(tap.delay_ms);
            if (!outgoing.destroyed) outgoing.write(bytes);
          });
        });
        answer.on("end", () => then(() => { call.done = true; outgoing.end(); }));
        answer.on("error", () => outgoing.destroy());
      });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    tap.cut = () => server.closeAllConnections();
    this.#stops.push(() => {
      tap.cut();
      return new Promise((resolve) => server.close(resolve));
    });
    tap.completions = () => calls.filter((call) => call.path.endsWith("/completions"));
    tap.url = `http://127.0.0.1:${server.address().port}`;
    return tap;
  }

  /** Of something else that has to be taken down: an SDK's agent, a socket. */
  on_stop(stop) { this.#stops.push(stop); }

  show_logs() {
    for (const { name, pid, out, err, result } of this.programs) {
      console.error(`--- ${name} (pid ${pid}, ${result ? `code ${result.code} signal ${result.signal}` : "running"})`);
      console.error(out.toString().slice(-kShownBytes));
      console.error(err.slice(-kShownBytes));
    }
  }

  async close() {
    for (const stop of this.#stops.reverse()) await stop();
    fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** One test with a folder and programs of its own; `skip`: passed over, and why. */
export function scenario(name, body, { ms = 90_000, skip = false } = {}) {
  return test(name, { timeout: (ms + 20_000) * kPatience, skip }, async () => {
    const bed = new Bed();
    try {
      await within(ms, name, body(bed));
    } catch (error) {
      bed.show_logs();
      throw error;
    } finally {
      await bed.close();
    }
  });
}

/** A counter of the demo engine. */
export async function metric(engine, name) {
  const text = await (await fetch(`${engine.url}/metrics`)).text();
  const found = new RegExp(`^llamacpp:${name} (\\d+)$`, "m").exec(text);
  assert.ok(found, `no metric ${name}`);
  return Number(found[1]);
}

/** What a node's operator is told: metrics by their name and labels, and each finding of its doctor by its name. */
export async function metrics_of(node) {
  const [, url] = await node.program.said(/metrics at (http:\/\/127\.0\.0\.1:\d+\/metrics)/);
  const lines = (await (await fetch(url)).text()).split("\n").filter((line) => line && !line.startsWith("#"));
  return Object.fromEntries(lines.map((line) => [line.slice("nostril_node_".length, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]));
}

export async function doctor_of(bed, node) {
  const { out, err } = await bed.node_command(["doctor", "--json", "--config", node.config]).end(40_000);
  assert.ok(out, err);
  return Object.fromEntries(JSON.parse(out).checks.map((one) => [one.check, one]));
}

/** The address of the engine that a node started, from the node's log. */
export async function engine_of(node) {
  const [, url] = await node.program.said(/engine \S+ at (http:\/\/\S+) serves/);
  return { url };
}

export const read = (...parts) => fs.readFileSync(path.join(...parts));
export const read_json = (...parts) => JSON.parse(read(...parts).toString());

/** The value of a tag of an event: its first, or that at `index`. */
export function tag(event, name, index = 1) {
  const found = event.tags.filter((entry) => entry[0] === name);
  assert.equal(found.length, 1, `tags ${name}`);
  return found[0][index];
}

/** The words of a streamed chat answer. */
export function words_of(sse) {
  let words = "";
  for (const line of sse.toString().split("\n")) {
    if (!line.startsWith("data: {")) continue;
    words += JSON.parse(line.slice(6)).choices[0]?.delta?.content ?? "";
  }
  return words;
}
