// What happens to the relay while it works: one entry a fault. run(soak) brings it about, takes it away, and returns when the relay
// serves again; the soak then compares its ledger. A new one (a plugin that hangs, a proxy that stalls) is one more entry.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, person } from "../conformance/lib.mjs";
import { until } from "../e2e/lib.mjs";
import { Raw } from "../hostile/lib.mjs";

const writable = (soak) => soak.relay.metric("store_writable");
const limit_files = (pid, count) => execFileSync("prlimit", ["--pid", `${pid}`, `--nofile=${count}:`]);
const files_limit = (pid) => Number(execFileSync("prlimit", ["--pid", `${pid}`, "--nofile", "--output=SOFT", "--noheadings"]).toString());

/** One event of a client of its own: {accepted, text}. */
async function publish_one(soak) {
  const client = await Client.connect(soak.relay.url);
  try {
    return await client.publish(person().sign(1, { content: `${Math.random()}`, created_at: Math.floor(Date.now() / 1000) }));
  } finally {
    soak.flaws.push(...client.flaws);
    client.socket.terminate();
  }
}

export const kFaults = {
  "kill -9 in the middle of work": {
    async run(soak) {
      await soak.relay.started.program.kill("SIGKILL");
      await sleep(100);
      await soak.run_relay();
    },
  },
  "stopped for two seconds": {
    async run(soak) {
      process.kill(soak.relay.pid, "SIGSTOP");
      await sleep(2_000);
      process.kill(soak.relay.pid, "SIGCONT");
      assert.equal((await publish_one(soak)).accepted, true);
    },
  },
  "no file descriptors": {
    async run(soak) {
      const { pid } = soak.relay;
      const before = files_limit(pid);
      limit_files(pid, 40);
      const taken = [];
      for (let i = 0; i < 80; i++) taken.push(await Raw.connect(soak.relay).catch(() => undefined));
      await sleep(1_500);
      for (const raw of taken) raw?.destroy();
      limit_files(pid, before);
      assert.equal((await publish_one(soak)).accepted, true);
    },
  },
  "the clock an hour back": {
    needs_preload: true,
    async run(soak) {
      soak.steer({ clock_off_s: -3_600 });
      const { accepted, text } = await publish_one(soak);
      assert.equal(accepted, false);
      assert.match(text, /^invalid: .*future/);
      await sleep(1_000);
      soak.steer({});
      assert.equal((await publish_one(soak)).accepted, true);
    },
  },
  "the clock a day ahead": {
    needs_preload: true,
    async run(soak) {
      soak.steer({ clock_off_s: 86_400 });
      assert.equal((await publish_one(soak)).accepted, true);
      await sleep(1_000);
      soak.steer({});
    },
  },
  // After a failed write the relay takes nothing more, and answers no question whose answer would lack what it has acknowledged in
  // its log; it says so, until it is started anew.
  "the disk full": {
    needs_preload: true,
    async run(soak) {
      soak.steer({ disk_is_full: true });
      // The log and freed pages last for a while.
      await until(30_000, "a write fails", async () => (await writable(soak)) === 0);
      const { accepted, text } = await publish_one(soak);
      assert.equal(accepted, false);
      assert.match(text, /^error: /);
      const client = await Client.connect(soak.relay.url);
      const { closed } = await client.subscribe({ limit: 10 });
      if (closed) assert.match(closed, /^error: /);
      client.socket.terminate();
      await sleep(500);
      soak.steer({});
      await soak.relay.started.program.kill("SIGTERM");
      await soak.run_relay();
      assert.equal(await writable(soak), 1);
      assert.equal((await publish_one(soak)).accepted, true);
    },
  },
};
