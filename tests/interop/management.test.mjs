// The relay's management (NIP-86), by nostr-tools: who may call (NIP-98), what a call does to stored and live events, and what
// stays of it after a restart.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, test } from "node:test";
import { getToken, validateToken } from "nostr-tools/nip98";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { Relay, useWebSocketImplementation } from "nostr-tools/relay";
import WebSocket from "ws";
import { Bed, kRoot, until, within } from "../e2e/lib.mjs";

useWebSocketImplementation(WebSocket);

const kUrl = "https://relay.example.org/";
const kType = "application/nostr+json+rpc";
const now = () => Math.floor(Date.now() / 1000);
const person = () => {
  const secret = generateSecretKey();
  return { secret, key: getPublicKey(secret), sign: (kind, tags = [], content = "") => finalizeEvent({ kind, content, tags, created_at: now() }, secret) };
};
const [operator, moderator, alice, bob, carol] = [person(), person(), person(), person(), person()];
const settings = { url: "wss://relay.example.org" };
const sections = { admin: { keys: [operator.key] } };

let bed;
let relay;

const http = () => relay.url.replace(/^ws/, "http");

/** The answer's {status, result, error} to a call by `who`; `change` may spoil the request. */
async function ask(who, method, params = [], { url = kUrl, verb = "POST", change = (request) => request } = {}) {
  const payload = { method, params };
  const token = await getToken(url, verb, (event) => finalizeEvent({ ...event, tags: [...event.tags, ["nonce", `${Math.random()}`]] }, who.secret), true, payload);
  const request = change({ method: "POST", headers: { "Content-Type": kType, Authorization: token }, body: JSON.stringify(payload) });
  const response = await fetch(http(), request);
  return { status: response.status, wait_s: Number(response.headers.get("Retry-After")), ...await response.json() };
}

async function ok(method, ...params) {
  const { status, result, error } = await ask(operator, method, params);
  assert.deepEqual([status, error], [200, undefined], `${method}: ${error}`);
  return result;
}

async function start() {
  relay = await bed.relay({ port: relay?.port ?? 0, settings, sections });
}

async function connect() {
  const socket = await Relay.connect(relay.url);
  bed.on_stop(() => socket.close());
  return socket;
}

const query = (socket, filter) => within(10_000, "EOSE", new Promise((resolve) => {
  const found = [];
  const subscription = socket.subscribe([filter], {
    onevent: (event) => found.push(event.id), oneose: () => { resolve(found); subscription.close(); }, onclose: (reason) => resolve(reason) });
}));

before(async () => {
  bed = new Bed();
  await start();
});

after(() => bed?.close());

test("a relay that never ran takes a request at once", async () => {
  assert.deepEqual(await ok("listbannedpubkeys"), []);
});

test("nostr-tools finds its own token valid, and so does the relay", async () => {
  const payload = { method: "supportedmethods", params: [] };
  const token = await getToken(kUrl, "POST", (event) => finalizeEvent(event, operator.secret), true, payload);
  assert.ok(await validateToken(token, kUrl, "POST"));
  const methods = await ok("supportedmethods");
  for (const method of ["banpubkey", "unallowpubkey", "listeventsneedingmoderation", "listdisallowedkinds", "blockip", "assignmethod"]) assert.ok(methods.includes(method), method);
  const info = await (await fetch(http(), { headers: { Accept: "application/nostr+json" } })).json();
  assert.ok(info.supported_nips.includes(86) && info.supported_nips.includes(98));
});

test("who does not sign, signs for another place, body, time or twice, or is nobody, is refused", async () => {
  const refused = async (expected, who, options) => {
    const answer = await ask(who, "supportedmethods", [], options);
    assert.equal(answer.status, expected, JSON.stringify(answer));
    assert.equal(answer.result, undefined);
  };
  await refused(403, alice);
  assert.equal((await fetch(http(), { method: "POST", headers: { "Content-Type": kType } })).headers.get("www-authenticate"), "Nostr");
  await refused(401, operator, { url: "https://evil.example.org/" });
  await refused(401, operator, { url: `${kUrl}admin` });
  await refused(401, operator, { verb: "GET" });
  await refused(401, operator, { change: (request) => ({ ...request, headers: { "Content-Type": kType } }) });
  await refused(401, operator, { change: (request) => ({ ...request, headers: { "Content-Type": kType, Authorization: "Nostr bm9uc2Vuc2U=" } }) });
  await refused(401, operator, { change: (request) => ({ ...request, body: JSON.stringify({ method: "banpubkey", params: [alice.key] }) }) });
  // A token without a payload, one of yesterday, and one that was used.
  const with_event = (event) => ({ change: (request) => ({ ...request, headers: { "Content-Type": kType, Authorization: `Nostr ${Buffer.from(JSON.stringify(event)).toString("base64")}` } }) });
  await refused(401, operator, with_event(operator.sign(27235, [["u", kUrl], ["method", "POST"]])));
  let kept;
  await ask(operator, "unbanpubkey", [carol.key], { change: (request) => (kept = request) });
  await refused(401, operator, { change: () => kept });
  // What changes nothing may be asked again: without a nonce two requests of one second have one token.
  let asked;
  for (const change of [(request) => (asked = request), () => asked, () => asked]) assert.equal((await ask(operator, "listbannedpubkeys", [], { change })).status, 200);
  const old = JSON.parse(Buffer.from(kept.headers.Authorization.slice(6), "base64").toString());
  await refused(401, operator, with_event(finalizeEvent({ ...old, created_at: now() - 61 }, operator.secret)));
  // Neither JSON nor a method.
  for (const body of ["", "{", "[]", '{"method":"banpubkey"}', '{"method":"format","params":[]}', '{"method":7,"params":[]}']) {
    const answer = await ask_raw(body);
    assert.deepEqual([answer.status, typeof answer.error], [200, "string"], body);
  }
  assert.equal((await fetch(http(), { method: "POST", body: "{}" })).status, 415);
});

/** Signed as it is. */
async function ask_raw(body) {
  const { createHash } = await import("node:crypto");
  const payload = createHash("sha256").update(body).digest("hex");
  const event = operator.sign(27235, [["u", kUrl], ["method", "POST"], ["payload", payload]]);
  const response = await fetch(http(), { method: "POST", body, headers: { "Content-Type": kType, Authorization: `Nostr ${Buffer.from(JSON.stringify(event)).toString("base64")}` } });
  return { status: response.status, ...await response.json() };
}

test("a banned key's events go and stay away; unbanned, they may come again", async () => {
  const socket = await connect();
  const events = [alice.sign(1, [], "one"), alice.sign(1, [], "two"), alice.sign(30023, [["d", "x"]])];
  const other = bob.sign(1);
  for (const event of [...events, other]) await socket.publish(event);
  assert.equal(await ok("banpubkey", alice.key, "spam"), true);
  assert.deepEqual(await ok("listbannedpubkeys"), [{ pubkey: alice.key, reason: "spam" }]);
  assert.deepEqual(await query(socket, { authors: [alice.key, bob.key] }), [other.id]);
  await assert.rejects(socket.publish(events[0]), /blocked: /);
  await assert.rejects(socket.publish(alice.sign(20001)), /blocked: /);
  assert.equal(await ok("unbanpubkey", alice.key), true);
  await socket.publish(events[0]);
  assert.deepEqual(await query(socket, { authors: [alice.key] }), [events[0].id]);
  assert.match((await ask(operator, "banpubkey", [operator.key])).error, /operator/);
  assert.match((await ask(operator, "banpubkey", ["zz"])).error, /params/);
});

test("a ban meets what is under way: whatever is acknowledged before, during or after, nothing of the key is left", async () => {
  const sockets = await Promise.all([connect(), connect(), connect()]);
  const writer = person();
  const events = Array.from({ length: 300 }, (_, i) => writer.sign(1, [], `${i}`));
  let banned;
  const sent = events.map((event, i) => {
    if (i === 100) banned = ok("banpubkey", writer.key);
    return sockets[i % sockets.length].publish(event).then(() => "stored", (error) => error.message);
  });
  const words = await Promise.all(sent);
  await banned;
  for (const word of words) assert.match(word, /^(stored|blocked: .*)$/);
  for (const event of events.slice(0, 3)) await assert.rejects(sockets[0].publish(event), /blocked: /);
  assert.deepEqual(await query(sockets[0], { authors: [writer.key] }), []);
  assert.deepEqual(await ok("nostril_events", { authors: [writer.key] }), []);
});

test("a reported event waits for a decision: kept or banned", async () => {
  const socket = await connect();
  const [bad, good] = [carol.sign(1, [], "buy"), carol.sign(1, [], "hello")];
  for (const event of [bad, good]) {
    await socket.publish(event);
    await socket.publish(bob.sign(1984, [["e", event.id, "spam"], ["p", carol.key]], "look at this"));
  }
  await socket.publish(bob.sign(1984, [["e", "f".repeat(64), "illegal"]]));  // not stored here
  const waiting = await ok("listeventsneedingmoderation");
  assert.deepEqual(waiting.map(({ id }) => id).sort(), [bad.id, good.id].sort());
  assert.match(waiting[0].reason, /^spam: look at this \(reported by /);
  await ok("banevent", bad.id, "spam");
  await ok("allowevent", good.id);
  assert.deepEqual(await ok("listeventsneedingmoderation"), []);
  assert.deepEqual(await query(socket, { ids: [bad.id, good.id] }), [good.id]);
  await assert.rejects(socket.publish(bad), /blocked: /);
  assert.deepEqual(await ok("listbannedevents"), [{ id: bad.id, reason: "spam" }]);
  assert.deepEqual((await ok("listallowedevents")).map(({ id }) => id), [good.id]);
  await ok("unbanevent", bad.id);
  await socket.publish(bad);
});

test("kinds: disallowed ones are refused; with an allowed one, all others are", async () => {
  const socket = await connect();
  await ok("disallowkind", 7);
  await assert.rejects(socket.publish(bob.sign(7)), /blocked: /);
  assert.deepEqual(await ok("listdisallowedkinds"), [7]);
  await ok("allowkind", 7);
  await socket.publish(bob.sign(7));
  await ok("allowkind", 1);
  await assert.rejects(socket.publish(bob.sign(6)), /blocked: /);
  await socket.publish(bob.sign(1, [], "only these"));
  assert.match((await ask(operator, "disallowkind", [1])).error, /only kind allowed/);
  await ok("allowkind", 6);
  await ok("disallowkind", 1);
  assert.deepEqual([await ok("listallowedkinds"), await ok("listdisallowedkinds")], [[6], [1]]);
  await ok("allowkind", 1);
  await ok("allowkind", 1);
  await ok("disallowkind", 6);
  await ok("allowkind", 6);
  assert.deepEqual([await ok("listallowedkinds"), await ok("listdisallowedkinds")], [[1], []]);
  await ok("allowkind", 1984);  // later tests report nothing, and publish kind 1 only
});

test("allowed keys close the relay to others; the name is what the moderator says", async () => {
  const socket = await connect();
  await ok("allowpubkey", bob.key, "a friend");
  await assert.rejects(socket.publish(carol.sign(1, [], "let me in")), /restricted: /);
  await socket.publish(bob.sign(1, [], "I am in"));
  await ok("unallowpubkey", bob.key);
  await socket.publish(carol.sign(1, [], "let me in"));
  await ok("changerelayname", "Öffentlich & free");
  await ok("changerelaydescription", "<b>said at run time</b>");
  await ok("changerelayicon", "https://relay.example.org/icon.png");
  const info = await (await fetch(http(), { headers: { Accept: "application/nostr+json" } })).json();
  assert.deepEqual([info.name, info.description, info.icon], ["Öffentlich & free", "<b>said at run time</b>", "https://relay.example.org/icon.png"]);
  const page = await (await fetch(http())).text();
  assert.ok(page.includes("&lt;b&gt;said") && !page.includes("<b>"));
});

test("a key to which methods are assigned may call those, and no others", async () => {
  assert.equal((await ask(moderator, "banevent", ["0".repeat(64)])).status, 403);
  assert.deepEqual(await ok("assignmethod", moderator.key, "banevent"), [true, "assigned"]);
  assert.equal((await ok("assignmethod", moderator.key, "assignmethod"))[0], false);
  assert.equal((await ask(moderator, "banevent", ["0".repeat(64), "no"])).result, true);
  assert.match((await ask(moderator, "banpubkey", [bob.key])).error, /restricted/);
  assert.match((await ask(moderator, "assignmethod", [alice.key, "banevent"])).error, /restricted/);
  assert.deepEqual((await ask(moderator, "supportedmethods")).result, ["supportedmethods", "banevent"]);
  assert.deepEqual(await ok("listmethodassignees"), [{ pubkey: moderator.key, methods: ["banevent"] }]);
  await ok("unassignmethod", moderator.key, "banevent");
  assert.equal((await ask(moderator, "banevent", ["0".repeat(64)])).status, 403);
});

test("the Grafana board asks for metrics that the relay has", async () => {
  const board = fs.readFileSync(`${kRoot}/packaging/grafana/nostril-relay.json`, "utf8");
  const { panels } = JSON.parse(board);
  const wanted = new Set(board.match(/nostril_relay_[a-z_]+/g));
  const metrics = await (await fetch(`${http()}/metrics`)).text();
  const there = new Set([...metrics.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name));
  assert.ok(panels.length > 10 && wanted.size > 30);
  assert.deepEqual([...wanted].filter((name) => !there.has(name)), []);
  // A name by which a panel splits its sums is a label of that metric.
  for (const [, labels, name] of board.matchAll(/sum by \((\w+)\) \((?:rate\()?(nostril_relay_[a-z_]+)/g)) {
    assert.match(metrics, new RegExp(`^${name}\\{${labels}="`, "m"), `${name} by ${labels}`);
  }
});

test("all of it is there after a restart; blocked addresses are closed at once and stay out", async () => {
  await ok("banpubkey", alice.key, "spam");
  await ok("blockip", "192.0.2.0/24", "scanners");
  await ok("blockip", "2001:db8::1");
  for (const wrong of ["192.0.2.1/24", "localhost", "1.2.3.4/33", "", "1.2.3.4/08"]) assert.match((await ask(operator, "blockip", [wrong])).error, /params/, wrong);
  await ok("unblockip", "2001:db8::1");
  let used;
  await ask(operator, "unblockip", ["2001:db8::7"], { change: (request) => (used = request) });
  relay.program.kill("SIGKILL");
  await relay.program.end(10_000);
  await start();
  // Which signatures were used it does not know any more; but that they were made before.
  const again = await ask(operator, "unblockip", [], { change: () => used });
  assert.equal(again.status, 503);
  assert.match(again.error, /started since this was signed/);
  assert.ok(again.wait_s >= 1 && again.wait_s <= 11, `${again.wait_s}`);
  await until(20_000, "the relay takes signatures", async () => (await ask(operator, "unblockip", ["2001:db8::7"])).status === 200);
  assert.ok((await ok("listbannedpubkeys")).some(({ pubkey, reason }) => pubkey === alice.key && reason === "spam"));
  assert.deepEqual(await ok("listblockedips"), [{ ip: "192.0.2.0/24", reason: "scanners" }]);
  const socket = await connect();
  await assert.rejects(socket.publish(alice.sign(1)), /blocked: /);
  const code = new Promise((resolve) => { socket.ws.addEventListener("close", (event) => resolve(event.code)); });
  assert.equal((await ask(operator, "blockip", ["127.0.0.1", "me"])).result, true);
  assert.equal(await within(5_000, "the connection is closed", code), 1008);
  await assert.rejects(Relay.connect(relay.url));
  assert.ok(fs.existsSync(`${relay.data}/moderation/data.mdb`));
});
