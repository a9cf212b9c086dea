// Moderators' decisions depend on their order: a relay that was told others by its server than most relays were begins anew. The
// difference is made here, in what a relay that is down has noted of the stream; a server that was cut off makes it now and then by
// itself. Events: ClusterProcessTest in tests/relay.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
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
  await client.accepts(...events);
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

cluster_test("a relay with other decisions than most fetches a snapshot", { skip }, async (cluster) => {
  const [first, , third] = cluster.members;
  await cluster.start();
  const [banned, kept] = await put(first, 2);
  await until(20_000, "it is banned", () => moderate(first, "banevent", banned, "spam").then(() => true, () => false));
  const { last } = await cluster.settled();
  const marked = (id) => id.endsWith(Buffer.from("moderation......").toString("hex"));
  await third.stop_relay();
  const lists = path.join(third.data, "moderation");
  fs.rmSync(lists, { recursive: true });  // as if it had never heard of it
  const noted = rewrite(third, last, (ids) => ids.map((id, i) => (marked(id) ? `${i}`.padStart(64, "0") : id)));
  assert.ok(noted.some(marked), "a decision is noted");
  await third.start_relay();
  await until(60_000, "it has the ban again", async () => {
    try {
      return (await moderate(third, "listbannedevents")).some(({ id }) => id === banned);
    } catch {
      return false;
    }
  });
  await third.serves();
  await alike(cluster);
  assert.ok(third.exported().some((line) => JSON.parse(line).id === kept));
  // It is over: what it fetched is not compared with what its old store was told.
  const again = await put(third, 1);
  await until(20_000, "the others have it", () => first.exported().some((line) => JSON.parse(line).id === again[0]));
});
