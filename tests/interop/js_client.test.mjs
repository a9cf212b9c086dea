// client/js as an application has it: the openai SDK over nostrilFetch, through a real relay to a real node, without a gateway
// in the prompt's way. The verdict is the gateway's or the command's.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import OpenAI from "openai";
import { WebSocket } from "ws";
import { CommandVerifier, FileStorage, GatewayVerifier, isGenuine, Nostril, nostrilFetch, readReceipt, readRecord } from "../../client/js/dist/node.js";
import { Bed, kBin, kLongQuestion, metric, read, until, within, words_of } from "../e2e/lib.mjs";
import { sha256_hex } from "./js_support.mjs";

const kAsk = { messages: [{ role: "user", content: "What is a relay?" }], temperature: 0 };
const kStory = { messages: [{ role: "user", content: kLongQuestion }], temperature: 0, max_tokens: 60 };

let bed;
let relays;
let node;
let engine;
let tap;
let tools;
let slow;
let gateway;
let openai;
let nostril;
const warnings = [];

/** An engine of another kind, for what the demo engine can't: tools and embeddings (always as numbers). */
async function tools_engine() {
  const calls = [];
  const call = { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Łódź"}' } };
  const usage = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 };
  const answers = {
    "/v1/models": () => ({ object: "list", data: [{ id: "tools", object: "model", max_model_len: 4096 }] }),
    "/v1/embeddings": ({ input }) => ({ object: "list", model: "tools", data: [input].flat().map((text, index) => ({ object: "embedding", index, embedding: [text.length, -0.5, 0.25] })), usage: { prompt_tokens: 5, total_tokens: 5 } }),
    "/v1/chat/completions": () => ({ id: "c1", object: "chat.completion", created: 1, model: "tools", usage,
      choices: [{ index: 0, finish_reason: "tool_calls", message: { role: "assistant", content: null, tool_calls: [call] } }] }),
  };
  const server = http.createServer(async (request, response) => {
    let text = "";
    for await (const bytes of request) text += bytes;
    const body = text ? JSON.parse(text) : {};
    if (text) calls.push(body);
    const answer = answers[request.url];
    if (!answer) return response.writeHead(404).end();
    if (!body.stream) return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer(body)));
    response.writeHead(200, { "content-type": "text/event-stream" });
    const chunk = (delta, finish_reason = null) => response.write(`data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 1, model: "tools", choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
    chunk({ role: "assistant", tool_calls: [{ index: 0, ...call, function: { name: "weather", arguments: "" } }] });
    for (const part of ['{"city"', ':"Łódź"}']) chunk({ tool_calls: [{ index: 0, function: { arguments: part } }] });
    chunk({}, "tool_calls");
    response.end(`data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 1, model: "tools", choices: [], usage })}\n\ndata: [DONE]\n\n`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  bed.on_stop(() => { server.closeAllConnections(); return new Promise((resolve) => server.close(resolve)); });
  return { url: `http://127.0.0.1:${server.address().port}`, calls };
}

const receipts_of = async ({ channel }) => (await nostril.wallet.receipts()).map(readReceipt).filter((receipt) => receipt.channel === channel);
const said = () => Buffer.concat(tap.completions().at(-1).response);

before(async () => {
  bed = new Bed();
  relays = [await bed.relay({ data: path.join(bed.folder, "relay-a") }), await bed.relay({ data: path.join(bed.folder, "relay-b") })];
  engine = await bed.engine({ slow_ms: 8 });
  tap = await bed.http_tap(engine);
  tools = await tools_engine();
  slow = await bed.engine({ slow_ms: 50, name: "slow" });
  node = await bed.node({ relay: relays, sections: { engine: [tap, tools, slow].map(({ url }) => ({ url })) } });
  await until(20_000, "all models are offered", () => [engine.model, "tools", "slow"].every((model) => node.program.err.includes(`offering ${model} `)));
  gateway = await bed.gateway({ relay: relays, node });
  const fetch = nostrilFetch({
    relays: relays.map(({ url }) => url), WebSocket, verifier: new GatewayVerifier(gateway.url), allowSimulated: true,
    storage: new FileStorage(path.join(bed.folder, "js")), onWarning: (text) => warnings.push(text),
  });
  nostril = await fetch.client();
  bed.on_stop(() => fetch.close());
  assert.ok(await nostril.ready(15_000, engine.model) && await nostril.ready(15_000, "tools") && await nostril.ready(15_000, "slow"), JSON.stringify(nostril.rejected.map(({ reason }) => reason)));
  openai = new OpenAI({ apiKey: "not needed", fetch, maxRetries: 0, timeout: 30_000 });
});

after(() => bed.close());

describe("the openai SDK without a gateway", { timeout: 60_000 }, () => {
  it("is warned once that evidence is simulated", () => {
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /SIMULATED/);
  });

  it("lists and shows models", async () => {
    const models = [];
    for await (const model of openai.models.list()) models.push(model);
    assert.deepEqual(models.map((model) => model.id).sort(), [engine.model, "slow", "tools"].sort());
    const model = await openai.models.retrieve(engine.model);
    assert.deepEqual([model.context_length, model.verification.simulated, model.pricing.asset], [512, true, "msat"]);
    await assert.rejects(openai.models.retrieve("gpt-none"), OpenAI.NotFoundError);
  });

  it("gets a whole answer, the engine's own, with its record", async () => {
    const { data, response } = await openai.chat.completions.create({ ...kAsk, model: engine.model }).withResponse();
    assert.deepEqual(data.choices, JSON.parse(said()).choices);
    assert.equal(response.headers.get("x-nostril-verification"), "declared; simulated");
    const event = (await nostril.wallet.records()).find(({ id }) => id === response.headers.get("x-nostril-record"));
    assert.ok(isGenuine(event));
    assert.equal(readRecord(event).responseHash, sha256_hex(said()));
  });

  it("gets a streamed answer byte for byte, its record as a comment before [DONE]", async () => {
    const stream = await openai.chat.completions.create({ ...kStory, model: engine.model, stream: true, stream_options: { include_usage: true } });
    let words = "";
    for await (const chunk of stream) words += chunk.choices[0]?.delta?.content ?? "";
    assert.ok(words.length > 20);
    assert.equal(words, words_of(said()));

    const { response } = await openai.chat.completions.create({ ...kStory, model: engine.model, stream: true }).withResponse();
    const text = await response.text();
    const [comment, json] = /^: nostril-record (\{.*\})\n\n/m.exec(text);
    const { record, receipt, simulated } = JSON.parse(json);
    assert.equal(text.replace(comment, ""), said().toString());
    assert.ok(text.endsWith(`${comment}data: [DONE]\n\n`));
    assert.equal(simulated, true);
    assert.ok(isGenuine(record) && isGenuine(receipt));
    assert.equal(readReceipt(receipt).amount, readRecord(record).spent);
  });

  it("calls a tool, streamed and not, in other letters than ASCII", async () => {
    const ask = { model: "tools", messages: [{ role: "user", content: "Pogoda w Łodzi? ☔" }], tools: [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }] };
    const whole = await openai.chat.completions.create(ask);
    assert.deepEqual(JSON.parse(whole.choices[0].message.tool_calls[0].function.arguments), { city: "Łódź" });
    assert.equal(whole.choices[0].finish_reason, "tool_calls");
    const streamed = await openai.chat.completions.stream(ask).finalChatCompletion();
    assert.deepEqual(JSON.parse(streamed.choices[0].message.tool_calls[0].function.arguments), { city: "Łódź" });
    assert.equal(tools.calls.at(-1).messages[0].content, ask.messages[0].content);
  });

  it("gets embeddings in base64 from an engine that gives numbers", async () => {
    const { data } = await openai.embeddings.create({ model: "tools", input: ["one", "three"] });
    assert.equal(tools.calls.at(-1).encoding_format, "base64");
    assert.deepEqual(data.map(({ embedding }) => [...embedding]), [[3, -0.5, 0.25], [5, -0.5, 0.25]]);
    const plain = await openai.embeddings.create({ model: "tools", input: "one", encoding_format: "float" });
    assert.deepEqual([...plain.data[0].embedding], [3, -0.5, 0.25]);
  });

  it("sends a body of many frames", async () => {
    const content = "ż\u0001\"".repeat(20_000);
    await openai.embeddings.create({ model: "tools", input: content });
    assert.equal(tools.calls.at(-1).input, content);
  });

  it("stops the engine by leaving a stream, and by a signal before the first byte", async () => {
    const aborted = () => metric(slow, "aborted_total");
    const before = await aborted();
    const stream = await openai.chat.completions.create({ ...kStory, model: "slow", stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) break;
    await until(5_000, "the engine stops", async () => await aborted() === before + 1);
    const controller = new AbortController();
    const asked = openai.chat.completions.create({ ...kStory, model: "slow" }, { signal: controller.signal });
    asked.catch(() => {});
    await until(5_000, "the engine works", async () => await metric(slow, "requests_processing") === 1);
    controller.abort();
    await assert.rejects(asked, OpenAI.APIUserAbortError);
    await until(5_000, "the engine stops", async () => await aborted() === before + 2);
  });

  it("gets refusals as typed errors: the engine's, and a model that nobody offers", async () => {
    await assert.rejects(openai.chat.completions.create({ ...kAsk, model: engine.model, n: 2 }), OpenAI.BadRequestError);
    await assert.rejects(openai.chat.completions.create({ ...kAsk, model: "gpt-none" }), (error) => error.status === 404 && error.type === "model_not_found");
  });

  it("answers go on when one of its relays ends", async () => {
    const stream = await openai.chat.completions.create({ ...kStory, model: engine.model, stream: true });
    let words = "";
    for await (const chunk of stream) {
      words += chunk.choices[0]?.delta?.content ?? "";
      if (words && !relays[1].program.result) await relays[1].program.kill("SIGKILL");
    }
    assert.equal(words, words_of(said()));
  });

  it("shares its node with the C++ client, each with its own receipts", async () => {
    const options = { relay: relays[0], node };
    const saved = path.join(bed.folder, "saved");
    const [theirs, ours] = await Promise.all([
      bed.client(["chat", ...bed.client_options({ ...options, home: "cpp" }), "--model", engine.model, "--save", saved, kLongQuestion]).end(30_000),
      openai.chat.completions.create({ ...kStory, model: engine.model }).withResponse(),
    ]);
    assert.equal(theirs.code, 0, theirs.err);
    assert.ok(ours.data.choices[0].message.content.length > 20);
    // The C++ program's record and receipt are right to this implementation, and of another channel of the same node.
    const record = readRecord(JSON.parse(read(saved, "record.json")));
    const receipt = readReceipt(JSON.parse(read(saved, "receipt.json")));
    assert.ok(isGenuine(record.event) && isGenuine(receipt.event));
    assert.equal(receipt.amount, record.spent);
    assert.equal(record.responseHash, sha256_hex(read(saved, "response.txt")));
    const own = readRecord((await nostril.wallet.records()).find(({ id }) => id === ours.response.headers.get("x-nostril-record")));
    assert.equal(own.node, record.node);
    assert.notEqual(own.channel, record.channel);
    // And ours to the C++ program.
    const files = { record: own.event, receipt: (await receipts_of(own)).find(({ amount }) => amount === own.spent).event };
    for (const [name, event] of Object.entries(files)) fs.writeFileSync(path.join(bed.folder, `${name}.json`), JSON.stringify(event));
    const checked = await bed.client(["verify", path.join(bed.folder, "record.json"), "--receipt", path.join(bed.folder, "receipt.json")]).end(10_000);
    assert.equal(checked.code, 0, checked.out + checked.err);
  });
});

describe("a client that comes back, or trusts nobody", { timeout: 60_000 }, () => {
  it("goes on with its channel from the folder, on the command's word", async () => {
    const storage = path.join(bed.folder, "again");
    const verifier = new CommandVerifier({ command: path.join(kBin, "nostril"), args: bed.client_options({ relay: relays[0], node, home: "judge" }) });
    const spent = [];
    for (let start = 0; start < 2; ++start) {
      const fetch = nostrilFetch({ relays: [relays[0].url], WebSocket, verifier, allowSimulated: true, storage: new FileStorage(storage), onWarning() {} });
      const sdk = new OpenAI({ apiKey: "-", fetch, maxRetries: 0 });
      await sdk.chat.completions.create({ ...kAsk, model: engine.model, max_tokens: 5 });
      const records = (await (await fetch.client()).wallet.records()).map(readRecord);
      assert.equal(records.length, start + 1);
      spent.push(records.at(-1));
      await fetch.close();
    }
    assert.equal(spent[1].channel, spent[0].channel);
    assert.equal(spent[1].previous, spent[0].id);
  });

  it("sends nothing when simulated evidence was not asked for, or the verifier does not take it", async () => {
    const strict = await bed.gateway({ relay: relays[0], node, trust: false, home: "strict" });
    const asked = tap.completions().length;
    await Promise.all([
      [new GatewayVerifier(gateway.url), undefined, /SIMULATED/], [new GatewayVerifier(strict.url), true, /refused/],
      [new GatewayVerifier("http://127.0.0.1:1"), true, /fetch failed/], [{ verify: async () => undefined }, true, /not judged/],
    ].map(async ([verifier, allowSimulated, why]) => {
      const client = await Nostril.open({ relays: [relays[0].url], WebSocket, verifier, allowSimulated, onWarning() {} });
      await until(10_000, "a refusal", () => client.rejected.some(({ reason }) => why.test(reason)));
      const result = await within(15_000, "an end", client.ask({ path: "/v1/chat/completions", model: engine.model, body: new TextEncoder().encode(JSON.stringify({ ...kAsk, model: engine.model })) }).ended);
      assert.ok(["no-answer", "not-offered"].includes(result.failure), result.failure);
      assert.match(result.detail, why);
      await client.close();
    }));
    assert.equal(tap.completions().length, asked);
  });

  it("hears of an engine that dies in mid-stream by an error, and pays what its record says was served", async () => {
    const { response } = await openai.chat.completions.create({ ...kStory, model: "slow", stream: true }).withResponse();
    let text = "";
    for await (const bytes of response.body) {
      text += Buffer.from(bytes);
      if (text.split("\n\n").length > 5 && !slow.program.result) await slow.program.kill("SIGKILL");
    }
    assert.doesNotMatch(text, /\[DONE\]/);
    assert.equal(JSON.parse(text.trimEnd().split("\n").at(-1).replace(/^data: /, "")).error.type, "engine-died");
    assert.ok(words_of(text.slice(0, text.indexOf('data: {"error"'))).length > 0);
    const record = (await nostril.wallet.records()).map(readRecord).find(({ status }) => status === "engine-died");
    assert.ok((await receipts_of(record)).some(({ amount }) => amount === record.spent));
  });
});
