// A relay whose disk takes nothing more: it serves nobody and says so, looks at the disk by itself, and comes back in the same process
// with all that was acknowledged meanwhile, here or elsewhere. Two ways: a disk that is full, and writes that fail otherwise.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { Client, person } from "../conformance/lib.mjs";
import { until } from "../e2e/lib.mjs";
import { fill } from "./faults.mjs";
import { difference } from "./ledger.mjs";
import { cluster_test, kSettleMs } from "./lib.mjs";
import { enter, mount_small_disk, unmount } from "./world.mjs";

const skip = await enter(import.meta.url) ?? false;
const kSmallDiskMiB = 48;
/** A relay looks at its disk from half a minute on. */
const kRetryMs = 60_000;
const who = person();
let number = 0;
const note = () => who.sign(1, { content: `${number++} `.padEnd(2_000, "x") });

/** What `member` acknowledges of `count` notes, sent one after the other. */
async function offer(member, count) {
  const client = await Client.connect(member.url).catch(() => undefined);
  if (!client) return [];
  const taken = [];
  client.wait_ms = 40_000;
  for (let i = 0; i < count && !client.closed; i++) {
    const event = note();
    if ((await client.publish(event).catch(() => undefined))?.accepted) taken.push(event);
  }
  client.close();
  return taken;
}

async function put(member, count) {
  const taken = await offer(member, count);
  assert.equal(taken.length, count);
  return taken;
}

const renewals = ({ relay }) => (relay.err.match(/starting anew for the cluster/g) ?? []).length;

async function comes_back(cluster, { fail, mend }) {
  const [first, second, third] = cluster.members;
  const acknowledged = [...await put(first, 10), ...await put(third, 10)];
  await cluster.settled();
  const { pid } = third.relay;
  const before = renewals(third);
  fail(third);
  // What comes through the others goes on; what comes to it is acknowledged only as long as it is kept there.
  acknowledged.push(...await put(first, 20));
  await until(kSettleMs, "its store has failed", async () => {
    fail(third);
    acknowledged.push(...await put(second, 5), ...await offer(third, 1));
    return !await third.is_serving();
  });
  await third.relay.said(/cluster: this relay serves nobody: the store takes nothing more/);
  assert.match(first.status(), /^m3 +stuck .*\n +the store takes nothing more/m);
  assert.equal((await offer(third, 1)).length, 0);
  // It looks whether it can go on, in vain, and is there all the time.
  const said = third.relay.err.length;
  await until(kRetryMs, "it has looked at its disk", () => {
    fail(third);
    return /m3-relay can't be written: /.test(third.relay.err.slice(said));
  });
  acknowledged.push(...await put(first, 20));
  assert.ok(third.is_up(third.relay));
  assert.match(first.status(), /^m3 +stuck /m);
  assert.equal(await third.is_serving(), false);
  assert.equal(renewals(third), before);
  mend(third);
  await third.serves(kRetryMs);
  assert.equal(third.relay.pid, pid);
  assert.equal(renewals(third), before + 1);
  acknowledged.push(...await put(third, 10));
  await cluster.settled();
  for (const member of cluster.members) {
    const kept = new Set(await until(kSettleMs, `${member.name} can be read`, () => member.exported()).then((lines) => lines.map((line) => JSON.parse(line).id)));
    const lost = acknowledged.filter(({ id }) => !kept.has(id));
    assert.equal(lost.length, 0, `${member.name} has lost ${lost.length} of ${acknowledged.length}`);
  }
  let wrong;
  await until(kSettleMs, "all relays hold the same", () => {
    const [one, ...others] = cluster.members.map((member) => member.exported());
    wrong = others.map((other) => difference(one, other)).find(Boolean);
    return !wrong;
  }).catch((error) => { throw new Error(`${error.message}: ${wrong}`); });
}

cluster_test("a relay whose disk is full, or can't be written, is stuck, says so, and comes back by itself", { skip, ms: 200_000 }, async (cluster) => {
  const [first, second, third] = cluster.members;
  mount_small_disk(third.data, kSmallDiskMiB);
  cluster.bed.on_stop(() => unmount(third.data));
  await cluster.start_servers();
  // A file beyond its limit is then an error of write(), not the end of the process.
  await Promise.all([first.start_relay(), second.start_relay(), third.start_relay({ before: ["env", "--ignore-signal=XFSZ"] })]);

  const ballast = path.join(third.data, "ballast");
  await comes_back(cluster, { fail: () => fill(ballast), mend: () => fs.rmSync(ballast) });

  const limit = (bytes) => ({ relay }) => execFileSync("prlimit", ["--pid", `${relay.pid}`, `--fsize=${bytes}:unlimited`]);
  await comes_back(cluster, { fail: limit(1), mend: limit("unlimited") });
  for (const member of cluster.members) await member.stop_relay();
});
