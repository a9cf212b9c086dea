// Finds a node for a model and asks it: the cheapest verified offer, random among equals; another node, or the same one again
// under the same request id, as long as no byte of an answer has come.
import { bytesToHex, randomBytes } from "./bytes.js";
import type { OfferBook } from "./offer_book.js";
import type { Offer } from "./offer.js";
import { Query, type QueryCallbacks, type QueryResult } from "./query.js";
import type { RelayPool } from "./relay_pool.js";
import type { VerifiedOffer } from "./verdict.js";
import type { Wallet } from "./wallet.js";

export const kAsk = {
  triesMax: 3,
  offerWaitMs: 10_000, ///< for a usable offer, when no relay has answered or the verifier has not
  modelWaitMs: 2_000, ///< for an offer of this model, when all that is there was judged
  retryMs: 500,
  retryAfterMsMax: 10_000, ///< a node that wants a longer pause is not waited for
} as const;

export interface AskRequest {
  /** As the engine's HTTP API has it: "/v1/chat/completions". */
  readonly path: string;
  readonly method?: string | undefined;
  readonly contentType?: string | undefined;
  readonly body: Uint8Array;
  readonly model: string;
  /** Sends no byte of the body before a node has accepted: forward secret at once, for one round trip. */
  readonly holdBody?: boolean | undefined;
}

export interface AskCallbacks extends QueryCallbacks {
  /** A node was chosen; its evidence has passed. Nothing has been sent yet. Again for each retry. */
  onOffer?(offer: VerifiedOffer): void;
}

/** What a million tokens in and a million out, and a request, would cost: good enough to rank by. */
const rank = ({ prices }: Offer): bigint => (prices.input ?? 0n) + (prices.output ?? 0n) + (prices.request ?? 0n);

function isWorthAnotherTry({ failure, error }: QueryResult): boolean {
  if (failure === "nobody-listens" || failure === "not-taken" || failure === "no-answer") return true;
  return failure === "refused" && error?.retryable === true;
}

export class Ask {
  readonly #book: OfferBook;
  readonly #pool: RelayPool;
  readonly #wallet: Wallet;
  readonly #request: AskRequest;
  readonly #callbacks: AskCallbacks;
  readonly #id = bytesToHex(randomBytes(16));
  readonly #tried = new Set<string>();
  readonly #notBeforeMs = new Map<string, number>();
  readonly #earlier: VerifiedOffer[] = [];
  #query: Query | undefined;
  #bytesCame = false;
  #cancelReason: string | undefined;
  #wake: () => void = () => {};
  readonly ended: Promise<QueryResult>;

  constructor(book: OfferBook, pool: RelayPool, wallet: Wallet, request: AskRequest, callbacks: AskCallbacks = {}) {
    this.#book = book;
    this.#pool = pool;
    this.#wallet = wallet;
    this.#request = request;
    this.#callbacks = callbacks;
    this.ended = this.#run().catch((error: unknown) => ({ failure: "broken", detail: error instanceof Error ? error.message : "failed" }));
  }

  /** Stops the engine. `ended` still comes, with the record of what was used. */
  cancel(reason: string): void {
    this.#cancelReason ??= reason;
    this.#query?.cancel(reason);
    this.#wake();
  }

  drop(): void {
    this.cancel("closed");
    this.#query?.drop();
  }

  /** Data of this many bytes was passed on: the node may send as many more. */
  consumed(bytes: number): void { this.#query?.consumed(bytes); }

  async #run(): Promise<QueryResult> {
    await Promise.resolve(); // so that the caller has the object before anything is called back
    const firstSentAtMs = performance.now();
    let last: QueryResult | undefined;
    for (let tries = 0; tries < kAsk.triesMax; ++tries) {
      const offer = await this.#anOffer();
      if (this.#cancelReason !== undefined) return { failure: "no-answer", detail: this.#cancelReason };
      if (!offer) return last ?? { failure: this.#book.usable.length > 0 ? "not-offered" : "no-answer", detail: this.#whyNoOffer() };
      last = await this.#try(offer, firstSentAtMs);
      const pauses = this.#candidates().map((made) => this.#pauseMs(made));
      const waitMs = Math.max(kAsk.retryMs, pauses.length > 0 ? Math.min(...pauses) : 0);
      const again = !this.#bytesCame && this.#cancelReason === undefined && isWorthAnotherTry(last) && waitMs <= kAsk.retryAfterMsMax;
      if (!again) return last;
      await this.#pause(waitMs);
    }
    return last ?? { failure: "no-answer", detail: this.#whyNoOffer() };
  }

  async #try(offer: VerifiedOffer, firstSentAtMs: number): Promise<QueryResult> {
    this.#tried.add(offer.offer.node);
    this.#callbacks.onOffer?.(offer);
    const { path, method = "POST", contentType = "application/json", body, holdBody } = this.#request;
    const request = { request: this.#id, method, path, headers: [["content-type", contentType]] as const, body, holdBody, firstSentAtMs,
      earlierOffers: this.#earlier.map((made) => made.offer) };
    this.#earlier.push(offer);
    this.#query = new Query(this.#pool, this.#wallet, offer, request, {
      ...this.#callbacks,
      onData: (bytes) => {
        this.#bytesCame = true;
        this.#callbacks.onData?.(bytes);
      },
    });
    if (this.#cancelReason !== undefined) this.#query.cancel(this.#cancelReason);
    const result = await this.#query.ended;
    this.#query = undefined;
    if (result.error?.retryAfterMs) this.#notBeforeMs.set(offer.offer.node, performance.now() + result.error.retryAfterMs);
    return result;
  }

  #candidates(): VerifiedOffer[] { return this.#book.usable.filter(({ offer }) => offer.model === this.#request.model); }

  #pauseMs({ offer }: VerifiedOffer): number { return Math.max(0, (this.#notBeforeMs.get(offer.node) ?? 0) - performance.now()); }

  /** The cheapest; a node that was tried already only when there is no other. */
  #choose(): VerifiedOffer | undefined {
    const ready = this.#candidates().filter((made) => this.#pauseMs(made) === 0);
    const fresh = ready.filter(({ offer }) => !this.#tried.has(offer.node));
    const pool = fresh.length > 0 ? fresh : ready;
    const ranks = pool.map(({ offer }) => rank(offer));
    const least = ranks.reduce<bigint | undefined>((least, value) => (least === undefined || value < least ? value : least), undefined);
    const best = pool.filter((_, index) => ranks[index] === least);
    return best[Math.floor(Math.random() * best.length)];
  }

  /** The best offer now, or as soon as there is one; undefined when it is waited for in vain. */
  async #anOffer(): Promise<VerifiedOffer | undefined> {
    const sinceMs = performance.now();
    for (;;) {
      const offer = this.#choose();
      if (offer || this.#cancelReason !== undefined) return offer;
      const limitMs = this.#book.complete ? kAsk.modelWaitMs : kAsk.offerWaitMs;
      const leftMs = sinceMs + limitMs - performance.now();
      if (leftMs <= 0) return undefined;
      await this.#pause(leftMs, true);
    }
  }

  #pause(ms: number, untilOffers = false): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      const timer = setTimeout(end, ms);
      const stop = untilOffers ? this.#book.onChange(end) : () => {};
      this.#wake = end;
    });
  }

  #whyNoOffer(): string {
    const what = `no node offers the model ${this.#request.model.slice(0, 128)}`;
    const refused = this.#book.rejected.map(({ offer, reason }) => `an offer of ${offer.model} was refused: ${reason}`);
    return [what, ...refused.slice(0, 8), ...this.#pool.problems].join("; ");
  }
}
