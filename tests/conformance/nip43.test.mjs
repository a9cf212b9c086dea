// NIP-43: members, invited by codes; the relay says who they are with a key of its own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { information_at, now, person, relay_under_test, sha256, until, with_relay } from "./lib.mjs";

const kUrl = "wss://members.example/";
const operator = person();
const options = { settings: { url: kUrl }, sections: { admin: { keys: [operator.key] }, membership: { enabled: true } } };
const relay = relay_under_test(options);
const join = (who, claim, change = {}) => who.sign(28_934, { tags: [["-"], ["claim", claim]], ...change });
const leave = (who) => who.sign(28_936, { tags: [["-"]] });

async function arrive(who) {
  const client = await relay.connect();
  assert.equal((await client.authenticate(who, kUrl)).accepted, true);
  return client;
}

async function invite(client) {
  const [event] = (await client.subscribe({ kinds: [28_935] })).events;
  return event;
}

test("the information names the relay's key", async () => {
  const { supported_nips, self } = await information_at(relay.http);
  assert.ok(supported_nips.includes(43));
  assert.match(self, /^[0-9a-f]{64}$/);
  await with_relay({}, async (open) => {
    const plain = await information_at(open.http);
    assert.ok(!plain.supported_nips.includes(43));
    assert.equal(plain.self, undefined);
  });
});

test("who shows a code may write; who leaves may not; others hear of both", async () => {
  const { self } = await information_at(relay.http);
  const alice = person();
  const [host, client] = [await arrive(operator), await arrive(alice)];
  await client.refuses(alice.sign(1), /^restricted: /);
  assert.equal(await invite(client), undefined, "no member yet");
  const { tags, pubkey } = await invite(host);
  assert.equal(pubkey, self);
  const claim = tags.find(([name]) => name === "claim")[1];
  const news = await host.subscribe({ authors: [self], kinds: [8000, 8001, 13_534], since: now(), limit: 0 });
  const welcome = await client.publish(join(alice, claim));
  assert.deepEqual([welcome.accepted, welcome.text], [true, `info: welcome to ${kUrl}`]);
  // Who looks as soon as he is welcome finds himself in the list, and the news of it.
  assert.ok((await client.query({ kinds: [13_534] }))[0].tags.some(([name, key]) => name === "member" && key === alice.key));
  assert.equal((await client.query({ kinds: [8000], "#p": [alice.key] })).length, 1);
  await client.accepts(alice.sign(1));
  const added = await host.live(news);
  assert.deepEqual([added.kind, added.tags], [8000, [["-"], ["p", alice.key]]]);
  const list = await host.live(news);
  assert.equal(list.kind, 13_534);
  assert.deepEqual(list.tags.slice(1).map(([name, key]) => [name, key]).sort(), [["member", alice.key], ["member", operator.key]].sort());
  assert.match((await client.publish(join(alice, claim))).text, /^duplicate: /);
  assert.equal((await client.publish(leave(alice))).accepted, true);
  assert.equal((await client.query({ kinds: [8001], "#p": [alice.key] })).length, 1);
  await client.refuses(alice.sign(1), /^restricted: /);
  assert.equal((await host.live(news)).kind, 8001);
  assert.deepEqual((await host.live(news)).tags.slice(1), [["member", operator.key]]);
  assert.deepEqual((await host.query({ kinds: [13_534] })).length, 1);
});

test("only oneself, here and now, with a right code", async () => {
  const alice = person();
  const [host, client] = [await arrive(operator), await arrive(alice)];
  const claim = (await invite(host)).tags[1][1];
  const stranger = await relay.connect();
  await stranger.refuses(join(alice, claim), /^auth-required: /);
  await client.refuses(join(person(), claim), /^restricted: /);
  await client.refuses(join(alice, "wrong"), /^restricted: /);
  await client.refuses(join(alice, claim.replace(/.$/, (c) => (c === "0" ? "1" : "0"))), /^restricted: /);
  await client.refuses(join(alice, claim, { created_at: now() - 3_600 }), /^invalid: /);
  await client.refuses({ ...join(alice, claim), sig: join(person(), claim).sig }, /^invalid: /);
  assert.deepEqual(await stranger.ids({ kinds: [28_934] }), []);
});

test("members stay over a restart", async () => {
  const alice = person();
  await with_relay(options, async (own) => {
    const enter = async (who) => {
      const client = await own.connect();
      assert.equal((await client.authenticate(who, kUrl)).accepted, true);
      return client;
    };
    const { self } = await information_at(own.http);
    const claim = (await invite(await enter(operator))).tags[1][1];
    assert.equal((await (await enter(alice)).publish(join(alice, claim))).accepted, true);
    await own.restart();
    assert.equal((await information_at(own.http)).self, self);
    await (await enter(alice)).accepts(alice.sign(1));
  });
});

test("roles are published by the relay, and who has them stands in the list (NIP-86)", async () => {
  await with_relay(options, async (own) => {
    const { self } = await information_at(own.http);
    const call = async (method, ...params) => {
      const body = JSON.stringify({ method, params });
      const token = operator.sign(27_235, { tags: [["u", kUrl.replace(/^ws/, "http")], ["method", "POST"], ["payload", sha256(body)], ["nonce", `${Math.random()}`]] });
      const response = await fetch(own.http, { method: "POST", body, headers: { "Content-Type": "application/nostr+json+rpc", Authorization: `Nostr ${Buffer.from(JSON.stringify(token)).toString("base64")}` } });
      return { status: response.status, ...await response.json() };
    };
    await until(20_000, "the relay takes signatures", async () => (await call("supportedmethods")).status === 200);
    const reader = await own.connect();
    const news = await reader.subscribe({ authors: [self], kinds: [5, 13_534, 33_534], limit: 0 });
    assert.equal((await call("createrole", "28b7e50f", "king", "ruler of the relay", "37", "1")).result, true);
    const role = await reader.live(news);
    assert.deepEqual([role.kind, role.tags], [33_534, [["-"], ["d", "28b7e50f"], ["label", "king"], ["description", "ruler of the relay"], ["color", "37"], ["order", "1"]]]);
    assert.equal((await call("assignrole", operator.key, "28b7e50f")).result, true);
    assert.deepEqual((await reader.live(news)).tags, [["-"], ["member", operator.key, "28b7e50f"]]);
    assert.equal((await call("editrole", "28b7e50f", "queen", null, null, null)).result, true);
    assert.deepEqual((await reader.live(news)).tags, [["-"], ["d", "28b7e50f"], ["label", "queen"]]);
    assert.match((await call("assignrole", operator.key, "none")).error, /no such role/);
    assert.equal((await call("deleterole", "28b7e50f")).result, true);
    assert.equal((await reader.live(news)).kind, 5);
    assert.deepEqual((await reader.live(news)).tags, [["-"], ["member", operator.key]]);
    assert.deepEqual(await reader.ids({ kinds: [33_534] }), []);
    assert.equal((await reader.query({ kinds: [13_534] })).length, 1);
  });
});

test("a request to leave is a protected event", async () => {
  const alice = person();
  const client = await arrive(alice);
  await client.refuses(alice.sign(28_936), /^invalid: /);
});
