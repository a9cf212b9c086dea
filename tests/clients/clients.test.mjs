// Client libraries of others, as published, against the relay: each publishes, asks and gets the end of what is stored, hears new
// events, is told why an event is refused, and counts and authenticates where it knows how.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { person, relay_under_test, until, within } from "../conformance/lib.mjs";
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket;  // Node.js 20 has none of its own

const relay = relay_under_test();
/** Proofs name the address with its port, which is known only when the relay has had it once. */
const closed = relay_under_test({}, (started) => started.restart({ settings: { url: started.url }, sections: { auth: { to_read: true, to_write: true } } }));
const kMs = 10_000;
const hex = (who) => Buffer.from(who.secret).toString("hex");
const forged = (who) => ({ ...who.sign(1, { content: "forged" }), sig: "0".repeat(128) });
const heard = (list, event) => until(kMs, "the live event", () => list.includes(event.id));

test("nostr-tools: pool", async () => {
  const { SimplePool } = await import("nostr-tools/pool");
  const { useWebSocketImplementation } = await import("nostr-tools/relay");
  useWebSocketImplementation(WebSocket);
  const [pool, who, live] = [new SimplePool(), person(), []];
  const [first, second] = [who.sign(1, { content: "first" }), who.sign(1, { content: "second" })];
  await Promise.all(pool.publish([relay.url], first));
  assert.deepEqual((await pool.querySync([relay.url], { authors: [who.key] })).map(({ id }) => id), [first.id]);
  let eose = false;
  const subscription = pool.subscribeMany([relay.url], { authors: [who.key], limit: 0 }, { onevent: ({ id }) => live.push(id), oneose: () => { eose = true; } });
  await until(kMs, "EOSE", () => eose);
  await Promise.all(pool.publish([relay.url], second));
  await heard(live, second);
  const [refusal] = await Promise.allSettled(pool.publish([relay.url], forged(who)));
  assert.match(`${refusal.reason}`, /invalid: /);
  const connection = await pool.ensureRelay(relay.url);
  assert.equal(await connection.count([{ authors: [who.key] }], {}), 2);
  subscription.close();
  pool.close([relay.url]);
});

test("NDK", async () => {
  const { default: NDK, NDKEvent, NDKPrivateKeySigner, NDKRelaySet } = await import("@nostr-dev-kit/ndk");
  const [who, live] = [person(), []];
  const ndk = new NDK({ explicitRelayUrls: [relay.url], signer: new NDKPrivateKeySigner(hex(who)), enableOutboxModel: false });
  await ndk.connect(kMs);
  const set = NDKRelaySet.fromRelayUrls([relay.url], ndk);
  const publish = async (content) => {
    const event = new NDKEvent(ndk, { kind: 1, content, tags: [] });
    assert.equal((await event.publish(set)).size, 1);
    return event;
  };
  const first = await publish("first");
  const found = await within(kMs, "EOSE", ndk.fetchEvents({ authors: [who.key], kinds: [1] }, undefined, set));
  assert.deepEqual([...found].map(({ id }) => id), [first.id]);
  let eose = false;
  const subscription = ndk.subscribe({ authors: [who.key], kinds: [1] }, { closeOnEose: false, relaySet: set });
  subscription.on("event", ({ id }) => live.push(id)).on("eose", () => { eose = true; });
  await until(kMs, "EOSE", () => eose);
  const second = await publish("second");
  await heard(live, second);
  assert.equal((await within(kMs, "a count", ndk.count([{ authors: [who.key] }], {}, set))).count, 2);
  const wrong = new NDKEvent(ndk, forged(who));
  await assert.rejects(wrong.publish(set, 2_000));
  subscription.stop();
  for (const one of ndk.pool.relays.values()) one.disconnect();
});

test("NDK sync finds what it wants, by NIP-77 or without it", async () => {
  const [{ default: NDK }, { NDKSync }] = [await import("@nostr-dev-kit/ndk"), await import("@nostr-dev-kit/sync")];
  const [who, client] = [person(), await relay.connect()];
  const events = Array.from({ length: 30 }, (_, i) => who.sign(1, { content: `${i}` }));
  await client.accepts(...events);
  const kept = new Map();
  const cacheAdapter = {
    locking: false, ready: true, query: () => [], setEvent: async (event) => { kept.set(event.id, event); },
  };
  const ndk = new NDK({ explicitRelayUrls: [relay.url], enableOutboxModel: false, cacheAdapter });
  await ndk.connect(kMs);
  const { events: fetched } = await within(kMs, "sync", new NDKSync(ndk).sync({ authors: [who.key], kinds: [1] }, { relayUrls: [relay.url] }));
  assert.deepEqual(new Set(fetched.map(({ id }) => id)), new Set(events.map(({ id }) => id)));
  for (const one of ndk.pool.relays.values()) one.disconnect();
});

test("Nostrify", async () => {
  const { NRelay1 } = await import("@nostrify/nostrify");
  const who = person();
  const one = new NRelay1(relay.url, { backoff: false });
  const [first, second] = [who.sign(1, { content: "first" }), who.sign(1, { content: "second" })];
  const signal = AbortSignal.timeout(kMs);
  await one.event(first, { signal });
  assert.deepEqual((await one.query([{ authors: [who.key] }], { signal })).map(({ id }) => id), [first.id]);
  const words = [];
  for await (const message of one.req([{ authors: [who.key] }], { signal })) {
    words.push(message[0] === "EVENT" ? message[2].id : message[0]);
    if (message[0] === "EOSE") await one.event(second, { signal });
    if (words.includes(second.id)) break;
  }
  assert.deepEqual(words, [first.id, "EOSE", second.id]);
  assert.equal((await one.count([{ authors: [who.key] }], { signal })).count, 2);
  await assert.rejects(one.event(forged(who), { signal }), /invalid: /);
  await one.close();
});

test("rx-nostr", async () => {
  const { createRxBackwardReq, createRxForwardReq, createRxNostr } = await import("rx-nostr");
  const { seckeySigner, verifier } = await import("@rx-nostr/crypto");
  const [who, stored, live, ok] = [person(), [], [], []];
  const rx = createRxNostr({ verifier, signer: seckeySigner(hex(who)), websocketCtor: WebSocket });
  rx.setDefaultRelays([relay.url]);
  const publish = (content) => new Promise((resolve, reject) => {
    rx.send({ kind: 1, content }).subscribe({ next: (packet) => { ok.push(packet.ok); resolve(packet.eventId); }, error: reject });
  });
  const first = await within(kMs, "OK", publish("first"));
  const forward = createRxForwardReq();
  rx.use(forward).subscribe(({ event }) => live.push(event.id));
  forward.emit({ authors: [who.key] });
  const backward = createRxBackwardReq();
  await within(kMs, "EOSE", new Promise((resolve) => {
    rx.use(backward).subscribe({ next: ({ event }) => stored.push(event.id), complete: resolve });
    backward.emit({ authors: [who.key] });
    backward.over();
  }));
  assert.deepEqual(stored, [first]);
  await until(kMs, "the stored event on the forward subscription", () => live.includes(first));
  const second = await within(kMs, "OK", publish("second"));
  await until(kMs, "the live event", () => live.includes(second));
  assert.deepEqual(ok, [true, true]);
  rx.dispose();
});

test("welshman", async () => {
  const { defaultSocketPolicies, makeSocketPolicyAuth, publish, PublishStatus, request } = await import("@welshman/net");
  const [who, live] = [person(), []];
  // It keeps EOSE to itself from a challenge (NIP-42) until it has logged in: its applications say how.
  defaultSocketPolicies.push(makeSocketPolicyAuth({ sign: async ({ kind, ...proof }) => who.sign(kind, proof) }));
  const [first, second] = [who.sign(1, { content: "first" }), who.sign(1, { content: "second" })];
  const status_of = async (event) => Object.values(await publish({ event, relays: [relay.url], timeout: kMs }))[0];
  assert.equal((await status_of(first)).status, PublishStatus.Success);
  const stored = await within(kMs, "EOSE", request({ relays: [relay.url], filters: [{ authors: [who.key] }], autoClose: true }));
  assert.deepEqual(stored.map(({ id }) => id), [first.id]);
  let eose = false;
  const ends = new AbortController();
  const listening = request({ relays: [relay.url], filters: [{ authors: [who.key], limit: 0 }], signal: ends.signal, onEvent: ({ id }) => live.push(id), onEose: () => { eose = true; } });
  await until(kMs, "EOSE", () => eose);
  assert.equal((await status_of(second)).status, PublishStatus.Success);
  await heard(live, second);
  const refusal = await status_of(forged(who));
  assert.equal(refusal.status, PublishStatus.Failure);
  assert.match(refusal.detail, /^invalid: /);
  ends.abort();
  await listening.catch(() => {});
  const { Pool } = await import("@welshman/net");
  Pool.get?.().clear?.();
});

test("applesauce", async () => {
  const { Relay } = await import("applesauce-relay");
  const [who, live] = [person(), []];
  const one = new Relay(relay.url, { WebSocket });
  const [first, second] = [who.sign(1, { content: "first" }), who.sign(1, { content: "second" })];
  assert.equal((await within(kMs, "OK", one.publish(first))).ok, true);
  const stored = [];
  await within(kMs, "EOSE", new Promise((resolve, reject) => one.request([{ authors: [who.key] }]).subscribe({ next: (event) => stored.push(event.id), complete: resolve, error: reject })));
  assert.deepEqual(stored, [first.id]);
  const subscription = one.subscription([{ authors: [who.key] }]).subscribe((message) => live.push(message.id ?? message));
  await until(kMs, "EOSE", () => live.length >= 1);
  await within(kMs, "OK", one.publish(second));
  await heard(live, second);
  const count = await within(kMs, "a count", new Promise((resolve, reject) => one.count({ authors: [who.key] }).subscribe({ next: resolve, error: reject })));
  assert.equal(count.count, 2);
  const refusal = await within(kMs, "OK", one.publish(forged(who), { retries: 0 })).catch((error) => ({ ok: false, message: `${error.message}` }));
  assert.equal(refusal.ok, false);
  assert.match(refusal.message, /invalid: /);
  subscription.unsubscribe();
  one.close?.();
});

test("nostr-fetch", async () => {
  const { NostrFetcher } = await import("nostr-fetch");
  const [who, client] = [person(), await relay.connect()];
  const events = Array.from({ length: 120 }, (_, i) => who.sign(1, { content: `${i}`, created_at: 1_700_000_000 + Math.floor(i / 4) }));
  await client.accepts(...events);
  const fetcher = NostrFetcher.init({ webSocketConstructor: WebSocket });
  const all = await within(kMs, "all", fetcher.fetchAllEvents([relay.url], { authors: [who.key] }, {}, { limitPerReq: 25 }));
  assert.deepEqual(new Set(all.map(({ id }) => id)), new Set(events.map(({ id }) => id)));
  const latest = await within(kMs, "the latest", fetcher.fetchLatestEvents([relay.url], { authors: [who.key] }, 5));
  assert.equal(latest.length, 5);
  assert.equal(latest[0].created_at, 1_700_000_000 + 29);
  assert.equal((await within(kMs, "the last", fetcher.fetchLastEvent([relay.url], { authors: [who.key] }))).created_at, 1_700_000_000 + 29);
  fetcher.shutdown();
});

// --- Who authenticates by itself, on a relay that wants it for everything.

const authenticated = {
  "nostr-tools": async (url, who) => {
    const { SimplePool } = await import("nostr-tools/pool");
    const { finalizeEvent } = await import("nostr-tools/pure");
    const pool = new SimplePool({ automaticallyAuth: () => async (template) => finalizeEvent(template, who.secret) });
    const event = who.sign(1, { content: "by nostr-tools" });
    await Promise.all(pool.publish([url], event, { onauth: async (template) => finalizeEvent(template, who.secret) }));
    const found = await pool.querySync([url], { authors: [who.key] });
    pool.close([url]);
    return [event.id, found.map(({ id }) => id)];
  },
  NDK: async (url, who) => {
    const { default: NDK, NDKEvent, NDKPrivateKeySigner, NDKRelayAuthPolicies, NDKRelaySet } = await import("@nostr-dev-kit/ndk");
    const ndk = new NDK({ explicitRelayUrls: [url], signer: new NDKPrivateKeySigner(hex(who)), enableOutboxModel: false });
    ndk.relayAuthDefaultPolicy = NDKRelayAuthPolicies.signIn({ ndk });
    let is_in = false;
    ndk.pool.on("relay:authed", () => { is_in = true; });
    await ndk.connect(kMs);
    await until(kMs, "authenticated", () => is_in);
    const set = NDKRelaySet.fromRelayUrls([url], ndk);
    const event = new NDKEvent(ndk, { kind: 1, content: "by NDK", tags: [] });
    await event.publish(set);
    const found = await within(kMs, "EOSE", ndk.fetchEvents({ authors: [who.key] }, undefined, set));
    for (const one of ndk.pool.relays.values()) one.disconnect();
    return [event.id, [...found].map(({ id }) => id)];
  },
  Nostrify: async (url, who) => {
    const { NRelay1 } = await import("@nostrify/nostrify");
    const one = new NRelay1(url, { backoff: false, auth: async (challenge) => who.sign(22_242, { tags: [["relay", url], ["challenge", challenge]] }) });
    const event = who.sign(1, { content: "by Nostrify" });
    const signal = AbortSignal.timeout(kMs);
    await one.event(event, { signal });
    const found = await one.query([{ authors: [who.key] }], { signal });
    await one.close();
    return [event.id, found.map(({ id }) => id)];
  },
  "rx-nostr": async (url, who) => {
    const { createRxBackwardReq, createRxNostr } = await import("rx-nostr");
    const { seckeySigner, verifier } = await import("@rx-nostr/crypto");
    const rx = createRxNostr({ verifier, signer: seckeySigner(hex(who)), websocketCtor: WebSocket, authenticator: "auto" });
    rx.setDefaultRelays([url]);
    const id = await within(kMs, "OK", new Promise((resolve, reject) => {
      rx.send({ kind: 1, content: "by rx-nostr" }).subscribe({ next: (packet) => packet.ok && resolve(packet.eventId), error: reject });
    }));
    const found = [];
    const backward = createRxBackwardReq();
    await within(kMs, "EOSE", new Promise((resolve) => {
      rx.use(backward).subscribe({ next: ({ event }) => found.push(event.id), complete: resolve });
      backward.emit({ authors: [who.key] });
      backward.over();
    }));
    rx.dispose();
    return [id, found];
  },
  applesauce: async (url, who) => {
    const { Relay } = await import("applesauce-relay");
    const { finalizeEvent } = await import("nostr-tools/pure");
    const one = new Relay(url, { WebSocket });
    const event = who.sign(1, { content: "by applesauce" });
    const watching = one.challenge$?.subscribe?.(() => {});
    const published = one.publish(event);
    published.catch(() => {});
    await until(kMs, "a challenge", () => one.challenge);
    assert.equal((await within(kMs, "OK", one.authenticate({ signEvent: async (template) => finalizeEvent(template, who.secret) }))).ok, true);
    assert.equal((await within(kMs, "OK", one.publish(event))).ok, true);
    const found = [];
    await within(kMs, "EOSE", new Promise((resolve, reject) => one.request([{ authors: [who.key] }]).subscribe({ next: ({ id }) => found.push(id), complete: resolve, error: reject })));
    watching?.unsubscribe();
    one.close?.();
    return [event.id, found];
  },
};
for (const [name, use] of Object.entries(authenticated)) {
  test(`${name} authenticates`, async () => {
    const [id, found] = await use(closed.url, person());
    assert.deepEqual(found, [id]);
  });
}

// NDK keeps timers that nothing ends. Last: after the relays are down, and their end was looked at.
after(() => { setTimeout(() => process.exit(), 300); });
