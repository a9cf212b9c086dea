// The node's part of ./scripts/bench: what a node adds to a paced engine, what a frame costs, and many streams at once.
// The engine is scripted (tests/e2e/scripted_engine.mjs), so that each token's way is known to the microsecond and each byte can be checked.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Bed, until, within } from "../tests/e2e/lib.mjs";
import { cpu_ns, median } from "./measure.mjs";

const kGoals = { first_ms: 3, token_ms: 0.2, frame_us: 120, token_bytes: 60 };
/** Record and receipt follow the last byte: their CPU belongs to the answer. */
const kSettleMs = 150;
const kPaces = [{ token_ms: 40, tokens: 60 }, { token_ms: 10, tokens: 150 }, { token_ms: 4, tokens: 300 }];
/** Of a gateway's one connection to the relay. */
const kStreamsAGateway = 50;
const now_ms = () => performance.timeOrigin + performance.now();

const ready = (base) => until(20_000, "the gateway knows the node's offer", async () =>
  (await (await fetch(`${base}/models`)).json()).data?.length > 0);

async function start(bed, { gateways, relay_seen_by_gateways, limits = {} }) {
  const relay = await bed.relay();
  const engine = await bed.scripted_engine();
  const node = await bed.node({ relay, engine_url: engine.url, settings: { log_level: "warn" }, sections: { limits } });
  const seen = relay_seen_by_gateways ? await bed.websocket_tap(relay) : relay;
  const starting = Array.from({ length: gateways }, (_, i) => bed.gateway({ relay: seen, node, home: `home-${i}` }));
  const all = await Promise.all(starting);
  for (const gateway of all) await ready(gateway.url);
  return { relay, engine, node, gateways: all, tap: seen };
}

/** Our own words in the stream, which the engine did not send. */
const kRecordLine = /^: nostril-record .*\n\n/m;

/** One streamed answer: its exact bytes without our record, when each token came, whether it is whole. */
function ask(agent, base, model, asked) {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: JSON.stringify(asked) }], stream: true,
    max_tokens: 4096, stream_options: { include_usage: true } });
  return new Promise((resolve, reject) => {
    const start = now_ms();
    const times_ms = [];
    const parts = [];
    const request = http.request(`${base}/chat/completions`, { method: "POST", agent, headers: { "content-type": "application/json" } },
      (answer) => {
        answer.on("data", (bytes) => {
          const at = now_ms();
          parts.push(bytes);
          for (let i = bytes.indexOf('"delta":{"content":'); i >= 0; i = bytes.indexOf('"delta":{"content":', i + 1)) times_ms.push(at);
        });
        answer.on("error", reject);
        answer.on("end", () => {
          const text = Buffer.concat(parts).toString();
          const engine_bytes = Buffer.from(text.replace(kRecordLine, ""));
          resolve({ id: asked.id, start, end: now_ms(), times_ms, status: answer.statusCode, recorded: kRecordLine.test(text),
            sha256: createHash("sha256").update(engine_bytes).digest("hex"), tail: engine_bytes.toString().trimEnd().slice(-200) });
        });
      });
    request.on("error", reject);
    request.end(body);
  });
}

/** When the engine sent each token of this answer; fails unless every byte arrived. */
async function checked(engine, answer, tokens) {
  const sent = await (await fetch(`${engine.url}/answer?id=${answer.id}`)).json();
  const is_right = answer.status === 200 && sent?.whole && answer.sha256 === sent.sha256 && answer.times_ms.length === tokens;
  assert.ok(is_right, `${answer.id}: status ${answer.status}, ${answer.times_ms.length} of ${sent?.times_ms.length} tokens; ended with ${answer.tail}`);
  return sent.times_ms;
}

/** Milliseconds of an answer: to its first token, between two tokens, and of each token's way. */
function timing(answer, sent_ms) {
  const last = answer.times_ms.length - 1;
  return {
    first_ms: answer.times_ms[0] - answer.start,
    token_ms: (answer.times_ms[last] - answer.times_ms[0]) / last,
    way_ms: median(answer.times_ms.map((at, i) => at - sent_ms[i])),
  };
}

const medians = (timings) => Object.fromEntries(["first_ms", "token_ms", "way_ms"].map((key) => [key, median(timings.map((t) => t[key]))]));

/** Event messages of sealed frames that one answer takes, as a relay sees them. */
function frames_in(messages) {
  const frames = messages.filter((m) => m.text.startsWith('["EVENT"') && m.text.includes('"kind":21472'));
  const down = frames.filter((m) => m.from === "relay");
  return { down: down.length, up: frames.length - down.length, down_bytes: down.reduce((sum, m) => sum + m.text.length, 0) };
}

async function latency(bed, { rounds }) {
  const { relay, engine, node, gateways: [gateway], tap } = await start(bed, { gateways: 1, relay_seen_by_gateways: false });
  assert.ok(tap);
  const counted = await bed.websocket_tap(relay);
  const watched = await bed.gateway({ relay: counted, node, home: "counted" });
  await ready(watched.url);
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
    const from = counted.messages.length;
    await once(watched.url);
    await sleep(kSettleMs);
    const frames = frames_in(counted.messages.slice(from));
    out.push({ token_ms, tokens, rounds, direct: medians(ways.direct), through: medians(ways.through), frames,
      cpu_us: Object.fromEntries(Object.entries(cpu).map(([name, values]) => [name, median(values)])) });
  }
  return out;
}

const status_kib = (pid, key) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1]);

/** `streams` answers at once through several gateways: all whole, or it throws. */
async function crowd(bed, { streams, token_ms, tokens }) {
  const { relay, engine, node, gateways } = await start(bed, { gateways: Math.ceil(streams / kStreamsAGateway),
    limits: { sessions_max: 2 * streams, running_max: Math.min(1000, streams), running_start: Math.min(1000, streams), waiting_max: streams } });
  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
  bed.on_stop(() => agent.destroy());
  const pids = { node: [node.program.pid], relay: [relay.program.pid], gateways: gateways.map(({ program }) => program.pid), engine: [engine.program.pid] };
  const cpu = () => Object.fromEntries(Object.entries(pids).map(([name, all]) => [name, all.reduce((sum, pid) => sum + cpu_ns(pid), 0)]));
  const memory = () => status_kib(node.program.pid, "VmRSS");
  await ask(agent, gateways[0].url, engine.model, { id: "warm", tokens: 10, token_ms: 10 });
  const before = { cpu: cpu(), kib: memory(), at: now_ms() };
  const running = Array.from({ length: streams }, (_, i) =>
    ask(agent, gateways[i % gateways.length].url, engine.model, { id: `crowd-${i}`, tokens, token_ms }));
  const answers = Promise.all(running);
  let peak_running = 0, peak_kib = 0, over = false;
  const watch = (async () => {
    while (!over) {
      const { running: now } = await (await fetch(`${engine.url}/counts`)).json();
      peak_running = Math.max(peak_running, now);
      peak_kib = Math.max(peak_kib, memory());
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
    assert.ok(answer.recorded, "with its record");
    way_ms.push(...answer.times_ms.map((at, i) => at - sent_ms[i]));
  }
  const counts = await (await fetch(`${engine.url}/counts`)).json();
  assert.deepEqual([counts.running, counts.aborted], [0, 0]);
  way_ms.sort((a, b) => a - b);
  const per_token = (name) => (after.cpu[name] - before.cpu[name]) / 1000 / (streams * tokens);
  return { streams, token_ms, tokens, peak_running, seconds: (after.at - before.at) / 1000, p50_ms: median(way_ms), p99_ms: way_ms[Math.floor(way_ms.length * 0.99)],
    first_ms: median(all.map((answer) => answer.times_ms[0] - answer.start)), memory_kib: (peak_kib - before.kib) / streams,
    cpu_us: Object.fromEntries(Object.keys(pids).map((name) => [name, per_token(name)])) };
}

const ms = (value) => `${value.toFixed(2)} ms`;
const of_goal = (value, goal, text) => [text, `${(value / goal).toFixed(2)}x`];

function latency_tables(paces) {
  const added = [];
  const costs = [];
  const results = [];
  for (const { token_ms, tokens, rounds, direct, through, frames, cpu_us } of paces) {
    const name = `${Math.round(1000 / token_ms)} tokens/s`;
    const more = { first_ms: through.first_ms - direct.first_ms, token_ms: through.token_ms - direct.token_ms, way_ms: through.way_ms - direct.way_ms };
    const sent = frames.down + frames.up;
    const token_bytes = frames.down_bytes / tokens;
    added.push([name, "to the first token", ms(direct.first_ms), ms(through.first_ms), ...of_goal(more.first_ms, kGoals.first_ms, ms(more.first_ms))]);
    added.push([name, "between two tokens", ms(direct.token_ms), ms(through.token_ms), ...of_goal(more.token_ms, kGoals.token_ms, ms(more.token_ms))]);
    added.push([name, "a token's way", ms(direct.way_ms), ms(through.way_ms), ms(more.way_ms), ""]);
    costs.push([name, "bytes a token", `${frames.down} frames`, ...of_goal(token_bytes, kGoals.token_bytes, `${token_bytes.toFixed(0)} B`)]);
    for (const [program, us] of Object.entries(cpu_us)) {
      const frame_us = us / (program === "node" ? frames.down : sent);
      costs.push([name, `CPU a frame, ${program}`, `${program === "node" ? frames.down : sent} frames`,
        ...(program === "node" ? of_goal(frame_us, kGoals.frame_us, `${frame_us.toFixed(0)} us`) : [`${frame_us.toFixed(0)} us`, ""])]);
    }
    results.push({ question: name, rounds, tokens, direct, through, added: more, frames, token_bytes, cpu_us });
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
    columns: ["streams", "pace", "at once", "first token", "a token's way p50", "p99", "memory a stream", "CPU a token: node", "relay", "gateways"],
    rows: runs.map((run) => [`${run.streams}`, `${(1000 / run.token_ms).toFixed(0)} tokens/s`, `${run.peak_running}`, ms(run.first_ms), ms(run.p50_ms), ms(run.p99_ms),
      `${run.memory_kib.toFixed(0)} KiB`, ...["node", "relay", "gateways"].map((name) => `${run.cpu_us[name].toFixed(0)} us`)]),
    results: runs.map((run) => ({ question: `${run.streams} streams`, ...run })) };
}

async function with_bed(body) {
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
