// The image of packaging/Dockerfile under a container's engine, as docs/operators.md runs it. No engine, no image: passed over.
//   docker build … --target relay -t nostril-relay . && NOSTRIL_IMAGE=nostril-relay node --test tests/e2e/image.test.mjs
// NOSTRIL_ENGINE: the engine's command, "docker" if not said. NOSTRIL_RUN: more options of its run, where a machine needs any.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { until, within, WebSocket } from "./lib.mjs";
import { notes, operator_scenario, publish_and_read, there } from "./operator_lib.mjs";

const words = (text) => text.split(/\s+/).filter(Boolean);
const [kEngine, ...kEngineOptions] = words(process.env.NOSTRIL_ENGINE ?? "docker");
const kRunOptions = words(process.env.NOSTRIL_RUN ?? "");
const kImage = process.env.NOSTRIL_IMAGE;
const kMissing = kImage ? [kEngine].filter((tool) => !there(tool)) : ["an image, named by NOSTRIL_IMAGE"];
// Those of docs/operators.md, but the limit on descriptors, which not every machine lets be raised.
const kWalls = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--stop-timeout", "30"];
const kConfig = ["--config", "/etc/nostril/relay.toml"];
const kRelay = "/usr/bin/nostril-relay";

const engine = (...args) => execFileSync(kEngine, [...kEngineOptions, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
const inspect = (type, name) => JSON.parse(engine(type, "inspect", name))[0];

/** A container of the image with a volume of its own; both go with the scenario. */
class Container {
  constructor(bed, options = []) {
    const own = `nostril-trial-${process.pid}-${Math.random().toString(36).slice(2)}`;
    this.name = own;
    engine("volume", "create", own);
    bed.on_stop(() => engine("volume", "rm", own));
    bed.on_stop(() => engine("rm", "-f", own));
    engine("run", "-d", "--name", own, ...kWalls, "-p", "127.0.0.1::7447", "-v", `${own}:/var/lib/nostril-relay`,
      ...kRunOptions, ...options, kImage);
  }

  get state() { return inspect("container", this.name).State; }
  get url() { return `ws://${engine("port", this.name, "7447").split("\n")[0]}`; }
  exec(...args) { return spawnSync(kEngine, [...kEngineOptions, "exec", this.name, kRelay, ...args], { encoding: "utf8", timeout: 30_000 }); }
  healthy() { return until(60_000, "the relay's health", () => this.exec("health", ...kConfig).status === 0); }

  async start() {
    engine("start", this.name);
    await this.healthy();
  }

  /** Stops the relay while a client publishes; the ids that it acknowledged. */
  async stop_under_load() {
    const acknowledged = [];
    const events = notes(3_000);
    const socket = new WebSocket(this.url, { handshakeTimeout: 10_000 });
    const closed = new Promise((resolve) => socket.on("close", resolve));
    let publishing;
    const enough = new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("open", () => {
        publishing = setInterval(() => { for (const event of events.splice(0, 5)) socket.send(JSON.stringify(["EVENT", event])); }, 5);
      });
      socket.on("message", (bytes) => {
        const [type, id, taken] = JSON.parse(bytes.toString());
        if (type === "OK" && taken) acknowledged.push(id);
        if (acknowledged.length === 100) resolve();
      });
    });
    try {
      await within(30_000, "100 events are taken", enough);
      await promisify(execFile)(kEngine, [...kEngineOptions, "stop", this.name]);
      await within(10_000, "the connection ends with the relay", closed);
    } finally {
      clearInterval(publishing);
      socket.terminate();
    }
    return acknowledged;
  }
}

/** Those of the ids that the relay gives. */
async function read(url, ids) {
  const socket = new WebSocket(url, { handshakeTimeout: 10_000 });
  const given = new Set();
  const parts = Array.from({ length: Math.ceil(ids.length / 200) }, (_, i) => ids.slice(200 * i, 200 * (i + 1)));
  const over = new Promise((resolve, reject) => {
    const ask = () => parts.length > 0 ? socket.send(JSON.stringify(["REQ", "s", { ids: parts.pop() }])) : resolve();
    socket.on("error", reject).on("open", ask);
    socket.on("message", (bytes) => {
      const [type, , event] = JSON.parse(bytes.toString());
      if (type === "EVENT") given.add(event.id);
      if (type === "EOSE") ask();
    });
  });
  await within(20_000, "the events are read", over);
  socket.terminate();
  return ids.filter((id) => given.has(id));
}

operator_scenario("the image has no shell, a user that is not root, a volume and a health check", kMissing, () => {
  const { Config, Healthcheck } = inspect("image", kImage);
  assert.ok(Config.Healthcheck ?? Healthcheck, "a health check: OCI's format has none, podman and buildah want --format docker");
  assert.equal(Config.User, "65532:65532");
  assert.deepEqual(Object.keys(Config.Volumes), ["/var/lib/nostril-relay"]);
  assert.deepEqual(Object.keys(Config.ExposedPorts), ["7447/tcp"]);
  assert.deepEqual([...Config.Entrypoint, ...Config.Cmd], [kRelay, "run", ...kConfig]);
  const run = (...args) => spawnSync(kEngine, [...kEngineOptions, "run", "--rm", ...kRunOptions, ...args], { encoding: "utf8", timeout: 60_000 });
  for (const shell of ["/bin/sh", "/usr/bin/sh", "/bin/bash"]) assert.notEqual(run("--entrypoint", shell, kImage, "-c", "true").status, 0);
  const version = run(kImage, "--version");
  assert.equal(version.status, 0, version.stderr);
});

operator_scenario("behind all walls, with the image's own settings: it serves as nobody, stops with 0 and loses nothing, and again after a kill", kMissing, async (bed) => {
  const relay = new Container(bed);
  await relay.healthy();
  const status = fs.readFileSync(`/proc/${relay.state.Pid}/status`, "utf8");
  assert.match(status, /^Uid:\s65532\s65532\s65532\s65532$/m);
  assert.match(status, /^CapEff:\s0+$/m);
  assert.match(status, /^CapBnd:\s0+$/m);
  assert.match(status, /^NoNewPrivs:\s1$/m);
  await publish_and_read(relay.url);
  const stats = relay.exec("stats", ...kConfig);
  assert.equal(stats.status, 0, stats.stderr);

  const acknowledged = await relay.stop_under_load();
  assert.equal(relay.state.ExitCode, 0);
  await relay.start();
  assert.deepEqual(await read(relay.url, acknowledged), acknowledged);

  engine("kill", relay.name);  // SIGKILL
  await until(10_000, "the end", () => !relay.state.Running);
  await relay.start();
  assert.deepEqual(await read(relay.url, acknowledged), acknowledged);
});

operator_scenario("the image's health check passes, and fails while the relay hangs", kMissing, async (bed) => {
  const relay = new Container(bed);
  // Docker asks by itself; podman by a timer of systemd's, or when told.
  const ask = () => path.basename(kEngine) === "podman" && spawnSync(kEngine, [...kEngineOptions, "healthcheck", "run", relay.name]);
  const health = () => { ask(); return (relay.state.Health ?? relay.state.Healthcheck).Status; };
  await until(90_000, "healthy", () => health() === "healthy");
  process.kill(relay.state.Pid, "SIGSTOP");
  await until(180_000, "unhealthy", () => health() === "unhealthy");
  process.kill(relay.state.Pid, "SIGCONT");
  await until(90_000, "healthy again", () => health() === "healthy");
}, { ms: 400_000 });

operator_scenario("with the folder of an operator's settings: read at its start, and again when they change", kMissing, async (bed) => {
  const folder = path.join(bed.folder, "relay");
  const write = (description) => {
    // As an editor does: a new file takes the name.
    fs.writeFileSync(path.join(folder, "new"), `listen = "0.0.0.0:7447"\ndata = "/var/lib/nostril-relay"\n[info]\ndescription = "${description}"\n`);
    fs.renameSync(path.join(folder, "new"), path.join(folder, "relay.toml"));
  };
  fs.mkdirSync(folder);
  fs.chmodSync(bed.folder, 0o755);
  write("first");
  const relay = new Container(bed, ["-v", `${folder}:/etc/nostril:ro`]);
  await relay.healthy();
  const description = async () => {
    const answer = await fetch(relay.url.replace("ws:", "http:"), { headers: { accept: "application/nostr+json" } });
    return (await answer.json()).description;
  };
  assert.equal(await description(), "first");
  write("second");
  await until(20_000, "the new settings", async () => await description() === "second");
  await publish_and_read(relay.url);
});
