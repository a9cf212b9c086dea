// The OpenAI wire format: strict readers for requests, builders for replies. Pure: no socket, no model.
import { randomBytes } from "node:crypto";

const kMessagesMax = 1024;
const kStopsMax = 16;
const kStopCharsMax = 256;
/** Tiny models wander when hot, so a request that names no temperature gets a cool one. */
const kDefaultTemperature = 0.3;
const kDefaultTopP = 0.95;
const kRoles = new Set(["system", "developer", "user", "assistant"]);

/** An answer other than 200, in the OpenAI error shape. */
export class RequestError extends Error {
  constructor(status, message, code = null) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export function error_body({ message, status, code }) {
  const type = status >= 500 ? "server_error" : "invalid_request_error";
  return { error: { message, type, param: null, code: code ?? null } };
}

const bad = (message) => new RequestError(400, message, "invalid_value");

function read_text(content, where) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw bad(`${where} must be a string or a list of text parts`);
  return content.map((part) => {
    if (part?.type !== "text" || typeof part.text !== "string") throw bad(`${where} may hold text parts only`);
    return part.text;
  }).join("");
}

function read_messages(messages) {
  if (!Array.isArray(messages) || messages.length === 0) throw bad("messages must be a list that is not empty");
  if (messages.length > kMessagesMax) throw bad(`messages holds more than ${kMessagesMax}`);
  return messages.map((message, index) => {
    const where = `messages[${index}]`;
    if (!kRoles.has(message?.role)) throw bad(`${where}.role must be one of ${[...kRoles].join(", ")}`);
    return { role: message.role, text: read_text(message.content, `${where}.content`) };
  });
}

function read_prompt(prompt) {
  const text = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt;
  if (typeof text !== "string") throw bad("prompt must be one string");
  return text;
}

function read_number(body, name, min, max, fallback) {
  const value = body[name] ?? fallback;
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !(value >= min && value <= max)) throw bad(`${name} must be from ${min} to ${max}`);
  return value;
}

function read_integer(body, name, min, max) {
  const value = read_number(body, name, min, max);
  if (value !== undefined && !Number.isInteger(value)) throw bad(`${name} must be an integer`);
  return value;
}

function read_boolean(object, name) {
  const value = object?.[name] ?? false;
  if (typeof value !== "boolean") throw bad(`${name} must be true or false`);
  return value;
}

function read_stops(stop) {
  const stops = stop == null ? [] : [stop].flat();
  if (stops.length > kStopsMax) throw bad(`stop holds more than ${kStopsMax} strings`);
  for (const text of stops) {
    if (typeof text !== "string" || text.length === 0 || text.length > kStopCharsMax) {
      throw bad(`stop must hold strings of 1 to ${kStopCharsMax} characters`);
    }
  }
  return stops;
}

/** Better a refusal than an answer that silently ignores what was asked. */
function refuse_unsupported(body) {
  if ((body.n ?? 1) !== 1) throw bad("n must be 1");
  if (body.logprobs) throw bad("logprobs are not supported");
  if (body.tools?.length > 0) throw bad("tools are not supported");
  if ((body.response_format?.type ?? "text") !== "text") throw bad("response_format must be text");
}

/** `is_chat` tells /v1/chat/completions from /v1/completions. Throws RequestError. */
export function read_request(text, is_chat) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new RequestError(400, "the body is not JSON", "invalid_json");
  }
  if (body === null || typeof body !== "object" || Array.isArray(body)) throw bad("the body must be a JSON object");
  refuse_unsupported(body);
  const seed = read_integer(body, "seed", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  return {
    is_chat,
    model: body.model ?? null,
    ...(is_chat ? { messages: read_messages(body.messages) } : { prompt: read_prompt(body.prompt) }),
    stream: read_boolean(body, "stream"),
    include_usage: read_boolean(body.stream_options, "include_usage"),
    stop: read_stops(body.stop),
    tokens_max: read_integer(body, "max_completion_tokens", 1, 1e9) ?? read_integer(body, "max_tokens", 1, 1e9),
    sampling: {
      temperature: read_number(body, "temperature", 0, 2, kDefaultTemperature),
      topP: read_number(body, "top_p", 0, 1, kDefaultTopP),
      seed: seed === undefined ? undefined : seed >>> 0,
    },
  };
}

const now_s = () => Math.floor(Date.now() / 1000);

export function usage_of(prompt_tokens, completion_tokens) {
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

export function models_body({ model_id, context_tokens }, created) {
  const entry = { id: model_id, object: "model", created, owned_by: "nostril-demo", max_model_len: context_tokens };
  return { object: "list", data: [{ ...entry, meta: { n_ctx: context_tokens } }] };
}

/** Builds every object of one reply, all with the same id and time. */
export class ReplyWriter {
  constructor(is_chat, { model_id, fingerprint }) {
    this.is_chat_ = is_chat;
    this.common_ = {
      id: (is_chat ? "chatcmpl-" : "cmpl-") + randomBytes(12).toString("hex"),
      created: now_s(),
      model: model_id,
      system_fingerprint: fingerprint,
    };
  }

  whole(text, finish_reason, usage) {
    const content = this.is_chat_ ? { message: { role: "assistant", content: text } } : { text };
    const choice = { index: 0, ...content, logprobs: null, finish_reason };
    return { object: this.is_chat_ ? "chat.completion" : "text_completion", ...this.common_, choices: [choice], usage };
  }

  /** null for the legacy endpoint, which has no role to announce. */
  first_chunk() {
    return this.is_chat_ ? this.chunk([this.choice({ role: "assistant", content: "" }, null)]) : null;
  }

  text_chunk(text) {
    return this.chunk([this.choice(this.is_chat_ ? { content: text } : text, null)]);
  }

  finish_chunk(finish_reason) {
    return this.chunk([this.choice(this.is_chat_ ? {} : "", finish_reason)]);
  }

  usage_chunk(usage) {
    return { ...this.chunk([]), usage };
  }

  choice(delta, finish_reason) {
    return { index: 0, ...(this.is_chat_ ? { delta } : { text: delta }), logprobs: null, finish_reason };
  }

  chunk(choices) {
    return { object: this.is_chat_ ? "chat.completion.chunk" : "text_completion", ...this.common_, choices };
  }
}
