// The node's encryption keys come and go under clients that know the old one, that know both, and that stream meanwhile; and
// an erased secret is nowhere in the node's memory. Waits for real keys: two thirds of a minute.
import assert from "node:assert/strict";
import { createECDH } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { has_sanitizer, read_json, scenario, tag, until, WebSocket } from "./lib.mjs";
import { ask, checked } from "./paced.mjs";

const kLifeS = 40;
/** Of an offer, before its key's: spec/03. */
const kLastCallS = kLifeS / 10;
const kOffer = 31_470;
const kFrame = 21_472;

const now_s = () => Date.now() / 1000;
/** Until a date, Unix seconds. */
const until_date = (date_s) => until((kLifeS + 10) * 1000, `the date ${date_s}`, () => now_s() >= date_s);

/** A promise that is awaited later: what fails before it is what is told. */
function later_on(promise) {
  promise.catch(() => {});
  return promise;
}

/** What a relay is told of offers, as it comes, the first of each key: {id, key, key_ends_s, ends_s}; key_of: of all by their ids. */
async function watch_offers(bed, relay) {
  const offers = [];
  offers.key_of = new Map();
  const socket = new WebSocket(relay.url);
  bed.on_stop(() => socket.terminate());
  socket.on("message", (text) => {
    const [word, , event] = JSON.parse(text);
    if (word !== "EVENT") return;
    const key = tag(event, "key");
    offers.key_of.set(event.id, key);
    if (offers.some((one) => one.key === key)) return;
    offers.push({ id: event.id, key, key_ends_s: Number(tag(event, "key", 2)), ends_s: Number(tag(event, "expiration")) });
  });
  await new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("open", () => { socket.send(JSON.stringify(["REQ", "offers", { kinds: [kOffer] }])); resolve(); });
  });
  return offers;
}

/**
 * A client's way to a relay. It hears of no newer key than that of the offer `known` before catch_up(), and frames to the key
 * `held_to` wait.
 */
async function behind_the_times(bed, relay, known) {
  const tap = await bed.websocket_tap(relay);
  const way = { url: tap.url, held_to: "", held: 0 };
  let kept_back = [];
  tap.gate = async ({ from, text }) => {
    const [word, ...rest] = JSON.parse(text);
    const event = rest.at(-1);
    if (word !== "EVENT") return true;
    if (from === "relay" && kept_back && event.kind === kOffer && tag(event, "key") !== known.key) {
      kept_back.push(text);
      return false;
    }
    if (from === "client" && event.kind === kFrame && event.tags[0][1] === way.held_to) {
      ++way.held;
      await until(20_000, "a held frame's way is free", () => way.held_to === "");
    }
    return true;
  };
  way.catch_up = () => {
    for (const text of kept_back) tap.say(text);
    kept_back = undefined;
  };
  bed.on_stop(() => { way.held_to = ""; });
  return way;
}

/** Readable memory of a process, part by part. */
function* memory_of(pid) {
  const file = fs.openSync(`/proc/${pid}/mem`, "r");
  try {
    for (const line of fs.readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const found = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (!found) continue;
      const [from, to] = found.slice(1).map((text) => Number(`0x${text}`));
      const bytes = Buffer.alloc(to - from);
      let read = 0;
      try {
        read = fs.readSync(file, bytes, 0, bytes.length, from);
      } catch {
        // a part that is mapped and can't be read, or is gone by now
      }
      yield bytes.subarray(0, read);
    }
  } finally {
    fs.closeSync(file);
  }
}

/** Whether this user may look: the node forbids it to all but root. */
function may_read(pid) {
  if (has_sanitizer("nostril-node")) {
    console.log("skipped: a sanitizer keeps what the node has freed, in a memory too large to search");
    return false;
  }
  try {
    fs.closeSync(fs.openSync(`/proc/${pid}/mem`, "r"));
    return true;
  } catch {
    console.log("skipped: the node's memory may be read by root only");
    return false;
  }
}

function* places_of(part, bytes) {
  for (let at = part.indexOf(bytes); at >= 0; at = part.indexOf(bytes, at + 1)) yield at;
}

/** The secret of a public key, found beside it in the memory of a process that holds both. */
function secret_in(pid, key) {
  const point = createECDH("secp256k1");
  const wanted = Buffer.from(key, "hex");
  for (const part of memory_of(pid)) {
    for (const place of places_of(part, wanted)) {
      for (let at = Math.max(0, place - 256); at + 32 <= Math.min(part.length, place + 256); at += 8) {
        const secret = part.subarray(at, at + 32);
        try {
          point.setPrivateKey(secret);
        } catch {
          continue;  // zero, or beyond the group's order
        }
        if (point.getPublicKey().subarray(1, 33).equals(wanted)) return Buffer.from(secret);
      }
    }
  }
  return undefined;
}

/** How often a secret is in the memory of a process, in either order of its bytes. */
function copies_in(pid, secret) {
  let copies = 0;
  for (const part of memory_of(pid)) {
    for (const bytes of [secret, Buffer.from(secret).reverse()]) copies += [...places_of(part, bytes)].length;
  }
  return copies;
}

scenario("a key's whole life: before, while two overlap, after its offer's end, after its own", async (bed) => {
  const relay = await bed.relay();
  const offers = await watch_offers(bed, relay);
  const engine = await bed.scripted_engine();
  const node = await bed.node({ relay, engine_url: engine.url,
    sections: { limits: { key_life_s: kLifeS }, offer: { credit: 100_000 }, metrics: { listen: "127.0.0.1:0" } } });
  const pid = node.program.pid;
  const [, metrics_url] = await node.program.said(/metrics at (http:\/\/127\.0\.0\.1:\d+\/metrics)/);
  const refused = async (reason) =>
    Number(new RegExp(`^nostril_node_refusals_total\\{reason="${reason}"\\} (\\d+)$`, "m").exec(await (await fetch(metrics_url)).text())[1]);
  const first = await until(10_000, "the first offer", () => offers[0]);
  assert.equal(first.key_ends_s - first.ends_s, kLastCallS);

  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
  bed.on_stop(() => agent.destroy());
  const gateway_over = async (way, home) => {
    const gateway = await bed.gateway({ relay: way, node, home });
    await until(20_000, "the gateway knows the offer", async () => (await (await fetch(`${gateway.url}/models`)).json()).data?.length > 0);
    return gateway;
  };
  // Three who heard of the first offer only: one learns late, one after the key's end, one never.
  const ways = await Promise.all([1, 2, 3].map(() => behind_the_times(bed, relay, first)));
  const [late, later, never] = ways;
  const [by_late, by_later, by_never] = await Promise.all(ways.map((way, i) => gateway_over(way, `user-${i}`)));

  let serial = 0;
  const asked = (tokens = 5, token_ms = 20) => ({ id: `keys-${serial++}`, tokens, token_ms });
  /** The key of the offer that a record names. */
  const key_in = (record) => offers.key_of.get(tag(record, "offer"));
  /** Through a gateway: an exact answer; under which key. */
  const through = async (gateway, what = asked()) => {
    const answer = await ask(agent, gateway.url, engine.model, what);
    await checked(engine, answer, what.tokens);
    return key_in(answer.record);
  };
  /** By a command that reads the relay anew. */
  const anew = async () => {
    const save = path.join(bed.folder, `saved-${serial}`);
    const { code, err } = await bed.chat({ relay, node, question: JSON.stringify(asked()), save }).end(20_000);
    assert.equal(code, 0, err);
    return key_in(read_json(save, "record.json"));
  };

  // Before.
  assert.equal(await through(by_late), first.key);
  assert.equal(await anew(), first.key);
  const looks = may_read(pid);
  const secret = looks ? secret_in(pid, first.key) : undefined;
  if (looks) assert.ok(secret && copies_in(pid, secret) > 0, "looking for it finds it");
  // Over the offer's end and the key's.
  const long_ms = (first.key_ends_s + 4 - now_s()) * 1000;
  const long = later_on(through(by_never, asked(Math.ceil(long_ms / 50), 50)));

  // While both live.
  const second = await until(kLifeS * 1000, "an offer of the next key", () => offers[1]);
  assert.ok(now_s() < first.ends_s);
  assert.equal(await through(by_late), first.key, "who does not know the new offer is served under the old");
  assert.equal(await anew(), second.key);

  // Sealed while the offer was good, there when it was not: told so, and asked again under the next one.
  await until_date(first.ends_s - 2);
  for (const way of ways) way.held_to = first.key;
  const too_late = [by_late, by_later, by_never].map((gateway) =>
    later_on(ask(agent, gateway.url, engine.model, asked())));
  await until(2_000, "the frames to be held", () => ways.every((way) => way.held > 0));
  await until_date(first.ends_s + 1);
  assert.equal(await refused("key-expired"), 0);
  late.catch_up();
  late.held_to = "";
  never.held_to = "";
  const told = await too_late[0];
  await checked(engine, told, 5);
  assert.equal(key_in(told.record), second.key);
  const nothing_newer = await too_late[2];
  assert.equal(nothing_newer.status, 503);
  assert.match(nothing_newer.tail, /this offer has ended; there is a newer one/);
  assert.ok(await refused("key-expired") >= 2);

  // Later than the key itself: nobody listens to it.
  await until_date(first.key_ends_s + 2);
  const refusals = await refused("key-expired");
  later.catch_up();
  later.held_to = "";
  const untold = await too_late[1];
  await checked(engine, untold, 5);
  assert.notEqual(key_in(untold.record), first.key);
  assert.equal(await refused("key-expired"), refusals);

  assert.equal(await long, first.key, "a stream goes on under the offer that it began with");
  if (!looks) return;
  assert.equal(copies_in(pid, secret), 0, "the erased key is nowhere in the node");
  assert.ok(secret_in(pid, offers.at(-1).key), "and the living one is");
}, { ms: (kLifeS + 50) * 1000 });
