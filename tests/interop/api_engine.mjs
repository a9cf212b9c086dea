// An engine for tests of foreign SDKs: OpenAI's chat with tools and streams, and embeddings as floats whatever was asked for, as
// some engines do. The last user message says what happens: "slow" streams for long, "refuse" is refused, "hang" says nothing.
import http from "node:http";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

export const kModel = "api-model";
export const kVector = [0.5, -0.25, 1];
const kSlowMs = 20;
const usage = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 };
const text_of = (content) => (typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join(""));
const asks_tool = (body) => body.tools?.length > 0 && body.messages.at(-1).role === "user";
const words_of = (body) => (body.messages.at(-1).role === "tool" ? ["It is ", text_of(body.messages.at(-1).content)] : ["Hel", "lo ", "you"]);
const call_of = (body) => ({ id: "call_1", type: "function", function: { name: body.tools[0].function.name, arguments: '{"city":"Paris"}' } });

function answer_of(body) {
  const message = asks_tool(body) ? { role: "assistant", content: null, tool_calls: [call_of(body)] } : { role: "assistant", content: words_of(body).join("") };
  const finish_reason = asks_tool(body) ? "tool_calls" : "stop";
  return { id: "chatcmpl-1", object: "chat.completion", created: 1763700000, model: kModel, choices: [{ index: 0, message, logprobs: null, finish_reason }], usage };
}

function deltas_of(body) {
  if (!asks_tool(body)) return words_of(body).map((content) => ({ content }));
  const { id, type, function: called } = call_of(body);
  return [{ tool_calls: [{ index: 0, id, type, function: { name: called.name, arguments: "" } }] },
    ...[called.arguments.slice(0, 5), called.arguments.slice(5)].map((piece) => ({ tool_calls: [{ index: 0, function: { arguments: piece } }] }))];
}

async function stream(body, said, response, engine) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (choices, more = {}) => response.write(`data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1763700000, model: kModel, choices, ...more })}\n\n`);
  const choice = (delta, finish_reason = null) => send([{ index: 0, delta, logprobs: null, finish_reason }]);
  choice({ role: "assistant", content: "" });
  const deltas = said === "slow" ? Array.from({ length: 1000 }, () => ({ content: "tick " })) : deltas_of(body);
  for (const delta of deltas) {
    if (response.destroyed) return void (engine.aborted += 1);
    choice(delta);
    if (said === "slow") await sleep(kSlowMs);
  }
  choice({}, asks_tool(body) ? "tool_calls" : "stop");
  send([], { usage });
  response.end("data: [DONE]\n\n");
}

/** {url, requests: [{path, body}], aborted, close()} */
export async function start_engine() {
  const engine = { requests: [], aborted: 0, hold_ms: 0 };
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const send = (status, value) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(value));
    };
    if (request.url === "/v1/models") return send(200, { object: "list", data: [{ id: kModel, object: "model", created: 1, owned_by: "test", max_model_len: 4096 }] });
    if (request.method !== "POST") return send(404, { error: { message: "no such path" } });
    const body = JSON.parse(Buffer.concat(parts));
    engine.requests.push({ path: request.url, body });
    if (request.url === "/v1/embeddings") {
      const input = [body.input].flat();
      return send(200, { object: "list", model: kModel, data: input.map((_, index) => ({ object: "embedding", index, embedding: kVector })), usage: { prompt_tokens: 3, total_tokens: 3 } });
    }
    if (request.url !== "/v1/chat/completions") return send(404, { error: { message: "no such path" } });
    const said = text_of(body.messages.findLast((message) => message.role === "user")?.content);
    if (said === "refuse") return send(400, { error: { message: "the engine does not like this", type: "invalid_request_error", param: null, code: null } });
    if (said === "hang") await once(response, "close");
    if (engine.hold_ms > 0) await sleep(engine.hold_ms);
    if (body.stream) return stream(body, said, response, engine);
    return send(200, answer_of(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  engine.url = `http://127.0.0.1:${server.address().port}`;
  engine.close = () => { server.closeAllConnections(); return new Promise((resolve) => server.close(resolve)); };
  return engine;
}
