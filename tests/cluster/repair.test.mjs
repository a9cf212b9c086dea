// Moderators' decisions depend on their order: one that a relay was not told of by its server is told to all again, at one place of the
// stream; what the relay reads again of the stream's end it applies late, where it stands. The difference is made here, in what a relay
// that is down has noted of the stream; a server that was cut off makes it now and then by itself. Events: ClusterTest and
// ClusterProcessTest in tests/relay.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, person } from "../conformance/lib.mjs";
import { until } from "../e2e/lib.mjs";
import { difference, moderate } from "./ledger.mjs";
import { cluster_test } from "./lib.mjs";
import { enter } from "./world.mjs";

const skip = await enter(import.meta.url) ?? false;
const who = person();

/** In relay/cluster/applied_ids.h: where the file has the id of a message of the first windows. */
const [kHeaderBytes, kSlotHeaderBytes, kWindow, kIdBytes] = [4_096, 64, 1_024, 32];
const place_of = (sequence) => kHeaderBytes + Math.floor((sequence - 1) / kWindow) * (kSlotHeaderBytes + kWindow * kIdBytes) + kSlotHeaderBytes + ((sequence - 1) % kWindow) * kIdBytes;

/** Changes what `member`, which is down, has noted of the stream: (ids as hex) -> ids. */
function rewrite(member, last, change) {
  const file = path.join(member.data, "cluster.ids");
  const bytes = fs.readFileSync(file);
  const ids = Array.from({ length: last }, (_, i) => bytes.subarray(place_of(i + 1), place_of(i + 1) + kIdBytes).toString("hex"));
  change(ids).forEach((id, i) => bytes.write(id, place_of(i + 1), "hex"));
  fs.writeFileSync(file, bytes);
  return ids;
}

async function put(member, count) {
  const events = Array.from({ length: count }, (_, i) => who.sign(1, { content: `${member.name} ${i} ${Math.random()}` }));
  const client = await Client.connect(member.url);
  // A relay that has just started may still say that its cluster is away: try again, as it says.
  await until(20_000, "an event is accepted", () => client.publish(events[0]).then(({ accepted }) => accepted));
  await client.accepts(...events.slice(1));
  client.close();
  return events.map(({ id }) => id);
}

async function alike(cluster, ms = 40_000) {
  let wrong;
  await until(ms, "all relays hold the same", async () => {
    const [first, ...others] = cluster.members.map((member) => member.exported());
    wrong = others.map((other) => difference(first, other)).find(Boolean);
    return !wrong;
  }).catch((error) => { throw new Error(`${error.message}: ${wrong}`); });
}

const kMark = Buffer.from("moderation......").toString("hex");

/** As if `member`, which is down, had never been told of a decision. */
function forget_decisions(member, last) {
  for (const folder of ["moderation", "decisions"]) fs.rmSync(path.join(member.data, folder), { recursive: true });
  const noted = rewrite(member, last, (ids) => ids.map((id, i) => (id.endsWith(kMark) ? `${i}`.padStart(64, "0") : id)));
  return noted.filter((id) => id.endsWith(kMark)).length;
}

const banned_at = async (member, method) => (await moderate(member, method).catch(() => undefined))?.map(({ id, pubkey }) => id ?? pubkey).sort();

async function all_have(cluster, method, expected) {
  for (const member of cluster.members) {
    let seen;
    await until(40_000, `${member.name} has the list`, async () => {
      seen = await banned_at(member, method);
      return JSON.stringify(seen) === JSON.stringify([...expected].sort());
    }).catch((error) => { throw new Error(`${error.message}: ${JSON.stringify(seen)}`); });
  }
}

/** More than a relay reads again (kAgainMax in relay/cluster/bus.h). */
const kFarBack = 1_100;

for (const [how, come_behind] of [["are told again", kFarBack], ["are applied when they are read again", 0]]) cluster_test(`moderators' decisions that a relay was not told of ${how}, and end alike on all`, { skip }, async (cluster) => {
  const [first, second, third] = cluster.members;
  await cluster.start();
  const notes = await put(first, 4);
  const decide = (member, ...call) => until(20_000, call[0], () => moderate(member, ...call).then(() => true, () => false));
  const spammer = person();
  await decide(first, "banevent", notes[0], "spam");
  await decide(second, "banevent", notes[1], "spam");
  await decide(first, "banpubkey", spammer.key, "spam");
  await decide(third, "allowevent", notes[1]);  // not banned any more
  const later = come_behind > 0 ? await put(second, come_behind) : [];
  let { last } = await cluster.settled();
  await third.stop_relay();
  assert.ok(forget_decisions(third, last) >= 4);
  await third.start_relay();
  await all_have(cluster, "listbannedevents", [notes[0]]);
  await all_have(cluster, "listbannedpubkeys", [spammer.key]);
  // What only one relay was told comes to the others in the same way.
  await decide(third, "banevent", notes[2], "spam");
  if (come_behind > 0) later.push(...await put(third, come_behind));
  ({ last } = await cluster.settled());
  await Promise.all([first, second].map((member) => member.stop_relay()));
  for (const member of [first, second]) assert.ok(forget_decisions(member, last) >= 5);
  await Promise.all([first, second].map((member) => member.start_relay()));
  await all_have(cluster, "listbannedevents", [notes[0], notes[2]]);
  await all_have(cluster, "listbannedpubkeys", [spammer.key]);
  await alike(cluster);
  assert.deepEqual(first.exported().map((line) => JSON.parse(line).id).sort(), [notes[3], ...later].sort(), "what was banned once is gone");
  const way = come_behind > 0 ? "given_events_total" : "applied_late_total";
  const counts = await Promise.all(cluster.members.map((member) => member.cluster_metric(way)));
  assert.ok(counts.some((count) => count > 0), `${way}: ${counts}`);
  // Then it is quiet: nothing is told again for ever.
  const { last: at_rest } = await cluster.settled();
  await sleep(8_000);
  assert.equal((await cluster.settled()).last, at_rest);
});
