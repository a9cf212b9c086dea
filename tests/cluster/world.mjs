// Machines that are network namespaces, and what happens to the lines between them.
//
//   the world (where a test runs)                 m1: nats-server, relay   eth0 10.77.0.1   cli0 10.78.1.2
//     hub: a bridge ------------------------------ m2 …                     eth0 10.77.0.2   cli0 10.78.2.2
//     cli1, cli2, cli3: one line to each machine - m3 …
//
// Servers and relays talk over the hub, a test's clients over lines of their own: a machine that is cut off from the others is
// still there for its clients, which is where a cluster goes wrong. Everything lies in namespaces of the test's own (network,
// mounts, processes): nothing of it is seen outside, and all of it is gone when the test has ended, however it ended. That takes
// root, or a system that lets users make namespaces (`unshare --user`).
import { execFileSync, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import { fileURLToPath } from "node:url";

const kInside = "NOSTRIL_CLUSTER_INSIDE";
const kNetnsFolder = "/run/netns";

const found = (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

/** The options of unshare that work here; undefined: none do. */
function options_of_unshare() {
  const common = ["--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"];
  const attempts = process.getuid() === 0 ? [common] : [["--user", "--map-root-user", ...common]];
  return attempts.find((options) => spawnSync("unshare", [...options, "sh", "-c", "mount -t tmpfs none /run && ip link add hub type bridge"]).status === 0);
}

/**
 * Runs the file that calls it once more, in namespaces of its own, and ends with its status. Inside it returns undefined. Where
 * that can't be done it returns why: a reason to skip. `await enter(import.meta.url)` stands before the first test.
 */
export async function enter(url) {
  if (process.env[kInside]) {
    open_world();
    return undefined;
  }
  for (const program of ["ip", "tc", "unshare", "nsenter", "setpriv"]) if (!found(program)) return `${program} is not installed (iproute2, util-linux)`;
  if (!found("nats-server") && !fs.existsSync("/usr/sbin/nats-server")) return "nats-server is not installed";
  const options = options_of_unshare();
  if (!options) return "network namespaces are not permitted here: run as root, or where users may make them";
  // Whoever kills this process kills what is inside.
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", ...options, process.execPath, ...process.execArgv, fileURLToPath(url), ...process.argv.slice(2)],
    { stdio: "inherit", env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, [kInside]: "1" } });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill("SIGKILL"));
  process.exit(await new Promise((resolve) => child.once("close", (code) => resolve(code ?? 1))));
}

const ip = (...args) => execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });

function open_world() {
  // A /run of our own, so that `ip netns` keeps its names there.
  execFileSync("mount", ["-t", "tmpfs", "none", "/run"]);
  fs.mkdirSync(kNetnsFolder);
  ip("link", "set", "lo", "up");
  ip("link", "add", "hub", "type", "bridge");
  ip("link", "set", "hub", "up");
}

export class Machine {
  constructor(index) {
    this.index = index;
    this.name = `m${index}`;
    /** On the hub: servers and relays. */
    this.address = `10.77.0.${index}`;
    /** For the test's clients. */
    this.client_address = `10.78.${index}.2`;
    const inside = (...args) => ip("-n", this.name, ...args);
    ip("netns", "add", this.name);
    ip("link", "add", `hub${index}`, "type", "veth", "peer", "name", "eth0", "netns", this.name);
    ip("link", "set", `hub${index}`, "master", "hub", "up");
    ip("link", "add", `cli${index}`, "type", "veth", "peer", "name", "cli0", "netns", this.name);
    ip("addr", "add", `10.78.${index}.1/24`, "dev", `cli${index}`);
    ip("link", "set", `cli${index}`, "up");
    inside("link", "set", "lo", "up");
    for (const [line, address] of [["eth0", `${this.address}/24`], ["cli0", `${this.client_address}/24`]]) {
      inside("addr", "add", address, "dev", line);
      inside("link", "set", line, "up");
    }
  }

  /** [program, arguments] that run a program on this machine, under the program's own process id. */
  command(file, args) { return ["nsenter", [`--net=${kNetnsFolder}/${this.name}`, file, ...args]]; }

  /** Off the hub: packets vanish, as when a switch dies. */
  cut_off() { ip("link", "set", `hub${this.index}`, "down"); }
  rejoin() { ip("link", "set", `hub${this.index}`, "up"); }

  /** This machine and another don't reach each other; both reach the rest. */
  sever(other) {
    ip("-n", this.name, "route", "add", "blackhole", `${other.address}/32`);
    ip("-n", other.name, "route", "add", "blackhole", `${this.address}/32`);
  }

  mend(other) {
    ip("-n", this.name, "route", "del", "blackhole", `${other.address}/32`);
    ip("-n", other.name, "route", "del", "blackhole", `${this.address}/32`);
  }

  /** All that leaves it for the hub goes through a line of this rate, and waits `queue_ms` in its queue before it is dropped. */
  slow({ rate = "512kbit", queue_ms = 400 } = {}) {
    execFileSync("tc", ["-n", this.name, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "16kb", "latency", `${queue_ms}ms`]);
  }

  fast() { execFileSync("tc", ["-n", this.name, "qdisc", "del", "dev", "eth0", "root"]); }
}

/** A small disk at a folder. */
export function mount_small_disk(folder, mebibytes) {
  fs.mkdirSync(folder, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "none", folder]);
}

export function unmount(folder) { execFileSync("umount", ["--lazy", folder]); }
