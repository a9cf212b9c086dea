// Too much of what is allowed: subscriptions, filters, pings, events, questions that nobody reads the answers of. Each is refused at
// its bound or waits; memory stays within a stated bound; a client beside them is served.
import assert from "node:assert/strict";
import { test } from "node:test";
import { beside_a_bystander, frame, kOpcode, now, person, Raw, relay_under_test, sha256, sleep, until } from "./lib.mjs";

const flooder = person();
const relay = relay_under_test({ sections: { limits: { write_stall_s_max: 2, pending_bytes_max: 1 << 20, socket_bytes_max: 64 << 10 } } }, async (started) => {
  const client = await started.connect();
  // Something to ask for: 16 MB.
  for (let i = 0; i < 40; i++) await client.accepts(...Array.from({ length: 20 }, (_, j) => flooder.sign(1, { content: "x".repeat(20_000), created_at: now() - i * 20 - j })));
  client.close();
});

test("a flood of subscriptions stops at the bound, each refusal in its form", async (t) => {
  const { limitation } = await relay.information();
  await beside_a_bystander(t, relay, async () => {
    const raw = await Raw.websocket(relay);
    const count = 20_000;
    const waits = () => new Promise((resolve) => raw.socket.once("drain", resolve));
    for (let i = 0; i < count; i++) {
      if (!raw.send(frame(JSON.stringify(["REQ", `s${i}`, { kinds: [i % 60_000], limit: 1 }])))) await waits();
    }
    await raw.message(([word, id]) => (word === "CLOSED" || word === "EOSE") && id === `s${count - 1}`, 60_000);
    const words = raw.messages.reduce((found, [word]) => ({ ...found, [word]: (found[word] ?? 0) + 1 }), {});
    assert.equal(words.EOSE, limitation.max_subscriptions);
    assert.equal(words.CLOSED, count - limitation.max_subscriptions);
    raw.destroy();
  });
  await until(5_000, "they are gone", async () => (await relay.metric("subscriptions")) <= 1);
});

test("huge and many filters are bounded by their values", async (t) => {
  const authors = Array.from({ length: 5_000 }, (_, i) => sha256(`author${i}`));
  const client = await relay.connect();
  assert.deepEqual(await client.ids({ authors, limit: 10 }), []);
  assert.match(await client.refused({ authors: [...authors, sha256("one more")] }), /^invalid: /);
  assert.match(await client.refused(...Array.from({ length: 21 }, () => ({ limit: 1 }))), /^(invalid|error): /);
  const kept = [];
  for (let i = 0; i < 3; i++) kept.push(await client.subscribe({ authors: authors.map((key) => sha256(key + i)), limit: 0 }));
  assert.match(await client.refused({ authors, "#p": authors.slice(0, 100), limit: 0 }), /^rate-limited: /);
  // Long tag values count by their bytes: these 507 as some 5,000.
  const long = Array.from({ length: 7 }, (_, i) => `${i}`.repeat(65_000));
  assert.match(await client.refused({ "#t": long, authors: authors.slice(0, 500), limit: 0 }), /^rate-limited: /);
  await (await client.subscribe({ "#t": long, limit: 0 })).close();
  for (const one of kept) await one.close();
  await beside_a_bystander(t, relay, async () => {
    const wide = Array.from({ length: 18 }, (_, i) => ({ authors: authors.slice(i * 250, i * 250 + 250), kinds: Array.from({ length: 100 }, (_, kind) => kind * 100 + i), "#p": authors.slice(i, i + 20), limit: 5_000 }));
    for (let i = 0; i < 60; i++) {
      const { closed, close } = await client.subscribe(...wide.slice(0, 1 + (i % 18)));
      if (!closed) await close();
    }
  });
});

test("a flood of pings is answered or ends its own connection", async (t) => {
  await beside_a_bystander(t, relay, async () => {
    const ping = Buffer.concat(Array.from({ length: 1_000 }, () => frame("p".repeat(125), { opcode: kOpcode.ping })));
    const [reads, deaf] = [await Raw.websocket(relay), await Raw.websocket(relay)];
    deaf.socket.pause();
    for (let i = 0; i < 200; i++) {
      if (!reads.send(ping)) await new Promise((resolve) => reads.socket.once("drain", resolve));
      if (!deaf.ended && i < 100) deaf.send(ping);
    }
    await reads.serves();
    assert.ok((await relay.metric("pings_in_total")) >= 200_000, "each is counted");
    reads.destroy();
    await until(30_000, "the deaf one is gone", () => {
      deaf.send(frame("", { opcode: kOpcode.pong }));
      return deaf.ended || deaf.socket.destroyed;
    });
  });
});

test("who asks for everything and never reads is dropped, and costs its bound only", async (t) => {
  const dropped = async () => (await relay.metric('connection_errors_total{reason="slow_reader"}')) + (await relay.metric('connection_errors_total{reason="write_stall"}'));
  const before = await dropped();
  await beside_a_bystander(t, relay, async () => {
    const deaf = [];
    for (let i = 0; i < 20; i++) {
      const raw = await Raw.websocket(relay);
      raw.socket.pause();
      for (let j = 0; j < 20; j++) raw.send(frame(JSON.stringify(["REQ", `s${j}`, { authors: [flooder.key], limit: 5_000 }])));
      deaf.push(raw);
    }
    await until(30_000, "dropped", async () => (await dropped()) >= before + 20);
    for (const raw of deaf) raw.destroy();
  }, { rss_mb_max: 96 });
});

test("a slow reader gets everything, in order, and a live one that is too slow is dropped", async (t) => {
  await beside_a_bystander(t, relay, async () => {
    const raw = await Raw.websocket(relay);
    raw.send(frame(JSON.stringify(["REQ", "slow", { authors: [flooder.key], limit: 100 }])));
    for (let i = 0; i < 15; i++) {
      raw.socket.pause();
      await sleep(60);
      raw.socket.resume();
      await sleep(10);
    }
    await raw.message(([word]) => word === "EOSE", 30_000);
    const times = raw.messages.filter(([word]) => word === "EVENT").map(([, , event]) => event.created_at);
    assert.equal(times.length, 100);
    assert.deepEqual(times, [...times].sort((a, b) => b - a));
    raw.destroy();
    const deaf = await Raw.websocket(relay);
    deaf.send(frame(JSON.stringify(["REQ", "live", { kinds: [20_777] }])));
    await deaf.message(([word]) => word === "EOSE");
    deaf.socket.pause();
    const publisher = await relay.connect();
    const before = await relay.metric('connection_errors_total{reason="slow_reader"}');
    for (let i = 0; i < 600 && (await relay.metric('connection_errors_total{reason="slow_reader"}')) === before; i++) await publisher.publish(flooder.sign(20_777, { content: `${i}`.padEnd(50_000, "x") }));
    assert.equal(await relay.metric('connection_errors_total{reason="slow_reader"}'), before + 1);
    deaf.destroy();
  });
});

test("publishers of the largest events are held up, not buffered", async (t) => {
  const events = Array.from({ length: 150 }, (_, i) => Buffer.from(frame(JSON.stringify(["EVENT", flooder.sign(20_778, { content: `${i}`.padEnd(100_000, "y"), tags: [["t", "z".repeat(60_000)], ["t", `${i}`.padEnd(60_000, "z")]] })]))));
  await beside_a_bystander(t, relay, async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => Raw.websocket(relay)));
    for (const [i, raw] of all.entries()) {
      raw.socket.pause();  // and no answer is read either
      for (let j = 0; j < 60; j++) raw.send(events[(i * 19 + j) % events.length]);
    }
    await sleep(1_500);
    for (const raw of all) raw.socket.resume();
    await sleep(300);
    for (const raw of all) raw.destroy();
  }, { rss_mb_max: 160 });
});

test("forged events by the thousand cost no more than their check, and hide nothing", async (t) => {
  const genuine = Array.from({ length: 50 }, (_, i) => flooder.sign(7, { content: `${i}` }));
  await beside_a_bystander(t, relay, async () => {
    const client = await relay.connect();
    for (let round = 0; round < 40; round++) {
      for (const event of genuine) client.send("EVENT", { ...event, sig: sha256(`${round}`) + sha256(event.id) });
      for (const event of genuine) assert.equal((await client.take(["OK", event.id]))[2], false);
    }
    await client.accepts(...genuine);
  });
});

test("rubbish as fast as it can be sent", async (t) => {
  await beside_a_bystander(t, relay, async () => {
    const raw = await Raw.websocket(relay);
    const chunk = Buffer.concat(Array.from({ length: 500 }, (_, i) => frame(["x", "[]", '["REQ"]', '["EVENT",{}]', '["REQ","a",{"kinds":["x"]}]', '["CLOSE","zzz"]', '["AUTH",{}]', "{"][i % 8])));
    for (let i = 0; i < 60 && !raw.ended; i++) if (!raw.send(chunk)) await new Promise((resolve) => raw.socket.once("drain", resolve).once("close", resolve));
    await raw.serves();
    raw.destroy();
  });
});

test("REQ, CLOSE, REQ, CLOSE", async (t) => {
  await beside_a_bystander(t, relay, async () => {
    const raw = await Raw.websocket(relay);
    const chunk = Buffer.concat(Array.from({ length: 200 }, (_, i) => Buffer.concat([frame(JSON.stringify(["REQ", `r${i % 10}`, { authors: [flooder.key], limit: 2 }])), frame(JSON.stringify(["CLOSE", `r${i % 10}`]))])));
    for (let i = 0; i < 10; i++) {
      raw.send(chunk);
      await raw.serves();
    }
    raw.destroy();
  });
  await until(5_000, "none is left", async () => (await relay.metric("subscriptions")) <= 1);
});

test("thousands of subscribers hear an event, and go", async (t) => {
  await beside_a_bystander(t, relay, async () => {
    const all = [];
    for (let i = 0; i < 600; i++) {
      const raw = await Raw.websocket(relay);
      raw.send(frame(JSON.stringify(["REQ", "s", { kinds: [20_779] }])));
      all.push(raw);
    }
    await Promise.all(all.map((raw) => raw.message(([word]) => word === "EOSE")));
    const client = await relay.connect();
    const event = flooder.sign(20_779);
    await client.accepts(event);
    await Promise.all(all.map((raw) => raw.message(([word, , found]) => word === "EVENT" && found.id === event.id)));
    for (const raw of all) raw.destroy();
  });
});
