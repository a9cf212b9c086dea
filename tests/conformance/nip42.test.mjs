// NIP-42: proofs, their challenge, relay and time; several keys; kind 22242 goes nowhere.
import assert from "node:assert/strict";
import { test } from "node:test";
import { kNameless, now, person, relay_under_test, with_relay } from "./lib.mjs";

const kUrl = "wss://relay.example/";
const relay = relay_under_test({ settings: { url: kUrl }, sections: { auth: { to_write: true } } });

test("each connection gets a challenge of its own at once", async () => {
  const challenges = [];
  for (let i = 0; i < 5; i++) challenges.push(await (await relay.connect()).challenge());
  assert.equal(new Set(challenges).size, 5);
  for (const challenge of challenges) assert.ok(challenge.length >= 16);
});

test("auth-required before, accepted after, for the life of the connection", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1);
  await client.refuses(event, /^auth-required: /);
  assert.deepEqual(await client.authenticate(alice, kUrl), { accepted: true, text: "" });
  await client.accepts(event);
  assert.deepEqual(await client.authenticate(alice, kUrl), { accepted: true, text: "" });
  await (await relay.connect()).refuses(alice.sign(1, { content: "another connection" }), /^auth-required: /);
});

test("the relay's address in its usual spellings", async () => {
  for (const url of ["wss://relay.example/", "wss://relay.example", "wss://RELAY.example/", "wss://relay.example:443/", "wss://relay.example/some/path", "ws://relay.example", "wss://relay.example/?x=1"]) {
    assert.deepEqual(await (await relay.connect()).authenticate(person(), url), { accepted: true, text: "" }, url);
  }
});

test("another relay's name is refused", async () => {
  for (const url of ["wss://evil.example/", "wss://relay.example.evil.org/", "wss://evil.example/relay.example", "wss://relay.example@evil.example/", "relay.example", "", "wss://relay.example:4444/", "wss://xrelay.example", "wss:///relay.example", "wss://relay.example\u0000"]) {
    if (url.includes("\u0000")) continue;
    const { accepted, text } = await (await relay.connect()).authenticate(person(), url);
    assert.equal(accepted, false, url);
    assert.match(text, /^(invalid|error|restricted): /);
  }
});

test("a challenge that is another connection's, an old one, or none", async () => {
  const [one, two, alice] = [await relay.connect(), await relay.connect(), person()];
  await one.challenge();
  for (const challenge of [await two.challenge(), "", "x", (await one.challenge()).toUpperCase() === await one.challenge() ? "y" : (await one.challenge()).toUpperCase(), `${await one.challenge()} `]) {
    const { accepted, text } = await one.authenticate(alice, kUrl, { tags: [["relay", kUrl], ["challenge", challenge]] });
    assert.equal(accepted, false);
    assert.match(text, /^(invalid|error|restricted): /);
  }
  for (const tags of [[], [["relay", kUrl]], [["challenge", await one.challenge()]], [["relay"], ["challenge"]], [["Relay", kUrl], ["challenge", await one.challenge()]],
    [["relay", kUrl], ["challenge", "x"], ["challenge", await one.challenge()]], [["relay", kUrl, "x"], ["x", await one.challenge()]]]) {
    assert.equal((await one.authenticate(alice, kUrl, { tags })).accepted, false, JSON.stringify(tags));
  }
  await one.refuses(alice.sign(1), /^auth-required: /);
  assert.equal((await one.authenticate(alice, kUrl)).accepted, true);
});

test("a proof is of now: ten minutes either way", async () => {
  for (const [age, taken] of [[0, true], [590, true], [-590, true], [620, false], [-620, false], [86_400, false], [now(), false]]) {
    const { accepted, text } = await (await relay.connect()).authenticate(person(), kUrl, { created_at: now() - age });
    assert.equal(accepted, taken, `${age}`);
    if (!taken) assert.match(text, /^invalid: /);
  }
});

test("other kinds, false signatures and false ids prove nothing", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const kind of [1, 22_241, 22_243, 27_235]) assert.equal((await client.authenticate(alice, kUrl, { kind })).accepted, false);
  const proof = alice.sign(22_242, { tags: [["relay", kUrl], ["challenge", await client.challenge()]] });
  for (const forged of [{ ...proof, sig: "0".repeat(128) }, { ...proof, id: "0".repeat(64) }, { ...proof, pubkey: person().key }, { ...proof, sig: person().sign_id(proof.id) }]) {
    client.send("AUTH", forged);
    const [, , accepted, text] = await client.take(["OK", forged.id]);
    assert.equal(accepted, false);
    assert.match(text, /^invalid: /);
  }
  for (const text of ['["AUTH"]', '["AUTH","challenge"]', '["AUTH",{}]', '["AUTH",null]', '["AUTH",[]]']) {
    client.raw(text);
    assert.match((await client.take(["NOTICE"]))[1], /^invalid: /);
  }
  await client.refuses(alice.sign(1), /^auth-required: /);
});

test("all keys of a connection count, also after a proof that failed", async () => {
  const url = kUrl;
  await with_relay({ settings: { url } }, async (open) => {
    const client = await open.connect();
    const people = Array.from({ length: 8 }, () => person());
    const wraps = people.map((one) => person().sign(1059, { tags: [["p", one.key]] }));
    await client.accepts(...wraps);
    for (const [i, one] of people.entries()) {
      assert.equal((await client.authenticate(one, url)).accepted, true);
      assert.equal((await client.authenticate(person(), "wss://evil.example/")).accepted, false);
      assert.deepEqual((await client.ids({ kinds: [1059] })).sort(), wraps.slice(0, i + 1).map(({ id }) => id).sort());
    }
    // Protected events of each of them.
    for (const one of people) await client.accepts(one.sign(1, { tags: [["-"]] }));
  });
});

test("kind 22242 is not published, not stored, not shown", async () => {
  const [client, listener, alice] = [await relay.connect(), await relay.connect(), person()];
  await client.authenticate(alice, kUrl);
  await listener.authenticate(person(), kUrl);
  const subscription = await listener.subscribe({ kinds: [22_242, 1], authors: [alice.key] });
  const proof = alice.sign(22_242, { tags: [["relay", kUrl], ["challenge", await client.challenge()]] });
  await client.refuses(proof, /^(invalid|blocked): /);
  client.send("AUTH", proof);
  assert.equal((await client.take(["OK", proof.id]))[2], true);
  const marker = alice.sign(1);
  await client.accepts(marker);
  assert.deepEqual(await listener.live(subscription), marker);
  assert.deepEqual(await listener.ids({ kinds: [22_242] }), []);
  assert.equal((await listener.count({ kinds: [22_242] })).count, 0);
});

test("reading, where the relay wants to know who reads", async () => {
  await with_relay({ settings: { url: kUrl }, sections: { auth: { to_read: true } } }, async (closed) => {
    const [client, alice] = [await closed.connect(), person()];
    await client.accepts(alice.sign(1));
    assert.match(await client.refused({}), /^auth-required: /);
    assert.match((await client.count({})).closed, /^auth-required: /);
    await client.authenticate(alice, kUrl);
    assert.equal((await client.ids({})).length, 1);
    assert.equal((await client.count({})).count, 1);
  });
});

test("a relay that offers none says so to who tries", async () => {
  await with_relay(kNameless, async (plain) => {
    const client = await plain.connect();
    await client.barrier();
    assert.deepEqual(client.take_all(["AUTH"]), []);
    const proof = person().sign(22_242, { tags: [["relay", plain.url], ["challenge", "x"]] });
    client.send("AUTH", proof);
    assert.equal((await client.take(["OK", proof.id]))[2], false);
    assert.ok(!(await plain.information()).supported_nips.includes(42));
  });
});

test("tries are bounded", async () => {
  const client = await relay.connect();
  let refused;
  for (let i = 0; i < 200 && !refused; i++) {
    const { accepted, text } = await client.authenticate(person(), "wss://evil.example/");
    assert.equal(accepted, false);
    if (text.startsWith("rate-limited: ")) refused = i;
  }
  assert.ok(refused, "proofs without end");
  await client.barrier();
});
