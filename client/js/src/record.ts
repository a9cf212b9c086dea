// Response records (1471): spec/06-record.md. What a node signs about one answer.
import { isRecord, kKinds, type Event } from "./event.js";
import type { Offer } from "./offer.js";
import { kTokensMax, TagReader } from "./tags.js";
import { byteLength } from "./bytes.js";

export const kStatuses = ["ok", "partial", "cancelled", "client-lost", "unpaid", "error", "engine-died"] as const;
export type RecordStatus = (typeof kStatuses)[number];

export interface Usage {
  readonly input: number;
  /** The part of `input` that came from a prefix cache. */
  readonly cached: number;
  readonly output: number;
  readonly milliseconds: number;
}

export interface ResponseRecord {
  readonly event: Event;
  readonly id: string;
  readonly node: string;
  readonly request: string;
  readonly requestHash: string;
  readonly responseHash: string;
  readonly offer: string;
  readonly attestation: string;
  readonly model: string;
  readonly weights: string | undefined;
  readonly engine: string;
  readonly engineVersion: string;
  /** JSON text of seed and parameters; undefined when not stated. */
  readonly sampling: string | undefined;
  readonly usage: Usage;
  readonly channel: string;
  /** Number of this statement in its channel, from 1. */
  readonly n: number;
  readonly previous: string | undefined;
  readonly asset: string;
  readonly cost: bigint;
  readonly spent: bigint;
  readonly remainder: bigint;
  readonly status: RecordStatus;
  readonly finish: string;
}

function readUsage(reader: TagReader): Usage {
  const tag = reader.exactly("usage", 5);
  const number = (index: number): number => reader.checkedNumber(reader.element(tag, index), kTokensMax);
  const usage = { input: number(1), cached: number(2), output: number(3), milliseconds: number(4) };
  reader.must(usage.cached <= usage.input, "more is cached than there is input");
  return usage;
}

function readMoney(reader: TagReader) {
  const channel = reader.exactly("channel", 3);
  const cost = reader.exactly("cost", 3);
  const spent = reader.exactly("spent", 3);
  const money = {
    channel: reader.checkedHex(reader.element(channel, 1), 32), n: reader.checkedNumber(reader.element(channel, 2), kTokensMax),
    previous: reader.optionalHex("previous"),
    cost: reader.amount(reader.element(cost, 1)), asset: reader.checkedName(reader.element(cost, 2), 96),
    spent: reader.amount(reader.element(spent, 1)), remainder: BigInt(reader.checkedNumber(reader.element(spent, 2), 999_999)),
  };
  reader.must(money.n > 0 && (money.n === 1) === (money.previous === undefined), "the first statement alone has none before it");
  reader.must(money.cost <= money.spent, "more cost than spent");
  return money;
}

function readStatus(reader: TagReader): { status: RecordStatus; finish: string } {
  const tag = reader.exactly("status", 3);
  const status = kStatuses.find((word) => word === tag[1]);
  const finish = reader.element(tag, 2);
  reader.must(status && byteLength(finish) <= 64, "bad tag status");
  return { status, finish };
}

/** Of a genuine event; throws RefusedError. */
export function readRecord(event: Event): ResponseRecord {
  const reader: TagReader = new TagReader(event, kKinds.record, "record");
  reader.must(event.content === "", "content is not empty");
  const engine = reader.exactly("engine", 3);
  const sampling = reader.optional("sampling");
  const time = reader.exactly("time", 4);
  for (const index of [1, 2, 3]) reader.time(reader.element(time, index));
  return {
    event, id: event.id, node: event.pubkey, request: reader.hex("request", 16), requestHash: reader.hex("request-hash", 32),
    responseHash: reader.hex("response-hash", 32), offer: reader.hex("offer", 32), attestation: reader.hex("attestation", 32),
    model: reader.text("model", 128), weights: reader.optionalHex("weights"),
    engine: reader.checkedText(reader.element(engine, 1), 64), engineVersion: reader.checkedText(reader.element(engine, 2), 64),
    sampling: sampling && reader.checkedText(reader.element(sampling, 1), 1024),
    usage: readUsage(reader), ...readMoney(reader), ...readStatus(reader),
  };
}

// ---- Seed and sampling --------------------------------------------------------------------------

const kSeedMax = 0xfffffffe; // -1 and 2^32 - 1 mean "any" to some engines
const kParameters = ["temperature", "top_p", "top_k", "min_p", "typical_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "repeat_penalty"];

/** The offer promises a record of seed and sampling for every answer. */
export const recordsSampling = (offer: Offer): boolean => offer.features.includes("seed");

const isSeed = (value: unknown): value is number => typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= kSeedMax;

/** `sampling` is what an honest node states of an answer to this body. The body's own spelling of a number can't be
 * read back from parsed JSON, so numbers are compared as numbers, member by member and in their order. */
export function samplingSuits(sampling: string | undefined, body: string): boolean {
  let stated: unknown;
  let asked: unknown;
  try {
    stated = JSON.parse(sampling ?? "");
    asked = JSON.parse(body);
  } catch {
    return false;
  }
  if (!isRecord(stated) || !isRecord(asked) || !isSeed(stated["seed"])) return false;
  const seed = asked["seed"] ?? -1;
  if (typeof seed !== "number" || !Number.isInteger(seed) || seed > kSeedMax) return false;
  if (seed >= 0 && seed !== stated["seed"]) return false;
  const named = kParameters.filter((name) => asked[name] !== undefined && asked[name] !== null);
  const expected = ["seed", ...named];
  return Object.keys(stated).join() === expected.join() && named.every((name) => typeof asked[name] === "number" && stated[name] === asked[name]);
}
