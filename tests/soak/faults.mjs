// What happens to the relay while it works: one entry a fault. run(soak) brings it about, takes it away, and returns when the relay
// serves again; the soak then compares its ledger. A new one (a proxy that stalls) is one more entry.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, person } from "../conformance/lib.mjs";
import { until } from "../e2e/lib.mjs";
import { Raw } from "../hostile/lib.mjs";

const writable = (soak) => soak.relay.metric("store_writable");
const limit_files = (pid, count) => execFileSync("prlimit", ["--pid", `${pid}`, `--nofile=${count}:`]);
const files_limit = (pid) => Number(execFileSync("prlimit", ["--pid", `${pid}`, "--nofile", "--output=SOFT", "--noheadings"]).toString());

const note = (bytes = 0) => person().sign(1, { content: `${Math.random()}`.padEnd(bytes, "x"), created_at: Math.floor(Date.now() / 1000) });

/** Events of a client of its own: the first answer that refuses one, else the last: {accepted, text}. */
async function publish_some(soak, events) {
  const client = await Client.connect(soak.relay.url);
  try {
    const answers = await Promise.all(events.map((event) => client.publish(event)));
    return answers.find(({ accepted }) => !accepted) ?? answers.at(-1);
  } finally {
    soak.flaws.push(...client.flaws);
    client.socket.terminate();
  }
}

const publish_one = (soak) => publish_some(soak, [note()]);

/** The relay's plugins; any thread of it may have started them. */
const plugins_of = (pid) => fs.readdirSync(`/proc/${pid}/task`).flatMap((thread) => fs.readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number));

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
  // It is killed and started again by the relay; what it was given is refused.
  "a plugin that hangs": {
    async run(soak) {
      const [plugin, ...others] = plugins_of(soak.relay.pid);
      assert.ok(plugin && others.length === 0);
      process.kill(plugin, "SIGSTOP");
      const { accepted, text } = await publish_one(soak);
      assert.equal(accepted, false);
      assert.match(text, /^error: .*policy gives no answer/);
      await until(60_000, "another one answers", async () => (await publish_one(soak)).accepted);
      assert.notDeepEqual(plugins_of(soak.relay.pid), [plugin]);
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
  // The relay refuses what it can't store, shows all that it has acknowledged, and takes events again by itself.
  "the disk full": {
    needs_preload: true,
    async run(soak) {
      soak.steer({ disk_is_full: true });
      const { text } = await until(300_000, "an event is refused", async () => {
        const answer = await publish_some(soak, Array.from({ length: 20 }, () => note(60_000)));  // room was set aside, and there are freed pages
        return answer.accepted ? undefined : answer;
      });
      assert.match(text, /^error: .*disk is full/);
      const client = await Client.connect(soak.relay.url);
      const { closed } = await client.subscribe({ limit: 10 });
      assert.equal(closed, undefined);
      client.socket.terminate();
      await soak.check();
      soak.steer({});
      await until(60_000, "events are taken again", async () => (await writable(soak)) === 1);
      assert.equal((await publish_one(soak)).accepted, true);
    },
  },
};
