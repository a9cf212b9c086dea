// A scripted engine, for faults and for ./scripts/bench node: streams chat answers as vLLM writes them, the words of this
// repository's pages, one token an event, each stream at its own pace. Starts at once, costs next to nothing, and knows
// afterwards what it sent and when (GET /answer?id=, GET /counts).
//   node tests/e2e/scripted_engine.mjs [--listen 127.0.0.1:0]        prints "listening on URL model NAME"
// The prompt is a JSON object: {"id": any text, "tokens": count, "token_ms": pause}.
import { createHash } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const kModel = "scripted-8b";
const kBodyBytesMax = 64 << 10;
const kKeptMax = 5_000;
const kTokensMax = 10_000;
const kRoot = fileURLToPath(new URL("../..", import.meta.url));
const kPages = ["README.md", "spec/10-threat-model.md", "docs/evidence.md"];

const words = kPages.flatMap((page) => fs.readFileSync(path.join(kRoot, page), "utf8").match(/\s?\S{1,5}/g));
const { values: options } = parseArgs({ options: { listen: { type: "string", default: "127.0.0.1:0" } } });

const counts = { running: 0, aborted: 0, answered: 0 };
const answers = new Map();  // by the prompt's id: {sha256, times_ms, whole}
let next_id = 0;

function remember(id, answer) {
  answers.set(id, answer);
  if (answers.size > kKeptMax) answers.delete(answers.keys().next().value);
}

function stream(asked, response) {
  const id = `chatcmpl-${(next_id++).toString(16).padStart(32, "0")}`;
  const head = `data: {"id":"${id}","object":"chat.completion.chunk","created":1763700000,"model":"${kModel}","choices":[`;
  const hash = createHash("sha256");
  const answer = { times_ms: [], sha256: "", whole: false };
  const from = parseInt(createHash("sha256").update(asked.id).digest("hex").slice(0, 8), 16);
  const send = (text) => {
    hash.update(text);
    response.write(text);
  };
  const choice = (delta, finish) => `${head}{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]}\n\n`;
  remember(asked.id, answer);
  ++counts.running;
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  send(choice('{"role":"assistant","content":""}', "null"));
  let sent = 0;
  let timer;
  const next = () => {
    send(choice(`{"content":${JSON.stringify(words[(from + sent) % words.length])}}`, "null"));
    answer.times_ms.push(performance.timeOrigin + performance.now());
    if (++sent < asked.tokens) return;
    clearInterval(timer);
    send(choice("{}", '"stop"'));
    send(`${head}],"usage":{"prompt_tokens":20,"total_tokens":${20 + sent},"completion_tokens":${sent}}}\n\n`);
    send("data: [DONE]\n\n");
    answer.whole = true;
    answer.sha256 = hash.digest("hex");
    ++counts.answered;
    response.end();
  };
  response.on("close", () => {
    clearInterval(timer);
    --counts.running;
    if (!answer.whole) ++counts.aborted;
  });
  timer = setInterval(next, asked.token_ms);
  next();
}

function refuse(response, status) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end('{"error":{"message":"not in the script","type":"invalid_request_error","param":null,"code":null}}');
}

function chat(request, response) {
  const parts = [];
  let bytes = 0;
  request.on("data", (part) => {
    bytes += part.length;
    if (bytes <= kBodyBytesMax) parts.push(part);
  });
  request.on("end", () => {
    try {
      const { messages } = JSON.parse(Buffer.concat(parts).toString());
      const asked = JSON.parse(messages.at(-1).content);
      const fit = typeof asked.id === "string" && asked.tokens > 0 && asked.tokens <= kTokensMax && asked.token_ms > 0;
      return fit ? stream(asked, response) : refuse(response, 400);
    } catch {
      return refuse(response, 400);
    }
  });
}

/** Writes down a sound: the SHA-256 of the form that brought it, at once or in two chunks. */
function transcribe(request, response) {
  const hash = createHash("sha256");
  const parts = [];
  let bytes = 0;
  request.on("data", (part) => {
    hash.update(part);
    bytes += part.length;
    if (bytes <= kBodyBytesMax) parts.push(part);
  });
  request.on("end", () => {
    const text = hash.digest("hex");
    const usage = { prompt_tokens: 12, completion_tokens: 2, total_tokens: 14 };
    if (!Buffer.concat(parts).includes('name="stream"\r\n\r\ntrue\r\n')) {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ text, usage }));
      return;
    }
    const id = `trsc-${(next_id++).toString(16).padStart(32, "0")}`;
    const send = (members) => response.write(`data: ${JSON.stringify({ id, object: "transcription.chunk", model: kModel, ...members })}\n\n`);
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    send({ choices: [{ delta: { content: text.slice(0, 32) }, finish_reason: null }] });
    send({ choices: [{ delta: { content: text.slice(32) }, finish_reason: "stop" }] });
    send({ choices: [], usage });
    response.end("data: [DONE]\n\n");
  });
}

const metrics = () => [
  "# TYPE vllm:num_requests_running gauge", `vllm:num_requests_running{model_name="${kModel}"} ${counts.running}.0`,
  "# TYPE vllm:num_requests_waiting gauge", `vllm:num_requests_waiting{model_name="${kModel}"} 0.0`, ""].join("\n");

const server = http.createServer((request, response) => {
  const json = (value) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
  const { pathname, searchParams } = new URL(request.url, "http://engine");
  if (request.method === "POST" && pathname === "/v1/chat/completions") return chat(request, response);
  if (request.method === "POST" && pathname === "/v1/audio/transcriptions") return transcribe(request, response);
  if (pathname === "/v1/models") return json({ object: "list", data: [{ id: kModel, object: "model", created: 1763700000, owned_by: "vllm", max_model_len: 32768 }] });
  if (pathname === "/version") return json({ version: "0.11.0" });
  if (pathname === "/metrics") return response.writeHead(200, { "content-type": "text/plain" }).end(metrics());
  if (pathname === "/counts") return json(counts);
  if (pathname === "/answer") return json(answers.get(searchParams.get("id")) ?? null);
  return refuse(response, 404);
});
server.keepAliveTimeout = 60_000;
const [host, port] = options.listen.split(":");
server.listen(Number(port), host, 4096, () => console.log(`listening on http://${host}:${server.address().port} model ${kModel}`));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
