// NIP-01, asking: every form of a filter, limits and order, subscriptions and their ids, EOSE, CLOSED, the endpoint.
import assert from "node:assert/strict";
import { test } from "node:test";
import { by_id, Client, in_order, matches, now, person, relay_under_test, sha256, with_relay } from "./lib.mjs";

const begin = now() - 100_000;
const [alice, bob, carol] = [person(), person(), person()];
const everybody = { authors: [alice.key, bob.key, carol.key] };
const ids_of = (events) => events.map(({ id }) => id);
/** What is stored: 90 events by three people, of five kinds, three to a second, with tags of all sorts. */
const stored = [];
for (let i = 0; i < 90; i++) {
  const author = [alice, bob, carol][i % 3];
  const tags = [["t", `t${i % 7}`], ["p", [alice, bob][i % 2].key], ["e", sha256(`${i % 5}`)], ["T", "upper"], ["a", `30023:${alice.key}:${i % 4}`], ["long", "not indexed"], ["r", `r${i % 2}`, `third${i}`]].slice(0, 1 + (i % 7));
  stored.push(author.sign([1, 7, 1111, 9999, 40_000][i % 5], { created_at: begin + Math.floor(i / 3), content: `${i}`, tags }));
}
let client;
const relay = relay_under_test({}, async (started) => {
  client = await started.connect();
  await client.accepts(...stored);
});

/** Stored events that match one of the filters, each limited by itself. */
const expected = (...filters) => {
  const found = new Map();
  for (const filter of filters) {
    for (const event of in_order(stored.filter((one) => matches(filter, one))).slice(0, filter.limit ?? 500)) found.set(event.id, event);
  }
  return ids_of(in_order([...found.values()]));
};

const [first, last] = [begin, begin + 29];
const kFilters = {
  "one author": [{ authors: [alice.key] }], "two authors": [{ authors: [alice.key, bob.key] }], "an author twice": [{ authors: [alice.key, alice.key] }], "nobody": [{ authors: [sha256("nobody")] }],
  "one kind": [{ ...everybody, kinds: [7] }], "kinds": [{ ...everybody, kinds: [1, 1111, 40_000] }], "a kind that nobody uses": [{ ...everybody, kinds: [2] }],
  "one id": [{ ids: [stored[10].id] }], "ids": [{ ids: ids_of(stored.slice(5, 20)) }], "an id, and who is not its author": [{ ids: [stored[0].id], authors: [bob.key] }], "ids of which one is unknown": [{ ids: [stored[1].id, sha256("?")] }],
  "author and kind": [{ authors: [bob.key], kinds: [1, 7] }], "#t": [{ ...everybody, "#t": ["t3"] }], "#t, several": [{ ...everybody, "#t": ["t1", "t2", "none"] }], "#p": [{ ...everybody, "#p": [alice.key] }], "#e": [{ ...everybody, "#e": [sha256("2"), sha256("3")] }],
  "#a": [{ "#a": [`30023:${alice.key}:1`], ...everybody }], "#T is not #t": [{ ...everybody, "#T": ["upper"] }], "#t is not #T": [{ ...everybody, "#t": ["upper"] }], "two tags are both wanted": [{ ...everybody, "#t": ["t2"], "#p": [alice.key] }],
  "only the first value of a tag": [{ ...everybody, "#r": ["third6", "third13"] }], "tag and kind": [{ ...everybody, "#p": [bob.key], kinds: [7, 9999] }],
  "since is inclusive": [{ ...everybody, since: last }], "until is inclusive": [{ ...everybody, until: first }], "since and until of one second": [{ ...everybody, since: begin + 7, until: begin + 7 }],
  "a range": [{ ...everybody, since: begin + 3, until: begin + 9 }], "since after until": [{ ...everybody, since: begin + 9, until: begin + 3 }], "since 0": [{ ...everybody, since: 0 }], "until far away": [{ ...everybody, until: Number.MAX_SAFE_INTEGER }],
  "limit 1": [{ ...everybody, limit: 1 }], "limit in the middle of a second": [{ ...everybody, limit: 5 }], "limit 0": [{ ...everybody, limit: 0 }], "limit of more than there are": [{ ...everybody, limit: 10_000 }],
  "limit and until": [{ ...everybody, until: begin + 20, limit: 7 }], "limit with tags": [{ ...everybody, "#p": [alice.key], limit: 3 }], "limit by author": [{ authors: [carol.key], limit: 2 }],
  "two filters": [{ authors: [alice.key], kinds: [1] }, { authors: [bob.key], kinds: [7] }], "filters that overlap": [{ authors: [alice.key] }, { ...everybody, kinds: [1] }], "the same filter twice": [{ authors: [alice.key] }, { authors: [alice.key] }],
  "each filter has its limit": [{ authors: [alice.key], limit: 2 }, { authors: [bob.key], limit: 3 }], "one of them nothing": [{ authors: [alice.key], limit: 0 }, { authors: [bob.key], limit: 1 }],
  "twenty filters": Array.from({ length: 20 }, (_, i) => ({ ids: [stored[i * 3].id] })), "an empty list matches nothing": [{ ...everybody, kinds: [] }], "an empty list beside another filter": [{ ids: [] }, { authors: [alice.key] }],
  "all at once": [{ ids: ids_of(stored), authors: [alice.key, bob.key], kinds: [1, 7, 1111], "#t": ["t0", "t1", "t2", "t3"], since: begin, until: last, limit: 4 }],
};
for (const [name, filters] of Object.entries(kFilters)) {
  test(`filter: ${name}`, async () => {
    assert.deepEqual(await client.ids(...filters), expected(...filters));
    if (filters.every(({ limit }) => limit === undefined)) assert.equal((await client.count(...filters)).count, expected(...filters).length);
  });
}

test("an empty filter is everything, newest first", async () => {
  const ids = await client.ids({ limit: 20 });
  assert.deepEqual(ids, expected({ limit: 20 }));
});

test("prefixes of ids and keys are no ids and keys", async () => {
  for (const bad of [alice.key.slice(0, 63), alice.key.slice(0, 8), `${alice.key}0`, "", alice.key.toUpperCase().replace(/^[0-9]+$/, "X"), "xyz", `${alice.key.slice(0, 63)}g`]) {
    if (bad === alice.key) continue;
    assert.match(await client.refused({ authors: [bad] }), /^invalid: /);
    assert.match(await client.refused({ ids: [bad] }), /^invalid: /);
    assert.match(await client.refused({ authors: [alice.key] }, { authors: [alice.key, bad] }), /^invalid: /);
  }
  assert.deepEqual(await client.ids({ ...everybody, "#p": [alice.key.slice(0, 32)] }).catch(() => []), []);
  assert.deepEqual(await client.ids({ ...everybody, "#t": ["t"] }), []);
});

for (const filter of [{ kinds: ["1"] }, { kinds: [1.5] }, { kinds: [-1] }, { kinds: [65_536] }, { kinds: 1 }, { kinds: [null] }, { kinds: null }, { ids: "x" }, { ids: [1] }, { authors: {} }, { since: "1" }, { since: -1 },
  { since: 1.5 }, { until: null }, { until: "now" }, { limit: -1 }, { limit: "5" }, { limit: 1.5 }, { limit: null }, { limit: [1] }, { "#t": "x" }, { "#t": [1] }, { "#t": [null] }, { "#e": [["x"]] }, { "#t": {} }]) {
  test(`no filter: ${JSON.stringify(filter)}`, async () => {
    const id = `bad${JSON.stringify(filter).slice(0, 50)}`;
    client.send("REQ", id, filter);
    const [, , text] = await client.take(["CLOSED", id]);
    assert.match(text, /^(invalid|error): /);
    assert.match((await client.count(filter)).closed, /^(invalid|error): /);
  });
}

for (const [text, about] of [["[]", "a list"], ["null", "null"], ['"x"', "a text"], ["1", "a number"], ["true", "true"], ["{},[]", "a list after a filter"], ['{"ids":[],"ids":[]}', "a member twice"], ['{"kinds":[1],"\\u006binds":[2]}', "a member twice, escaped"]]) {
  test(`no filter: ${about}`, async () => {
    client.send("REQ", "x", {});
    await client.take(["EOSE", "x"]);
    client.raw(`["REQ","x",${text}]`);
    const [, , why] = await client.take(["CLOSED", "x"]);
    assert.match(why, /^invalid: /);
  });
}

test("a filter that the relay does not know whole is refused, not half answered", async () => {
  for (const filter of [{ ...everybody, unknown: 1 }, { ...everybody, "#ab": ["x"] }, { ...everybody, "#1": ["x"] }, { ...everybody, "#": ["x"] }, { ...everybody, "#é": ["x"] }, { ...everybody, Kinds: [1] }]) {
    assert.match(await client.refused(filter), /^(invalid|error|unsupported): /);
  }
});

// --- Order.

test("ties are in order of their ids, at every limit", async () => {
  const [one, created_at] = [person(), now() - 500];
  const events = by_id(one, 1, { created_at }, 30);
  for (const event of [...events].sort(() => Math.random() - 0.5)) await client.accepts(event);
  for (const filter of [{ authors: [one.key] }, { authors: [one.key], kinds: [1] }, { kinds: [1], since: created_at, until: created_at }, { authors: [one.key, sha256("x")], kinds: [1, 2] }]) {
    for (const limit of [1, 2, 7, 29, 30, 31]) assert.deepEqual(await client.ids({ ...filter, limit }), ids_of(events).slice(0, limit), JSON.stringify({ ...filter, limit }));
  }
});

test("paging by until and limit shows everything once", async () => {
  const [seen, page] = [[], 7];
  for (let until = last; ; ) {
    const events = await client.query({ ...everybody, until, limit: page });
    seen.push(...events.filter(({ id }) => !seen.includes(id)).map(({ id }) => id));
    if (events.length < page) break;
    until = events.at(-1).created_at;
    if (events.every(({ created_at }) => created_at === until)) until -= 1;
  }
  assert.deepEqual(seen, expected(everybody));
});

// --- Subscriptions.

test("new events come until CLOSE, whatever the limit was", async () => {
  const [publisher, listener, one] = [await relay.connect(), await relay.connect(), person()];
  for (const limit of [undefined, 0, 1]) {
    const subscription = await listener.subscribe({ authors: [one.key], ...(limit === undefined ? {} : { limit }) });
    const events = Array.from({ length: 5 }, (_, i) => one.sign(1, { content: `live ${limit} ${i}` }));
    for (const event of events) {
      await publisher.accepts(event);
      assert.deepEqual(await listener.live(subscription), event);
    }
    listener.send("CLOSE", subscription.id);
    await listener.barrier();
    listener.forget(subscription.id);
    await publisher.accepts(one.sign(1, { content: `after ${limit}` }));
    await listener.barrier();
    assert.deepEqual(listener.take_all(["EVENT", subscription.id]), []);
  }
});

test("old events are new, too, when they come now", async () => {
  const [publisher, listener, one] = [await relay.connect(), await relay.connect(), person()];
  const subscription = await listener.subscribe({ authors: [one.key], until: 2_000, limit: 0 });
  const [old, recent] = [one.sign(1, { created_at: 1_000 }), one.sign(1)];
  await publisher.accepts(recent, old);
  assert.deepEqual(await listener.live(subscription), old);
  await subscription.close();
});

test("an event comes once to a subscription of which several filters match, and to each subscription", async () => {
  const [publisher, listener, one] = [await relay.connect(), await relay.connect(), person()];
  const many = await listener.subscribe({ authors: [one.key] }, { kinds: [1], authors: [one.key] }, { "#t": ["x"] });
  const others = [await listener.subscribe({ authors: [one.key] }), await listener.subscribe({ "#t": ["x"] }), await listener.subscribe({ kinds: [2] })];
  const event = one.sign(1, { tags: [["t", "x"], ["t", "x"]] });
  await publisher.accepts(event);
  for (const subscription of [many, others[0], others[1]]) assert.deepEqual(await listener.live(subscription), event);
  const marker = one.sign(2);
  await publisher.accepts(marker);
  assert.deepEqual(await listener.live(others[2]), marker);
  await listener.barrier();
  assert.deepEqual(listener.take_all(["EVENT", many.id]).map((message) => message[2].id), [marker.id]);
});

test("a duplicate and a version that is not kept are not sent again", async () => {
  const [publisher, listener, one] = [await relay.connect(), await relay.connect(), person()];
  const subscription = await listener.subscribe({ authors: [one.key] });
  const [old, fresh] = [one.sign(0, { created_at: now() - 9, content: "old" }), one.sign(0, { content: "new" })];
  await publisher.accepts(fresh, fresh);
  await publisher.publish(old);
  const marker = one.sign(1);
  await publisher.accepts(marker);
  assert.deepEqual((await listener.live(subscription)).id, fresh.id);
  assert.deepEqual((await listener.live(subscription)).id, marker.id);
  await subscription.close();
});

test("stored and new meet without gap and without double", async () => {
  const [publisher, one] = [await relay.connect(), person()];
  const events = Array.from({ length: 200 }, (_, i) => one.sign(1, { content: `stream ${i}` }));
  const published = (async () => { for (const event of events) await publisher.accepts(event); })();
  const readers = [];
  for (let i = 0; i < 10; i++) {
    const reader = await relay.connect();
    readers.push([reader, await reader.subscribe({ authors: [one.key] })]);
  }
  await published;
  for (const [reader, subscription] of readers) {
    const got = subscription.events.map(({ id }) => id);
    while (got.length < events.length) got.push((await reader.live(subscription)).id);
    assert.equal(new Set(got).size, events.length);
  }
});

test("a REQ of the same id replaces, with an EOSE of its own", async () => {
  const [publisher, listener, one, two] = [await relay.connect(), await relay.connect(), person(), person()];
  await listener.subscribe_as("same", { authors: [one.key] });
  await listener.subscribe_as("same", { authors: [two.key] });
  await publisher.accepts(one.sign(1));
  const event = two.sign(1);
  await publisher.accepts(event);
  assert.deepEqual(await listener.live({ id: "same" }), event);
  await listener.barrier();
  assert.deepEqual(listener.take_all(["EVENT", "same"]), []);
  const information = await relay.information();
  for (let i = 0; i < information.limitation.max_subscriptions + 5; i++) await listener.subscribe_as("same", { authors: [one.key], limit: 0 });
});

test("a REQ that is refused ends the one of its id, however it is refused", async () => {
  const [publisher, listener, one] = [await relay.connect(), await relay.connect(), person()];
  for (const refused of ['{"authors":["x"]}', "[]", '{"unknown":1}', ""]) {
    await listener.subscribe_as("s", { authors: [one.key] });
    listener.raw(`["REQ","s"${refused ? "," : ""}${refused}]`);
    await listener.take(["CLOSED", "s"]);
    await publisher.accepts(one.sign(1));  // an EVENT for "s" now is a flaw that the monitor finds
    await listener.barrier();
  }
});

test("the same id on two connections is two subscriptions", async () => {
  const [one, two, author] = [await relay.connect(), await relay.connect(), person()];
  await one.subscribe_as("shared", { authors: [author.key], kinds: [1] });
  await two.subscribe_as("shared", { authors: [author.key], kinds: [2] });
  await one.close_subscription("shared");
  const event = author.sign(2);
  await one.accepts(author.sign(1), event);
  assert.deepEqual(await two.live({ id: "shared" }), event);
});

test("subscription ids are texts of 1 to 64 characters of any kind, and come back as they were", async () => {
  for (const id of ["a", "0", " ", "x".repeat(64), "é".repeat(64), "🦊".repeat(32), "漢".repeat(64), "\"\\/\b\f\n\r\t", "\u0001\u001f\u007f", "null", "constructor", "__proto__", "<script>", "a\u2028b", "%s%n", "'; --"]) {
    const { eose } = await client.subscribe_as(id, { limit: 1, authors: [alice.key] });
    assert.equal(eose[1], id);
    await client.close_subscription(id);
  }
  for (const id of ["", "x".repeat(65), "é".repeat(65), "x".repeat(100), "漢".repeat(300)]) {
    client.send("REQ", id, {});
    const message = await client.take(([word]) => word === "CLOSED" || word === "NOTICE");
    assert.equal(message[0], "CLOSED", JSON.stringify(message));
    assert.equal(message[1], id);
    assert.match(message[2], /^invalid: /);
  }
  for (const text of ["1", "null", "{}", "[]", "true", '"\\u0000"', '"\\ud800"', JSON.stringify("x".repeat(100_000))]) {
    client.raw(`["REQ",${text},{}]`);
    assert.match((await client.take(["NOTICE"]))[1], /^invalid: /);
    client.raw(`["CLOSE",${text}]`);
    assert.match((await client.take(["NOTICE"]))[1], /^invalid: /);
  }
});

test("CLOSE of nothing and REQ without filters", async () => {
  client.send("CLOSE", "never opened");
  client.send("CLOSE", "never opened");
  client.raw('["REQ","nothing"]');
  assert.match((await client.take(["CLOSED", "nothing"]))[2], /^invalid: /);
  for (const text of ['["CLOSE"]', '["REQ"]', '["CLOSE","a","b"]', '["COUNT"]']) {
    client.raw(text);
    assert.match((await client.take(["NOTICE"]))[1], /^invalid: /);
  }
});

test("what is no message of NIP-01 is answered by NOTICE, and the connection stays", async () => {
  for (const text of ["", " ", "x", "null", "1", '"REQ"', "{}", "[]", "[[]]", "[null]", "[1]", '["HELLO"]', '["req","x",{}]', '["REQ ","x",{}]', '["EOSE","x"]', '["OK","x",true,""]', '["NOTICE","x"]', '["REQ","x",{}', '["REQ","x",{}]]', '["REQ","x",{}] x', "ping", "GET / HTTP/1.1\r\n\r\n"]) {
    client.raw(text);
    assert.match((await client.take((message) => message[0] === "NOTICE" || (message[0] === "CLOSED" && message[1] === "x"))).at(-1), /^invalid: /);
  }
  await client.barrier();
});

test("binary messages mean nothing", async () => {
  client.socket.send(Buffer.from('["REQ","x",{}]'));
  assert.match((await client.take(["NOTICE"]))[1], /^invalid: /);
  await client.barrier();
});

// --- Tag values.

test("tag values of any length are found, and told apart by their last byte", async () => {
  const [listener, one] = [await relay.connect(), person()];
  const values = [];
  for (const bytes of [1, 2, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 254, 255, 256, 257, 500, 511, 512, 513, 1_000, 4_095, 4_096, 4_097, 10_000, 30_000, 65_535, 65_536]) {
    for (const last of ["a", "b"]) values.push("v".repeat(bytes - 1) + last);
  }
  values.push("0".repeat(64), "0".repeat(63) + "1", "F".repeat(64), "é".repeat(100), "🦊".repeat(5_000), "", " ", "\u0001", "\n");
  const events = values.map((value) => one.sign(1, { tags: [["z", value], ["e", value]] }));
  await client.accepts(...events);
  for (const [i, value] of values.entries()) {
    assert.deepEqual(await client.ids({ "#z": [value], authors: [one.key] }), [events[i].id], `${value.length} of ${value.slice(0, 3)}`);
    assert.deepEqual(await client.ids({ "#e": [value], kinds: [1], since: events[i].created_at }), [events[i].id]);
    assert.equal((await client.count({ "#z": [value] })).count, 1);
    const subscription = await listener.subscribe({ "#z": [value], limit: 0 });
    const fresh = one.sign(2, { tags: [["z", value]], content: `${i}` });
    await client.accepts(fresh);
    assert.deepEqual((await listener.live(subscription)).id, fresh.id);
    await subscription.close();
  }
});

test("each letter is indexed, longer names are not", async () => {
  const one = person();
  const letters = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  const event = one.sign(1, { tags: letters.map((letter) => [letter, `value of ${letter}`]) });
  await client.accepts(event);
  for (const letter of letters) {
    assert.deepEqual(await client.ids({ [`#${letter}`]: [`value of ${letter}`] }), [event.id]);
    assert.deepEqual(await client.ids({ [`#${letter}`]: [`value of ${letter === "a" ? "b" : "a"}`] }), []);
  }
});

test("a tag without a value is found by none", async () => {
  const one = person();
  const event = one.sign(1, { tags: [["t"], ["p"], ["x", ""]] });
  await client.accepts(event);
  assert.deepEqual(await client.ids({ authors: [one.key], "#t": [""] }), []);
  assert.deepEqual(await client.ids({ authors: [one.key], "#x": [""] }), [event.id]);
});

// --- The endpoint.

test("there is one endpoint: other paths are refused", async () => {
  for (const path of ["relay", "/", "x/y", "metrics", "%2f", "index.html", ";x"]) {
    await assert.rejects(Client.connect(`${relay.url}${path}`), /Unexpected server response: 404/, path);
  }
  (await Client.connect(`${relay.url}?x=1`)).close();
  await with_relay({ settings: { url: "wss://relay.example/nostr/" } }, async (under) => {
    const base = under.url.replace(/\/$/, "");
    await (await under.connect({ url: `${base}/nostr` })).barrier();
    for (const path of ["/", "/nostr/x", "/nostr//", "/Nostr", "/nost", "//nostr"]) await assert.rejects(Client.connect(`${base}${path}`), /Unexpected server response: 404/, path);
    assert.equal((await fetch(`${under.http}/nostr`, { headers: { Accept: "application/nostr+json" } })).status, 200);
    assert.equal((await fetch(`${under.http}/elsewhere`, { headers: { Accept: "application/nostr+json" } })).status, 404);
  });
});
