// HTTP face of the engine: routes, limits, streaming, aborts. Knows nothing of llama.cpp but TextGenerator.
import http from "node:http";
import { once } from "node:events";
import { EngineMetrics } from "./metrics.mjs";
import { error_body, models_body, read_request, ReplyWriter, RequestError, usage_of } from "./openai.mjs";
import { BoundedQueue } from "./queue.mjs";

/** A client gets this long to send its whole request. */
const kRequestMsMax = 30_000;
const kConnectionsMax = 1024;

function send(response, status, type, text, headers = {}) {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text), ...headers });
  response.end(text);
}

function send_json(response, status, body, headers) {
  send(response, status, "application/json", JSON.stringify(body), headers);
}

async function read_body(request, bytes_max) {
  const too_large = () => new RequestError(413, `the body is larger than ${bytes_max} bytes`, "body_too_large");
  if (Number(request.headers["content-length"] ?? 0) > bytes_max) throw too_large();
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > bytes_max) throw too_large();
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** Aborted when the client's connection closes before the reply is complete. */
function abort_signal_of(response) {
  const controller = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) controller.abort();
  });
  return controller;
}

/** Server-sent events that wait for a slow reader instead of filling memory. */
class EventStream {
  constructor(response, signal) {
    this.response_ = response;
    this.signal_ = signal;
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  }

  async write(data) {
    if (this.signal_.aborted) return;
    const text = typeof data === "string" ? data : JSON.stringify(data);
    if (this.response_.write(`data: ${text}\n\n`)) return;
    await once(this.response_, "drain", { signal: this.signal_ }).catch(() => {});
  }
}

class EngineHandler {
  constructor(generator, { queue_max, body_bytes_max }) {
    this.generator_ = generator;
    this.body_bytes_max_ = body_bytes_max;
    this.queue = new BoundedQueue(queue_max);
    this.metrics = new EngineMetrics();
    this.started_s_ = Math.floor(Date.now() / 1000);
    this.routes_ = new Map([
      ["/health", { GET: (_, response) => send_json(response, 200, { status: "ok" }) }],
      ["/metrics", { GET: (_, response) => send(response, 200, "text/plain; version=0.0.4", this.metrics.text(this.queue)) }],
      ["/v1/models", { GET: (_, response) => send_json(response, 200, models_body(generator, this.started_s_)) }],
      ["/props", { GET: (_, response) => send_json(response, 200, { build_info: generator.fingerprint }) }],
      ["/v1/chat/completions", { POST: (request, response) => this.complete(request, response, true) }],
      ["/v1/completions", { POST: (request, response) => this.complete(request, response, false) }],
    ]);
  }

  async handle(request, response) {
    try {
      const methods = this.routes_.get(request.url.split("?", 1)[0]);
      if (!methods) throw new RequestError(404, "no such path", "not_found");
      const handler = methods[request.method];
      if (!handler) throw new RequestError(405, `use ${Object.keys(methods).join(", ")}`, "method_not_allowed");
      await handler(request, response);
    } catch (error) {
      this.fail(response, error);
    }
  }

  fail(response, error) {
    if (!(error instanceof RequestError)) console.error("engine:", error);
    const status = error.status ?? 500;
    const message = error instanceof RequestError ? error.message : "internal error";
    const body = error_body({ message, status, code: error.code });
    if (response.headersSent) {
      // Without finish_reason and [DONE] no client can take this for a whole answer.
      response.end(`data: ${JSON.stringify(body)}\n\n`);
      return;
    }
    const headers = status === 503 ? { "retry-after": "1" } : {};
    // The rest of a body that nobody reads must not be taken for the next request.
    if (status === 413) headers.connection = "close";
    send_json(response, status, body, headers);
  }

  async complete(http_request, response, is_chat) {
    const controller = abort_signal_of(response);
    const request = read_request(await read_body(http_request, this.body_bytes_max_), is_chat);
    const prompt_tokens = this.generator_.tokens_for(request);
    if (this.queue.full) {
      this.metrics.refused_total += 1;
      throw new RequestError(503, "the queue is full: try again", "queue_full");
    }
    this.metrics.requests_total += 1;
    const completed = await this.run_in_turn(request, prompt_tokens, response, controller.signal);
    if (completed) this.metrics.completed_total += 1;
    else this.metrics.aborted_total += 1;
  }

  /** Resolves to false when the client left before the end. */
  async run_in_turn(request, prompt_tokens, response, signal) {
    if (!(await this.queue.acquire(signal))) return false;
    try {
      this.metrics.prompt_tokens_total += prompt_tokens.length;
      const pieces = this.generator_.generate(prompt_tokens, request, signal);
      const reply = new ReplyWriter(request.is_chat, this.generator_);
      const answer = request.stream ? this.stream_reply : this.whole_reply;
      return await answer.call(this, pieces, { request, reply, response, signal, prompt_count: prompt_tokens.length });
    } finally {
      this.queue.release();
    }
  }

  async whole_reply(pieces, { reply, response, prompt_count }) {
    let text = "";
    for await (const piece of pieces) {
      if (piece.text !== undefined) {
        text += piece.text;
        continue;
      }
      this.metrics.tokens_predicted_total += piece.completion_tokens;
      send_json(response, 200, reply.whole(text, piece.finish_reason, usage_of(prompt_count, piece.completion_tokens)));
      return true;
    }
    return false;
  }

  async stream_reply(pieces, { request, reply, response, signal, prompt_count }) {
    const stream = new EventStream(response, signal);
    const first = reply.first_chunk();
    if (first) await stream.write(first);
    for await (const piece of pieces) {
      if (piece.text !== undefined) {
        await stream.write(reply.text_chunk(piece.text));
        continue;
      }
      this.metrics.tokens_predicted_total += piece.completion_tokens;
      await stream.write(reply.finish_chunk(piece.finish_reason));
      if (request.include_usage) await stream.write(reply.usage_chunk(usage_of(prompt_count, piece.completion_tokens)));
      await stream.write("[DONE]");
      response.end();
      return true;
    }
    return false;
  }
}

/** Returns { server, close }: close() drops every connection, which aborts what runs, and waits for it. */
export function create_engine_server(generator, options) {
  const handler = new EngineHandler(generator, options);
  const running = new Set();
  const server = http.createServer({ requestTimeout: kRequestMsMax }, (request, response) => {
    const done = handler.handle(request, response).finally(() => running.delete(done));
    running.add(done);
  });
  server.maxConnections = kConnectionsMax;
  const close = async () => {
    server.close();
    server.closeAllConnections();
    await Promise.allSettled(running);
  };
  return { server, close };
}
