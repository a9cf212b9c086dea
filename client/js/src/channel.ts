// A payer's book of one channel, in integers: spec/06-record.md (meter), 07-receipt.md (what is signed).
import { bigEndian, byteLength, bytesToHex, hexToBytes, isHex, taggedHash, utf8ToBytes } from "./bytes.js";
import { isRecord, kKinds, type Event, type EventDraft } from "./event.js";
import type { Offer, Prices } from "./offer.js";
import type { ResponseRecord, Usage } from "./record.js";
import { kAmountMax, readAmount, RefusedError } from "./tags.js";

const kMillion = 1_000_000n;
const kMicroMax = kAmountMax * kMillion;
const kOpenRequestsMax = 1024;
const kChoicesMax = 128;
const kTemplateTokensMax = 8_192;

/** A record that is sound, but does not fit price, usage or history. Nothing was signed, the book is as it was. */
export class PaymentRefusedError extends RefusedError {
  override name = "PaymentRefusedError";
  constructor(readonly reason: string, readonly early = false) {
    super(`nothing was paid: ${reason}`);
  }
}

export interface ChannelTerms {
  readonly signer: string;
  readonly node: string;
  readonly asset: string;
  /** 16 bytes, hex: tells channels of one signer with one node apart. */
  readonly salt: string;
}

export const channelId = (terms: ChannelTerms): string =>
  bytesToHex(taggedHash("nostril/channel/unsettled/1", hexToBytes(terms.signer), hexToBytes(terms.node), hexToBytes(terms.salt), utf8ToBytes(terms.asset)));

export const firstRunningHash = (channel: string): string => bytesToHex(taggedHash("nostril/channel/start/1", hexToBytes(channel)));

export function nextRunningHash(previous: string, record: Pick<ResponseRecord, "n" | "id" | "cost" | "usage">): string {
  return bytesToHex(taggedHash("nostril/channel/chain/1", hexToBytes(previous), bigEndian(record.n, 8), hexToBytes(record.id),
    bigEndian(record.cost, 16), bigEndian(record.usage.input, 8), bigEndian(record.usage.output, 8)));
}

/** Millionths of a base unit that one request with this usage costs, without the session's price. */
export function charge(prices: Prices, usage: Usage): bigint {
  const price = (unit: keyof Prices): bigint => prices[unit] ?? 0n;
  const seconds = (BigInt(usage.milliseconds) + 999n) / 1000n;
  return BigInt(usage.input - usage.cached) * price("input") + BigInt(usage.cached) * (prices.cached ?? price("input")) +
    BigInt(usage.output) * price("output") + kMillion * (seconds * price("second") + price("request"));
}

export const spentOf = (micro: bigint): bigint => (micro + kMillion - 1n) / kMillion;

function microOf(spent: bigint, remainder: bigint): bigint {
  return (spent - (remainder > 0n ? 1n : 0n)) * kMillion + remainder;
}

// ---- How much may be stated ---------------------------------------------------------------------

function positive(body: Record<string, unknown>, name: string): number | undefined {
  const value = body[name];
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

/** The most that one answer to this body may be billed under this offer, `elapsedMs` after it was first sent. */
export function usageMax(offer: Offer, body: string, elapsedMs: number): Usage {
  const bytes = byteLength(body);
  const input = offer.contextTokens > 0 ? Math.max(offer.contextTokens, bytes) : bytes + kTemplateTokensMax;
  let output = offer.outputTokensMax;
  let choices = 1;
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  if (isRecord(parsed)) {
    for (const name of ["max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict"]) output = Math.min(output, positive(parsed, name) ?? output);
    for (const name of ["n", "best_of"]) choices = Math.max(choices, Math.min(positive(parsed, name) ?? 1, kChoicesMax));
  }
  return { input, cached: input, output: output * choices, milliseconds: elapsedMs + 1000 };
}

const covers = (limit: Usage, usage: Usage): boolean =>
  usage.input <= limit.input && usage.output <= limit.output && usage.milliseconds <= limit.milliseconds;

// ---- Receipts -----------------------------------------------------------------------------------

export interface Receipt {
  readonly event: Event;
  readonly signer: string;
  readonly channel: string;
  readonly amount: bigint;
  readonly runningHash: string;
}

/** Of a genuine event; throws RefusedError. A receipt has exactly one form. */
export function readReceipt(event: Event): Receipt {
  const [d, amount, x, ...more] = event.tags;
  const value = readAmount(amount?.[1] ?? "");
  const good = event.kind === kKinds.receipt && event.content === "" && more.length === 0 &&
    event.created_at >= 1e9 && event.created_at <= 0xffffffff &&
    [d, amount, x].every((tag, index) => tag?.length === 2 && tag[0] === ["d", "amount", "x"][index]) &&
    isHex(d?.[1], 32) && isHex(x?.[1], 32) && value !== undefined && value > 0n;
  if (!good) throw new RefusedError("receipt: another form");
  return { event, signer: event.pubkey, channel: d?.[1] ?? "", amount: value ?? 0n, runningHash: x?.[1] ?? "" };
}

// ---- The book -----------------------------------------------------------------------------------

/** What the payer knows of the answer from its own side. */
export interface ExpectedAnswer {
  readonly offer: string;
  readonly request: string;
  readonly requestHash: string;
  /** Of the bytes that it decrypted. */
  readonly responseHash: string;
  readonly limit: Usage;
}

/** What must outlive the process. Amounts are decimal texts: it is stored as JSON. */
export interface ChannelSnapshot {
  readonly n: number;
  readonly last: string | undefined;
  readonly runningHash: string;
  readonly micro: string;
  readonly sessionCharged: boolean;
}

export class PayerChannel {
  readonly terms: ChannelTerms;
  readonly id: string;
  #n = 0;
  #last: string | undefined;
  #runningHash: string;
  #micro = 0n;
  #sessionCharged = false;
  /** Micro stated already, of answers with partial statements. */
  readonly #stated = new Map<string, bigint>();

  constructor(terms: ChannelTerms, snapshot?: ChannelSnapshot) {
    this.terms = { ...terms };
    this.id = channelId(terms);
    this.#runningHash = snapshot?.runningHash ?? firstRunningHash(this.id);
    if (!snapshot) return;
    this.#n = snapshot.n;
    this.#last = snapshot.last;
    this.#micro = BigInt(snapshot.micro);
    this.#sessionCharged = snapshot.sessionCharged;
  }

  get spent(): bigint { return spentOf(this.#micro); }

  get snapshot(): ChannelSnapshot {
    return { n: this.#n, last: this.#last, runningHash: this.#runningHash, micro: this.#micro.toString(), sessionCharged: this.#sessionCharged };
  }

  /** Judges a record whose signature is right. Gives the receipt to sign, or undefined when nothing is owed yet. The same
   * record again gives the same receipt. Throws PaymentRefusedError; the book has then not moved. */
  pay(record: ResponseRecord, expected: ExpectedAnswer, prices: Prices, budget: bigint, createdAt: number): EventDraft | undefined {
    this.#mustBelong(record, expected);
    if (record.id === this.#last) return this.#receipt(createdAt);
    this.#mustFollow(record);
    const { charged, micro } = this.#meter(record, expected, prices);
    const refuse = (bad: boolean, reason: string): void => { if (bad) throw new PaymentRefusedError(reason); };
    const right = record.spent === spentOf(micro) && record.remainder === micro % kMillion && record.cost === record.spent - this.spent;
    refuse(!right, "the cost is not usage times price");
    refuse(record.spent > budget, "over budget");

    this.#micro = micro;
    this.#sessionCharged = true;
    if (record.status === "partial") this.#stated.set(record.request, charged);
    else this.#stated.delete(record.request);
    this.#n = record.n;
    this.#last = record.id;
    this.#runningHash = nextRunningHash(this.#runningHash, record);
    return this.#receipt(createdAt);
  }

  /** A node that kept more than this payer: adopted only when the receipt is ours, pays exactly that record, and is ahead.
   * Both events are genuine. */
  resync(record: ResponseRecord, receipt: Receipt, previous: string): boolean {
    const ours = receipt.signer === this.terms.signer && receipt.channel === this.id;
    const ahead = record.node === this.terms.node && record.channel === this.id && record.asset === this.terms.asset && record.n > this.#n;
    if (!ours || !ahead || receipt.amount !== record.spent || receipt.runningHash !== nextRunningHash(previous, record)) return false;
    this.#n = record.n;
    this.#last = record.id;
    this.#runningHash = receipt.runningHash;
    this.#micro = microOf(record.spent, record.remainder);
    this.#sessionCharged = true;
    this.#stated.clear();
    return true;
  }

  #mustBelong(record: ResponseRecord, expected: ExpectedAnswer): void {
    const same: [boolean, string][] = [
      [record.node === this.terms.node, "another node"],
      [record.channel === this.id, "another channel"],
      [record.asset === this.terms.asset, "another asset"],
      [record.offer === expected.offer, "another offer"],
      [record.request === expected.request && record.requestHash === expected.requestHash, "another request"],
      [record.responseHash === expected.responseHash, "another response"],
    ];
    for (const [good, reason] of same) if (!good) throw new PaymentRefusedError(reason);
  }

  #mustFollow(record: ResponseRecord): void {
    if (record.n <= this.#n) throw new PaymentRefusedError("its number was used");
    if (record.n > this.#n + 1) throw new PaymentRefusedError("a statement before it has not come", true);
    if (record.previous !== this.#last) throw new PaymentRefusedError("follows another statement");
  }

  #meter(record: ResponseRecord, expected: ExpectedAnswer, prices: Prices): { charged: bigint; micro: bigint } {
    if (!covers(expected.limit, record.usage)) throw new PaymentRefusedError("more was stated than the request can have used");
    const charged = charge(prices, record.usage);
    const before = this.#stated.get(record.request);
    if (charged < (before ?? 0n)) throw new PaymentRefusedError("usage fell");
    if (record.status === "partial" && before === undefined && this.#stated.size >= kOpenRequestsMax) throw new PaymentRefusedError("too many requests are open");
    const session = this.#sessionCharged ? 0n : kMillion * (prices.session ?? 0n);
    const micro = this.#micro + charged - (before ?? 0n) + session;
    if (micro > kMicroMax) throw new PaymentRefusedError("overflow");
    return { charged, micro };
  }

  #receipt(createdAt: number): EventDraft | undefined {
    if (this.spent === 0n) return undefined;
    return { kind: kKinds.receipt, created_at: createdAt, tags: [["d", this.id], ["amount", this.spent.toString()], ["x", this.#runningHash]], content: "" };
  }
}
