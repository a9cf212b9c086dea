// Applications that know nothing of Nostr use the gateway: the openai and ai SDKs as they are
// published. What the record says is checked by foreign code: nostr-tools and node:crypto.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import OpenAI from "openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import { verifyEvent } from "nostr-tools/pure";
import { Bed, kLongQuestion, metric, tag, until, within, words_of } from "../e2e/lib.mjs";

const kAsk = { messages: [{ role: "user", content: "What is a relay?" }], temperature: 0 };
const kStory = { messages: [{ role: "user", content: kLongQuestion }], temperature: 0, max_tokens: 60 };
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

let bed;
let engine;
let tap;
let relay;
let node;
let gateway;
let openai;
let compatible;

/** The whole answer of the engine to the newest completion. */
const said = () => Buffer.concat(tap.completions().at(-1).response);
const post = (path, body, options = {}) => fetch(`${gateway.url}${path}`, {
  method: "POST", headers: { "content-type": "application/json", ...options.headers }, body: JSON.stringify(body), signal: options.signal,
});

/** Splits a stream into what the engine said and what the record comment says. */
function split_record(text) {
  const found = [...text.matchAll(/^: nostril-record (\{.*\})\n\n/gm)];
  assert.equal(found.length, 1, "one record comment");
  const [{ 0: comment, 1: json, index }] = found;
  assert.match(text.slice(index + comment.length), /^data: \[DONE\]\n\n$/, "the comment stands right before [DONE]");
  // The other one stands at the end of the chunk with the usage.
  const engine_text = (text.slice(0, index) + text.slice(index + comment.length)).replace(/,"nostril":\{[^{}]*\}(?=\}\n)/, "");
  return { ...JSON.parse(json), engine_text };
}

/** Fails unless the record is a genuine event of the node that states this answer. */
function check_record(record, response, status = "ok") {
  assert.ok(verifyEvent(structuredClone(record)), "id and signature");
  assert.equal(record.kind, 1471);
  assert.equal(tag(record, "response-hash"), sha256(response));
  assert.equal(tag(record, "status"), status);
}

before(async () => {
  bed = new Bed();
  relay = await bed.relay();
  engine = await bed.engine({ slow_ms: 15 });
  tap = await bed.http_tap(engine);
  node = await bed.node({ relay, engine_url: tap.url });
  gateway = await bed.gateway({ relay, node });
  await until(10_000, "a verified node behind the gateway", async () => (await fetch(new URL("/health", gateway.url))).ok);
  openai = new OpenAI({ baseURL: gateway.url, apiKey: "not needed", maxRetries: 0, timeout: 30_000 });
  compatible = createOpenAICompatible({ name: "nostril", baseURL: gateway.url, includeUsage: true })(engine.model);
});

after(() => bed.close());

describe("the openai SDK", { timeout: 60_000 }, () => {
  it("lists and shows models", async () => {
    const models = [];
    for await (const model of openai.models.list()) models.push(model);
    assert.deepEqual(models.map((model) => model.id), [engine.model]);
    assert.equal(models[0].context_length, 512);
    assert.equal(models[0].verification.simulated, true);
    assert.equal((await openai.models.retrieve(engine.model)).id, engine.model);
    await assert.rejects(openai.models.retrieve("gpt-none"), OpenAI.NotFoundError);
  });

  it("gets a whole answer, the engine's own", async () => {
    const { data, response } = await openai.chat.completions.create({ ...kAsk, model: engine.model }).withResponse();
    assert.deepEqual(data.choices, JSON.parse(said()).choices);
    assert.ok(data.usage.completion_tokens > 0);
    assert.match(response.headers.get("x-nostril-record"), /^[0-9a-f]{64}$/);
    assert.match(response.headers.get("x-nostril-verification"), /simulated/);
  });

  it("gets a streamed answer, and does not stumble over the record", async () => {
    const stream = await openai.chat.completions.create({ ...kStory, model: engine.model, stream: true, stream_options: { include_usage: true } });
    let words = "";
    let usage;
    for await (const chunk of stream) {
      words += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.ok(words.length > 20);
    assert.equal(words, words_of(said()));
    assert.ok(usage.completion_tokens > 0);
  });

  it("gets a stream by its helper, which is stricter about events", async () => {
    const runner = openai.chat.completions.stream({ ...kAsk, model: engine.model });
    assert.equal(await runner.finalContent(), words_of(said()));
  });

  it("completes plain text", async () => {
    const answer = await openai.completions.create({ model: engine.model, prompt: "A relay is", temperature: 0, max_tokens: 8 });
    assert.equal(answer.choices[0].text, JSON.parse(said()).choices[0].text);
  });

  it("stops the engine by an abort", async () => {
    const aborted = await metric(engine, "aborted_total");
    const stream = await openai.chat.completions.create({ ...kStory, model: engine.model, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) break;  // leaves: closes the connection
    await until(5_000, "the engine stops", async () => await metric(engine, "aborted_total") === aborted + 1);
    assert.equal(await metric(engine, "requests_processing"), 0);
  });

  it("gets the engine's refusal as a typed error", async () => {
    const refused = openai.chat.completions.create({ ...kAsk, model: engine.model, n: 2 });
    await assert.rejects(refused, (error) => error instanceof OpenAI.BadRequestError && error.type === "invalid_request_error");
  });

  it("gets an error in OpenAI's shape for a model that nobody offers", async () => {
    const asked = openai.chat.completions.create({ ...kAsk, model: "gpt-none" });
    await assert.rejects(asked, (error) => error instanceof OpenAI.APIError && error.status === 404 && error.type === "model_not_found" && /gpt-none/.test(error.message));
  });
});

describe("the ai SDK", { timeout: 60_000 }, () => {
  it("generates text", async () => {
    const { text, usage, finishReason } = await generateText({ model: compatible, prompt: "What is a relay?", temperature: 0, maxRetries: 0 });
    assert.equal(text, JSON.parse(said()).choices[0].message.content);
    assert.equal(finishReason, "stop");
    assert.ok(usage.outputTokens > 0);
  });

  it("streams text", async () => {
    const errors = [];
    const { textStream, usage } = streamText({ model: compatible, prompt: kLongQuestion, temperature: 0, maxOutputTokens: 60, maxRetries: 0, onError: (event) => errors.push(event) });
    let words = "";
    for await (const piece of textStream) words += piece;
    assert.deepEqual(errors, []);
    assert.ok(words.length > 20);
    assert.equal(words, words_of(said()));
    assert.ok((await usage).outputTokens > 0);
  });

  it("stops the engine by an abort", async () => {
    const aborted = await metric(engine, "aborted_total");
    const controller = new AbortController();
    const { textStream } = streamText({ model: compatible, prompt: kLongQuestion, temperature: 0, maxRetries: 0, abortSignal: controller.signal, onError: () => {} });
    for await (const piece of textStream) if (piece) controller.abort();
    await until(5_000, "the engine stops", async () => await metric(engine, "aborted_total") === aborted + 1);
  });
});

describe("what the gateway proves", { timeout: 60_000 }, () => {
  it("a stream is the engine's bytes and a comment with the record of exactly these bytes", async () => {
    const response = await post("/chat/completions", { ...kStory, model: engine.model, stream: true });
    assert.match(response.headers.get("content-type"), /^text\/event-stream/);
    const { engine_text, record, receipt, simulated, node: npub } = split_record(await response.text());
    assert.equal(engine_text, said().toString());
    check_record(record, Buffer.from(engine_text));
    assert.equal(npub, node.npub);
    assert.equal(simulated, true);
    assert.ok(verifyEvent(structuredClone(receipt)));
    assert.equal(receipt.kind, 1472);
    assert.equal(tag(receipt, "amount"), tag(record, "spent"));
    const forged = { ...structuredClone(record), tags: record.tags.map((entry) => entry[0] === "cost" ? ["cost", "0", entry[2]] : entry) };
    assert.ok(!verifyEvent(forged), "a changed record does not verify");
  });

  it("a whole answer is the engine's bytes; its record is in the receipts of the home", async () => {
    const response = await post("/chat/completions", { ...kAsk, model: engine.model });
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.deepEqual(bytes, said());
    const id = response.headers.get("x-nostril-record");
    await gateway.program.stop();  // the journal has one owner at a time
    const listed = await bed.client(["receipts", "--json", "--home", `${bed.folder}/user`]).end(10_000);
    const record = listed.out.trim().split("\n").map((line) => JSON.parse(line)).find((event) => event.id === id);
    check_record(record, bytes);
    gateway = await bed.gateway({ relay, node });
    await until(10_000, "a verified node behind the new gateway", async () => (await fetch(new URL("/health", gateway.url))).ok);
  });

  it("a page of another site, or a name that is rebound to this machine, gets nothing", async () => {
    const asked = tap.completions().length;
    assert.equal((await post("/chat/completions", { ...kAsk, model: engine.model }, { headers: { origin: "https://evil.example" } })).status, 403);
    assert.equal(tap.completions().length, asked);
  });

  it("an engine that dies in mid-stream is an error in the stream, without [DONE]", async () => {
    const response = await post("/chat/completions", { ...kStory, model: engine.model, stream: true });
    let text = "";
    for await (const bytes of response.body) {
      text += Buffer.from(bytes);
      if (text.split("\n\n").length > 5 && !engine.program.result) await engine.program.kill("SIGKILL");
    }
    assert.doesNotMatch(text, /\[DONE\]/);
    const last = JSON.parse(text.trimEnd().split("\n").at(-1).replace(/^data: /, ""));
    assert.equal(last.error.type, "engine-died");
    assert.ok(words_of(text.slice(0, text.indexOf('data: {"error"'))).length > 0);
  });

  it("without an engine a request fails in time", async () => {
    const response = await within(30_000, "an answer", post("/chat/completions", { ...kAsk, model: engine.model }));
    assert.ok([400, 404, 502, 503].includes(response.status), `${response.status}`);
    assert.equal(typeof (await response.json()).error.message, "string");
  });
});
