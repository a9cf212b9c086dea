// Two engines behind one node: each model by its name, one engine killed, the node drained.
import assert from "node:assert/strict";
import { describe } from "node:test";
import { kLongQuestion, metric, scenario, until } from "./lib.mjs";

async function two_engines(bed, { slow_ms = 0 } = {}) {
  const relay = await bed.relay();
  const engines = [await bed.engine({ name: "left", slow_ms }), await bed.engine({ name: "right", slow_ms })];
  const node = await bed.node({ relay, sections: { engine: engines.map(({ url }) => ({ url })) } });
  await until(20_000, "both models are offered", () => /offering left /.test(node.program.err) && /offering right /.test(node.program.err));
  return { relay, engines, node, options: { relay, node } };
}

const ask = (bed, options, model, question = "What is a relay?") =>
  bed.client(["chat", ...bed.client_options(options), "--model", model, question]);

async function models_offered(bed, options) {
  const { out } = await bed.client(["offers", ...bed.client_options(options)]).end(15_000);
  return ["left", "right"].filter((model) => new RegExp(`\\b${model}\\b`).test(out));
}

describe("several engines", { concurrency: 2 }, () => {
  scenario("each model is answered by its engine; one is killed: its offer goes, the other serves on", async (bed) => {
    const { engines: [left, right], options, node } = await two_engines(bed);
    assert.deepEqual(await models_offered(bed, options), ["left", "right"]);
    const before = [await metric(left, "requests_total"), await metric(right, "requests_total")];
    assert.deepEqual(before, [1, 1], "each was warmed up by one request");
    const answer = await ask(bed, options, "right").end(30_000);
    assert.equal(answer.code, 0, answer.err);
    assert.deepEqual([await metric(left, "requests_total"), await metric(right, "requests_total")], [1, 2]);

    await left.program.kill("SIGKILL");
    await node.program.said(/engine of left is gone; withdrawing/, 20_000);
    await until(10_000, "only the other's model is offered", async () => (await models_offered(bed, options)).join() === "right");
    const again = await ask(bed, options, "right").end(30_000);
    assert.equal(again.code, 0, again.err);
    assert.equal(await metric(right, "requests_total"), 3);
  });

  scenario("SIGUSR1 drains: the running answer ends whole, the offers go, the node ends by itself", async (bed) => {
    const { engines: [left], options, node } = await two_engines(bed, { slow_ms: 60 });
    const chat = ask(bed, options, "left", kLongQuestion);
    await until(30_000, "the first words", () => chat.out.length > 10);
    node.program.child.kill("SIGUSR1");
    await node.program.said(/draining: 1 sessions/);
    assert.equal(await metric(left, "requests_processing"), 1, "the engine goes on");
    const late = await ask(bed, options, "right").end(60_000);
    assert.notEqual(late.code, 0, "nothing new is begun");
    const { code, err } = await chat.end(60_000);
    assert.equal(code, 0, err);
    assert.equal((await node.program.end(20_000)).code, 0);
    assert.equal(await metric(left, "aborted_total"), 0);
    assert.deepEqual(await models_offered(bed, options), []);
  });
});
