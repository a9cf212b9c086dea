// Measures and prints tables; ./scripts/bench is the way in. How to read them: bench/README.md.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "./measure.mjs";

const kRoot = fileURLToPath(new URL("..", import.meta.url));
const kBin = path.join(kRoot, "build/release/bin");
const kResults = path.join(kRoot, "build/bench/results.jsonl");
const kRepetitions = 7;

const text_of = (file, args) => execFileSync(file, args, { cwd: kRoot, encoding: "utf8" }).trim();

function machine() {
  const model = os.cpus()[0]?.model.trim() ?? "unknown CPU";
  let commit = "no commit";
  try {
    commit = text_of("git", ["rev-parse", "--short", "HEAD"]) + (text_of("git", ["status", "--porcelain"]) ? " with changes" : "");
  } catch { /* an unpacked archive: still worth measuring */ }
  return { at: new Date().toISOString(), cores: os.cpus().length, cpu: model, load: os.loadavg()[0].toFixed(1), commit };
}

function build(targets) {
  const run = (args) => {
    const { status } = spawnSync("cmake", args, { cwd: kRoot, stdio: ["ignore", "ignore", "inherit"] });
    if (status !== 0) throw new Error(`cmake ${args.join(" ")} failed`);
  };
  console.error(`building ${targets.join(" ")} (the first time takes some minutes)`);
  if (!fs.existsSync(path.join(kRoot, "build/release/build.ninja"))) run(["--preset", "release"]);
  run(["--build", "--preset", "release", "--target", ...targets]);
}

function print_table(title, columns, rows) {
  const table = [columns, ...rows];
  const widths = columns.map((_, column) => Math.max(...table.map((row) => row[column].length)));
  // The first two columns are words, the others figures.
  const line = (row) => row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ");
  console.log(`\n${title}\n${line(columns)}\n${widths.map((width) => "-".repeat(width)).join("  ")}`);
  for (const row of rows) console.log(line(row));
}

const us = (value) => (value === undefined ? "" : `${value < 10 ? value.toFixed(2) : value.toFixed(1)} us`);
const ratio = (value, floor) => `${(value / floor).toFixed(2)}x`;

class Report {
  #machine = machine();

  constructor() {
    fs.mkdirSync(path.dirname(kResults), { recursive: true });
    const { cores, cpu, load, commit, at } = this.#machine;
    console.log(`${at}  ${cores} cores, ${cpu}, load ${load}, commit ${commit}`);
  }

  keep(result) { fs.appendFileSync(kResults, `${JSON.stringify({ ...this.#machine, ...result })}\n`); }
}

const kSteps = {
  BM_RawVerify: ["check a signature", "libsecp256k1 alone: the raw cost", 1],
  BM_Verify: ["check a signature", "verifier with cached keys", 1],
  BM_ParseEvent: ["parse an event, id checked", "parse_event", 1],
  BM_ParseMessage: ["parse [\"EVENT\",...], id checked", "parse_client_message", 1],
  BM_CanonicalHash: ["canonical text and SHA-256", "compute_id", 1],
  BM_SealFrame: ["seal a 1 KiB frame (NIP-44)", "FrameSealer", 1],
  BM_SealAndSignFrame: ["seal, sign and print that frame", "make_frame_event", 1],
  BM_OpenFrame: ["open that frame", "FrameOpener", 1],
  BM_Put512: ["store an event, 512 a transaction", "LMDB store, durable", 512],
};

function raw(report) {
  build(["relay_steps_bench"]);
  const out = text_of(path.join(kBin, "relay_steps_bench"), ["--benchmark_format=json", "--benchmark_min_time=0.1",
    `--benchmark_repetitions=${kRepetitions}`, "--benchmark_enable_random_interleaving=true"]);
  const runs = JSON.parse(out).benchmarks.filter((entry) => entry.run_type === "iteration");
  const floor = median(runs.filter((entry) => entry.name === "BM_RawVerify").map((entry) => entry.cpu_time)) / 1000;
  const rows = Object.entries(kSteps).map(([name, [question, contender, operations]]) => {
    const mine = runs.filter((entry) => entry.name.split("/")[0] === name);
    if (mine.length < kRepetitions) throw new Error(`${name} ran ${mine.length} times only`);
    const cpu_us = median(mine.map((entry) => entry.cpu_time)) / 1000 / operations;
    report.keep({ part: "raw", question, contender, cpu_us, raw_us: floor, runs: mine.length });
    return [question, contender, us(cpu_us), ratio(cpu_us, floor)];
  });
  print_table(`raw: one thread, 970-byte events, medians of ${kRepetitions} interleaved runs`,
    ["question", "contender", "CPU each", "to raw"], rows);
}

async function relay(report, { peers, quick, only, deflate }) {
  build(["nostril-relay", "nostril-bench-relay"]);
  const { measure_relay } = await import("./relay.mjs");
  const right = await measure_relay({ bin: kBin, peers, quick, only, deflate,
    keep: (row) => report.keep({ part: "relay", ...row }),
    print: (title, { columns, rows }) => print_table(title, columns, rows) });
  if (!right) process.exitCode = 1;
}

async function sync(report, { quick }) {
  build(["nostril-relay", "nostril-bench-sync-events"]);
  const { measure_sync } = await import("./sync.mjs");
  const { right, title, columns, rows, results } = await measure_sync({ bin: kBin, quick });
  for (const result of results) report.keep({ part: "sync", right, ...result });
  print_table(title, columns, rows);
  if (!right) process.exitCode = 1;
}

async function cluster(report, { quick, only }) {
  build(["nostril-relay"]);
  const child = spawn(process.execPath, [path.join(kRoot, "bench/cluster.mjs"), ...(quick ? ["--quick"] : []), ...(only ? ["--only", only] : [])],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, NOSTRIL_BIN_DIR: kBin } });
  const ended = new Promise((resolve) => child.once("close", resolve));
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const { title, columns, rows, results } = JSON.parse(line);
    for (const result of results) report.keep({ part: "cluster", ...result });
    print_table(title, columns, rows);
  }
  if (await ended !== 0) process.exitCode = 1;
}

async function whole_path(report) {
  build(["nostril-relay", "nostril-node", "nostril"]);
  process.env.NOSTRIL_BIN_DIR = kBin;
  const { measure_path } = await import("./path.mjs");
  for (const { title, columns, rows, results } of await measure_path()) {
    for (const result of results) report.keep({ part: "path", ...result });
    print_table(title, columns, rows);
  }
}

async function node(report, { quick, only }) {
  build(["nostril-relay", "nostril-node", "nostril"]);
  process.env.NOSTRIL_BIN_DIR = kBin;
  const { measure_node } = await import("./node.mjs");
  for (const { title, columns, rows, results } of await measure_node({ quick, only })) {
    for (const result of results) report.keep({ part: "node", ...result });
    print_table(title, columns, rows);
  }
}

async function gateway(report, { quick }) {
  build(["nostril-relay", "nostril-node", "nostril"]);
  process.env.NOSTRIL_BIN_DIR = kBin;
  const { measure_gateway } = await import("./gateway.mjs");
  for (const { title, columns, rows, results } of await measure_gateway({ quick })) {
    for (const result of results) report.keep({ part: "gateway", ...result });
    print_table(title, columns, rows);
  }
}

async function contracts(report) {
  const { gas_table } = await import("../tests/contracts/support/gas.mjs");
  const rows = await gas_table();
  for (const { question, gas, bound } of rows) report.keep({ part: "contracts", question, gas, bound });
  print_table("contracts: gas of a whole transaction (calldata and 21,000 included; the check alone: of the call), one EVM",
    ["question", "others", "bound", "gas"], rows.map(({ question, others, bound, gas }) =>
      [question, others, bound?.toLocaleString("en") ?? "", Math.round(gas).toLocaleString("en")]));
}

/** What a node does with receipts, beside the bare signature; goals of the project are in the last column. */
function receipts(report) {
  build(["node_receipts_bench"]);
  const out = text_of(path.join(kBin, "node_receipts_bench"), ["--benchmark_format=json", "--benchmark_min_time=0.5",
    `--benchmark_repetitions=${kRepetitions}`, "--benchmark_enable_random_interleaving=true"]);
  const runs = JSON.parse(out).benchmarks.filter((entry) => entry.run_type === "iteration");
  const of = (name, figure) => median(runs.filter((entry) => entry.name.split("/")[0] === name).map((entry) => entry[figure]));
  const figure = (name) => of("BM_Receipts", name);
  const rows = [
    ["check a signature", "libsecp256k1, key parsed each time", figure("raw_per_s"), 1, ""],
    ["check a signature", "libsecp256k1, key parsed once", figure("raw_key_once_per_s"), figure("to_raw") / figure("to_raw_key_once"), ""],
    ["take a receipt: text, id, signature, book", "one core", figure("taken_per_s"), figure("to_raw"), "0.95x"],
    ["", "to the key parsed once", figure("taken_per_s"), figure("to_raw_key_once"), "0.95x"],
    ["keep a receipt and its channel's row on the disk", "512 at a time", of("BM_ReceiptsDurable", "items_per_second"), undefined, "20,000/s"],
  ];
  for (const [question, contender, per_s, to_raw] of rows) report.keep({ part: "receipts", question, contender, per_s, to_raw });
  print_table(`receipts: medians of ${kRepetitions} interleaved runs`, ["question", "contender", "a second", "to raw", "goal"],
    rows.map(([question, contender, per_s, to_raw, goal]) =>
      [question, contender, Math.round(per_s).toLocaleString("en"), to_raw === undefined ? "" : `${to_raw.toFixed(3)}x`, goal]));
}

const kParts = { raw, relay, sync, cluster, path: whole_path, node, gateway, receipts, contracts };
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { peer: { type: "string", multiple: true }, quick: { type: "boolean" }, deflate: { type: "boolean" }, only: { type: "string" } },
});
const what = positionals[0] ?? "all";
if (what !== "all" && !kParts[what]) {
  console.error("usage: bench.mjs [all|raw|relay|sync|cluster|path|node|gateway|receipts|contracts] [--peer NAME=ws://HOST:PORT[,pid=PID][,data=FOLDER]] [--quick] [--deflate] [--only MODE,...]");
  process.exit(2);
}
const report = new Report();
for (const [name, part] of Object.entries(kParts)) {
  if (what === "all" || what === name) await part(report, { ...options, peers: options.peer ?? [] });
}
console.log(`\nkept in ${path.relative(kRoot, kResults)}`);
