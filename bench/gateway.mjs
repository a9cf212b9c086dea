// The gateway's part of ./scripts/bench: what it adds to an application's request, what a streamed chunk costs it, how soon a
// machine that has never asked gets its first verified answer, and what the page weighs.
import assert from "node:assert/strict";
import http from "node:http";
import { crowd, medians, ms, start, timing, with_bed } from "./node.mjs";
import { ask, checked, now_ms } from "../tests/e2e/paced.mjs";
import { within } from "../tests/e2e/lib.mjs";
import { cpu_ns, median } from "./measure.mjs";

const kPageGoal = 150 * 1024;
/** The record and the receipt follow the last byte: their CPU belongs to the answer. */
const kSettleMs = 150;
const kAnswers = [{ name: "one token", tokens: 1, token_ms: 1 }, { name: "200 tokens, 100 tokens/s", tokens: 200, token_ms: 10 }];

async function requests(bed, { rounds }) {
  const { engine, gateway } = await start(bed);
  const agent = new http.Agent({ keepAlive: true });
  bed.on_stop(() => agent.destroy());
  const out = [];
  let serial = 0;
  for (const { name, tokens, token_ms } of kAnswers) {
    const once = async (base) => {
      const answer = await within(60_000, "an answer", ask(agent, base, engine.model, { id: `gateway-${serial++}`, tokens, token_ms }));
      await checked(engine, answer, tokens);
      return { ...(tokens > 1 ? timing(answer, answer.times_ms) : { first_ms: answer.times_ms[0] - answer.start }), whole_ms: answer.end - answer.start };
    };
    const ways = { direct: [], through: [] };
    const chunk_us = [];
    await once(gateway.url);
    for (let round = 0; round < rounds; ++round) {
      const one = { direct: async () => ways.direct.push(await once(`${engine.url}/v1`)), through: async () => {
        const before = cpu_ns(gateway.program.pid);
        ways.through.push(await once(gateway.url));
        await new Promise((resolve) => setTimeout(resolve, kSettleMs));
        chunk_us.push((cpu_ns(gateway.program.pid) - before) / 1000 / tokens);
      } };
      for (const way of round % 2 ? ["through", "direct"] : ["direct", "through"]) await one[way]();
    }
    const [direct, through] = [ways.direct, ways.through].map((all) => ({ ...medians(all, ["first_ms", "whole_ms"]) }));
    out.push({ question: name, rounds, tokens, direct, through, chunk_us: median(chunk_us) });
  }
  return out;
}

/** Milliseconds from the start of a process with an empty home to the end of a verified answer, and to a gateway that knows its nodes. */
async function cold(bed, { rounds }) {
  const { relay, engine, node } = await start(bed);
  const asked = [], ready = [];
  for (let round = 0; round < rounds; ++round) {
    const from = now_ms();
    const question = JSON.stringify({ id: `cold-${round}`, tokens: 1, token_ms: 1 });
    const answer = bed.chat({ relay, node, home: `fresh-${round}`, question });
    assert.equal((await answer.end(30_000)).code, 0);
    asked.push(now_ms() - from);
    const began = now_ms();
    const gateway = await bed.gateway({ relay, node, home: `fresh-gateway-${round}` });
    const agent = new http.Agent();
    for (;;) {
      const reply = await ask(agent, gateway.url, engine.model, { id: `cold-gateway-${round}`, tokens: 1, token_ms: 1 });
      if (reply.status === 200) break;
    }
    ready.push(now_ms() - began);
    await gateway.program.stop();
  }
  return [{ question: "`nostril chat`, empty home, to its end", ms: median(asked) },
    { question: "`nostril gateway`, empty home, to the end of its first answer", ms: median(ready) }];
}

/** Bytes of the page: what the browser loads from "/", read from the page itself. */
async function page(bed) {
  const { gateway } = await start(bed);
  const origin = new URL(gateway.url).origin;
  const wanted = ["/"];
  const bytes = new Map();
  for (const path of wanted) {
    const answer = await fetch(new URL(path, origin));
    assert.equal(answer.status, 200, path);
    const text = await answer.text();
    bytes.set(path, Buffer.byteLength(text));
    for (const [, name] of text.matchAll(/(?:src=|href=|from |import\()\s*["']([^"']+\.(?:js|css|svg))["']/g)) {
      const next = new URL(name, new URL(path, origin)).pathname;
      if (!wanted.includes(next)) wanted.push(next);
    }
  }
  return { question: "the page", files: bytes.size, bytes: [...bytes.values()].reduce((sum, one) => sum + one, 0) };
}

/** The tables: {title, columns, rows, results}. `quick`: a moment of each, to see that it works. */
export async function measure_gateway({ quick }) {
  const answers = await with_bed((bed) => requests(bed, { rounds: quick ? 2 : 15 }));
  const first = await with_bed((bed) => cold(bed, { rounds: quick ? 1 : 5 }));
  const weight = await with_bed(page);
  const many = await with_bed((bed) => crowd(bed, quick ? { streams: 40, token_ms: 50, tokens: 20 } : { streams: 200, token_ms: 40, tokens: 150 }));
  return [
    { title: "gateway: a streamed answer through gateway, relay and node, against the engine directly; medians, in turns",
      columns: ["answer", "time", "direct", "through", "added", "gateway's CPU a token"],
      rows: answers.flatMap(({ question, direct, through, chunk_us }) => [
        [question, "to the first token", ms(direct.first_ms), ms(through.first_ms), ms(through.first_ms - direct.first_ms), `${chunk_us.toFixed(0)} us`],
        [question, "to the end", ms(direct.whole_ms), ms(through.whole_ms), ms(through.whole_ms - direct.whole_ms), ""]]),
      results: answers },
    { title: "gateway: many streams at once; all answers byte for byte, with their records",
      columns: ["streams", "pace", "at once", "a token's way p50", "p99", "memory a stream", "CPU a token"],
      rows: [[`${many.streams}`, `${(1000 / many.token_ms).toFixed(0)} tokens/s`, `${many.peak_running}`, ms(many.p50_ms), ms(many.p99_ms),
        `${many.memory_kib.gateway.toFixed(0)} KiB`, `${many.cpu_us.gateway.toFixed(0)} us`]],
      results: [{ question: `${many.streams} streams`, ...many }] },
    { title: "gateway: from nothing", columns: ["what", "from", "measured"],
      rows: [...first.map(({ question, ms: took }) => [question, "start of the process", ms(took)]),
        [`the page, ${weight.files} files, uncompressed`, `goal ${kPageGoal / 1024} KiB`, `${(weight.bytes / 1024).toFixed(0)} KiB`]],
      results: [...first, weight] },
  ];
}
