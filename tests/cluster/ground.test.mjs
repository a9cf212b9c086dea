// The ground that the other tests stand on: the faults are what they say, and the servers keep their side without any relay of ours.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cluster_test, kSettleMs } from "./lib.mjs";
import { until } from "../e2e/lib.mjs";
import { enter } from "./world.mjs";

const skip = await enter(import.meta.url) ?? false;
const kStream = "ground";

async function with_client(member, body) {
  const client = await member.nats();
  try {
    return await body(client);
  } finally {
    client.close();
  }
}

const make_stream = (cluster) => with_client(cluster.members[0], (client) =>
  client.json(`$JS.API.STREAM.CREATE.${kStream}`, { name: kStream, subjects: [`${kStream}.>`], num_replicas: 3, storage: "file", duplicate_window: 120e9 }, { ms: 20_000 }));

/** {seq} or {refused}. */
async function put(client, id, ms = 2_000) {
  try {
    return await client.json(`${kStream}.x`, { id }, { ms, id });
  } catch (error) {
    return { refused: error.message };
  }
}

/** Until it is taken. */
const put_at_last = (client, id) => until(kSettleMs, `${id} is taken`, async () => {
  const answer = await put(client, id);
  return answer.seq ? answer : undefined;
});

cluster_test("a leader that is cut off takes nothing, the others go on, and all have the same afterwards", { skip }, async (cluster) => {
  await cluster.start_servers();
  await make_stream(cluster);
  const leader = await cluster.leader(kStream);
  const [other] = cluster.members.filter((member) => member !== leader);
  const minority = await leader.nats();
  const majority = await other.nats();
  assert.equal((await put(minority, "before")).seq, 1);
  leader.machine.cut_off();
  for (let i = 0; i < 3; i++) assert.ok((await put(minority, `minority ${i}`, 1_000)).refused, "a leader without its followers has acknowledged");
  const first = await put_at_last(majority, "majority");
  assert.ok((await put(minority, "still", 1_000)).refused);
  leader.machine.rejoin();
  const again = await put_at_last(majority, "majority");
  assert.equal(again.duplicate, true, "the same id twice");
  assert.equal(again.seq, first.seq);
  // The one that was away has the same, and what it never acknowledged is nowhere or everywhere.
  await until(kSettleMs, "all replicas are current", async () => {
    const info = await with_client(leader, (client) => client.stream(kStream).catch(() => undefined));
    return info?.state.last_seq >= first.seq && info.cluster.replicas?.length === 2 && info.cluster.replicas.every(({ current, lag }) => current && !lag);
  });
  minority.close();
  majority.close();
});

cluster_test("kill -9 of the leader, of a majority, of all: nothing acknowledged is lost", { skip }, async (cluster) => {
  await cluster.start_servers();
  await make_stream(cluster);
  const taken = new Set();
  let number = 0;
  const publish = async (member, count) => with_client(member, async (client) => {
    for (let i = 0; i < count; i++) {
      const id = `event ${number++}`;
      await put_at_last(client, id);
      taken.add(id);
    }
  });
  await publish(cluster.members[0], 20);
  const leader = await cluster.leader(kStream);
  const followers = cluster.members.filter((member) => member !== leader);
  await leader.server.kill("SIGKILL");
  await publish(followers[0], 20);
  await followers[1].server.kill("SIGKILL");
  await with_client(followers[0], async (client) => assert.ok((await put(client, "alone", 1_500)).refused, "one of three has acknowledged"));
  await followers[1].start_server();
  await publish(followers[1], 20);
  await leader.start_server();
  await Promise.all(cluster.members.map(({ server }) => server.kill("SIGKILL")));
  await Promise.all(cluster.members.map((member) => member.start_server()));
  await publish(cluster.members[2], 5);
  const info = await cluster.stream(kStream);
  const there = new Set();
  await with_client(cluster.members[0], async (client) => {
    for (let seq = info.state.first_seq; seq <= info.state.last_seq; seq++) {
      const { message } = await client.json(`$JS.API.STREAM.MSG.GET.${kStream}`, { seq });
      there.add(JSON.parse(Buffer.from(message.data, "base64").toString()).id);
    }
  });
  assert.deepEqual([...taken].filter((id) => !there.has(id)), [], "acknowledged and lost");
});

cluster_test("two machines that don't reach each other, and a slow line", { skip }, async (cluster) => {
  await cluster.start_servers();
  await make_stream(cluster);
  const [first, second, third] = cluster.members;
  first.machine.sever(second.machine);
  await with_client(third, (client) => put_at_last(client, "severed"));
  first.machine.mend(second.machine);
  const took = async () => with_client(third, async (client) => {
    await put_at_last(client, "warm");
    const began = performance.now();
    await put_at_last(client, randomBytes(45_000).toString("base64"));  // servers compress what they tell each other
    return performance.now() - began;
  });
  await took();
  for (const { machine } of cluster.members) machine.slow({ rate: "1mbit" });
  assert.ok(await took() > 200, "60 kB in 200 ms is more than a megabit a second");  // a lower bound: no machine is too slow for it
  for (const { machine } of cluster.members) machine.fast();
});
