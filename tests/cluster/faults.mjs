// What happens to a cluster while it works: one entry a fault. run(load) brings it about under load, takes it away, and returns when
// every relay serves again; the ledger is compared then. A new fault is one more entry.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../e2e/lib.mjs";
import { kSettleMs } from "./lib.mjs";

/** Longer than the servers take to elect a leader. */
const kCutMs = 12_000;

/** Servers that found each other again drop one of two lines between them a little later, and what is on it. */
const kRoutesMs = 3_000;

const all_serve = (cluster) => Promise.all(cluster.members.map((member) => member.serves()));

async function kill_and_start_relay(member) {
  await member.relay.kill("SIGKILL");
  await sleep(300);
  await member.start_relay();
}

async function kill_and_start_server(member, away_ms) {
  await member.server.kill("SIGKILL");
  await sleep(away_ms);
  await member.start_server();
}

async function stop_for(program, ms) {
  program.child.kill("SIGSTOP");
  await sleep(ms);
  program.child.kill("SIGCONT");
}

/** Cut off from the others: nothing that is sent there from now on may be acknowledged. */
async function cut_off(load, member, ms) {
  member.machine.cut_off();
  load.ledger.cut_off(member.name);
  load.cut_ms = performance.now();
  const refused = load.counts.refused_cut_off;
  await sleep(ms);
  await until(15_000, `${member.name}, cut off, has refused something`, () => load.counts.refused_cut_off > refused);
  load.ledger.rejoin(member.name);
  member.machine.rejoin();
}

export const kFaults = {
  "kill -9 of a relay": { run: (load) => kill_and_start_relay(load.pick(load.cluster.members)) },
  "kill -9 of a server": { run: (load) => kill_and_start_server(load.pick(load.cluster.members), 1_000) },
  "kill -9 of the stream's leader": { run: async (load) => kill_and_start_server(await load.cluster.leader(), 6_000) },
  "kill -9 of two relays at once": {
    async run(load) {
      const spared = load.pick(load.cluster.members);
      await Promise.all(load.cluster.members.filter((member) => member !== spared).map(kill_and_start_relay));
    },
  },
  "the leader's machine cut off": { run: async (load) => cut_off(load, await load.cluster.leader(), kCutMs) },
  "another machine cut off": {
    async run(load) {
      const leader = await load.cluster.leader();
      await cut_off(load, load.pick(load.cluster.members.filter((member) => member !== leader)), kCutMs / 2);
    },
  },
  "two machines don't reach each other": {
    async run(load) {
      const [a, b] = [...load.cluster.members].sort(() => load.random() - 0.5);
      a.machine.sever(b.machine);
      await sleep(kCutMs / 2);
      a.machine.mend(b.machine);
    },
  },
  "slow lines": {
    async run(load) {
      for (const { machine } of load.cluster.members) machine.slow({ rate: "2mbit" });
      await sleep(5_000);
      for (const { machine } of load.cluster.members) machine.fast();
    },
  },
  "a relay stopped for a while": { run: (load) => stop_for(load.pick(load.cluster.members).relay, 4_000) },
  "a server stopped for a while": { run: (load) => stop_for(load.pick(load.cluster.members).server, 4_000) },
  "a majority of servers away": {
    async run(load) {
      const [first, second, third] = load.cluster.members;
      await Promise.all([first.server.kill("SIGKILL"), second.server.kill("SIGKILL")]);
      for (const { name } of load.cluster.members) load.ledger.cut_off(name);
      await sleep(3_000);
      // What was acknowledged is still read, at every relay.
      for (const member of load.cluster.members) await load.reads(member);
      for (const { name } of load.cluster.members) load.ledger.rejoin(name);
      assert.equal(third.server.result, undefined);
      await Promise.all([first.start_server(), second.start_server()]);
    },
  },
  "everything killed at once": {
    async run({ cluster }) {
      await Promise.all(cluster.members.flatMap(({ relay, server }) => [relay.kill("SIGKILL"), server.kill("SIGKILL")]));
      await Promise.all(cluster.members.map((member) => member.start_server()));
      await Promise.all(cluster.members.map((member) => member.start_relay()));
    },
  },
  "the disk of a relay full": {
    async run(load) {
      const member = load.cluster.members.at(-1);  // its data lie on a small disk
      const ballast = path.join(member.data, "ballast");
      fill(ballast);
      await until(30_000, `${member.name} can't write`, async () => {
        fill(ballast);
        return await member.metrics().then((all) => all?.store_writable === 0 || all?.cluster_connected === 0 || all?.cluster_lag > 0);
      });
      await sleep(2_000);
      fs.rmSync(ballast);
      // In the same process, by itself (disk.test.mjs).
      await until(kSettleMs, `${member.name} goes on`, async () => await member.is_serving() && (await member.metrics())?.store_writable === 1);
    },
  },
};

/** Until nothing more fits onto that disk. */
export function fill(file) {
  const out = fs.openSync(file, "a");
  try {
    for (const size of [1 << 20, 1 << 12]) {
      for (;;) fs.writeSync(out, Buffer.alloc(size, 1));
    }
  } catch (error) {
    assert.equal(error.code, "ENOSPC");
  } finally {
    fs.closeSync(out);
  }
}

/** Brings `names` about, one after the other, and holds the ledger against the relays after each. */
export async function suffer(load, names) {
  for (const name of names) {
    load.say(`${((performance.now() - load.began_ms) / 1000).toFixed(0)} s: ${name}; ${load.counts.acknowledged} acknowledged, ${load.counts.heard} heard, refused ${JSON.stringify(load.counts.refused)}`);
    load.is_calm = false;
    await kFaults[name].run(load);
    await all_serve(load.cluster);
    await load.check();
    await load.works(kSettleMs);
    await sleep(kRoutesMs);
    load.is_calm = true;
    await sleep(1_000);
  }
}
