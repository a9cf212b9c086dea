// The node's part of ./scripts/bench: what a node adds to a paced engine, what a frame costs, and many streams at once.
// The engine is scripted (tests/e2e/scripted_engine.mjs), so that each token's way is known to the microsecond and each byte can be checked.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Bed, until, WebSocket, within } from "../tests/e2e/lib.mjs";
import { ask, checked, now_ms } from "../tests/e2e/paced.mjs";
import { cpu_ns, median } from "./measure.mjs";

const kGoals = { first_ms: 3, token_ms: 0.2, frame_us: 120, token_bytes: 60 };
/** Record and receipt follow the last byte: their CPU belongs to the answer. */
const kSettleMs = 150;
/** Base units: what one gateway with 500 streams owes between two receipts. */
const kCredit = 1_000_000;
const kPaces = [{ token_ms: 40, tokens: 60 }, { token_ms: 10, tokens: 150 }, { token_ms: 4, tokens: 300 }];

const ready = (base) => until(20_000, "the gateway knows the node's offer", async () =>
  (await (await fetch(`${base}/models`)).json()).data?.length > 0);

export async function start(bed, { limits = {} } = {}) {
  const relay = await bed.relay();
  const engine = await bed.scripted_engine();
  const node = await bed.node({ relay, engine_url: engine.url, settings: { log_level: "warn" }, sections: { limits, offer: { credit: kCredit } } });
  const gateway = await bed.gateway({ relay, node });
  await ready(gateway.url);
  return { relay, engine, node, gateway };
}

/** Milliseconds of an answer: to its first token, between two tokens, of each token's way, and from the last token to the end. */
export function timing(answer, sent_ms) {
  const last = answer.times_ms.length - 1;
  return {
    first_ms: answer.times_ms[0] - answer.start,
    token_ms: (answer.times_ms[last] - answer.times_ms[0]) / last,
    way_ms: median(answer.times_ms.map((at, i) => at - sent_ms[i])),
    end_ms: answer.end - answer.times_ms[last],
  };
}

export const medians = (timings, keys = ["first_ms", "token_ms", "way_ms", "end_ms"]) => Object.fromEntries(keys.map((key) => [key, median(timings.map((t) => t[key]))]));

/** Reads all sealed frames from a relay, as a client that asks for compression or does not, and counts what came over the socket. */
class FrameReader {
  frames = [];  // {author, to, bytes}

  static async start(bed, relay, compressed) {
    const reader = new FrameReader();
    const socket = new WebSocket(relay.url, { perMessageDeflate: compressed });
    bed.on_stop(() => socket.terminate());
    let seen = 0;
    const listening = new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("open", () => socket.send('["REQ","all",{"kinds":[21472]}]'));
      socket.on("message", (text) => {
        const bytes = socket._socket.bytesRead - seen;
        seen += bytes;
        const [word, , event] = JSON.parse(text);
        if (word === "EOSE") resolve();
        if (word === "EVENT") reader.frames.push({ author: event.pubkey, to: event.tags[0][1], bytes });
      });
    });
    await listening;
    return reader;
  }

  /** Of one answer: the first frame is its client's. */
  take() {
    const frames = this.frames.splice(0);
    const down = frames.filter((frame) => frame.to === frames[0].author);
    return { down: down.length, up: frames.length - down.length, down_bytes: down.reduce((sum, frame) => sum + frame.bytes, 0) };
  }
}

async function latency(bed, { rounds }) {
  const { relay, engine, node, gateway } = await start(bed);
  const agent = new http.Agent({ keepAlive: true });
  bed.on_stop(() => agent.destroy());
  const pids = { node: node.program.pid, relay: relay.program.pid, gateway: gateway.program.pid };
  const out = [];
  let serial = 0;
  for (const { token_ms, tokens } of kPaces) {
    const once = async (base) => {
      const answer = await within(60_000, "an answer", ask(agent, base, engine.model, { id: `latency-${serial++}`, tokens, token_ms }));
      return timing(answer, await checked(engine, answer, tokens));
    };
    const ways = { direct: [], through: [] };
    const cpu = Object.fromEntries(Object.keys(pids).map((name) => [name, []]));
    await once(gateway.url);
    for (let round = 0; round < rounds; ++round) {
      const one = { direct: async () => ways.direct.push(await once(`${engine.url}/v1`)), through: async () => {
        const before = Object.entries(pids).map(([name, pid]) => [name, cpu_ns(pid)]);
        ways.through.push(await once(gateway.url));
        await sleep(kSettleMs);
        for (const [name, ns] of before) cpu[name].push((cpu_ns(pids[name]) - ns) / 1000);
      } };
      for (const way of round % 2 ? ["through", "direct"] : ["direct", "through"]) await one[way]();
    }
    out.push({ token_ms, tokens, rounds, direct: medians(ways.direct), through: medians(ways.through),
      cpu_us: Object.fromEntries(Object.entries(cpu).map(([name, values]) => [name, median(values)])) });
  }
  // Last, so that what reads along costs none of the answers above.
  const readers = { plain: await FrameReader.start(bed, relay, false), deflated: await FrameReader.start(bed, relay, true) };
  for (const pace of out) {
    const answer = await within(60_000, "an answer", ask(agent, gateway.url, engine.model, { id: `bytes-${serial++}`, tokens: pace.tokens, token_ms: pace.token_ms }));
    await checked(engine, answer, pace.tokens);
    await sleep(kSettleMs);
    pace.frames = readers.plain.take();
    pace.deflated_bytes = readers.deflated.take().down_bytes;
  }
  return out;
}

const status_kib = (pid, key) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1]);

/** `streams` answers at once through one gateway: all whole, or it throws. */
export async function crowd(bed, { streams, token_ms, tokens }) {
  const { relay, engine, node, gateway } = await start(bed, { limits: { sessions_max: 2 * streams, running_max: Math.min(1000, streams), running_start: Math.min(1000, streams), waiting_max: streams } });
  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
  bed.on_stop(() => agent.destroy());
  const pids = { node: node.program.pid, relay: relay.program.pid, gateway: gateway.program.pid, engine: engine.program.pid };
  const cpu = () => Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpu_ns(pid)]));
  const memory = () => Object.fromEntries(["node", "gateway"].map((name) => [name, status_kib(pids[name], "VmRSS")]));
  await ask(agent, gateway.url, engine.model, { id: "warm", tokens: 10, token_ms: 10 });
  const before = { cpu: cpu(), kib: memory(), at: now_ms() };
  const running = Array.from({ length: streams }, (_, i) =>
    ask(agent, gateway.url, engine.model, { id: `crowd-${i}`, tokens, token_ms }));
  const answers = Promise.all(running);
  let peak_running = 0, over = false;
  const peak_kib = { node: 0, gateway: 0 };
  const watch = (async () => {
    while (!over) {
      const { running: now } = await (await fetch(`${engine.url}/counts`)).json();
      peak_running = Math.max(peak_running, now);
      for (const [name, kib] of Object.entries(memory())) peak_kib[name] = Math.max(peak_kib[name], kib);
      await sleep(250);
    }
  })();
  let all;
  try {
    all = await within(300_000, `${streams} answers`, answers);
  } finally {
    over = true;
    await watch;
  }
  await sleep(kSettleMs);
  const after = { cpu: cpu(), at: now_ms() };
  const way_ms = [];
  for (const answer of all) {
    const sent_ms = await checked(engine, answer, tokens);
    assert.ok(answer.record, "with its record");
    way_ms.push(...answer.times_ms.map((at, i) => at - sent_ms[i]));
  }
  const counts = await (await fetch(`${engine.url}/counts`)).json();
  assert.deepEqual([counts.running, counts.aborted], [0, 0]);
  way_ms.sort((a, b) => a - b);
  const per_token = (name) => (after.cpu[name] - before.cpu[name]) / 1000 / (streams * tokens);
  return { streams, token_ms, tokens, peak_running, seconds: (after.at - before.at) / 1000, p50_ms: median(way_ms), p99_ms: way_ms[Math.floor(way_ms.length * 0.99)],
    first_ms: median(all.map((answer) => answer.times_ms[0] - answer.start)),
    memory_kib: Object.fromEntries(Object.entries(peak_kib).map(([name, kib]) => [name, (kib - before.kib[name]) / streams])),
    cpu_us: Object.fromEntries(Object.keys(pids).map((name) => [name, per_token(name)])) };
}

export const ms = (value) => `${value.toFixed(2)} ms`;
const of_goal = (value, goal, text) => [text, `${(value / goal).toFixed(2)}x`];

function latency_tables(paces) {
  const added = [];
  const costs = [];
  const results = [];
  for (const { token_ms, tokens, rounds, direct, through, frames, deflated_bytes, cpu_us } of paces) {
    const name = `${Math.round(1000 / token_ms)} tokens/s`;
    const more = { first_ms: through.first_ms - direct.first_ms, token_ms: through.token_ms - direct.token_ms, way_ms: through.way_ms - direct.way_ms, end_ms: through.end_ms - direct.end_ms };
    const sent = frames.down + frames.up;
    const token_bytes = frames.down_bytes / tokens;
    added.push([name, "to the first token", ms(direct.first_ms), ms(through.first_ms), ...of_goal(more.first_ms, kGoals.first_ms, ms(more.first_ms))]);
    added.push([name, "between two tokens", ms(direct.token_ms), ms(through.token_ms), ...of_goal(more.token_ms, kGoals.token_ms, ms(more.token_ms))]);
    added.push([name, "a token's way", ms(direct.way_ms), ms(through.way_ms), ms(more.way_ms), ""]);
    added.push([name, "from the last token to the end", ms(direct.end_ms), ms(through.end_ms), ms(more.end_ms), ""]);
    costs.push([name, "bytes a token", `${frames.down} frames`, ...of_goal(token_bytes, kGoals.token_bytes, `${token_bytes.toFixed(0)} B`)]);
    costs.push([name, "… to a reader that asks for permessage-deflate", `${frames.down} frames`,
      ...of_goal(deflated_bytes / tokens, kGoals.token_bytes, `${(deflated_bytes / tokens).toFixed(0)} B`)]);
    for (const [program, us] of Object.entries(cpu_us)) {
      const frame_us = us / (program === "node" ? frames.down : sent);
      costs.push([name, `CPU a frame, ${program}`, `${program === "node" ? frames.down : sent} frames`,
        ...(program === "node" ? of_goal(frame_us, kGoals.frame_us, `${frame_us.toFixed(0)} us`) : [`${frame_us.toFixed(0)} us`, ""])]);
    }
    results.push({ question: name, rounds, tokens, direct, through, added: more, frames, token_bytes, deflated_token_bytes: deflated_bytes / tokens, cpu_us });
  }
  return [
    { title: `node: a paced answer through gateway, relay and node, against the engine directly; medians of ${paces[0].rounds} each way, in turns`,
      columns: ["pace", "time", "direct", "through", "added", "of the goal"], rows: added, results },
    { title: "node: what one answer costs (of the node: a frame sent, with all acks it takes in; others: any frame)",
      columns: ["pace", "cost", "in all", "each", "of the goal"], rows: costs, results: [] },
  ];
}

function crowd_table(runs) {
  return { title: "node: many streams at once; all answers byte for byte what the engine sent, with their records",
    columns: ["streams", "pace", "at once", "first token", "a token's way p50", "p99", "memory a stream: node", "gateway", "CPU a token: node", "relay", "gateway"],
    rows: runs.map((run) => [`${run.streams}`, `${(1000 / run.token_ms).toFixed(0)} tokens/s`, `${run.peak_running}`, ms(run.first_ms), ms(run.p50_ms), ms(run.p99_ms),
      ...["node", "gateway"].map((name) => `${run.memory_kib[name].toFixed(0)} KiB`), ...["node", "relay", "gateway"].map((name) => `${run.cpu_us[name].toFixed(0)} us`)]),
    results: runs.map((run) => ({ question: `${run.streams} streams`, ...run })) };
}

export async function with_bed(body) {
  const bed = new Bed();
  try {
    return await body(bed);
  } catch (error) {
    bed.show_logs();
    throw error;
  } finally {
    await bed.close();
  }
}

/** The tables: {title, columns, rows, results}. `quick`: a moment of each, to see that it works. */
export async function measure_node({ quick, only }) {
  const wanted = (name) => !only || only.split(",").includes(name);
  const tables = [];
  if (wanted("latency")) tables.push(...latency_tables(await with_bed((bed) => latency(bed, { rounds: quick ? 2 : 9 }))));
  if (wanted("crowd")) {
    const crowds = quick ? [{ streams: 60, token_ms: 100, tokens: 30 }]
      : [{ streams: 500, token_ms: 200, tokens: 50 }, { streams: 500, token_ms: 40, tokens: 200 }];
    const runs = [];
    for (const one of crowds) runs.push(await with_bed((bed) => crowd(bed, one)));
    tables.push(crowd_table(runs));
  }
  return tables;
}
