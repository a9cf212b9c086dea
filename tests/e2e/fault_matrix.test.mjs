// Each of relay, engine, node and client is killed, stopped, slowed or cut off at each stage of a request. What must hold in
// every cell: the answer is byte for byte the engine's, or the user is told plainly that it is not whole; nothing is charged
// twice or beyond what came; the engine ends idle; and the next question is answered.
// `ctest` runs the cells of kQuick; NOSTRIL_FAULT_MATRIX=all runs all, NOSTRIL_FAULT_MATRIX=engine/cut those that match.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { describe } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { read, read_json, scenario, tag, until, within } from "./lib.mjs";

const kTokens = 16;
const kTokenMs = 40;
const kMiddle = 8;
const kStopMs = 1_500;
const kSlowMs = 150;
const kDownMs = 300;
/** A dead node is noticed by its silence. */
const kEndMsMax = 60_000;
/** The node gives a silent client this long. */
const kClientLostS = 3;
const kPriceOutput = 400_000n;  // of the node's defaults, for 1,000,000 tokens
const kPriceInput = 100_000n;
const kInput = 20n;  // the scripted engine's count
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const question = (id) => JSON.stringify({ id, tokens: kTokens, token_ms: kTokenMs });
/** In millionths of a base unit; a statement leaves what is below one to the next one of its channel. */
const price_of = (output) => kInput * kPriceInput + BigInt(output) * kPriceOutput;
const rounded_up = (millionths) => (millionths + 999_999n) / 1_000_000n;

/** When a fault comes; each waits, holding back what would make the stage pass. */
const kStages = {
  /** The first frame has left the client and has not reached the relay. */
  "before accept": ({ near }, fault) => once(near, (m) => m.from === "client" && is_frame(m), fault),
  "first bytes": ({ engine_tap }, fault) => once_bytes(engine_tap, (sent) => sent.length > 0, fault),
  "middle": ({ engine_tap }, fault) => once_bytes(engine_tap, (sent) => tokens_in(sent) >= kMiddle, fault),
  "before end": ({ engine_tap }, fault) => once_bytes(engine_tap, (sent) => tokens_in(sent) >= kTokens - 1, fault),
  /** The engine is done; what the node now sends holds the end with its record, and no receipt has come back. */
  "before receipt": ({ far, engine_tap }, fault) =>
    once(far, (m) => m.from === "client" && is_frame(m) && engine_tap.completions().some((call) => call.done), fault),
};

const is_frame = ({ text }) => text.startsWith('["EVENT"') && text.includes('"kind":21472');
const tokens_in = (text) => text.split('"delta":{"content":').length - 1;

function once(tap, is_it, fault) {
  tap.gate = async (message) => {
    if (!is_it(message)) return;
    tap.gate = undefined;
    await fault();
  };
}

function once_bytes(tap, is_it, fault) {
  tap.gate = async (call) => {
    if (!call.path.endsWith("/completions") || !is_it(Buffer.concat(call.response).toString())) return;
    tap.gate = undefined;
    await fault();
  };
}

const kPrograms = ["relay", "engine", "node", "client"];

/** `bed_of` holds the running programs; taps stand at all links: near (client to relay), far (node to relay), engine_tap. */
const kFaults = {
  async kill(world, who) {
    await world[who].program.kill("SIGKILL");
    if (who === "client") return;
    world.back = sleep(kDownMs).then(() => world.start_again(who));
    world.back.catch(() => {});  // looked at when it is waited for
  },
  async stop(world, who) {
    const { child } = world[who].program;
    child.kill("SIGSTOP");
    world.back = sleep(kStopMs).then(() => child.kill("SIGCONT"));
  },
  async slow(world, who) {
    for (const tap of world.links_of(who)) tap.delay_ms = kSlowMs;
  },
  async cut(world, who) {
    for (const tap of world.links_of(who)) tap.cut();
  },
};

/** What must come of it. `whole`: the answer arrives; `told`: it can't, and the user is told; `either`: who is first. */
function expected(who, fault, stage) {
  if (fault === "stop" || fault === "slow") return "whole";
  if (who === "relay") return "whole";
  if (who === "client") return fault === "kill" ? "killed" : "whole";
  if (who === "engine") {
    if (stage === "before receipt") return "whole";
    if (stage === "before accept") return fault === "kill" ? "told" : "whole";
    return "told";
  }
  if (fault === "cut") return "whole";
  // As long as nothing of the answer has come the client asks again, and the node may be back by then.
  return stage === "before accept" || stage === "first bytes" ? "either" : "told";
}

class World {
  constructor(bed) { this.bed = bed; }

  async start() {
    const { bed } = this;
    this.relay = await bed.relay();
    this.engine = await bed.scripted_engine();
    [this.near, this.far, this.engine_tap] = await Promise.all([bed.websocket_tap(this.relay), bed.websocket_tap(this.relay), bed.http_tap(this.engine)]);
    this.node = await this.start_node();
    this.options = { relay: this.near, node: this.node };
  }

  start_node() {
    return this.bed.node({ relay: this.far, engine_url: this.engine_tap.url,
      sections: { limits: { client_lost_s: kClientLostS } } });
  }

  async start_again(who) {
    if (who === "relay") this.relay = await this.bed.relay({ port: this.relay.port, data: this.relay.data });
    if (who === "engine") this.engine = await this.bed.scripted_engine({ port: this.engine.port });
    if (who === "node") this.node = await this.start_node();
  }

  links_of(who) {
    return { relay: [this.near, this.far], engine: [this.engine_tap], node: [this.far], client: [this.near] }[who];
  }

  ask(id, save) { return this.bed.chat({ question: question(id), save, ...this.options }); }

  counts() { return fetch(`${this.engine.url}/counts`).then((answer) => answer.json()); }

  /** The bytes that the engine sent for the newest request that it answered whole. */
  engine_said() {
    const whole = this.engine_tap.completions().filter((call) => Buffer.concat(call.response).includes("[DONE]"));
    return Buffer.concat(whole.at(-1)?.response ?? []);
  }
}

/** An answer that the client calls whole. */
function check_whole(world, save) {
  assert.deepEqual(read(save, "response.txt"), world.engine_said(), "byte for byte what the engine said");
  const record = read_json(save, "record.json");
  assert.equal(tag(record, "status"), "ok");
  assert.equal(tag(record, "response-hash"), sha256(read(save, "response.txt")));
  assert.deepEqual([tag(record, "usage", 1), tag(record, "usage", 3)], [`${kInput}`, `${kTokens}`], "charged what it used");
  assert.equal(tag(read_json(save, "receipt.json"), "amount"), tag(record, "spent"));
  return record;
}

/** One that it does not; the record, if it got one, charges no more than what came. */
function check_told({ err }, save) {
  assert.match(err, /^nostril: \S.*/m, "says what is wrong");
  if (!fs.existsSync(path.join(save, "record.json"))) return undefined;
  const record = read_json(save, "record.json");
  assert.notEqual(tag(record, "status"), "ok");
  const response = read(save, "response.txt");
  assert.equal(tag(record, "response-hash"), sha256(response));
  const most = rounded_up(price_of(tokens_in(response.toString())) + 1_000_000n);
  assert.ok(BigInt(tag(record, "cost")) <= most, `${tag(record, "cost")} for at most ${most}`);
  return record;
}

/** Nothing of the first answer is charged again in the second one's record. */
function check_charged_once(first, second) {
  const spent = BigInt(tag(second, "spent"));
  const own = price_of(kTokens);
  const is_same = first && tag(first, "channel") === tag(second, "channel");
  if (is_same) {
    const both = BigInt(tag(first, "spent")) + BigInt(tag(second, "cost"));
    return assert.ok(spent === both && spent <= rounded_up(2n * own), `${spent} on the channel`);
  }
  // Of an answer whose client was killed the node states what was delivered: once, and no more than all of it.
  const most = first ? own : 2n * own;
  return assert.ok(spent >= rounded_up(own) && spent <= rounded_up(most), `${spent} on a channel of its own`);
}

async function cell(bed, who, fault, stage) {
  const world = new World(bed);
  await world.start();
  const save = path.join(bed.folder, "first");
  const strike = new Promise((resolve, reject) => {
    kStages[stage](world, async () => {
      await kFaults[fault](world, who).then(resolve, reject);
    });
  });
  world.client = { program: world.ask("first", save) };
  await within(20_000, "the fault", strike);
  const ended = await world.client.program.end(kEndMsMax);
  await world.back;

  const wanted = expected(who, fault, stage);
  let record;
  if (wanted === "killed") {
    assert.equal(ended.signal, "SIGKILL");
  } else if (ended.code === 0) {
    assert.notEqual(wanted, "told");
    record = check_whole(world, save);
  } else {
    assert.notEqual(wanted, "whole", ended.err);
    record = check_told(ended, save);
  }
  await until((kClientLostS + 4) * 1_000, "the engine is idle", async () => (await world.counts()).running === 0);

  for (const tap of [world.near, world.far, world.engine_tap]) tap.delay_ms = 0;
  const again = path.join(bed.folder, "second");
  const second = await until(30_000, "the next question is answered", async () => {
    const { code } = await world.ask("second", again).end(kEndMsMax);
    return code === 0;
  });
  assert.ok(second);
  check_charged_once(record, check_whole(world, again));
}

/** Each program, each fault and each stage once at least. */
const kQuick = new Set(["relay/kill/middle", "relay/slow/before end", "relay/stop/before accept", "relay/cut/before receipt",
  "engine/kill/before end", "engine/stop/middle", "engine/slow/first bytes", "engine/cut/middle",
  "node/stop/before receipt", "node/slow/before accept", "node/cut/middle",
  "client/kill/first bytes", "client/stop/before end", "client/cut/before accept"]);
const kAsked = process.env.NOSTRIL_FAULT_MATRIX ?? "";

const wanted = (name) => (kAsked === "" ? kQuick.has(name) : kAsked === "all" || name.includes(kAsked));

describe("the fault matrix", { concurrency: 4 }, () => {
  for (const who of kPrograms) {
    for (const fault of Object.keys(kFaults)) {
      for (const stage of Object.keys(kStages)) {
        const name = `${who}/${fault}/${stage}`;
        if (wanted(name)) scenario(name, (bed) => cell(bed, who, fault, stage));
      }
    }
  }

  scenario("a cancel leaves the engine idle within two tokens, by its own count", async (bed) => {
    const relay = await bed.relay();
    const engine = await bed.scripted_engine();
    const node = await bed.node({ relay, engine_url: engine.url });
    const token_ms = 200;
    const chat = bed.chat({ relay, node, question: JSON.stringify({ id: "long", tokens: 200, token_ms }) });
    await until(30_000, "the first words", () => chat.out.length > 10);
    const sent = async () => (await (await fetch(`${engine.url}/answer?id=long`)).json()).times_ms.length;
    const before = await sent();
    chat.child.kill("SIGINT");
    await until(10_000, "the engine is idle", async () => (await (await fetch(`${engine.url}/counts`)).json()).running === 0);
    const after = await sent();
    assert.ok(after - before <= 2, `${after - before} tokens after the cancel`);
    const { code, err } = await chat.end(20_000);
    assert.equal(code, 1);
    assert.match(err, /ended as cancelled/);
  });
});
