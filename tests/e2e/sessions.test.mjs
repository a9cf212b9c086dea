// Sessions over relays that lose, double, delay, cut and die, and answers that are picked up later.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { describe } from "node:test";
import { kLongQuestion, read, read_json, scenario, tag, until } from "./lib.mjs";

const kSlowMs = 60;
const kStoredFrame = 1_470;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const kBadWeather = { drop: 0.1, double: 0.1, late: 0.1 };

/** What was saved is what the engine said when it was asked, once. */
function exact_and_once(tap, save) {
  const [call, ...others] = tap.completions();
  assert.equal(others.length, 0, "the engine is asked once");
  const response = read(save, "response.txt");
  assert.deepEqual(response, Buffer.concat(call.response));
  const record = read_json(save, "record.json");
  assert.equal(tag(record, "status"), "ok");
  assert.equal(tag(record, "response-hash"), sha256(response));
  assert.equal(tag(record, "channel", 2), "1");
  assert.equal(tag(read_json(save, "receipt.json"), "amount"), tag(record, "spent"));
  return record;
}

/** Relay, engine, tap and node; `node_relays` are what the node connects to and names in its offers. */
async function make_world(bed, { relay, limits = {} }) {
  const engine = await bed.engine({ slow_ms: kSlowMs });
  const tap = await bed.http_tap(engine);
  const start = () => bed.node({ relay, engine_url: tap.url, sections: { limits } });
  return { engine, tap, start, node: await start() };
}

const stored_frames = async (bed, relay) => {
  const { out } = await bed.client(["req", "--relay", relay.url, "--kind", `${kStoredFrame}`]).end(15_000);
  return out.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
};

/** Hands a question to the node and leaves. */
async function detach(bed, options) {
  const { code, err } = await bed.client(["chat", ...bed.client_options(options), "--detach", kLongQuestion]).end(30_000);
  assert.equal(code, 0, err);
  assert.match(err, /the node has the request/);
}

const pick_up = (bed, options, save) =>
  bed.client(["pickup", ...bed.client_options(options), "--save", save]).end(40_000);

/** The only answer in a folder of picked up ones. */
const only_answer = (save) => path.join(save, fs.readdirSync(save)[0]);

describe("sessions", { concurrency: 3 }, () => {
  scenario("10 % of frames lost, doubled and late on both sides: a chat is exact, and charged once", async (bed) => {
    const relay = await bed.relay();
    const at_node = await bed.lossy_relay(relay, { ...kBadWeather, seed: 7 });
    const at_client = await bed.lossy_relay(relay, { ...kBadWeather, seed: 11 });
    const { tap, node } = await make_world(bed, { relay: at_node });
    const save = path.join(bed.folder, "saved");
    const { code, err } = await bed.chat({ relay: at_client, node, question: kLongQuestion, save }).end(60_000);
    assert.equal(code, 0, err);
    exact_and_once(tap, save);
    for (const { counts } of [at_node, at_client]) {
      assert.ok(counts.dropped > 0 && counts.doubled > 0 && counts.late > 0, JSON.stringify(counts));
    }
  });

  scenario("connections are cut again and again over a slow line: a chat is exact, and charged once", async (bed) => {
    const relay = await bed.relay();
    const at_node = await bed.lossy_relay(relay, { slow_ms: 3 });
    const at_client = await bed.lossy_relay(relay, { slow_ms: 3 });
    const { tap, node } = await make_world(bed, { relay: at_node });
    const save = path.join(bed.folder, "saved");
    const chat = bed.chat({ relay: at_client, node, question: kLongQuestion, save });
    await until(30_000, "the first words", () => chat.out.length > 5);
    for (const one of [at_client, at_node, at_client]) {
      const printed = chat.out.length;
      one.cut();
      await until(20_000, "more words, or the end", () => chat.result || chat.out.length > printed);
    }
    const { code, err } = await chat.end(60_000);
    assert.equal(code, 0, err);
    exact_and_once(tap, save);
  });

  scenario("the client's only relay is killed: the answer goes on over another that the offer names", async (bed) => {
    const first = await bed.relay({ data: path.join(bed.folder, "relay-1") });
    const second = await bed.relay({ data: path.join(bed.folder, "relay-2") });
    const { tap, node } = await make_world(bed, { relay: [first, second] });
    const save = path.join(bed.folder, "saved");
    const chat = bed.chat({ relay: first, node, question: kLongQuestion, save });
    await until(30_000, "the first words", () => chat.out.length > 5);
    await first.program.kill("SIGKILL");
    assert.equal(tap.completions()[0].done, false, "the relay died in the middle of the answer");
    const { code, err } = await chat.end(60_000);
    assert.equal(code, 0, err);
    exact_and_once(tap, save);
  });

  scenario("the client leaves: its answer waits on the relay, without the node too, and is charged once", async (bed) => {
    const relay = await bed.relay();
    const world = await make_world(bed, { relay, limits: { client_lost_s: 1 } });
    const options = { relay, node: world.node };
    await detach(bed, options);
    await until(40_000, "stored frames on the relay", async () => (await stored_frames(bed, relay)).length >= 2);
    await world.node.program.kill("SIGKILL");
    const save = path.join(bed.folder, "picked-up");
    const first = await pick_up(bed, options, save);
    assert.match(first.err, /relays that stored it/);
    assert.match(first.err, /not reached to be paid/);
    assert.equal(first.code, 1);
    const record = exact_and_once(world.tap, only_answer(save));
    for (const event of await stored_frames(bed, relay)) {
      assert.ok(Number(tag(event, "expiration")) > Date.now() / 1000 + 3_000);
      assert.notEqual(event.pubkey, record.pubkey, "the session's key, not the node's");
    }

    const again = await world.start();
    const second = await pick_up(bed, { relay, node: again }, save);
    assert.equal(second.code, 0, second.err);
    assert.equal(exact_and_once(world.tap, only_answer(save)).id, record.id);
    const left = await bed.client(["pickup", "--list", "--home", path.join(bed.folder, "user")]).end(10_000);
    assert.equal(left.out, "");
    const receipts = await bed.client(["receipts", "--home", path.join(bed.folder, "user")]).end(10_000);
    assert.match(receipts.out, new RegExp(`spent    ${tag(record, "spent")} msat in 1 statements`));
  });

  scenario("relay and node die before the answer is stored: the node's successor stores it", async (bed) => {
    const relay = await bed.relay();
    const world = await make_world(bed, { relay, limits: { client_lost_s: 1 } });
    await detach(bed, { relay, node: world.node });
    await relay.program.kill("SIGKILL");
    await until(40_000, "the engine's end", () => world.tap.completions()[0]?.done);
    await world.node.program.said(/kept for pick-up/, 10_000);
    await world.node.program.kill("SIGKILL");
    const back = await bed.relay({ port: relay.port, data: relay.data });
    assert.equal((await stored_frames(bed, back)).length, 0);
    const next = await world.start();
    await until(20_000, "stored frames on the relay", async () => (await stored_frames(bed, back)).length >= 2);
    const save = path.join(bed.folder, "picked-up");
    const { code, err } = await pick_up(bed, { relay: back, node: next }, save);
    assert.equal(code, 0, err);
    assert.match(err, /relays that stored it/);
    exact_and_once(world.tap, only_answer(save));
  });
});
