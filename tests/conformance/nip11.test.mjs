// NIP-11: the information, who may read it, and each limit in it met exactly: so many pass, one more is refused in proper form.
import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { mine, now, person, relay_under_test, sha256, with_relay } from "./lib.mjs";

const kLimits = { message_bytes_max: 20_000, event_bytes_max: 20_000, content_chars_max: 1_000, event_tags_max: 20, subscriptions_max: 5, filters_max: 4, limit_max: 30, limit_default: 7, created_at_future_s_max: 500, created_at_past_s_max: 5_000 };
const relay = relay_under_test({ sections: { limits: kLimits, info: { name: "Test relay", description: "For tests", pubkey: "a".repeat(64), contact: "mailto:x@example.org", banner: "https://example.org/wide.png", terms_of_service: "https://example.org/terms" } } });

const get = (options = {}) => fetch(relay.http, { headers: { Accept: "application/nostr+json" }, ...options });
const kCors = ["access-control-allow-origin", "access-control-allow-headers", "access-control-allow-methods"];

test("the document has the fields and types that NIP-11 gives them", async () => {
  const answer = await get();
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /^application\/nostr\+json/);
  const information = await answer.json();
  assert.deepEqual([information.name, information.description, information.pubkey, information.contact, information.banner, information.terms_of_service, information.icon],
    ["Test relay", "For tests", "a".repeat(64), "mailto:x@example.org", "https://example.org/wide.png", "https://example.org/terms", undefined]);
  assert.ok(information.name.length <= 30);
  assert.match(information.version, /^\d+\.\d+/);
  assert.equal(information.software, "nostril-relay");
  assert.ok(information.supported_nips.every(Number.isInteger));
  assert.equal(new Set(information.supported_nips).size, information.supported_nips.length);
  for (const nip of [1, 9, 11, 40, 45]) assert.ok(information.supported_nips.includes(nip), `NIP-${nip}`);
  for (const merged of [12, 15, 16, 20, 33]) assert.ok(!information.supported_nips.includes(merged), `NIP-${merged} is part of NIP-01`);
  const { limitation } = information;
  assert.deepEqual([limitation.max_message_length, limitation.max_content_length, limitation.max_event_tags, limitation.max_subscriptions, limitation.max_limit, limitation.default_limit, limitation.max_subid_length,
    limitation.created_at_upper_limit, limitation.created_at_lower_limit, limitation.min_pow_difficulty], [20_000, 1_000, 20, 5, 30, 7, 64, 500, 5_000, 0]);
  for (const name of ["auth_required", "payment_required", "restricted_writes"]) assert.equal(limitation[name], false);
});

test("browsers of any origin may read, whatever they ask first", async () => {
  for (const path of ["/", "/nothing"]) {
    for (const method of ["GET", "HEAD", "OPTIONS"]) {
      const answer = await fetch(relay.http + path, { method, headers: { Accept: "application/nostr+json", Origin: "https://app.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "accept" } });
      if (path === "/") assert.ok(answer.ok, `${method} ${answer.status}`);
      for (const name of kCors) assert.ok(answer.headers.get(name), `${method} ${path} ${name}`);
      assert.ok(["*", "https://app.example"].includes(answer.headers.get("access-control-allow-origin")));
    }
  }
});

test("Accept is a list, of any case and order; others get a page", async () => {
  for (const accept of ["application/nostr+json", "application/nostr+json, text/html", "text/html;q=0.5, application/nostr+json;q=0.9", "Application/Nostr+JSON", "text/html,application/nostr+json"]) {
    assert.match((await get({ headers: { Accept: accept } })).headers.get("content-type"), /^application\/nostr\+json/, accept);
  }
  for (const accept of ["text/html", "*/*", "application/json", "application/nostr+json;q=0, text/html", "application/nostr+json; q=0.00", "application/nostr+json+rpc", "text/plain;x=application/nostr+json"]) assert.match((await get({ headers: { Accept: accept } })).headers.get("content-type"), /^text\/html/, accept);
});

test("Accept may stand in several fields, and a cache is told that it decides", async () => {
  const answer = await new Promise((resolve, reject) => http.get(relay.http, { headers: { Accept: ["text/html", "application/nostr+json"] } }, resolve).on("error", reject));
  answer.resume();
  assert.match(answer.headers["content-type"], /^application\/nostr\+json/);
  for (const accept of ["application/nostr+json", "text/html"]) assert.match((await get({ headers: { Accept: accept } })).headers.get("vary"), /accept/i);
});

test("other methods are refused, with those that are not", async () => {
  for (const method of ["POST", "PUT", "DELETE"]) {
    const answer = await get({ method });
    assert.deepEqual([answer.status, answer.headers.get("allow")], [405, "GET, HEAD, OPTIONS"], method);
  }
  for (const method of ["POST", "PUT", "DELETE", "PATCH"]) assert.ok([404, 405, 415, 401].includes((await get({ method, body: method === "DELETE" ? undefined : "{}" })).status), method);
});

test("max_message_length: so many bytes are read, one more ends the connection with 1009", async () => {
  const client = await relay.connect();
  const padded = (bytes) => {
    const text = JSON.stringify(["COUNT", "padded", { kinds: [1] }]);
    return text.slice(0, -1) + " ".repeat(bytes - text.length) + "]";
  };
  client.raw(padded(20_000));
  await client.take(["COUNT", "padded"]);
  client.raw(padded(20_001));
  assert.equal((await client.ended()).code, 1009);
  // An event that fills a message to the last byte.
  const [second, alice] = [await relay.connect(), person()];
  const filled = (bytes) => {
    const event = (length) => alice.sign(1, { tags: [["x", "y".repeat(length)]] });
    const empty = JSON.stringify(["EVENT", event(0)]).length;
    return event(bytes - empty);
  };
  await second.accepts(filled(20_000));
  second.send("EVENT", filled(20_001));
  assert.equal((await second.ended()).code, 1009);
});

test("max_content_length counts characters, whatever bytes they take", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const character of ["a", "é", "漢", "🦊", "\"", "\n"]) {
    await client.accepts(alice.sign(1, { content: character.repeat(1_000) }));
    await client.refuses(alice.sign(1, { content: character.repeat(1_001) }), /^invalid: /);
  }
});

test("max_event_tags", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const tagged = (count) => alice.sign(1, { tags: Array.from({ length: count }, (_, i) => ["t", `${i}`]) });
  await client.accepts(tagged(20));
  await client.refuses(tagged(21), /^invalid: /);
});

test("max_subscriptions", async () => {
  const client = await relay.connect();
  for (let i = 0; i < 5; i++) await client.subscribe_as(`s${i}`, { limit: 0 });
  assert.match(await client.refused({ limit: 0 }), /^(rate-limited|blocked|restricted|error): /);
  await client.subscribe_as("s0", { kinds: [1], limit: 0 });  // one that replaces is none more
  client.send("CLOSE", "s1");
  client.forget("s1");
  await client.subscribe_as("s5", { limit: 0 });
  assert.match(await client.refused({ limit: 0 }), /^(rate-limited|blocked|restricted|error): /);
  const other = await relay.connect();
  await other.subscribe_as("s0", { limit: 0 });
});

test("max_limit and default_limit", async () => {
  const [client, alice] = [await relay.connect(), person()];
  await client.accepts(...Array.from({ length: 40 }, (_, i) => alice.sign(1, { created_at: now() - i })));
  const found = async (filter) => (await client.ids({ authors: [alice.key], ...filter })).length;
  assert.deepEqual([await found({}), await found({ limit: 8 }), await found({ limit: 30 }), await found({ limit: 31 }), await found({ limit: 1_000_000 })], [7, 8, 30, 30, 30]);
  assert.equal((await client.count({ authors: [alice.key] })).count, 40);
});

test("max_subid_length", async () => {
  const client = await relay.connect();
  await client.subscribe_as("i".repeat(64), { limit: 0 });
  client.send("REQ", "i".repeat(65), { limit: 0 });
  assert.match((await client.take(["CLOSED", "i".repeat(65)]))[2], /^invalid: /);
});

test("created_at: as far ahead and as old as it says", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const [age, taken] of [[-495, true], [-510, false], [4_990, true], [5_010, false]]) {
    const event = alice.sign(1, { created_at: now() - age });
    if (taken) await client.accepts(event);
    else await client.refuses(event, /^invalid: /);
  }
});

test("filters of one REQ", async () => {
  const client = await relay.connect();
  const filters = (count) => Array.from({ length: count }, (_, i) => ({ ids: [sha256(`${i}`)] }));
  assert.deepEqual(await client.ids(...filters(4)), []);
  assert.match(await client.refused(...filters(5)), /^(invalid|error|rate-limited): /);
});

test("min_pow_difficulty, auth_required and restricted_writes are said where they hold", async () => {
  const url = "wss://relay.example/";
  await with_relay({ settings: { url }, sections: { policy: { work_bits_min: 6 }, auth: { to_read: true, to_write: true } } }, async (strict) => {
    const { limitation, supported_nips } = await strict.information();
    assert.deepEqual([limitation.min_pow_difficulty, limitation.auth_required, limitation.restricted_writes], [6, true, true]);
    for (const nip of [13, 42, 70]) assert.ok(supported_nips.includes(nip));
    const [client, alice] = [await strict.connect(), person()];
    assert.match(await client.refused({}), /^auth-required: /);
    assert.match((await client.count({})).closed, /^auth-required: /);
    await client.refuses(mine(alice, 1, { bits: 6 }), /^auth-required: /);
    await client.authenticate(alice, url);
    await client.accepts(mine(alice, 1, { bits: 6 }));
    await client.refuses(mine(alice, 1, { bits: 0, below: 6, claim: undefined }), /^pow: /);
    assert.equal((await client.ids({})).length, 1);
  });
  await with_relay({ sections: { policy: { allowed_authors: [person().key] } } }, async (closed) => {
    assert.equal((await closed.information()).limitation.restricted_writes, true);
    await (await closed.connect()).refuses(person().sign(1), /^(restricted|blocked): /);
  });
});

test("a content that can be compressed well is taken from a client that compresses", async () => {
  await with_relay({}, async (plain) => {
    const { limitation } = await plain.information();
    const [client, alice] = [await plain.connect({ perMessageDeflate: { threshold: 0 } }), person()];
    assert.match(client.socket.extensions, /permessage-deflate/);
    await client.accepts(alice.sign(1, { content: "x".repeat(limitation.max_content_length) }), alice.sign(1, { content: "\n".repeat(limitation.max_content_length) }));
  });
});

test("with the limits as they come, what they allow together is allowed", async () => {
  await with_relay({}, async (plain) => {
    const { limitation } = await plain.information();
    const [client, alice] = [await plain.connect(), person()];
    await client.accepts(alice.sign(1, { content: "x".repeat(limitation.max_content_length) }), alice.sign(1, { content: "é".repeat(limitation.max_content_length) }),
      alice.sign(1, { content: "\n".repeat(limitation.max_content_length) }), alice.sign(1, { tags: Array.from({ length: limitation.max_event_tags }, (_, i) => ["p", sha256(`${i}`)]) }));
    await client.refuses(alice.sign(1, { content: "é".repeat(limitation.max_content_length + 1) }), /^invalid: /);
    await client.refuses(alice.sign(1, { tags: Array.from({ length: limitation.max_event_tags + 1 }, () => ["t", ""]) }), /^invalid: /);
    for (let i = 0; i < limitation.max_subscriptions; i++) await client.subscribe_as(`s${i}`, { limit: 0 });
    assert.match(await client.refused({ limit: 0 }), /^rate-limited: /);
  });
});
