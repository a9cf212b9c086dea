// The life of a relay in a cluster: joining, leaving, being away, what is kept for whom.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import http from "node:http";
import path from "node:path";
import { Client, person } from "../conformance/lib.mjs";
import { kBin, until } from "../e2e/lib.mjs";
import { make_credentials } from "./credentials.mjs";
import { difference } from "./ledger.mjs";
import { cluster_test, kSettleMs } from "./lib.mjs";
import { kPrefix, kUsers, relay_permissions } from "./nats.mjs";
import { enter } from "./world.mjs";

const skip = await enter(import.meta.url) ?? false;
const who = person();
let number = 0;
const note = (more = {}) => who.sign(1, { content: `${number++}`, ...more });

async function with_client(member, body) {
  const client = await Client.connect(member.url);
  try {
    return await body(client);
  } finally {
    assert.deepEqual(client.flaws, []);
    client.close();
  }
}

/** Published at `member`, acknowledged. */
async function put(member, count = 1) {
  const events = Array.from({ length: count }, () => note());
  await with_client(member, (client) => client.accepts(...events));
  return events;
}

const has = (member, events) => with_client(member, async (client) => {
  const found = new Set(await client.ids({ ids: events.map(({ id }) => id), limit: events.length }));
  return events.every(({ id }) => found.has(id));
});

/** The status and headers of an attempt to open a WebSocket; 101: it opens. */
const upgrade = (member) => new Promise((resolve, reject) => {
  const request = http.request(member.http, { headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" } });
  const end = (answer) => { resolve({ status: answer.statusCode, headers: answer.headers }); request.destroy(); };
  request.on("response", end).on("upgrade", end).on("error", reject).end();
});

const on_machine = (member, ...args) => {
  const [file, all] = member.machine.command(path.join(kBin, "nostril-relay"), ["cluster", ...args, "--config", member.config]);
  return execFileSync(file, all, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
};

/** All relays that are up hold the same. */
async function alike(cluster) {
  await cluster.settled();
  const members = cluster.members.filter((member) => member.is_up(member.relay));
  let wrong;
  await until(20_000, "all relays hold the same", () => {
    const [first, ...others] = members.map((member) => member.exported());
    wrong = others.map((other) => difference(first, other)).find(Boolean);
    return !wrong;
  }).catch((error) => { throw new Error(`${error.message}: ${wrong}`); });
}

cluster_test("a relay joins from the stream and by snapshot, serves only once caught up, is drained, and says how it stands", { skip }, async (cluster) => {
  const [first, second, third] = cluster.members;
  await cluster.start_servers();
  await first.start_relay();
  const early = await put(first, 200);
  const vanished = person();
  const gone = vanished.sign(1, { created_at: 1_700_000_000 });
  await with_client(first, (client) => client.accepts(gone, vanished.sign(62, { tags: [["relay", "ALL_RELAYS"]], created_at: 1_700_000_001 })));

  // The second cannot reach anything: it listens, and serves nobody.
  second.machine.cut_off();
  await second.server.kill("SIGKILL");
  await second.start_relay({ sections: { cluster: { join: "stream" } }, serving: false });
  const { status, headers } = await upgrade(second);
  assert.equal(status, 503);
  assert.match(headers["retry-after"] ?? "", /^\d+$/);
  assert.equal(await second.is_serving(), false);
  assert.ok(await second.metrics(), "its metrics can be read meanwhile");
  second.machine.rejoin();
  await second.start_server();
  await second.serves();
  assert.equal((await upgrade(second)).status, 101);
  assert.ok(await has(second, early));

  await third.start_relay({ sections: { cluster: { join: "snapshot" } } });
  assert.ok(await has(third, early));
  const late = await put(third, 20);
  await alike(cluster);
  assert.ok(await has(first, late) && await has(second, late));
  assert.equal(third.exported().some((line) => line.includes(gone.id)), false);

  // Status names all three; a drained one has ended by itself, and all that it had acknowledged is on the others.
  const told = on_machine(first, "status");
  for (const { name } of cluster.members) assert.match(told, new RegExp(`\\b${name}\\b`), told);
  const last = await put(second, 20);
  on_machine(first, "drain", second.name);
  const end = await second.relay.end(kSettleMs);
  assert.equal(end.code, 0, end.err);
  assert.ok(await has(first, last));
  await second.start_relay();
  await alike(cluster);

  // One whose store is not to be trusted takes another's.
  on_machine(first, "resnapshot", third.name);
  await until(kSettleMs, "the third has a new store", async () => third.relay.err.includes("snapshot") && await third.is_serving());
  assert.ok(await has(third, [...early, ...late, ...last]));
  await put(third, 5);
  await alike(cluster);
  for (const member of cluster.members) await member.stop_relay();
});

cluster_test("while NATS is away events wait on the disk where that was chosen, through kill -9 too, and nowhere else", { skip }, async (cluster) => {
  const [first, second, third] = cluster.members;
  await cluster.start_servers();
  await Promise.all([first.start_relay({ sections: { cluster: { when_away: "queue" } } }), second.start_relay(), third.start_relay()]);
  const before = await put(first, 5);
  await cluster.settled();
  await Promise.all(cluster.members.map(({ server }) => server.kill("SIGKILL")));
  await until(kSettleMs, "the relays know", async () => (await first.cluster_metric("connected")) === 0 && (await second.cluster_metric("connected")) === 0);
  assert.ok(await has(second, before), "reads go on");
  const waiting = Array.from({ length: 20 }, () => note());
  await with_client(first, async (client) => {
    for (const event of waiting) {
      const { accepted, text } = await client.publish(event);
      assert.equal(accepted, true, text);
      assert.match(text, /queue|wait/i, "whoever published is told that it waits");
    }
  });
  await with_client(second, (client) => client.refuses(note(), /^error: /));
  assert.equal(await first.cluster_metric("outbox_events"), waiting.length);
  await first.relay.kill("SIGKILL");
  await first.start_relay({ serving: false });
  await Promise.all(cluster.members.map((member) => member.start_server()));
  await Promise.all(cluster.members.map((member) => member.serves()));
  await until(kSettleMs, "all relays have what waited", async () => (await Promise.all(cluster.members.map((member) => has(member, waiting)))).every(Boolean));
  assert.equal(await first.cluster_metric("outbox_events"), 0);
  await alike(cluster);
});

cluster_test("ephemeral events go where somebody listens, by kind and key, and nowhere else", { skip }, async (cluster) => {
  const [first, second, third] = cluster.members;
  await cluster.start();
  const key = (start) => { for (;;) { const { key } = person(); if (key.startsWith(start)) return key; } };
  const [a, b] = [key("1"), key("e")];
  const send = (client, kind, tags) => client.publish(who.sign(kind, { tags, content: `${number++}` }));
  const heard = (member) => member.cluster_metric("ephemeral_in_total");
  await with_client(second, async (listener) => with_client(third, async (other) => with_client(first, async (publisher) => {
    const mine = await listener.subscribe({ kinds: [20_001], "#p": [a] });
    const all = await other.subscribe({ kinds: [20_002] });
    // The first relay learns of it by and by.
    await until(kSettleMs, "the second hears", async () => {
      await send(publisher, 20_001, [["p", a]]);
      return listener.inbox.some(([word, id]) => word === "EVENT" && id === mine.id);
    });
    await new Promise((done) => setTimeout(done, 1_000));  // others of these are on their way
    const [of_second, of_third] = [await heard(second), await heard(third)];
    for (let i = 0; i < 20; i++) await send(publisher, 20_001, [["p", b]]);
    for (let i = 0; i < 20; i++) await send(publisher, 20_002, []);
    await until(kSettleMs, "the third has heard twenty", () => other.inbox.filter(([word, id]) => word === "EVENT" && id === all.id).length === 20);
    assert.equal(await heard(second), of_second, "what nobody there listens to has come");
    assert.equal(await heard(third), of_third + 20);
    // A query of any kind takes the narrow subject's place, for its moment: nothing is missed.
    await with_client(second, async (asker) => {
      const is_mine = ([word, id, event]) => word === "EVENT" && id === mine.id && event.content.startsWith("under a query");
      for (let i = 0; i < 60; i++) {
        await Promise.all([publisher.publish(who.sign(20_001, { tags: [["p", a]], content: `under a query ${i}` })), asker.ids({ ids: [a] })]);
        if (i % 4 === 0) await new Promise((done) => setTimeout(done, 60));  // longer than the relay's tick
      }
      await until(kSettleMs, "the second has heard all of them", () => listener.inbox.filter(is_mine).length >= 60);
      assert.equal(listener.inbox.filter(is_mine).length, 60, "one came twice");
    });
    // One event for both of them comes once to each.
    await with_client(third, async (broad) => {
      const every = await broad.subscribe({ kinds: [20_001, 20_002], "#p": [a, b] }, { kinds: [20_001] });
      const event = who.sign(20_001, { tags: [["p", a], ["p", b]], content: "both" });
      await until(kSettleMs, "the broad one hears", async () => {
        await send(publisher, 20_001, [["p", b]]);
        return broad.inbox.some(([word, id]) => word === "EVENT" && id === every.id);
      });
      await publisher.publish(event);
      await broad.take(([word, id, { id: of } = {}]) => word === "EVENT" && id === every.id && of === event.id);
      await listener.take(([word, id, { id: of } = {}]) => word === "EVENT" && id === mine.id && of === event.id);
      await send(publisher, 20_001, [["p", a]]);
      await broad.barrier();
      assert.equal(broad.inbox.filter(([word, , { id } = {}]) => word === "EVENT" && id === event.id).length, 0, "it came twice");
    });
  })));
});

cluster_test("a relay that was away for longer than the stream reaches back takes a snapshot; a stream that was removed is noticed", { skip, bytes_max: 8 << 20 }, async (cluster) => {
  const [first, second, third] = cluster.members;
  await cluster.start();
  const before = await put(first, 10);
  await cluster.settled();
  await third.stop_relay();
  const big = () => note({ content: `${number} `.padEnd(60_000, "x") });
  let missed = [];
  await with_client(second, async (client) => {
    for (let i = 0; i < 10; i++) {
      const events = Array.from({ length: 12 }, big);
      await client.accepts(...events);
      missed = [...missed, ...events];
    }
  });
  const { state, config } = await cluster.stream();
  assert.ok(state.first_seq > 10, `the stream has dropped nothing: ${JSON.stringify(state)}`);
  assert.equal(config.num_replicas, 3);
  assert.ok(state.bytes <= config.max_bytes);
  await third.start_relay();
  assert.ok(await has(third, [...before, ...missed]));
  await alike(cluster);

  const tester = await second.nats();
  await tester.json(`$JS.API.STREAM.DELETE.${kPrefix}`);
  tester.close();
  await until(kSettleMs, "no relay serves on as if nothing had happened", async () => (await Promise.all(cluster.members.map((member) => member.is_serving()))).every((serves) => !serves));
  const { status } = await upgrade(first);
  assert.equal(status, 503);
});

cluster_test("who has no password is nobody, and a relay's user can neither remove the stream nor read beside it", { skip }, async (cluster) => {
  await cluster.start_servers();
  const [first, second] = cluster.members;
  // More than the servers have, on none of which there is a stream yet: what is to be done is said, and a mended one goes on.
  await first.start_relay({ sections: { cluster: { stream_bytes_max: 2 ** 40 } }, serving: false });
  await first.relay.said(/the stream test can't be made: no suitable peers for placement, insufficient storage \(JetStream's error 10005\): .*stream_bytes_max/);
  assert.match(first.status(), /m1 +catching_up.*\n.*10005/);
  await first.stop_relay();
  await first.start_relay({ sections: {} });
  await put(first, 3);
  await assert.rejects(first.nats({ user: "relay", password: "guess" }), /Authorization/);
  const relay = await first.nats(kUsers.relay);
  for (const subject of [`$JS.API.STREAM.DELETE.${kPrefix}`, `$JS.API.STREAM.PURGE.${kPrefix}`, `$JS.API.STREAM.MSG.GET.${kPrefix}`, "$JS.API.STREAM.NAMES"]) {
    await assert.rejects(relay.request(subject, "{}", { ms: 700 }), /no answer|Permissions/);
  }
  relay.close();
  assert.equal((await cluster.stream()).state.messages, 3);
  // A relay that the servers don't know does not serve, and says why; so does the command.
  await second.start_relay({ sections: { cluster: { user: "stranger" } }, serving: false });
  const refused = /refuses user "stranger" \(Authorization Violation\): check \[cluster\] user and password_file/;
  await second.relay.said(refused);
  assert.equal((await upgrade(second)).status, 503);
  // On a busy machine a server may be asked in vain first.
  await until(kSettleMs, "the command says why", () => refused.test(second.status()));
});

cluster_test("relays show .creds files to servers that know an operator only; TLS on every line", { skip, is_secure: true, credentials: make_credentials(relay_permissions(kPrefix)) }, async (cluster) => {
  await cluster.start();
  const [first, , third] = cluster.members;
  const events = await put(first, 10);
  await until(kSettleMs, "the third has them", () => has(third, events));
});
