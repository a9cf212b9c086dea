// What needs Node.js: verdicts of the `nostril` command, storage in a folder.
import { execFile } from "node:child_process";
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { isRecord } from "./event.js";
import { VerdictList } from "./gateway_verifier.js";
import type { Storage } from "./storage.js";

export * from "./index.js";

const kCommandMsMax = 15_000;
const kOutputBytesMax = 8 << 20;
const kCompactRowsMax = 4_096;

export interface CommandOptions {
  /** The program. Default: "nostril" on PATH. */
  readonly command?: string | undefined;
  /** As for `nostril offers`: --relay, --home, --policy, --trust-test-root, … */
  readonly args: readonly string[];
}

/** Asks `nostril offers --json …`. */
export class CommandVerifier extends VerdictList {
  constructor({ command = "nostril", args }: CommandOptions) {
    super(() => new Promise((resolve, reject) => {
      execFile(command, ["offers", "--json", ...args], { timeout: kCommandMsMax, maxBuffer: kOutputBytesMax }, (error, stdout) => {
        // Its exit status says whether an offer is usable; the list is there all the same.
        if (stdout.length > 0) resolve(stdout);
        else reject(new Error(error ? `${command}: ${error.message.split("\n", 1)[0]}` : `${command}: no output`));
      });
    }));
  }
}

type Row = readonly [key: string, value: string];

function rowsOf(line: string): Row[] | undefined {
  try {
    const rows: unknown = JSON.parse(line);
    const good = Array.isArray(rows) && rows.every((row) => Array.isArray(row) && row.length === 2 && row.every((part) => typeof part === "string"));
    return good ? rows as Row[] : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isRecord(error) && error["code"] === "EPERM";
  }
}

/** A folder (mode 0700) with a log of rows: one line of JSON for each put(), synced before it resolves. A line that a crash
 * tore is dropped. One process writes; for others exclusive() says no, and their rows go to a log of their own. */
export class FileStorage implements Storage {
  readonly #folder: string;
  readonly #rows = new Map<string, string>();
  #file = -1;
  #locked = false;
  #lines = 0;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  async exclusive(): Promise<boolean> {
    if (this.#file >= 0) return this.#locked;
    this.#locked = this.#lock();
    const log = path.join(this.#folder, "rows.jsonl");
    for (const name of readdirSync(this.#folder)) if (/^rows.*\.jsonl$/.test(name)) this.#read(path.join(this.#folder, name));
    if (this.#locked && this.#lines > kCompactRowsMax) this.#compact(log);
    this.#file = openSync(this.#locked ? log : path.join(this.#folder, `rows-${process.pid}-${Date.now()}.jsonl`), "a", 0o600);
    // A torn last line must not swallow the next one.
    if (this.#locked) writeSync(this.#file, "\n");
    return this.#locked;
  }

  async list(prefix: string): Promise<[string, string][]> {
    await this.exclusive();
    return [...this.#rows].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  async put(rows: readonly Row[]): Promise<void> {
    await this.exclusive();
    const line = Buffer.from(`${JSON.stringify(rows)}\n`);
    for (let at = 0; at < line.length;) at += writeSync(this.#file, line, at);
    fsyncSync(this.#file);
    for (const [key, value] of rows) this.#rows.set(key, value);
  }

  async close(): Promise<void> {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
    if (this.#locked) unlinkSync(this.#lockFile);
    this.#locked = false;
  }

  get #lockFile(): string { return path.join(this.#folder, "lock"); }

  #lock(): boolean {
    for (let tries = 0; tries < 2; ++tries) {
      try {
        writeFileSync(this.#lockFile, `${process.pid}`, { flag: "wx", mode: 0o600 });
        return true;
      } catch {
        const pid = Number(readFileSync(this.#lockFile, "utf8"));
        if (pid > 0 && isAlive(pid)) return false;
        unlinkSync(this.#lockFile); // of a process that has ended
      }
    }
    return false;
  }

  #read(log: string): void {
    for (const line of readFileSync(log, "utf8").split("\n")) {
      const rows = line === "" ? undefined : rowsOf(line);
      if (!rows) continue;
      this.#lines += 1;
      for (const [key, value] of rows) this.#rows.set(key, value);
    }
  }

  #compact(log: string): void {
    const next = `${log}.new`;
    const file = openSync(next, "w", 0o600);
    writeFileSync(file, [...this.#rows].map((row) => `${JSON.stringify([row])}\n`).join(""));
    fsyncSync(file);
    closeSync(file);
    renameSync(next, log);
  }
}
