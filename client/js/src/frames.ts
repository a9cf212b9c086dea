// What travels inside sealed frames: one line of JSON each, spec/05-session.md. Reading is strict: a member that misses or
// is out of its bounds refuses the frame; unknown members are ignored.
import { base64Bytes, base64Of, byteLength, isHex, utf8Text, utf8ToBytes } from "./bytes.js";
import { isRecord, kKinds, readEvent, type Event } from "./event.js";
import { parseStrictJson } from "./strict_json.js";
import { must } from "./tags.js";

export const kFrameTextBytesMax = 10_240;
export const kFrameDataBytesMax = 7_168;
export const kOpenBodyBytesMax = 5_120;
export const kAckRangesMax = 32;
const kEventBytesMax = 6_144;

export const kErrorCodes = {
  "bad-request": 400, "not-found": 404, "too-large": 413, "unknown-offer": 404, "key-expired": 409, "payment-required": 402,
  "bad-receipt": 402, busy: 503, "rate-limited": 429, timeout: 504, "engine-died": 502, "engine-refused": 400, protocol: 400,
  internal: 500,
} as const;
export type ErrorCode = keyof typeof kErrorCodes;

export interface ResponseHead {
  readonly status: number;
  readonly type: string;
}

export interface OpenFrame {
  readonly t: "open";
  readonly request: string;
  readonly offer: string;
  readonly attestation: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly bodyBytes: number;
  /** The body's beginning. */
  readonly body: Uint8Array;
  readonly durable: boolean;
  readonly payment?: { readonly signer: string; readonly salt: string } | undefined;
  readonly credit: number;
}

export interface Resync {
  readonly record: Event;
  readonly receipt: Event;
  readonly previous: string;
}

export interface AcceptFrame {
  readonly t: "accept";
  readonly request: string;
  readonly session: string;
  readonly queue: number;
  readonly credit: number;
  readonly resync?: Resync | undefined;
}

export interface DataFrame { readonly t: "data"; readonly head?: ResponseHead | undefined; readonly bytes: Uint8Array }
export interface ProgressFrame { readonly t: "progress"; readonly stage: "queued" | "prefill" | "generating"; readonly position: number }
export type FrameRange = readonly [first: number, last: number];
export interface AckFrame { readonly t: "ack" | "resume"; readonly upto: number; readonly missing: readonly FrameRange[]; readonly credit: number; readonly ask?: boolean }
export interface CreditFrame { readonly t: "credit"; readonly credit: number }
export interface CheckpointFrame { readonly t: "checkpoint"; readonly bytes: number; readonly hash: string; readonly input: number; readonly cached: number; readonly output: number }
export interface CancelFrame { readonly t: "cancel"; readonly reason: string }
export interface RecordFrame { readonly t: "need-receipt" | "end"; readonly record: Event }
export interface ReceiptFrame { readonly t: "receipt"; readonly receipt: Event }
export interface ErrorFrame { readonly t: "error"; readonly code: ErrorCode; readonly retryable: boolean; readonly retryAfterMs: number; readonly message: string; readonly final: boolean }

export type Frame = OpenFrame | AcceptFrame | DataFrame | ProgressFrame | AckFrame | CreditFrame | CheckpointFrame | CancelFrame |
  RecordFrame | ReceiptFrame | ErrorFrame;

/** Progress, ack, credit and resume repeat the number of the sender's last numbered frame; they are never repaired. */
export const takesNumber = (frame: Frame): boolean => !["progress", "ack", "credit", "resume"].includes(frame.t);

// ---- Writing ------------------------------------------------------------------------------------

/** As text when it is UTF-8 and about as short, else in base64. */
function bytesMember(bytes: Uint8Array, textKey: string, base64Key: string): Record<string, string> {
  const text = utf8Text(bytes);
  const isShort = text !== undefined && byteLength(JSON.stringify(text)) <= Math.ceil(bytes.length / 3) * 4 + 10;
  return isShort ? { [textKey]: text } : { [base64Key]: base64Of(bytes) };
}

function openMembers(frame: OpenFrame): object {
  const { request, offer, attestation, method, path, headers, durable, credit } = frame;
  return { request, offer, attestation, method, path, headers, body_bytes: frame.bodyBytes, ...bytesMember(frame.body, "body", "body64"),
    durable, features: [], ...frame.payment, credit };
}

function members(frame: Frame): object {
  switch (frame.t) {
    case "open": return openMembers(frame);
    case "accept": return { request: frame.request, session: frame.session, features: [], queue: frame.queue, credit: frame.credit, ...frame.resync };
    case "data": return { ...frame.head, ...bytesMember(frame.bytes, "text", "base64") };
    case "error": {
      const { code, retryable, retryAfterMs, message, final } = frame;
      return { code, retryable, retry_after_ms: retryAfterMs, message, final };
    }
    case "ack": case "resume": {
      const { upto, missing, credit } = frame;
      return { upto, missing, credit, ...(frame.ask ? { ask: true } : {}) };
    }
    default: {
      const { t: _, ...rest } = frame;
      return rest;
    }
  }
}

/** One line: "t" and "n" first, then the type's members in the order of spec/05-session.md. */
export function printFrame(n: number, frame: Frame): string {
  const text = JSON.stringify({ t: frame.t, n, ...members(frame) });
  if (byteLength(text) > kFrameTextBytesMax) throw new Error(`a frame ${frame.t} is too large`);
  return text;
}

// ---- Reading ------------------------------------------------------------------------------------

const kPrintable = /^[ -~]*$/;
const kStages = ["queued", "prefill", "generating"] as const;

class MemberReader {
  readonly #members: Record<string, unknown>;

  constructor(object: Record<string, unknown>) { this.#members = object; }

  has(name: string): boolean { return Object.hasOwn(this.#members, name); }

  value(name: string): unknown {
    must(this.has(name), `frame: no ${name}`);
    return this.#members[name];
  }

  text(name: string, bytesMax: number): string {
    const value = this.value(name);
    must(typeof value === "string" && value.length <= bytesMax && byteLength(value) <= bytesMax, `frame: bad ${name}`);
    return value;
  }

  printable(name: string, bytesMax: number): string {
    const value = this.text(name, bytesMax);
    must(kPrintable.test(value), `frame: bad ${name}`);
    return value;
  }

  number(name: string, max: number = Number.MAX_SAFE_INTEGER): number { return checkedNumber(this.value(name), max, name); }

  boolean(name: string): boolean {
    const value = this.value(name);
    must(typeof value === "boolean", `frame: bad ${name}`);
    return value;
  }

  hex(name: string, bytes: number): string {
    const value = this.value(name);
    must(isHex(value, bytes), `frame: bad ${name}`);
    return value;
  }

  list(name: string, countMax: number): readonly unknown[] {
    const value = this.value(name);
    must(Array.isArray(value) && value.length <= countMax, `frame: bad ${name}`);
    return value;
  }

  bytes(textKey: string, base64Key: string, bytesMax: number): Uint8Array {
    must(this.has(textKey) !== this.has(base64Key), `frame: ${textKey} or ${base64Key}`);
    const bytes = this.has(textKey) ? textBytes(this.text(textKey, bytesMax)) : base64Bytes(this.text(base64Key, kFrameTextBytesMax));
    must(bytes && bytes.length <= bytesMax, `frame: bad ${textKey}`);
    return bytes;
  }

  event(name: string, kind: number): Event {
    const value = this.value(name);
    const event = readEvent(value);
    must(event && event.kind === kind && byteLength(JSON.stringify(event)) <= kEventBytesMax, `frame: bad ${name}`);
    return event;
  }
}

function checkedNumber(value: unknown, max: number, name: string): number {
  must(typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max, `frame: bad ${name}`);
  return value;
}

/** Half a surrogate pair is no text: it would be hashed as another character than was sent. */
function textBytes(text: string): Uint8Array | undefined {
  const bytes = utf8ToBytes(text);
  return utf8Text(bytes) === text ? bytes : undefined;
}

function readRanges(r: MemberReader): FrameRange[] {
  const ranges: FrameRange[] = [];
  for (const item of r.list("missing", kAckRangesMax)) {
    must(Array.isArray(item) && item.length === 2, "frame: bad missing");
    const first = checkedNumber(item[0], Number.MAX_SAFE_INTEGER, "missing");
    const last = checkedNumber(item[1], Number.MAX_SAFE_INTEGER, "missing");
    must(first <= last && first > (ranges.at(-1)?.[1] ?? -1), "frame: bad missing");
    ranges.push([first, last]);
  }
  return ranges;
}

function readNoFeatures(r: MemberReader): void {
  must(r.list("features", 16).length === 0, "frame: an unknown feature");
}

function readOpen(r: MemberReader): OpenFrame {
  const headers = r.list("headers", 16).map((item): [string, string] => {
    must(Array.isArray(item) && item.length === 2 && item.every((part) => typeof part === "string"), "frame: bad headers");
    return [String(item[0]), String(item[1])];
  });
  readNoFeatures(r);
  const payment = r.has("signer") || r.has("salt") ? { signer: r.hex("signer", 32), salt: r.hex("salt", 16) } : undefined;
  const frame: OpenFrame = {
    t: "open", request: r.hex("request", 16), offer: r.hex("offer", 32), attestation: r.hex("attestation", 32), method: r.text("method", 8),
    path: r.text("path", 256), headers, bodyBytes: r.number("body_bytes"), body: r.bytes("body", "body64", kOpenBodyBytesMax),
    durable: r.boolean("durable"), payment, credit: r.number("credit"),
  };
  must(isSendable(frame), "frame: bad open");
  return frame;
}

/** Method, path, headers and sizes are within what a frame carries. */
export function isSendable(frame: OpenFrame): boolean {
  const goodHeader = ([name, value]: readonly [string, string]): boolean =>
    /^[a-z0-9-]{1,64}$/.test(name) && value.length <= 256 && kPrintable.test(value);
  const headerBytes = frame.headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  return /^[A-Z]{1,8}$/.test(frame.method) && /^\/[ -~]{0,255}$/.test(frame.path) && frame.headers.length <= 16 && headerBytes <= 1024 &&
    frame.headers.every(goodHeader) && frame.body.length <= kOpenBodyBytesMax && frame.body.length <= frame.bodyBytes;
}

function readAccept(r: MemberReader): AcceptFrame {
  readNoFeatures(r);
  const resync = ["record", "receipt", "previous"].some((name) => r.has(name)) ?
    { record: r.event("record", kKinds.record), receipt: r.event("receipt", kKinds.receipt), previous: r.hex("previous", 32) } : undefined;
  return { t: "accept", request: r.hex("request", 16), session: r.hex("session", 32), queue: r.number("queue"), credit: r.number("credit"), resync };
}

function readData(r: MemberReader): DataFrame {
  let head: ResponseHead | undefined;
  if (r.has("status") || r.has("type")) {
    head = { status: r.number("status", 599), type: r.printable("type", 128) };
    must(head.status >= 200, "frame: bad status");
  }
  return { t: "data", head, bytes: r.bytes("text", "base64", kFrameDataBytesMax) };
}

function readProgress(r: MemberReader): ProgressFrame {
  const stage = kStages.find((word) => word === r.text("stage", 16));
  must(stage, "frame: bad stage");
  return { t: "progress", stage, position: r.number("position") };
}

function readError(r: MemberReader): ErrorFrame {
  const code = r.text("code", 32);
  must(Object.hasOwn(kErrorCodes, code), "frame: bad code");
  return { t: "error", code: code as ErrorCode, retryable: r.boolean("retryable"), retryAfterMs: r.number("retry_after_ms", 86_400_000),
    message: r.printable("message", 512), final: r.boolean("final") };
}

function readCheckpoint(r: MemberReader): CheckpointFrame {
  const input = r.number("input", 2 ** 40);
  return { t: "checkpoint", bytes: r.number("bytes"), hash: r.hex("hash", 32), input, cached: r.number("cached", input), output: r.number("output", 2 ** 40) };
}

function readAck(r: MemberReader, t: "ack" | "resume"): AckFrame {
  return { t, upto: r.number("upto"), missing: readRanges(r), credit: r.number("credit"), ...(r.has("ask") ? { ask: r.boolean("ask") } : {}) };
}

const kReaders: Readonly<Record<string, (r: MemberReader) => Frame>> = {
  open: readOpen, accept: readAccept, data: readData, progress: readProgress, error: readError, checkpoint: readCheckpoint,
  ack: (r) => readAck(r, "ack"), resume: (r) => readAck(r, "resume"),
  credit: (r) => ({ t: "credit", credit: r.number("credit") }),
  cancel: (r) => ({ t: "cancel", reason: r.text("reason", 512) }),
  "need-receipt": (r) => ({ t: "need-receipt", record: r.event("record", kKinds.record) }),
  end: (r) => ({ t: "end", record: r.event("record", kKinds.record) }),
  receipt: (r) => ({ t: "receipt", receipt: r.event("receipt", kKinds.receipt) }),
};

export interface NumberedFrame { readonly n: number; readonly frame: Frame }

/** Throws RefusedError. */
export function parseFrame(text: string): NumberedFrame {
  must(byteLength(text) <= kFrameTextBytesMax, "frame: too large");
  const object = parseStrictJson(text);
  must(isRecord(object), "frame: no JSON object");
  const r = new MemberReader(object);
  const type = r.text("t", 16);
  const n = r.number("n");
  const read = Object.hasOwn(kReaders, type) ? kReaders[type] : undefined;
  must(read, "frame: unknown type");
  return { n, frame: read(r) };
}
