// The part sync of ./scripts/bench: two stores that differ in a hundredth of their events, one of them served by a relay, become the
// same by `nostril-relay sync`. The result is checked before it is told: both must export the same bytes.
import { execFileSync, spawn } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { cpu_ns } from "./measure.mjs";

/** Runs a command to its end; its output, and its CPU time by the shell's word. */
function timed(file, args) {
  const script = 'TIMEFORMAT="cpu %U %S"; time "$@"';
  return new Promise((resolve, reject) => {
    const child = spawn("bash", ["-c", script, "bash", file, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let err = "";
    child.stdout.on("data", (text) => (out += text));
    child.stderr.on("data", (text) => (err += text));
    child.on("error", reject);
    child.on("close", (status) => {
      const cpu = /cpu ([\d.]+) ([\d.]+)/.exec(err);
      if (!cpu) return reject(new Error(err));
      resolve({ status, out, err, cpu_s: Number(cpu[1]) + Number(cpu[2]) });
    });
  });
}

function digest_of(relay, data) {
  const file = path.join(data, "export.jsonl");
  const out = fs.openSync(file, "w");
  execFileSync(relay, ["export", "--data", data], { stdio: ["ignore", out, "ignore"] });
  fs.closeSync(out);
  const digest = crypto.createHash("sha256").update(fs.readFileSync(file)).digest("hex");
  fs.rmSync(file);
  return digest;
}

async function serve(relay, data) {
  const child = spawn(relay, ["run", "--listen", "127.0.0.1:0", "--data", data], { stdio: ["ignore", "pipe", "ignore"] });
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const found = /^listening on (.*)$/.exec(line);
    if (found) return { child, url: found[1] };
  }
  throw new Error("the relay did not start");
}

const kFirst = /^(\d+) events here, (\d+) rounds, (\d+) bytes of questions, (\d+) of answers$/m;

export async function measure_sync({ bin, quick }) {
  const events = quick ? 5_000 : 200_000;
  const different = events / 100;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "nostril-bench-sync-"));
  const relay = path.join(bin, "nostril-relay");
  const here = path.join(folder, "here");
  const there = path.join(folder, "there");
  let server;
  try {
    execFileSync(path.join(bin, "nostril-bench-sync-events"), [folder, String(events), String(different)]);
    for (const data of [here, there]) {
      fs.mkdirSync(data);
      const lines = fs.openSync(`${data}.jsonl`, "r");
      execFileSync(relay, ["import", "--no-verify", "--data", data], { stdio: [lines, "ignore", "ignore"] });
      fs.closeSync(lines);
      fs.rmSync(`${data}.jsonl`);
    }
    server = await serve(relay, there);
    const results = [];
    for (const question of ["1 % differs, each way", "nothing differs"]) {
      const before = cpu_ns(server.child.pid);
      const began = performance.now();
      const run = await timed(relay, ["sync", server.url, "--data", here, "--dir", "both"]);
      const elapsed_s = (performance.now() - began) / 1000;
      const server_cpu_s = (cpu_ns(server.child.pid) - before) / 1e9;
      const found = kFirst.exec(run.out);
      if (run.status !== 0 || !found) throw new Error(`sync ended with ${run.status}: ${run.out}${run.err}`);
      const [, , rounds, asked, answered] = found.map(Number);
      results.push({ question, events, different: results.length ? 0 : 2 * different, rounds, bytes: 2 * (asked + answered),
        elapsed_s, client_cpu_s: run.cpu_s, server_cpu_s });
    }
    const right = digest_of(relay, here) === digest_of(relay, there);
    return {
      right, results,
      title: `sync: ${events.toLocaleString("en")} events on each side, by nostril-relay sync --dir both${right ? "" : "   WRONG: the stores differ"}`,
      columns: ["question", "", "moved", "rounds", "bytes of NEG-…", "seconds", "CPU sync", "CPU relay"],
      rows: results.map((row) => [row.question, "", row.different.toLocaleString("en"), String(row.rounds), row.bytes.toLocaleString("en"),
        row.elapsed_s.toFixed(2), `${row.client_cpu_s.toFixed(2)} s`, `${row.server_cpu_s.toFixed(2)} s`]),
    };
  } finally {
    if (server) {
      server.child.kill("SIGTERM");
      await new Promise((resolve) => server.child.once("exit", resolve));
    }
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
