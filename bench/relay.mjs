// The relay's part of ./scripts/bench: starts ours, lets nostril-bench-relay ask it and its peers in turns, prints a table.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";

const kReadyMsMax = 10_000;
const kStopMsMax = 20_000;
const kOurs = "nostril";

const ended = (child) => new Promise((resolve, reject) => {
  child.once("error", reject);
  child.once("close", (code, signal) => resolve(signal ?? code));
});

/** Our relay on a free port with a folder of its own. */
class OurRelay {
  #child;
  #ended;

  constructor(bin) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "nostril-bench-"));
    const data = path.join(this.folder, "data");
    this.#child = spawn(path.join(bin, "nostril-relay"), ["run", "--listen", "127.0.0.1:0", "--data", data],
      { stdio: ["ignore", "pipe", "ignore"] });
    this.#ended = ended(this.#child);
    this.data = data;
  }

  /** How the load client is told of it. */
  async target() {
    const late = setTimeout(() => this.#child.kill("SIGKILL"), kReadyMsMax);
    try {
      for await (const line of readline.createInterface({ input: this.#child.stdout })) {
        const found = /^listening on (ws:\/\/\S+)$/.exec(line);
        if (found) return `${kOurs}=${found[1]},pid=${this.#child.pid},data=${this.data}`;
      }
    } finally {
      clearTimeout(late);
    }
    throw new Error("nostril-relay did not start");
  }

  async stop() {
    this.#child.kill("SIGTERM");
    const late = setTimeout(() => this.#child.kill("SIGKILL"), kStopMsMax);
    await this.#ended;
    clearTimeout(late);
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The load client's lines, as they come. */
async function ask(bin, args, on_row) {
  const child = spawn(path.join(bin, "nostril-bench-relay"), args, { stdio: ["ignore", "pipe", "inherit"] });
  const stop = () => child.kill("SIGTERM");
  process.once("exit", stop);
  const end = ended(child);
  for await (const line of readline.createInterface({ input: child.stdout })) on_row(JSON.parse(line));
  process.removeListener("exit", stop);
  return end;
}

const digits = (value) => (value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : Math.round(value).toString());
const us = (value) => {
  if (value === undefined) return "";
  if (value < 1_000) return `${digits(value)} us`;
  return value < 1e6 ? `${digits(value / 1e3)} ms` : `${digits(value / 1e6)} s`;
};
const rate = (value) => (value === undefined ? "" : `${Math.round(value)}/s`);
const bytes = (value) => (value < 10_000 ? `${Math.round(value)} B` : `${(value / 1024).toFixed(0)} KiB`);

function remarks(row) {
  if (row.wrong) return `WRONG: ${row.wrong}`;
  const out = [];
  if (row.events > 1) out.push(`${digits(row.events)} events, ${us(row.cpu_event_us)} each`);
  if (row.user_us !== undefined) out.push(`user ${us(row.user_us)}`);
  if (row.disk_bytes > 0) out.push(`${bytes(row.disk_bytes)} on disk, ${bytes(row.json_bytes)} of JSON`);
  if (row.connection_bytes !== undefined) out.push(`${bytes(row.connection_bytes)} of memory each`);
  if (row.events_per_s !== undefined) {
    out.push(`${rate(row.events_per_s)} events, ${rate(row.queries_per_s)} queries, ${rate(row.deliveries_per_s)} deliveries`);
  }
  if (row.ok_p50_us !== undefined) out.push(`OK ${us(row.ok_p50_us)}, query ${us(row.query_p50_us)}`);
  if (row.unordered > 0) out.push(`${digits(row.unordered)} answers in a wrong order`);
  if (row.already_there > 0) out.push("was there already: these are duplicates");
  return out.join("; ");
}

function table_of_one(rows) {
  return {
    columns: ["question", "remarks", "CPU each", "to raw", "rate", "p50", "p99"],
    rows: rows.map((row) => [row.title, remarks(row), us(row.cpu_us),
      row.to_raw === undefined ? "" : `${digits(row.to_raw)} ${row.raw}`, rate(row.per_s), us(row.p50_us), us(row.p99_us)]),
  };
}

/** Ours and each peer side by side; x: how many times ours the peer's CPU is. */
function table_of_many(rows, names) {
  const questions = [...new Set(rows.map((row) => row.question))];
  const [ours, ...peers] = names;
  const columns = ["question", "to raw", ...names.map((name) => `${name} CPU`), ...peers.map((name) => `${name} x`)];
  for (const what of ["rate", "p50", "p99"]) columns.push(...names.map((name) => `${name} ${what}`));
  const lines = questions.map((question) => {
    const of = Object.fromEntries(names.map((name) => [name, rows.find((row) => row.question === question && row.contender === name) ?? {}]));
    const cpu = (row) => (row.wrong ? "WRONG" : us(row.cpu_us));
    const times = (row) => (row.cpu_us && of[ours].cpu_us ? `${digits(row.cpu_us / of[ours].cpu_us)}x` : "");
    const to_raw = of[ours].to_raw === undefined ? "" : `${digits(of[ours].to_raw)} ${of[ours].raw}`;
    return [rows.find((row) => row.question === question).title, to_raw, ...names.map((name) => cpu(of[name])),
      ...peers.map((name) => times(of[name])), ...names.map((name) => rate(of[name].per_s)),
      ...names.map((name) => us(of[name].p50_us)), ...names.map((name) => us(of[name].p99_us))];
  });
  return { columns, rows: lines };
}

/**
 * Measures ours beside `peers` (NAME=ws://…[,pid=PID][,data=FOLDER]). Rows go to `keep`, tables to `print`. False when a
 * relay answered wrongly.
 */
export async function measure_relay({ bin, peers, quick, only, deflate, keep, print }) {
  const relay = new OurRelay(bin);
  const rows = [];
  let raw;
  let code;
  try {
    const args = [await relay.target(), ...peers, "--relay-program", path.join(bin, "nostril-relay")];
    if (quick) args.push("--quick");
    if (deflate) args.push("--deflate");
    if (only) args.push("--only", only);
    code = await ask(bin, args, (row) => {
      keep(row);
      if (row.question === "raw") raw = row;
      else rows.push(row);
    });
  } finally {
    await relay.stop();
  }
  const names = [...new Set(rows.map((row) => row.contender))];
  print(`relay: CPU of the server's threads for each; raw costs: verify ${us(raw.verify_us)}, send ${us(raw.send_us)}, ` +
    `spread send ${us(raw.spread_us)}, verify + sync ${us(raw.durable_us)}, hash ${us(raw.hash_us)}, copy ${us(raw.copy_us)}`, names.length > 1 ? table_of_many(rows, names) : table_of_one(rows));
  if (names.length > 1) {
    for (const row of rows.filter((each) => remarks(each))) console.log(`  ${row.contender}, ${row.title}: ${remarks(row)}`);
  }
  return code === 0;
}
