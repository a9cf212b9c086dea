// One query: the pure session, its subscription, its timer, and the money at its end.
import { utf8Text } from "./bytes.js";
import { PaymentRefusedError, usageMax } from "./channel.js";
import { kKinds, type Event } from "./event.js";
import type { ErrorFrame, ProgressFrame, ResponseHead, Resync } from "./frames.js";
import type { Offer } from "./offer.js";
import { recordsSampling, samplingSuits, type ResponseRecord } from "./record.js";
import type { PublishResult, RelayPool } from "./relay_pool.js";
import { ClientSession, type Moment, type SessionNote, type SessionRequest } from "./session.js";
import { RefusedError } from "./tags.js";
import type { VerifiedOffer } from "./verdict.js";
import type { Ticket, Wallet } from "./wallet.js";

/** First frames that found no listener before the query gives up: a node that reconnects needs one repeat. */
const kMutedTriesMax = 2;
/** How long a node may be away from the relays in the middle of an answer, and how often it is looked for. */
const kAwayMsMax = 5_000;
const kLookMs = 1_000;
/** How long an ended query stays to see its receipt acknowledged. */
const kReceiptWaitMs = 3_000;

export type QueryFailure =
  | "not-offered" ///< nodes offer other models only
  | "nobody-listens" ///< no relay knows anybody who listens to the node's key
  | "not-taken" ///< the relays refuse the request itself
  | "no-answer" ///< the node did not accept, or fell silent
  | "refused" ///< the node said no: `error`
  | "broken" ///< the session's rules, or the record's signature and hashes, were violated
  | "not-payable" ///< the record does not fit price, usage or history; nothing was paid
  | "storage"; ///< the receipt could not be stored or signed; nothing was paid

/** How a query ended. With a record: its signature, author, hashes, offer and request were checked. */
export interface QueryResult {
  readonly failure?: QueryFailure | undefined;
  /** A sentence for the user. */
  readonly detail: string;
  readonly error?: ErrorFrame | undefined;
  readonly record?: ResponseRecord | undefined;
  /** None when nothing is owed. */
  readonly receipt?: Event | undefined;
  readonly offer?: VerifiedOffer | undefined;
}

/** The engine's whole answer, recorded and paid. */
export const isVerified = (result: QueryResult): boolean => result.failure === undefined && result.record?.status === "ok";

export interface QueryCallbacks {
  onHead?(head: ResponseHead): void;
  /** Exact response bytes, in order. Call Query.consumed() when they are passed on. */
  onData?(bytes: Uint8Array): void;
  onProgress?(progress: ProgressFrame): void;
}

export interface QueryRequest extends Omit<SessionRequest, "payment"> {
  /** When it was sent first, on performance.now(). */
  readonly firstSentAtMs: number;
}

const now = (): Moment => ({ ms: performance.now(), unixS: Math.floor(Date.now() / 1000) });

export class Query {
  readonly #pool: RelayPool;
  readonly #wallet: Wallet;
  readonly #offer: VerifiedOffer;
  readonly #request: QueryRequest;
  readonly #callbacks: QueryCallbacks;
  #resolve: (result: QueryResult) => void = () => {};
  readonly ended: Promise<QueryResult>;

  #session: ClientSession | undefined;
  #ticket: Ticket | undefined;
  #unsubscribe: () => void = () => {};
  #stopListening: () => void = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;
  #cancelReason: string | undefined;
  #subscribed = false;
  readonly #readyRelays = new Set<string>();
  #relayCameBack = false;
  #accepted = false;
  #settled = false;
  #recordCame = false;
  #muted = 0;
  #awaySinceMs: number | undefined;
  #lookAtMs = Infinity;
  #problems: readonly string[] = [];
  #error: ErrorFrame | undefined;
  /** Waits for its receipt to arrive. */
  #result: QueryResult | undefined;
  #lingerUntilMs = Infinity;
  #paying: Promise<void> = Promise.resolve();

  constructor(pool: RelayPool, wallet: Wallet, offer: VerifiedOffer, request: QueryRequest, callbacks: QueryCallbacks) {
    this.#pool = pool;
    this.#wallet = wallet;
    this.#offer = offer;
    this.#request = request;
    this.#callbacks = callbacks;
    this.ended = new Promise((resolve) => { this.#resolve = resolve; });
    this.#begin().catch((error: unknown) => {
      const failure = error instanceof RefusedError ? "broken" : "storage";
      this.#end({ failure, detail: error instanceof Error ? error.message : "failed" });
    });
  }

  cancel(reason: string): void {
    this.#cancelReason = reason;
    if (!this.#session || this.#result || this.#over) return;
    this.#session.cancel(reason, now());
    this.#drive();
  }

  /** Ends it here and now, without the node's last word. */
  drop(): void { this.#end({ failure: "no-answer", detail: "closed" }); }

  consumed(bytes: number): void {
    if (this.#over) return;
    this.#session?.consumed(bytes, now());
    this.#drive();
  }

  async #begin(): Promise<void> {
    this.#ticket = await this.#wallet.open(this.#offer.offer);
    if (this.#over) return this.#release();
    const { firstSentAtMs: _, ...request } = this.#request;
    const session = new ClientSession(this.#offer, { ...request, payment: { signer: this.#ticket.signer, salt: this.#ticket.salt } }, now());
    this.#session = session;
    if (this.#cancelReason !== undefined) session.cancel(this.#cancelReason, now());
    this.#unsubscribe = this.#pool.subscribe([{ kinds: [kKinds.frame], "#p": [session.clientKey] }], {
      onEvent: (event) => {
        this.#awaySinceMs = undefined;
        session.onEvent(event, now());
        this.#drive();
      },
      onStoredEnd: (relay) => this.#onSubscribed(relay),
      onClosed: (relay, reason) => { this.#problems = [...this.#problems, `${relay}: ${reason}`]; },
    }, { unsigned: true });
    this.#stopListening = this.#pool.onLost(() => { if (this.#accepted && !this.#result) this.#pool.addNamed(this.#offer.offer.relays); });
    this.#drive();
  }

  /** The first time: nothing may leave before, because an ephemeral answer would find nobody. Later: a relay came back. */
  #onSubscribed(relay: string): void {
    this.#relayCameBack ||= this.#readyRelays.has(relay);
    this.#readyRelays.add(relay);
    if (this.#subscribed) this.#session?.resume(now());
    this.#subscribed = true;
    this.#drive();
  }

  #drive(): void {
    const session = this.#session;
    if (!session || this.#over) return;
    for (let note = session.nextNote(); note && !this.#over; note = session.nextNote()) this.#handle(session, note);
    if (this.#over) return;
    if (this.#subscribed) this.#publish(session.takeEvents(now()));
    if (this.#result && (session.drained || performance.now() >= this.#lingerUntilMs)) return this.#end(this.#result);
    this.#armTimer(session);
  }

  #publish(events: readonly Event[]): void {
    for (const event of events) void this.#pool.publish(event).then((result) => this.#onPublished(result));
  }

  #onPublished(result: PublishResult): void {
    if (result.accepted || this.#over) return;
    this.#problems = result.refusals;
    if (!result.refused || this.#result) return;
    if (result.nobodyListens) this.#pool.addNamed(this.#offer.offer.relays);
    if (this.#accepted) {
      if (result.nobodyListens) this.#onNodeAway();
    } else if (!result.nobodyListens) {
      this.#end({ failure: "not-taken", detail: this.#explain("the relays refuse the request") });
    } else if (++this.#muted >= kMutedTriesMax) {
      this.#end({ failure: "nobody-listens", detail: this.#explain("the node is not connected to these relays") });
    }
  }

  /** It answered before, and nobody listens to the session's key now. */
  #onNodeAway(): void {
    if (this.#relayCameBack || this.#pool.connectedCount < this.#readyRelays.size) return;
    const nowMs = performance.now();
    this.#awaySinceMs ??= nowMs;
    if (nowMs - this.#awaySinceMs >= kAwayMsMax) return this.#end({ failure: "nobody-listens", detail: this.#explain("the node left in the middle of its answer") });
    this.#lookAtMs = nowMs + kLookMs;
    if (this.#session) this.#armTimer(this.#session);
  }

  #armTimer(session: ClientSession): void {
    clearTimeout(this.#timer);
    const dueMs = Math.min(session.nextTimerMs, this.#lingerUntilMs, this.#lookAtMs);
    if (dueMs === Infinity) return;
    this.#timer = setTimeout(() => {
      if (performance.now() >= this.#lookAtMs) {
        this.#lookAtMs = Infinity;
        if (this.#awaySinceMs !== undefined) session.resume(now());
      }
      session.onTimer(now());
      this.#drive();
    }, Math.min(Math.max(dueMs - performance.now(), 1), 60_000));
  }

  #handle(session: ClientSession, note: SessionNote): void {
    switch (note.type) {
      case "accepted":
        this.#accepted = true;
        if (note.accept.resync) this.#resync(note.accept.resync);
        return;
      case "head": return this.#callbacks.onHead?.(note.head);
      case "data": return this.#callbacks.onData?.(note.bytes);
      case "progress": return this.#callbacks.onProgress?.(note.progress);
      case "need-receipt": return this.#pay(session, note.record, note.responseHash, false);
      case "ended": return this.#pay(session, note.record, note.responseHash, true);
      case "error":
        this.#error = note.error;
        if (note.error.final) this.#end({ failure: "refused", detail: note.error.message });
        return;
      case "failed": {
        if (this.#recordCame) return; // the answer is whole; only the receipt's way is closed
        const isSilent = note.failure === "accept-timeout" || note.failure === "node-silent";
        return this.#end({ failure: isSilent ? "no-answer" : "broken", detail: this.#explain(note.detail) });
      }
    }
  }

  #explain(what: string): string { return [what, ...this.#problems, ...this.#pool.problems].join("; "); }

  /** In the line of payments, so that the next record is judged by what was adopted. What can't be read is not adopted. */
  #resync(state: Resync): void {
    const ticket = this.#ticket;
    if (ticket) this.#paying = this.#paying.then(() => this.#wallet.resync(ticket, this.#offer.offer, state)).catch(() => undefined);
  }

  #pay(session: ClientSession, record: ResponseRecord, responseHash: string, last: boolean): void {
    this.#recordCame ||= last;
    this.#paying = this.#paying.then(() => this.#payNow(session, record, responseHash, last));
  }

  async #payNow(session: ClientSession, record: ResponseRecord, responseHash: string, last: boolean): Promise<void> {
    const ticket = this.#ticket;
    if (this.#over || !ticket) return;
    const offer = this.#request.earlierOffers?.find(({ id }) => id === record.offer) ?? this.#offer.offer;
    const body = utf8Text(this.#request.body) ?? "";
    try {
      this.#mustStateSampling(offer, record, body);
      const limit = usageMax(offer, body, Math.ceil(performance.now() - this.#request.firstSentAtMs));
      const expected = { offer: offer.id, request: this.#request.request, requestHash: session.requestHash, responseHash, limit };
      const receipt = await this.#wallet.pay(ticket, offer, record, expected);
      this.#settled ||= last;
      if (this.#over) return;
      if (receipt) session.sendReceipt(receipt, now());
      if (last) {
        this.#result = { detail: "", error: this.#error, record, receipt };
        this.#lingerUntilMs = performance.now() + kReceiptWaitMs;
      }
      this.#drive();
    } catch (error) {
      if (!last) session.cancel("not payable", now());
      const failure = error instanceof PaymentRefusedError ? "not-payable" : "storage";
      this.#end({ failure, detail: error instanceof Error ? error.message : "failed", record });
    }
  }

  /** A node that promised it must say how it sampled, and as it was asked to: nobody could repeat the answer else. */
  #mustStateSampling(offer: Offer, record: ResponseRecord, body: string): void {
    const promised = this.#offer.verdict.level === "auditable" || recordsSampling(offer);
    if (promised && !samplingSuits(record.sampling, body)) throw new PaymentRefusedError("the record lacks the sampling that was asked for, which the offer promises");
  }

  #end(result: QueryResult): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    if (this.#session && this.#subscribed) for (const event of this.#session.takeEvents(now())) void this.#pool.publish(event);
    this.#session?.wipe();
    this.#unsubscribe();
    this.#stopListening();
    this.#release();
    this.#resolve({ error: this.#error, ...result, offer: this.#offer });
  }

  /** Without its record nobody here knows what the node has booked. */
  #release(): void {
    const ticket = this.#ticket;
    this.#ticket = undefined;
    if (ticket) void this.#wallet.close(ticket, !this.#accepted || this.#settled).catch(() => undefined);
  }
}
