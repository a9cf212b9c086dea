// What a well-behaved client waits beside each attack, against what it waits beside none: the relay's doing, not the machine's. The
// relay has one processor, its clients another; on that the attacker runs only when the well-behaved client has nothing to do, so it
// takes none of its time. Calm and attack take turns, and the medians of the rounds are compared.
//
//   node tests/hostile/fairness.mjs [--rounds 5] [--ms 4000] [NAME…]
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { now, person, RelayProcess } from "../conformance/lib.mjs";
import { kAttacks } from "./attacks.mjs";

const quantile = (values, part) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];
const median = (values) => quantile(values, 0.5);

const has = (tool) => process.env.PATH.split(":").some((folder) => fs.existsSync(`${folder}/${tool}`));
/** Whether processors can be given out here. */
export const can_separate = os.availableParallelism() >= 2 && has("taskset") && has("chrt");
// Between two requests: processor time for the attacker.
const kRestMs = 10;
// Root can keep the attacker from taking the client's time altogether. Nothing is put before everybody else, for that would be before
// the kernel's own threads, too, which the relay's disk needs.
const is_root = process.getuid() === 0;
const run = (...words) => execFileSync(words[0], words.slice(1), { stdio: "ignore" });
const kAttackerWords = ["taskset", "-c", "1", "chrt", ...(is_root ? ["--other", "0"] : ["--idle", "0"])];

/** Each its processor. */
function separate(relay) {
  if (!can_separate) return;
  run("taskset", "-apc", "1", `${process.pid}`);
  run("taskset", "-apc", process.env.RELAY_CPUS ?? "0", `${relay.pid}`);
  if (is_root) run("chrt", "-arp", "1", `${process.pid}`);
}

/** The well-behaved client; its thread is where the attacker is. */
class Bystander {
  #waiting = [];

  constructor(relay) {
    this.worker = new Worker(new URL("bystander.mjs", import.meta.url), {
      workerData: { url: relay.url, pid: relay.pid, rest_ms: kRestMs, is_first: can_separate && is_root },
    });
    this.worker.on("message", (message) => {
      if (message.failure) this.failure ??= message.failure;
      else this.#waiting.shift()?.resolve(message);
    });
    this.worker.on("error", (error) => { this.failure ??= error.stack; });
    this.worker.on("exit", () => {
      this.failure ??= "it ended";
      this.#waiting.splice(0).forEach(({ reject }) => reject(new Error(`not served: ${this.failure}`)));
    });
  }

  #ask(word) {
    return new Promise((resolve, reject) => {
      if (this.failure) reject(new Error(`not served: ${this.failure}`));
      this.#waiting.push({ resolve, reject });
      this.worker.postMessage(word);
    });
  }

  /** {wall, work}: what its requests took in the `ms` from now; more time is given to `count_min` of them. */
  async times(ms, count_min) {
    await this.#ask("report");
    const [wall, work] = [[], []];
    for (const began = performance.now(); performance.now() - began < ms || (wall.length < count_min && performance.now() - began < 10 * ms);) {
      await sleep(100);
      const { times_ms, works_ms } = await this.#ask("report");
      wall.push(...times_ms);
      work.push(...works_ms);
    }
    assert.ok(wall.length > 0, `the well-behaved client was not served once in ${10 * ms} ms`);
    return { wall, work };
  }

  end() { return this.worker.terminate(); }
}

class Attacker {
  constructor(name, url) {
    const [program, ...words] = [...(can_separate ? kAttackerWords : []), process.execPath, fileURLToPath(new URL("attacks.mjs", import.meta.url)), name, url];
    this.process = spawn(program, words, { stdio: ["pipe", "pipe", "inherit"] });
    this.ready = new Promise((resolve) => this.process.stdout.once("data", resolve));
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
  }

  begin() { this.process.stdin.write("go\n"); }

  async end() {
    this.process.kill("SIGKILL");
    await this.ended;
  }
}

/** Processor time of the relay, in seconds. */
function busy_s(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Until it has nothing left of what was before. */
async function until_idle(pid) {
  for (const began = performance.now(); performance.now() - began < 20_000;) {
    const used = busy_s(pid);
    await sleep(300);
    if (busy_s(pid) - used <= 0.02) return;
  }
}

/**
 * {name, calm, attack, busy}: `calm` and `attack` are {wall, work}, each the median of the rounds' p99; `busy`: how much of the
 * relay's processor the attack took. `work` is what the relay did between question and answer, in ms of its processor's time: other
 * programs on the machine are not in it.
 */
export async function fairness_of(name, relay, { rounds = 5, ms = 2_000 } = {}) {
  const all = [];
  const p99s = ({ wall, work }) => ({ wall: quantile(wall, 0.99), work: quantile(work, 0.99) });
  for (let round = 0; round < rounds; round++) {
    const attacker = new Attacker(name, relay.url);
    await attacker.ready;
    await until_idle(relay.pid);
    const bystander = new Bystander(relay);
    try {
      await bystander.times(300, 5);
      const calm = p99s(await bystander.times(ms, 20));
      attacker.begin();
      await sleep(200);
      const [began, used] = [performance.now(), busy_s(relay.pid)];
      const attack = p99s(await bystander.times(ms, 20));
      all.push({ calm, attack, busy: (busy_s(relay.pid) - used) / ((performance.now() - began) / 1_000) });
    } finally {
      await attacker.end();
      await bystander.end();
    }
  }
  const middle = (what) => median(all.map(what));
  const of = (when) => ({ wall: middle((one) => one[when].wall), work: middle((one) => one[when].work) });
  return { name, calm: of("calm"), attack: of("attack"), busy: middle((one) => one.busy) };
}

const fixed = (value) => value.toFixed(1);
export const line_of = ({ name, calm, attack, busy }) =>
  `| ${name} | ${fixed(calm.work)} | ${fixed(attack.work)} | ${fixed(calm.wall)} | ${fixed(attack.wall)} | x${fixed(attack.wall / calm.wall)} | ${(busy * 100).toFixed(0)}% |`;

/** A relay with something to ask for: 16 MB of it. */
export async function relay_with_events(sections = {}) {
  const relay = await new RelayProcess().start({ sections: { threads: { loops: 1, verifiers: 1, queries: 1 }, ...sections } });
  const [client, author] = [await relay.connect(), person()];
  for (let i = 0; i < 40; i++) {
    await client.accepts(...Array.from({ length: 50 }, (_, j) => author.sign(1, { content: "x".repeat(8_000), created_at: now() - i * 20 - j })));
  }
  client.close();
  separate(relay);
  return relay;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { rounds: { type: "string", default: "5" }, ms: { type: "string", default: "4000" } } });
  const relay = await relay_with_events();
  if (!can_separate) console.log("no two processors, taskset and chrt here: the attacker's own work is measured, too");
  console.log("| attack | work, calm | work, attack | p99, calm | p99, attack | | busy |\n|---|---|---|---|---|---|---|");
  for (const name of positionals.length > 0 ? positionals : Object.keys(kAttacks)) {
    console.log(line_of(await fairness_of(name, relay, { rounds: Number(values.rounds), ms: Number(values.ms) })));
  }
  await relay.stop();
}
