// A relay that somebody just starts: nobody has said what it is called, and only this machine reaches it. Then it is every loopback
// name with its port (relay/relay_address.h), for NIP-42, 17, 59, 62, 70, 86 and 98; where that can't be known, for none of them.
import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { information_at, kNameless, kWaitMs, now, person, relay_under_test, sha256, until, with_relay } from "./lib.mjs";

const operator = person();
const relay = relay_under_test({ sections: { admin: { keys: [operator.key] } } });
const kNeedAddress = [17, 42, 59, 62, 70];
const names_of = ({ started: { port } }) => [`ws://127.0.0.1:${port}/`, `ws://127.0.0.1:${port}`, `ws://localhost:${port}`, `ws://LOCALHOST:${port}/`, `ws://[::1]:${port}/`, `ws://127.0.0.1:${port}/path`];
const other_port = ({ started: { port } }) => (port === 65_535 ? port - 1 : port + 1);

async function login(to, name) {
  return (await to.connect()).authenticate(person(), name);
}

test("NIP-11 lists what needs an address", async () => {
  const { supported_nips, limitation } = await relay.information();
  for (const nip of [...kNeedAddress, 86, 98]) assert.ok(supported_nips.includes(nip), `NIP-${nip}`);
  assert.equal(limitation.auth_required, false);
});

test("a login names any loopback name with its port", async () => {
  for (const name of names_of(relay)) assert.deepEqual(await login(relay, name), { accepted: true, text: "" }, name);
});

test("another relay's name is refused, and the relay says what it is called", async () => {
  const { port } = relay.started;
  const others = [`ws://127.0.0.1:${other_port(relay)}`, "ws://127.0.0.1", "ws://localhost", "wss://relay.example", `ws://evil.example:${port}`,
    `ws://localhost.evil.example:${port}`, `ws://127.0.0.1.evil.example:${port}/`, `ws://evil.example/127.0.0.1:${port}`, `127.0.0.1:${port}`, ""];
  for (const name of others) {
    const { accepted, text } = await login(relay, name);
    assert.equal(accepted, false, name);
    assert.match(text, new RegExp(`^invalid: .* another relay: .*ws://127\\.0\\.0\\.1:${port}\\b.*\`url\``), name);
  }
});

test("a challenge is one connection's", async () => {
  const [one, two] = [await relay.connect(), await relay.connect()];
  const challenge = await one.challenge();
  assert.notEqual(challenge, await two.challenge());
  const { accepted, text } = await two.authenticate(person(), relay.url, { tags: [["relay", relay.url], ["challenge", challenge]] });
  assert.equal(accepted, false);
  assert.match(text, /^invalid: .*challenge/);
});

test("gift wraps reach whom they are for, protected events come from their author", async () => {
  const [alice, bob] = [person(), person()];
  const [sender, receiver, stranger] = [await relay.connect(), await relay.connect(), await relay.connect()];
  const wrap = person().sign(1059, { tags: [["p", bob.key]] });
  await sender.accepts(wrap);
  assert.match(await stranger.refused({ kinds: [1059] }), /^auth-required: /);
  assert.deepEqual(await stranger.ids({ ids: [wrap.id] }), []);
  await receiver.authenticate(bob, names_of(relay)[2]);
  assert.deepEqual(await receiver.ids({ kinds: [1059], "#p": [bob.key] }), [wrap.id]);
  const guarded = alice.sign(1, { tags: [["-"]] });
  await sender.refuses(guarded, /^auth-required: /);
  await sender.authenticate(alice, relay.url);
  await sender.accepts(guarded);
});

test("a request to vanish names it so", async () => {
  const client = await relay.connect();
  for (const [index, name] of [...names_of(relay), `ws://127.0.0.1:${other_port(relay)}`, `ws://evil.example:${relay.started.port}`, "ws://127.0.0.1"].entries()) {
    const alice = person();
    const note = alice.sign(1, { created_at: now() - 9 });
    await client.accepts(note, alice.sign(62, { tags: [["relay", name]] }));
    assert.deepEqual(await client.ids({ ids: [note.id] }), index < 5 ? [] : [note.id], name);
  }
});

async function call(url, { at = relay.http, method = "supportedmethods" } = {}) {
  const body = JSON.stringify({ method, params: [] });
  const token = operator.sign(27_235, { tags: [["u", url], ["method", "POST"], ["payload", sha256(body)], ["nonce", `${Math.random()}`]] });
  const response = await fetch(`${at}/`, { method: "POST", body, headers: { "Content-Type": "application/nostr+json+rpc", Authorization: `Nostr ${btoa(JSON.stringify(token))}` } });
  return response.status;
}

test("a request of its operator does", async () => {
  const { port } = relay.started;
  for (const own of [`http://127.0.0.1:${port}/`, `http://127.0.0.1:${port}`, `http://localhost:${port}/`, `ws://localhost:${port}`, `http://[::1]:${port}/`]) assert.equal(await call(own), 200, own);
  for (const other of [`http://127.0.0.1:${other_port(relay)}/`, "http://127.0.0.1/", `https://127.0.0.1:${port}/`, `http://evil.example:${port}/`, "http://relay.example/"]) assert.equal(await call(other), 401, other);
});

test("behind a proxy nobody knows what it is called, and none of it is offered", async () => {
  await with_relay(kNameless, async (nameless) => {
    const { supported_nips } = await nameless.information();
    assert.deepEqual(supported_nips.filter((nip) => kNeedAddress.includes(nip)), []);
    const [client, alice] = [await nameless.connect(), person()];
    await client.barrier();
    assert.deepEqual(client.take_all(["AUTH"]), []);
    const proof = alice.sign(22_242, { tags: [["relay", nameless.url], ["challenge", ""]] });
    client.send("AUTH", proof);
    assert.equal((await client.take(["OK", proof.id]))[2], false);
    const note = alice.sign(1, { created_at: now() - 9 });
    await client.accepts(note, alice.sign(62, { tags: [["relay", nameless.url]] }));
    assert.deepEqual(await client.ids({ ids: [note.id] }), [note.id]);
  });
});

test("with `url` it is called that, and nothing else", async () => {
  await with_relay({ settings: { url: "ws://relay.example" } }, async (named) => {
    assert.equal((await login(named, "ws://relay.example/")).accepted, true);
    for (const name of names_of(named)) {
      assert.deepEqual(await login(named, name), { accepted: false, text: "invalid: the event was made for another relay" }, name);
    }
  });
});

const lists = async (one, nip) => (await information_at(one.http)).supported_nips.includes(nip);

test("it stays so when the configuration is read again, and in the relay that takes the sockets over", async () => {
  await with_relay({}, async (own) => {
    const { program, data } = own.started;
    const file = `${data}.toml`;
    const plain = fs.readFileSync(file, "utf8");
    const early = await own.connect();
    fs.writeFileSync(file, `url = "wss://relay.example"\n${plain}`);
    program.child.kill("SIGHUP");
    await until(kWaitMs, "the new name", async () => (await login(own, "wss://relay.example")).accepted);
    assert.equal((await login(own, own.url)).accepted, false);
    assert.equal((await early.authenticate(person(), "wss://relay.example")).accepted, true, "a connection that was there goes by it");
    fs.writeFileSync(file, plain);
    program.child.kill("SIGHUP");
    await until(kWaitMs, "the old name", async () => (await login(own, own.url)).accepted);
    assert.equal((await login(own, "wss://relay.example")).accepted, false);
    // The new program is told port 0 again: which one it has, its sockets say.
    const starts = () => program.out.toString().split("listening on ").length - 1;
    program.child.kill("SIGUSR2");
    await until(kWaitMs, "the next relay", () => starts() === 2);
    assert.ok(await lists(own, 42));
    for (const name of names_of(own)) assert.equal((await login(own, name)).accepted, true, name);
    const [client, alice] = [await own.connect(), person()];
    const note = alice.sign(1, { created_at: now() - 9 });
    await client.accepts(note, alice.sign(62, { tags: [["relay", names_of(own)[2]]] }));
    assert.deepEqual(await client.ids({ ids: [note.id] }), []);
  });
});

// What somebody has asked the relay of his machine is no request to a relay of everybody's on the same files.
test("a name that is no longer its own is forgotten", async () => {
  await with_relay({}, async (own) => {
    const [alice, name] = [person(), own.url];
    await (await own.connect()).accepts(alice.sign(1, { created_at: now() - 9 }));
    await own.restart(kNameless);
    const [client, request] = [await own.connect(), alice.sign(62, { tags: [["relay", name]] })];
    await client.accepts(request);
    assert.equal((await client.ids({ authors: [alice.key], kinds: [1] })).length, 1);
  });
});

test("what was acknowledged by that name holds after kill -9", async () => {
  await with_relay({}, async (own) => {
    const [client, alice, bob] = [await own.connect(), person(), person()];
    const [gone, vanished] = [alice, bob].map((who) => who.sign(1, { created_at: now() - 9 }));
    await client.accepts(gone, vanished);
    await client.accepts(alice.sign(5, { tags: [["e", gone.id]] }), bob.sign(62, { tags: [["relay", names_of(own)[2]]] }));
    const { port, data, program } = own.started;
    await program.kill("SIGKILL");
    own.started = await own.bed.relay({ port, data });
    const again = await own.connect();
    assert.deepEqual(await again.ids({ ids: [gone.id, vanished.id] }), []);
    for (const event of [gone, vanished, bob.sign(1, { created_at: now() - 99 })]) await again.refuses(event, /^blocked: /);
  });
});
