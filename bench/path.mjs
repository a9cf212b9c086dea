// The whole path: the same prompts to the engine directly and through gateway, relay and node, in
// turns, on one machine. Answers are compared before anything is printed.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Bed, until, within } from "../tests/e2e/lib.mjs";
import { cpu_ns, median } from "./measure.mjs";

const kPrompts = ["Tell me a story about a fox.", "What is a relay?", "How do I pay?"];
const kRounds = 5;
const kAskMsMax = 60_000;
/** Record and receipt follow the last byte: their CPU belongs to the answer. */
const kSettleMs = 100;
/** How fast the engine speaks: as it can, and at a pace of models worth asking. */
const kPaces = [{ name: "engine at full speed", slow_ms: 0 }, { name: "engine slowed to 10 ms a token", slow_ms: 10 }];

/** One streamed answer: its words, tokens, and when the first word and the end came. */
async function ask(base, model, prompt) {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: prompt }], temperature: 0, seed: 1, max_tokens: 120,
    stream: true, stream_options: { include_usage: true } });
  const start = performance.now();
  const answer = await fetch(`${base}/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body });
  assert.equal(answer.status, 200);
  let held = "", words = "", tokens = 0, first_ms;
  for await (const bytes of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (held + bytes).split("\n");
    held = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      const event = JSON.parse(line.slice(6));
      words += event.choices[0]?.delta?.content ?? "";
      if (words) first_ms ??= performance.now() - start;
      tokens = event.usage?.completion_tokens ?? tokens;
    }
  }
  assert.ok(words && tokens > 0, "an answer has words and a usage");
  return { words, tokens, first_ms, total_ms: performance.now() - start };
}

/** Sealed frames of one answer in each direction, as a relay sees them. */
async function count_frames(bed, relay, node, model) {
  const tap = await bed.websocket_tap(relay);
  const gateway = await bed.gateway({ relay: tap, node, home: "counted" });
  await ready(gateway.url);
  const { tokens } = await ask(gateway.url, model, kPrompts[0]);
  await sleep(kSettleMs);
  const frames = (from) => tap.messages.filter((m) => m.from === from && m.text.startsWith('["EVENT"') && m.text.includes('"kind":21472')).length;
  return { down: frames("relay"), up: frames("client"), tokens };
}

const ready = (base) => until(20_000, "the gateway knows the node's offer", async () =>
  (await (await fetch(`${base}/models`)).json()).data?.length > 0);

async function measure(bed, pace) {
  const relay = await bed.relay();
  const engine = await bed.engine({ slow_ms: pace.slow_ms });
  const node = await bed.node({ relay, engine_url: engine.url });
  const gateway = await bed.gateway({ relay, node });
  await ready(gateway.url);
  const pids = { relay: relay.program.pid, node: node.program.pid, gateway: gateway.program.pid };
  const ways = { direct: [], gateway: [] };
  const cpu = Object.fromEntries(Object.keys(pids).map((name) => [name, []]));
  const once = {
    direct: (prompt) => ask(`${engine.url}/v1`, engine.model, prompt),
    gateway: async (prompt) => {
      const before = Object.entries(pids).map(([name, pid]) => [name, cpu_ns(pid)]);
      const answer = await ask(gateway.url, engine.model, prompt);
      await sleep(kSettleMs);
      for (const [name, ns] of before) cpu[name].push((cpu_ns(pids[name]) - ns) / 1000 / answer.tokens);
      return answer;
    },
  };
  for (const way of Object.values(once)) await within(kAskMsMax, "a first answer", way(kPrompts[0]));
  for (const values of Object.values(cpu)) values.length = 0;
  for (let round = 0; round < kRounds; ++round) {
    for (const prompt of kPrompts) {
      const order = round % 2 ? ["gateway", "direct"] : ["direct", "gateway"];
      for (const way of order) ways[way].push(await within(kAskMsMax, `an answer, ${way}`, once[way](prompt)));
      assert.equal(ways.gateway.at(-1).words, ways.direct.at(-1).words, "the same words on both ways");
    }
  }
  const frames = await count_frames(bed, relay, node, engine.model);
  return { ways, cpu, frames };
}

function summary(pace, { ways, cpu, frames }) {
  const ms = (value) => `${value.toFixed(1)} ms`;
  const of = (way) => ({
    first_ms: median(ways[way].map((a) => a.first_ms)),
    total_ms: median(ways[way].map((a) => a.total_ms)),
    tokens_per_s: median(ways[way].map((a) => (a.tokens * 1000) / a.total_ms)),
    tokens: median(ways[way].map((a) => a.tokens)),
  });
  const direct = of("direct");
  const through = of("gateway");
  const row = (contender, it) => [pace.name, contender, ms(it.first_ms), ms(it.total_ms), `${it.tokens_per_s.toFixed(0)}/s`];
  const runs = ways.direct.length;
  const per_token = Object.entries(cpu).map(([name, values]) => [name, median(values)]);
  const results = [["the engine directly", direct], ["gateway, relay, node", through]].map(([contender, it]) =>
    ({ question: pace.name, contender, ...it, runs }));
  for (const [name, cpu_us] of per_token) results.push({ question: `${pace.name}: CPU a token`, contender: name, cpu_us, runs });
  results.push({ question: `${pace.name}: frames of one answer`, contender: "nostril", ...frames });
  return [
    { title: `path, ${pace.name}: medians of ${runs} answers each way, in turns (${direct.tokens} tokens the median answer)`,
      columns: ["question", "contender", "first word", "whole answer", "tokens"],
      rows: [row("the engine directly", direct), row("gateway, relay, node", through),
        [pace.name, "added", ms(through.first_ms - direct.first_ms), ms(through.total_ms - direct.total_ms),
          `${((through.tokens_per_s / direct.tokens_per_s) * 100).toFixed(0)} %`]], results },
    { title: `path, ${pace.name}: CPU; an answer of ${frames.tokens} tokens took ${frames.down} sealed frames down and ${frames.up} up`,
      columns: ["question", "contender", "CPU a token", "CPU a frame"], results: [],
      rows: per_token.map(([name, value]) => ["what an answer costs", name, `${value.toFixed(1)} us`,
        `${((value * frames.tokens) / (frames.down + frames.up)).toFixed(0)} us`]) },
  ];
}

/** The tables of all paces: {title, columns, rows, results}. */
export async function measure_path() {
  const tables = [];
  for (const pace of kPaces) {
    const bed = new Bed();
    try {
      tables.push(...summary(pace, await measure(bed, pace)));
    } catch (error) {
      bed.show_logs();
      throw error;
    } finally {
      await bed.close();
    }
  }
  return tables;
}
