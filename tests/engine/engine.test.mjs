// The demo engine as its users see it: the real program, the committed model, HTTP on a free port.
// Needs node/demo_engine/node_modules (see node/demo_engine/README.md).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import http from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

const kEngine = fileURLToPath(new URL("../../node/demo_engine/engine.mjs", import.meta.url));
const kModel = fileURLToPath(new URL("../../node/demo_engine/model/nostril-demo.gguf", import.meta.url));
const kWaitMsMax = 20_000;

async function start_engine(...options) {
  const child = spawn(process.execPath, [kEngine, "--model", kModel, "--listen", "127.0.0.1:0", ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = [];
  const exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  const first_line = new Promise((resolve) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      lines.push(line);
      resolve(line);
    });
  });
  const line = await Promise.race([first_line, exited.then(({ code }) => `exited with ${code}`)]);
  const match = /^listening on (http:\/\/127\.0\.0\.1:\d+) model (\S+)$/.exec(line);
  assert.ok(match, `first line: ${line}`);
  const stop = async (signal = "SIGTERM") => {
    child.kill(signal);
    return exited;
  };
  return { url: match[1], model: match[2], lines, stop };
}

function post(engine, path, body, options = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const headers = { "content-type": "application/json" };
  return fetch(engine.url + path, { method: "POST", headers, body: text, ...options });
}

const chat = (engine, body, options) => post(engine, "/v1/chat/completions", body, options);
const ask = (content) => ({ messages: [{ role: "user", content }], temperature: 0, seed: 7 });
const kStory = ask("Tell me a story about a fox.");

async function read_events(response) {
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  const events = (await response.text()).trim().split("\n\n").map((event) => event.replace(/^data: /, ""));
  assert.equal(events.pop(), "[DONE]");
  return events.map((event) => JSON.parse(event));
}

async function metric(engine, name) {
  const text = await (await fetch(`${engine.url}/metrics`)).text();
  const match = new RegExp(`^llamacpp:${name} (\\d+)$`, "m").exec(text);
  assert.ok(match, `no metric ${name}`);
  return Number(match[1]);
}

async function wait_for_metric(engine, name, wanted) {
  const deadline = performance.now() + kWaitMsMax;
  while ((await metric(engine, name)) !== wanted) {
    assert.ok(performance.now() < deadline, `${name} did not become ${wanted}`);
    await sleep(10);
  }
}

/** Opens a chat on a connection of its own; drop() closes it as a dying client would. */
function open_chat(engine, body) {
  const request = http.request(`${engine.url}/v1/chat/completions`, { method: "POST", agent: false });
  const response = new Promise((resolve) => request.once("response", resolve));
  request.on("error", () => {});
  request.end(JSON.stringify(body));
  return { response, drop: () => request.destroy() };
}

describe("an engine that is idle", () => {
  let engine;
  before(async () => { engine = await start_engine("--body-bytes", "65536"); });
  after(() => engine.stop());

  it("lists its model with the context's size", async () => {
    const { object, data } = await (await fetch(`${engine.url}/v1/models`)).json();
    assert.equal(object, "list");
    assert.equal(data.length, 1);
    assert.equal(data[0].id, engine.model);
    assert.equal(data[0].max_model_len, 512);
  });

  it("reports that it is healthy", async () => {
    assert.equal((await fetch(`${engine.url}/health`)).status, 200);
  });

  it("knows what a relay is", async () => {
    const body = await (await chat(engine, ask("What is a relay?"))).json();
    assert.match(body.choices[0].message.content, /events/);
    assert.equal(body.choices[0].finish_reason, "stop");
  });

  it("streams the same text that it answers whole", async () => {
    const whole = await (await chat(engine, kStory)).json();
    const events = await read_events(await chat(engine, { ...kStory, stream: true }));
    assert.equal(events.map((event) => event.choices[0].delta.content ?? "").join(""), whole.choices[0].message.content);
    assert.ok(events.length > 10, "a stream of many pieces");
    assert.equal(events[0].choices[0].delta.role, "assistant");
    assert.deepEqual(events.flatMap((event) => event.choices[0].finish_reason ?? []), ["stop"]);
  });

  it("repeats a hot answer for the same seed, and another for another", async () => {
    const hot = { ...kStory, temperature: 2, top_p: 1, max_tokens: 40 };
    const texts = [];
    for (const seed of [1, 1, 2]) {
      texts.push((await (await chat(engine, { ...hot, seed })).json()).choices[0].message.content);
    }
    assert.equal(texts[0], texts[1]);
    assert.notEqual(texts[0], texts[2]);
  });

  it("sends usage last, with no choices, and only when asked", async () => {
    const whole = await (await chat(engine, kStory)).json();
    const { prompt_tokens, completion_tokens, total_tokens } = whole.usage;
    assert.ok(prompt_tokens > 0 && completion_tokens > 10);
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
    const events = await read_events(await chat(engine, { ...kStory, stream: true, stream_options: { include_usage: true } }));
    assert.deepEqual(events.at(-1).choices, []);
    assert.deepEqual(events.at(-1).usage, whole.usage);
    const plain = await read_events(await chat(engine, { ...kStory, stream: true }));
    assert.ok(plain.every((event) => event.usage === undefined));
  });

  it("stops at max_tokens and max_completion_tokens", async () => {
    for (const name of ["max_tokens", "max_completion_tokens"]) {
      const body = await (await chat(engine, { ...kStory, [name]: 5 })).json();
      assert.equal(body.usage.completion_tokens, 5);
      assert.equal(body.choices[0].finish_reason, "length");
    }
  });

  it("cuts before a stop string, streamed or not", async () => {
    const text = (await (await chat(engine, kStory)).json()).choices[0].message.content;
    const stop = text.slice(23, 34);  // starts and ends inside tokens
    const expected = text.slice(0, text.indexOf(stop));
    const whole = await (await chat(engine, { ...kStory, stop: [stop] })).json();
    assert.equal(whole.choices[0].message.content, expected);
    assert.equal(whole.choices[0].finish_reason, "stop");
    const events = await read_events(await chat(engine, { ...kStory, stop, stream: true }));
    assert.equal(events.map((event) => event.choices[0].delta.content ?? "").join(""), expected);
  });

  it("completes plain text, streamed and not", async () => {
    const body = { prompt: "A relay is a server", temperature: 0, max_tokens: 12 };
    const whole = await (await post(engine, "/v1/completions", body)).json();
    assert.equal(whole.object, "text_completion");
    const events = await read_events(await post(engine, "/v1/completions", { ...body, stream: true }));
    assert.equal(events.map((event) => event.choices[0].text).join(""), whole.choices[0].text);
  });

  it("takes control tokens inside a message as plain text", async () => {
    const prompt_tokens = async (content) => (await (await chat(engine, ask(content))).json()).usage.prompt_tokens;
    assert.ok((await prompt_tokens("hi<|im_end|>")) > (await prompt_tokens("hi")) + 3);
  });

  it("refuses a prompt above the context with 400, also when streaming", async () => {
    for (const stream of [false, true]) {
      const response = await chat(engine, { ...ask("relay ".repeat(600)), stream });
      assert.equal(response.status, 400);
      assert.match(response.headers.get("content-type"), /^application\/json/);
      assert.equal((await response.json()).error.code, "context_length_exceeded");
    }
  });

  it("refuses what it can not do, in the OpenAI error shape", async () => {
    const refusals = [
      ["not json", 400],
      [[], 400],
      [{}, 400],
      [{ messages: [] }, 400],
      [{ messages: [{ role: "robot", content: "x" }] }, 400],
      [{ messages: [{ role: "user", content: [{ type: "image_url" }] }] }, 400],
      [{ ...kStory, n: 2 }, 400],
      [{ ...kStory, stream: "yes" }, 400],
      [{ ...kStory, temperature: -1 }, 400],
      [{ ...kStory, max_tokens: 0 }, 400],
      [{ ...kStory, seed: 1.5 }, 400],
      [{ ...kStory, stop: [""] }, 400],
      [{ ...kStory, user: "x".repeat(70_000) }, 413],
    ];
    for (const [body, status] of refusals) {
      const response = await chat(engine, body);
      assert.equal(response.status, status, JSON.stringify(body).slice(0, 200));
      const { error } = await response.json();
      assert.equal(typeof error.message, "string");
      assert.equal(error.type, "invalid_request_error");
    }
    assert.equal((await fetch(`${engine.url}/v1/nothing`)).status, 404);
    assert.equal((await fetch(`${engine.url}/v1/chat/completions`)).status, 405);
  });
});

describe("an engine that is busy", () => {
  let engine;
  before(async () => { engine = await start_engine("--slow-ms", "50", "--queue", "1"); });
  after(() => engine.stop());

  it("stops generating when a streaming client leaves", async () => {
    const aborted = await metric(engine, "aborted_total");
    const client = open_chat(engine, { ...kStory, stream: true });
    await client.response;
    assert.equal(await metric(engine, "requests_processing"), 1);
    client.drop();
    await wait_for_metric(engine, "aborted_total", aborted + 1);
    assert.equal(await metric(engine, "requests_processing"), 0);
  });

  it("stops generating when a client that waits for a whole answer leaves", async () => {
    const aborted = await metric(engine, "aborted_total");
    const client = open_chat(engine, kStory);
    await wait_for_metric(engine, "requests_processing", 1);
    client.drop();
    await wait_for_metric(engine, "aborted_total", aborted + 1);
    assert.equal(await metric(engine, "requests_processing"), 0);
  });

  it("answers 503 when its queue is full, and forgets a waiting client that leaves", async () => {
    const running = open_chat(engine, { ...kStory, stream: true });
    await wait_for_metric(engine, "requests_processing", 1);
    const waiting = open_chat(engine, kStory);
    await wait_for_metric(engine, "requests_deferred", 1);
    const refused = await chat(engine, kStory);
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers.get("retry-after")) >= 1);
    assert.equal((await refused.json()).error.type, "server_error");
    waiting.drop();
    await wait_for_metric(engine, "requests_deferred", 0);
    assert.equal(await metric(engine, "requests_processing"), 1);
    running.drop();
    await wait_for_metric(engine, "requests_processing", 0);
    const next = await chat(engine, { ...ask("hello"), max_tokens: 2 });
    assert.equal(next.status, 200);
  });
});

describe("an engine that is told to stop", () => {
  for (const signal of ["SIGTERM", "SIGINT"]) {
    it(`exits 0 on ${signal} in the middle of a stream, after one line of output`, async () => {
      const engine = await start_engine("--slow-ms", "50");
      const client = open_chat(engine, { ...kStory, stream: true });
      await client.response;
      assert.deepEqual(await engine.stop(signal), { code: 0, signal: null });
      assert.equal(engine.lines.length, 1);
    });
  }

  it("refuses to listen beyond loopback", async () => {
    const child = spawn(process.execPath, [kEngine, "--model", kModel, "--listen", "0.0.0.0:0"], { stdio: "ignore" });
    const [code] = await new Promise((resolve) => child.once("exit", (...result) => resolve(result)));
    assert.equal(code, 1);
  });
});
