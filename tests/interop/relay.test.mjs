// A foreign client library on our relay: nostr-tools publishes, subscribes, pages and deletes, and
// both sides agree about every id.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { finalizeEvent, generateSecretKey, getEventHash, getPublicKey, verifyEvent } from "nostr-tools/pure";
import { Relay, useWebSocketImplementation } from "nostr-tools/relay";
import WebSocket from "ws";
import { Bed, within } from "../e2e/lib.mjs";

useWebSocketImplementation(WebSocket);

const secret = generateSecretKey();
const author = getPublicKey(secret);
const now = Math.floor(Date.now() / 1000);
const sign = (kind, content, { tags = [], created_at = now } = {}) =>
  finalizeEvent({ kind, content, tags, created_at }, secret);

let bed;
let url;
let relay;

before(async () => {
  bed = new Bed();
  ({ url } = await bed.relay());
  relay = await Relay.connect(url);
});

after(async () => {
  relay?.close();
  await bed?.close();
});

/** All stored events that match, in the order in which they came. */
function query(filter) {
  return within(10_000, "EOSE", new Promise((resolve, reject) => {
    const events = [];
    const subscription = relay.subscribe([filter], {
      onevent: (event) => events.push(event),
      oneose: () => {
        resolve(events);
        subscription.close();
      },
      onclose: (reason) => reject(new Error(reason)),
    });
  }));
}

test("an event comes back as it was signed, control characters and DEL included", async () => {
  const texts = ["plain", "quote \" and \\ backslash", "tab\t line\n \b\f\r", "\u0001\u001f", "\u007f", "ünï 🦊"];
  for (const [i, text] of texts.entries()) {
    const event = sign(1, text, { tags: [["t", `text${i}`]] });
    await relay.publish(event);
    const [found] = await query({ ids: [event.id] });
    assert.equal(found.id, getEventHash(found));
    // By way of JSON, which drops the mark that nostr-tools puts on events it has verified.
    assert.deepEqual(
      JSON.parse(JSON.stringify(found)),
      { id: event.id, pubkey: author, created_at: now, kind: 1, tags: event.tags, content: text, sig: event.sig },
    );
    assert.ok(verifyEvent(JSON.parse(JSON.stringify(found))));
  }
});

test("a live subscription hears what matches and nothing else", async () => {
  const heard = [];
  let ready;
  const open = new Promise((resolve) => (ready = resolve));
  const subscription = relay.subscribe([{ kinds: [7], "#p": [author] }], {
    onevent: (event) => heard.push(event.id),
    oneose: ready,
  });
  await within(10_000, "EOSE", open);
  await relay.publish(sign(7, "other", { tags: [["p", "00".repeat(32)]] }));
  const wanted = sign(7, "+", { tags: [["p", author]] });
  await relay.publish(wanted);
  await within(10_000, "the event", (async () => {
    while (heard.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  })());
  assert.deepEqual(heard, [wanted.id]);
  subscription.close();
});

test("pages by until and limit are newest first, ties by lowest id", async () => {
  const events = [];
  for (let i = 0; i < 12; i++) events.push(sign(1111, `page ${i}`, { created_at: now - 100 - Math.floor(i / 3) }));
  for (const event of events) await relay.publish(event);
  const expected = [...events].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)).map((e) => e.id);
  const first = await query({ kinds: [1111], limit: 6 });
  const second = await query({ kinds: [1111], until: first.at(-1).created_at - 1, limit: 6 });
  assert.deepEqual([...first, ...second].map((e) => e.id), expected);
});

test("replaceable, addressable, deleted and expired events follow NIP-01, 09 and 40", async () => {
  await relay.publish(sign(0, "old", { created_at: now - 10 }));
  await relay.publish(sign(0, "new"));
  assert.deepEqual((await query({ kinds: [0], authors: [author] })).map((e) => e.content), ["new"]);

  await relay.publish(sign(30023, "a1", { tags: [["d", "a"]], created_at: now - 10 }));
  await relay.publish(sign(30023, "a2", { tags: [["d", "a"]] }));
  await relay.publish(sign(30023, "b1", { tags: [["d", "b"]] }));
  const articles = await query({ kinds: [30023], authors: [author] });
  assert.deepEqual(articles.map((e) => e.content).sort(), ["a2", "b1"]);

  const doomed = sign(1, "doomed");
  await relay.publish(doomed);
  await relay.publish(sign(5, "", { tags: [["e", doomed.id], ["k", "1"]], created_at: now + 1 }));
  assert.deepEqual(await query({ ids: [doomed.id] }), []);
  await assert.rejects(relay.publish(doomed));

  await assert.rejects(relay.publish(sign(1, "late", { tags: [["expiration", String(now - 1)]] })));
});

test("an ephemeral event reaches who listens, is not stored, and says when nobody does", async () => {
  await assert.rejects(relay.publish(sign(20001, "alone")), /mute/);
  let heard;
  const got = new Promise((resolve) => (heard = resolve));
  let ready;
  const open = new Promise((resolve) => (ready = resolve));
  const subscription = relay.subscribe([{ kinds: [20001] }], { onevent: heard, oneose: ready });
  await within(10_000, "EOSE", open);
  const event = sign(20001, "heard");
  await relay.publish(event);
  assert.equal((await within(10_000, "the event", got)).id, event.id);
  subscription.close();
  assert.deepEqual(await query({ ids: [event.id] }), []);
});

test("a wrong signature is refused, NIP-11 says what is enforced", async () => {
  const forged = { ...sign(1, "mine") };
  forged.sig = sign(1, "other").sig;
  await assert.rejects(relay.publish(forged), /invalid/);
  const answer = await fetch(url.replace(/^ws/, "http"), { headers: { Accept: "application/nostr+json" } });
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  const info = await answer.json();
  assert.deepEqual(info.supported_nips, [1, 9, 11, 17, 40, 42, 45, 50, 59, 62, 65, 70, 77]);
  const events = await query({ kinds: [1], limit: info.limitation.max_limit + 1 });
  assert.ok(events.length <= info.limitation.max_limit);
});
