// A function with the shape of `fetch` for OpenAI-like SDKs: `new OpenAI({ apiKey: "-", fetch: nostrilFetch({…}) })`. It never
// opens an HTTP connection: a request goes sealed to a node whose evidence was accepted, whatever host its URL names.
//   GET  …/models, …/models/{id}   from verified offers
//   POST anything else             to the engine, by the URL's path
// Engine bytes pass unchanged. A stream carries `: nostril-record {…}` as a comment before its last line, which is held until the
// record is right; another answer is held until its record is right, and has X-Nostril-* headers.
import { AnswerStream } from "./answer_stream.js";
import type { Ask } from "./ask.js";
import { concatBytes, utf8Text, utf8ToBytes } from "./bytes.js";
import { Nostril, type NostrilOptions } from "./client.js";
import { isRecord } from "./event.js";
import { kErrorCodes, type ResponseHead } from "./frames.js";
import { isVerified, type QueryResult } from "./query.js";
import type { VerifiedOffer } from "./verdict.js";

const kBodyBytesMax = 8 << 20;

export type NostrilFetch = typeof fetch & {
  /** Connects before the first request. */
  client(): Promise<Nostril>;
  close(): Promise<void>;
};

export function nostrilFetch(options: NostrilOptions | Nostril): NostrilFetch {
  let opened: Promise<Nostril> | undefined;
  const client = (): Promise<Nostril> => (opened ??= options instanceof Nostril ? Promise.resolve(options) : Nostril.open(options));
  const doFetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => answer(await client(), new Request(input, init));
  const close = async (): Promise<void> => { if (opened) await (await opened).close(); };
  return Object.assign(doFetch, { client, close });
}

// ---- Errors -------------------------------------------------------------------------------------

const errorBody = (type: string, message: string): string => JSON.stringify({ error: { message, type, param: null, code: type } });

const jsonResponse = (status: number, text: string, headers: Record<string, string> = {}): Response =>
  new Response(text, { status, headers: { "content-type": "application/json", ...headers } });

/** SDKs repeat 408, 409, 429 and 5xx by themselves, so what is final gets another code. */
function statusOf({ failure, error }: QueryResult): number {
  switch (failure) {
    case "not-offered": return 404;
    case "nobody-listens": case "not-taken": case "no-answer": return 503;
    case "refused": return error ? kErrorCodes[error.code] : 400;
    case undefined: return 502; // recorded, but broken off
    default: return 424; // the node can't be trusted: repeating would pay it again
  }
}

function typeOf({ failure, error }: QueryResult): string {
  if (error) return error.code;
  if (failure === "not-offered") return "model_not_found";
  if (failure === undefined) return "incomplete_answer";
  return failure === "no-answer" || failure === "nobody-listens" ? "node_unavailable" : "verification_failed";
}

const detailOf = (result: QueryResult): string => result.detail || result.error?.message || "the answer is not complete";

function failureResponse(result: QueryResult): Response {
  const status = statusOf(result);
  const wait = { "retry-after": `${Math.max(1, Math.ceil((result.error?.retryAfterMs ?? 0) / 1000))}` };
  return jsonResponse(status, errorBody(typeOf(result), detailOf(result)), status === 429 || status === 503 ? wait : {});
}

// ---- What verified offers say -------------------------------------------------------------------

function modelOf({ offer, verdict }: VerifiedOffer): object {
  const prices = Object.fromEntries(Object.entries(offer.prices).map(([unit, amount]) => [unit, amount.toString()]));
  return {
    id: offer.model, object: "model", created: offer.createdAt, owned_by: offer.node, context_length: offer.contextTokens,
    max_output_length: offer.outputTokensMax, pricing: { asset: offer.asset, ...prices },
    verification: { level: verdict.level, tee: offer.tee, simulated: verdict.simulated },
  };
}

async function models(client: Nostril, id: string | undefined): Promise<Response> {
  if (!client.complete) await client.ready(undefined, id);
  const byModel = new Map(client.offers.map((made) => [made.offer.model, made]));
  if (id === undefined) return jsonResponse(200, JSON.stringify({ object: "list", data: [...byModel.values()].map(modelOf) }));
  const made = byModel.get(id);
  return made ? jsonResponse(200, JSON.stringify(modelOf(made))) : jsonResponse(404, errorBody("model_not_found", `no verified node offers the model ${id.slice(0, 128)}`));
}

/** What an application may want to keep: one line of JSON. */
function recordLine({ record, receipt, offer }: QueryResult): string {
  return JSON.stringify({
    node: offer?.offer.node, level: offer?.verdict.level, simulated: offer?.verdict.simulated,
    status: record?.status, cost: record?.cost.toString(), spent: record?.spent.toString(), asset: record?.asset, record: record?.event, receipt,
  });
}

function recordHeaders({ record, offer }: QueryResult): Record<string, string> {
  return {
    ...(record ? { "x-nostril-record": record.id, "x-nostril-cost": `${record.cost} ${record.asset}` } : {}),
    ...(offer ? { "x-nostril-verification": offer.label } : {}),
  };
}

// ---- Requests -----------------------------------------------------------------------------------

interface Asked {
  readonly model: string;
  readonly stream: boolean;
  readonly wantsBase64: boolean;
}

function readBody(bytes: Uint8Array): Asked | undefined {
  try {
    const value: unknown = JSON.parse(utf8Text(bytes) ?? "");
    if (!isRecord(value) || typeof value["model"] !== "string") return undefined;
    return { model: value["model"], stream: value["stream"] === true, wantsBase64: value["encoding_format"] === "base64" };
  } catch {
    return undefined;
  }
}

async function answer(client: Nostril, request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  request.signal.throwIfAborted();
  if (request.method === "GET") {
    const found = /\/models(?:\/(.+))?$/.exec(pathname);
    return found ? models(client, found[1] && decodeURIComponent(found[1])) : jsonResponse(404, errorBody("not_found", "no such path"));
  }
  const body = new Uint8Array(await request.arrayBuffer());
  if (body.length > kBodyBytesMax) return jsonResponse(413, errorBody("too-large", "the body is too large"));
  const asked = readBody(body);
  if (request.method !== "POST" || !asked) return jsonResponse(400, errorBody("invalid_request_error", "POST a JSON object that names a model"));
  return new Exchange(client, asked, pathname + search, body, request.signal).response;
}

/** One request and its Response. */
class Exchange {
  readonly #asked: Asked;
  readonly #ask: Ask;
  readonly #signal: AbortSignal;
  /** At once for the application; the node's last word and its record are waited for in the background. */
  readonly #onAbort = (): void => {
    this.#ask.cancel("the application went away");
    this.#stream?.fail(this.#signal.reason);
    this.#reject(this.#signal.reason);
  };
  readonly response: Promise<Response>;
  #resolve: (response: Response) => void = () => {};
  #reject: (reason: unknown) => void = () => {};
  #offer: VerifiedOffer | undefined;
  #head: ResponseHead | undefined;
  #whole: Uint8Array[] = [];
  #stream: AnswerStream | undefined;

  constructor(client: Nostril, asked: Asked, path: string, body: Uint8Array, signal: AbortSignal) {
    this.#asked = asked;
    this.#signal = signal;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#ask = client.ask({ path, body, model: asked.model }, {
      onOffer: (offer) => { this.#offer = offer; },
      onHead: (head) => this.#onHead(head),
      onData: (bytes) => this.#onData(bytes),
    });
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
    void this.#ask.ended.then((result) => this.#onEnd(result));
  }

  /** Only a good answer to a streamed request is passed on as it comes. */
  #onHead(head: ResponseHead): void {
    this.#head = head;
    if (!this.#asked.stream || head.status !== 200) return;
    this.#stream = new AnswerStream((bytes) => this.#ask.consumed(bytes), () => this.#ask.cancel("the application does not read on"));
    const headers = { "content-type": head.type || "text/event-stream", "cache-control": "no-cache", ...(this.#offer ? { "x-nostril-verification": this.#offer.label } : {}) };
    this.#resolve(new Response(this.#stream.readable, { status: 200, headers }));
  }

  #onData(bytes: Uint8Array): void {
    if (this.#stream) return this.#stream.add(bytes);
    this.#whole.push(bytes);
    this.#ask.consumed(bytes.length);
  }

  #onEnd(result: QueryResult): void {
    this.#signal.removeEventListener("abort", this.#onAbort);
    if (this.#signal.aborted) return;
    if (this.#stream) {
      this.#stream.end(isVerified(result) ? `: nostril-record ${recordLine(result)}\n\n` : undefined, `\n\ndata: ${errorBody(typeOf(result), detailOf(result))}\n\n`);
      return;
    }
    const isAnswer = result.failure === undefined && (result.record?.status === "ok" || result.record?.status === "error");
    if (!isAnswer || !this.#head) return this.#resolve(failureResponse(result));
    const whole = concatBytes(...this.#whole);
    const body = this.#asked.wantsBase64 && this.#head.status === 200 ? embeddingsInBase64(whole) : whole;
    const headers = { ...recordHeaders(result), ...(this.#head.type ? { "content-type": this.#head.type } : {}) };
    this.#resolve(new Response([204, 205, 304].includes(this.#head.status) ? null : body.slice(), { status: this.#head.status, headers }));
  }
}

/** SDKs ask for embeddings in base64 and read nothing else, and some engines give numbers all the same. The record is of the
 * engine's bytes; it was checked before. */
function embeddingsInBase64(bytes: Uint8Array): Uint8Array {
  let value: unknown;
  try {
    value = JSON.parse(utf8Text(bytes) ?? "");
  } catch {
    return bytes;
  }
  const data: unknown = isRecord(value) ? value["data"] : undefined;
  if (!Array.isArray(data) || !data.some((item) => isRecord(item) && Array.isArray(item["embedding"]))) return bytes;
  for (const item of data as unknown[]) {
    if (!isRecord(item) || !Array.isArray(item["embedding"])) continue;
    const floats = new DataView(new ArrayBuffer(item["embedding"].length * 4));
    item["embedding"].forEach((number: unknown, index: number) => floats.setFloat32(index * 4, Number(number), true));
    item["embedding"] = btoa(Array.from(new Uint8Array(floats.buffer), (byte) => String.fromCharCode(byte)).join(""));
  }
  return utf8ToBytes(JSON.stringify(value));
}
