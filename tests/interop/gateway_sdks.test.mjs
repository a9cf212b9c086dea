// Applications written for OpenAI, Anthropic and Ollama, by the SDKs that they use, as published: chat, streams, tools,
// embeddings, aborts, errors, and what SDKs do behind the application's back, through gateway, relay and node.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { HumanMessage } from "@langchain/core/messages";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { embed, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { Bed, until, within } from "../e2e/lib.mjs";
import { kModel, kVector, start_engine } from "./api_engine.mjs";

const kMs = { timeout: 60_000 };
const kWords = "Hello you";
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const kTool = { type: "function", function: { name: "weather", description: "of a city", parameters: schema } };
const user = (content) => [{ role: "user", content }];

let bed;
let engine;
let relay;
let node;
let gateway;
let base;  // without /v1
let openai;

const aborted_once = (count) => until(5_000, "the engine stops", () => engine.aborted === count + 1);

before(async () => {
  bed = new Bed();
  engine = await start_engine();
  bed.on_stop(() => engine.close());
  relay = await bed.relay();
  node = await bed.node({ relay, engine_url: engine.url });
  gateway = await bed.gateway({ relay, node });
  base = new URL(gateway.url).origin;
  await until(10_000, "a verified node behind the gateway", async () => (await fetch(`${base}/health`)).ok);
  openai = new OpenAI({ baseURL: gateway.url, apiKey: "none", maxRetries: 0, timeout: 30_000 });
});

beforeEach(() => { engine.requests.length = 0; });

after(() => bed.close());

describe("the openai SDK", kMs, () => {
  it("calls a tool, whole and streamed", async () => {
    const whole = await openai.chat.completions.create({ model: kModel, messages: user("weather?"), tools: [kTool] });
    assert.equal(whole.choices[0].message.tool_calls[0].function.arguments, '{"city":"Paris"}');
    const runner = openai.chat.completions.runTools({
      model: kModel, messages: user("weather?"), stream: true,
      tools: [{ type: "function", function: { ...kTool.function, parse: JSON.parse, function: ({ city }) => `rain in ${city}` } }],
    });
    assert.equal(await runner.finalContent(), "It is rain in Paris");
  });

  it("gets embeddings, which it asks for in base64 without a word", async () => {
    const { data } = await openai.embeddings.create({ model: kModel, input: ["a", "b"] });
    assert.deepEqual(data.map(({ embedding }) => embedding), [kVector, kVector]);
    assert.equal(engine.requests[0].body.encoding_format, "base64", "the engine ignored it");
  });

  it("speaks the Responses API: text, stream, tool", async () => {
    const answer = await openai.responses.create({ model: kModel, instructions: "be short", input: "hi" });
    assert.equal(answer.output_text, kWords);
    assert.equal(answer.usage.total_tokens, 12);
    assert.deepEqual(engine.requests[0].body.messages.map(({ role }) => role), ["system", "user"]);
    const stream = openai.responses.stream({ model: kModel, input: "hi" });
    let words = "";
    for await (const event of stream) if (event.type === "response.output_text.delta") words += event.delta;
    assert.equal(words, kWords);
    assert.equal((await stream.finalResponse()).output_text, kWords);
    const tools = [{ type: "function", name: "weather", parameters: schema, strict: false }];
    const call = (await openai.responses.create({ model: kModel, input: "weather?", tools })).output.find(({ type }) => type === "function_call");
    assert.deepEqual([call.name, call.arguments], ["weather", '{"city":"Paris"}']);
    const next = await openai.responses.create({ model: kModel, tools, input: [{ role: "user", content: "weather?" }, call, { type: "function_call_output", call_id: call.call_id, output: "rain" }] });
    assert.equal(next.output_text, "It is rain");
    await assert.rejects(openai.responses.create({ model: kModel, input: "x", previous_response_id: "r" }), OpenAI.BadRequestError);
  });

  it("finds the proof in the usage chunk", async () => {
    const stream = await openai.chat.completions.create({ model: kModel, messages: user("hi"), stream: true, stream_options: { include_usage: true } });
    let last;
    for await (const chunk of stream) last = chunk;
    assert.match(last.nostril.record, /^[0-9a-f]{64}$/);
    assert.equal(last.nostril.simulated, true);
    assert.equal(last.usage.completion_tokens, 5);
  });

  it("sends again what took too long, and it is asked once", async () => {
    engine.hold_ms = 1_500;
    try {
      const impatient = new OpenAI({ baseURL: gateway.url, apiKey: "none", maxRetries: 4, timeout: 600 });
      const answer = await impatient.chat.completions.create({ model: kModel, messages: user("hi") });
      assert.equal(answer.choices[0].message.content, kWords);
      assert.equal(engine.requests.length, 1);
    } finally {
      engine.hold_ms = 0;
    }
  });

  it("does not send again what is refused for good", async () => {
    let sent = 0;
    const counting = new OpenAI({ baseURL: gateway.url, apiKey: "none", fetch: (...args) => { sent += 1; return fetch(...args); } });
    await assert.rejects(counting.chat.completions.create({ model: "nobody-has-it", messages: user("x") }), OpenAI.NotFoundError);
    assert.equal(sent, 1);
  });
});

describe("the ai SDK", kMs, () => {
  const model = () => createOpenAICompatible({ name: "nostril", baseURL: gateway.url, includeUsage: true });

  it("runs a tool in a stream", async () => {
    const errors = [];
    const { textStream } = streamText({
      model: model()(kModel), prompt: "weather?", maxRetries: 0, stopWhen: stepCountIs(3), onError: (event) => errors.push(event),
      tools: { weather: tool({ description: "of a city", inputSchema: jsonSchema(schema), execute: async ({ city }) => `rain in ${city}` }) },
    });
    let words = "";
    for await (const piece of textStream) words += piece;
    assert.deepEqual(errors, []);
    assert.match(words, /^It is .*rain in Paris/);
  });

  it("embeds", async () => {
    const { embedding } = await embed({ model: model().textEmbeddingModel(kModel), value: "a", maxRetries: 0 });
    assert.deepEqual(embedding, kVector);
  });

  it("gets an error as one", async () => {
    await assert.rejects(generateText({ model: model()(kModel), prompt: "refuse", maxRetries: 2 }), /does not like this/);
    assert.equal(engine.requests.length, 1, "and does not try again");
  });
});

describe("LangChain", kMs, () => {
  const chat = (options = {}) => new ChatOpenAI({ model: kModel, apiKey: "none", configuration: { baseURL: gateway.url }, maxRetries: 0, ...options });

  it("chats and streams", async () => {
    const answer = await chat().invoke([new HumanMessage("hi")]);
    assert.equal(answer.content, kWords);
    assert.equal(answer.usage_metadata.total_tokens, 12);
    let whole;
    for await (const chunk of await chat({ streamUsage: true }).stream("hi")) whole = whole ? whole.concat(chunk) : chunk;
    assert.equal(whole.content, kWords);
    assert.equal(whole.usage_metadata.total_tokens, 12, "counted once");
  });

  it("calls a tool", async () => {
    const answer = await chat().bindTools([kTool]).invoke("weather?");
    assert.deepEqual(answer.tool_calls[0].args, { city: "Paris" });
  });

  it("embeds", async () => {
    const embeddings = new OpenAIEmbeddings({ model: kModel, apiKey: "none", configuration: { baseURL: gateway.url }, maxRetries: 0 });
    assert.deepEqual(await embeddings.embedQuery("a"), kVector);
  });

  it("stops the engine by an abort, and gets errors", async () => {
    const { aborted } = engine;
    const controller = new AbortController();
    await assert.rejects(async () => {
      for await (const chunk of await chat().stream("slow", { signal: controller.signal })) if (chunk.content) controller.abort();
    });
    await aborted_once(aborted);
    await assert.rejects(chat().invoke("refuse"), /does not like this/);
  });
});

describe("the Anthropic SDK", kMs, () => {
  let anthropic;
  const kAsk = { model: kModel, max_tokens: 50 };
  const kTools = [{ name: "weather", description: "of a city", input_schema: schema }];
  before(() => { anthropic = new Anthropic({ baseURL: base, apiKey: "none", maxRetries: 0, timeout: 30_000 }); });

  it("chats, with a system prompt and a picture", async () => {
    const picture = { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } };
    const { data, response } = await anthropic.messages.create({ ...kAsk, system: "be short", messages: user([picture, { type: "text", text: "hi" }]) }).withResponse();
    assert.deepEqual(data.content, [{ type: "text", text: kWords }]);
    assert.deepEqual([data.stop_reason, data.usage.input_tokens, data.usage.output_tokens], ["end_turn", 7, 5]);
    assert.match(response.headers.get("x-nostril-record"), /^[0-9a-f]{64}$/);
    const { messages } = engine.requests[0].body;
    assert.equal(messages[0].role, "system");
    assert.equal(messages[1].content[0].image_url.url, "data:image/png;base64,iVBORw0KGgo=");
  });

  it("streams by its helper, and calls a tool", async () => {
    const stream = anthropic.messages.stream({ ...kAsk, messages: user("hi") });
    let words = "";
    stream.on("text", (piece) => { words += piece; });
    const message = await stream.finalMessage();
    assert.equal(words, kWords);
    assert.deepEqual([message.stop_reason, message.usage.output_tokens], ["end_turn", 5]);
    const called = await anthropic.messages.stream({ ...kAsk, tools: kTools, messages: user("weather?") }).finalMessage();
    const use = called.content.find(({ type }) => type === "tool_use");
    assert.deepEqual([called.stop_reason, use.name, use.input], ["tool_use", "weather", { city: "Paris" }]);
    const done = await anthropic.messages.create({ ...kAsk, tools: kTools, messages: [...user("weather?"), { role: "assistant", content: called.content }, ...user([{ type: "tool_result", tool_use_id: use.id, content: "rain" }])] });
    assert.equal(done.content[0].text, "It is rain");
  });

  it("counts tokens, about", async () => {
    const { input_tokens } = await anthropic.messages.countTokens({ model: kModel, messages: user("hi there") });
    assert.ok(input_tokens > 0 && input_tokens < 100, `${input_tokens}`);
  });

  it("lists models", async () => {
    const { data } = await anthropic.models.list();
    assert.deepEqual([data[0].id, data[0].type], [kModel, "model"]);
  });

  it("stops the engine by an abort, and gets typed errors", async () => {
    const { aborted } = engine;
    const stream = anthropic.messages.stream({ ...kAsk, messages: user("slow") });
    stream.on("text", () => stream.abort());
    await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
    await aborted_once(aborted);
    await assert.rejects(anthropic.messages.create({ ...kAsk, messages: user("refuse") }), (error) => error instanceof Anthropic.BadRequestError && /does not like/.test(error.message));
    await assert.rejects(anthropic.messages.create({ ...kAsk, model: "none", messages: user("x") }), Anthropic.NotFoundError);
  });
});

describe("ollama", kMs, () => {
  let ollama;
  before(() => { ollama = new Ollama({ host: base }); });

  it("lists and shows", async () => {
    assert.deepEqual((await ollama.list()).models.map(({ name }) => name), [kModel]);
    const shown = await ollama.show({ model: kModel });
    assert.ok(shown.capabilities.includes("completion"));
    assert.equal(shown.model_info["nostril.context_length"], 4096);
  });

  it("chats, streams and generates", async () => {
    const answer = await ollama.chat({ model: kModel, messages: user("hi") });
    assert.deepEqual([answer.message.content, answer.done_reason, answer.eval_count], [kWords, "stop", 5]);
    let words = "";
    let last;
    for await (const part of await ollama.chat({ model: kModel, messages: user("hi"), stream: true })) { words += part.message.content; last = part; }
    assert.equal(words, kWords);
    assert.ok(last.done && last.nostril.record.id);
    assert.equal((await ollama.generate({ model: kModel, prompt: "hi", system: "be short" })).response, kWords);
  });

  it("calls a tool and embeds", async () => {
    const { message } = await ollama.chat({ model: kModel, messages: user("weather?"), tools: [kTool] });
    assert.deepEqual(message.tool_calls[0].function, { name: "weather", arguments: { city: "Paris" } });
    const next = await ollama.chat({ model: kModel, tools: [kTool], messages: [...user("weather?"), message, { role: "tool", tool_name: "weather", content: "rain" }] });
    assert.equal(next.message.content, "It is rain");
    assert.deepEqual((await ollama.embed({ model: kModel, input: ["a", "b"] })).embeddings, [kVector, kVector]);
  });

  it("stops the engine by an abort, and gets errors", async () => {
    const { aborted } = engine;
    const stream = await ollama.chat({ model: kModel, messages: user("slow"), stream: true });
    await assert.rejects(async () => { for await (const part of stream) if (part.message.content) stream.abort(); });
    await aborted_once(aborted);
    await assert.rejects(ollama.chat({ model: kModel, messages: user("refuse") }), /does not like this/);
  });
});

describe("keys", kMs, () => {
  it("are made, used, counted across a restart, and revoked", async () => {
    const home = path.join(bed.folder, "keyed");
    const keys = (...args) => bed.client(["keys", ...args, "--home", home, "--json"]).end(10_000);
    const { key } = JSON.parse((await keys("add", "alice", "--tokens", "20000")).out);
    assert.equal(fs.statSync(path.join(home, "keys.toml")).mode & 0o777, 0o600);
    assert.ok(!fs.readFileSync(path.join(home, "keys.toml"), "utf8").includes(key), "only its hash is kept");
    let keyed = await bed.gateway({ relay, node, home: "keyed" });
    const sdk = (apiKey) => new OpenAI({ baseURL: keyed.url, apiKey, maxRetries: 2 });
    await until(10_000, "a verified node", async () => (await fetch(new URL("/health", keyed.url))).ok);
    await assert.rejects(sdk("nk-wrong").models.list(), OpenAI.AuthenticationError);
    await sdk(key).chat.completions.create({ model: kModel, messages: user("hi") });
    await keyed.program.stop();
    const [listed] = JSON.parse((await keys("list")).out);
    assert.deepEqual([listed.name, listed.total.tokens, listed.budget.tokens], ["alice", 12, 20_000]);
    assert.equal((await keys("revoke", "alice")).code, 0);
    await keys("add", "bob", "--tokens", "10");
    keyed = await bed.gateway({ relay, node, home: "keyed" });
    await within(10_000, "a refusal", assert.rejects(sdk(key).models.list(), OpenAI.AuthenticationError));
  });

  it("are needed beyond this machine, and so is TLS", async () => {
    const { code, err } = await bed.client(["gateway", ...bed.client_options({ relay, node, home: "bare" }), "--listen", "0.0.0.0:0"]).end(10_000);
    assert.equal(code, 1);
    assert.match(err, /needs TLS/);
  });
});
