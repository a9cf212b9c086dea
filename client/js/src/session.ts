// The client's end of a session: spec/05-session.md. Pure: events and time in, events and notes out. After each call the
// owner publishes takeEvents(), drains nextNote() and sets a timer for nextTimerMs.
// Subscribe to {kinds:[21472], "#p":[clientKey]} and wait for EOSE before publishing: ephemeral events wait for nobody.
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { bytesToHex, sha256, sha256Hex } from "./bytes.js";
import { kKinds, verified, type Event } from "./event.js";
import { isSendable, kFrameDataBytesMax, kOpenBodyBytesMax, parseFrame, printFrame, type AcceptFrame, type DataFrame, type ErrorFrame, type Frame,
  type OpenFrame, type ProgressFrame, type ResponseHead } from "./frames.js";
import { conversationKey, openPayload, sealText, sessionKeys } from "./keys.js";
import { kLink, SessionLink } from "./link.js";
import type { Offer } from "./offer.js";
import { readRecord, type ResponseRecord } from "./record.js";
import { must, RefusedError } from "./tags.js";
import { VerifiedOffer } from "./verdict.js";

export const kSession = { acceptMsMax: 10_000, silenceMsMax: 30_000, responseBytesMax: 64 << 20 } as const;

export interface Moment {
  /** Of a clock that never goes back. */
  readonly ms: number;
  readonly unixS: number;
}

export interface SessionRequest {
  /** 16 random bytes, hex. The same again is a retry: same answer, charged once. */
  readonly request: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
  /** Sends no byte of the body before the accept: forward secret at once, for one round trip. */
  readonly holdBody?: boolean | undefined;
  readonly durable?: boolean | undefined;
  /** The channel that pays. */
  readonly payment?: { readonly signer: string; readonly salt: string } | undefined;
  /** Of the same node, under which the same request was sent before: a repeated answer has the record made then. */
  readonly earlierOffers?: readonly Offer[] | undefined;
}

export type SessionFailure = "accept-timeout" | "node-silent" | "bad-handshake" | "protocol" | "too-large" | "bad-record";

export type SessionNote =
  | { readonly type: "accepted"; readonly accept: AcceptFrame }
  | { readonly type: "head"; readonly head: ResponseHead }
  /** Call consumed() when they are passed on. */
  | { readonly type: "data"; readonly bytes: Uint8Array }
  | { readonly type: "progress"; readonly progress: ProgressFrame }
  /** A partial record, checked as in "ended". */
  | { readonly type: "need-receipt"; readonly record: ResponseRecord; readonly responseHash: string }
  /** Signature, author, offer, statement, request, model and both hashes are right; usage and price are the channel's to judge. */
  | { readonly type: "ended"; readonly record: ResponseRecord; readonly responseHash: string }
  /** When not final, "ended" follows. */
  | { readonly type: "error"; readonly error: ErrorFrame }
  /** Nothing follows; nothing after the last valid frame may be trusted. */
  | { readonly type: "failed"; readonly failure: SessionFailure; readonly detail: string };

/** Which key the frame event names, if it is one. */
function recipientOf(event: Event): string | undefined {
  if (event.kind !== kKinds.frame && event.kind !== kKinds.storedFrame) return undefined;
  const named = event.tags.filter((tag) => tag[0] === "p");
  return named.length === 1 ? named[0]?.[1] : undefined;
}

export class ClientSession {
  readonly #offer: Offer;
  readonly #request: SessionRequest;
  readonly #secret: Uint8Array;
  readonly #k0: Uint8Array;
  readonly #openFrame: OpenFrame;
  readonly requestHash: string;
  readonly clientKey: string;
  readonly #openedAtMs: number;
  #resendAtMs: number;
  #node = "";
  #link: SessionLink | undefined;
  #state: "opening" | "open" | "ended" | "failed" = "opening";
  #cancelled = false;
  #headSeen = false;
  #bodySent: number;
  #responseBytes = 0;
  readonly #responseHash = sha256.create();
  #events: Event[] = [];
  #notes: SessionNote[] = [];

  /** Throws RefusedError when the offer can't be used now or the request does not fit a frame. */
  constructor(verifiedOffer: VerifiedOffer, request: SessionRequest, now: Moment) {
    must(VerifiedOffer.isOne(verifiedOffer) && verifiedOffer.usableAt(now.unixS), "session: no verified offer");
    this.#offer = verifiedOffer.offer;
    this.#request = { ...request, body: request.body.slice() };
    this.requestHash = sha256Hex(this.#request.body);
    this.#secret = generateSecretKey();
    this.clientKey = getPublicKey(this.#secret);
    this.#k0 = conversationKey(this.#secret, this.#offer.encryptionKey);
    this.#bodySent = request.holdBody ? 0 : Math.min(this.#request.body.length, kOpenBodyBytesMax);
    this.#openFrame = {
      t: "open", request: request.request, offer: this.#offer.id, attestation: this.#offer.attestation, method: request.method,
      path: request.path, headers: request.headers, bodyBytes: this.#request.body.length, body: this.#request.body.subarray(0, this.#bodySent),
      durable: request.durable ?? false, payment: request.payment, credit: kLink.windowBytes,
    };
    must(isSendable(this.#openFrame), "session: method, path or headers do not fit a frame");
    this.#openedAtMs = now.ms;
    this.#resendAtMs = now.ms + kLink.resendMs;
    this.#sendOpen(now);
  }

  get state(): "opening" | "open" | "ended" | "failed" { return this.#state; }
  /** All that was sent (the receipt above all) is acknowledged. */
  get drained(): boolean { return this.#link?.drained ?? false; }
  get responseHash(): string { return bytesToHex(this.#responseHash.clone().digest()); }

  takeEvents(now: Moment): Event[] {
    const out = this.#events;
    this.#events = [];
    for (const payload of this.#link?.takePayloads() ?? []) out.push(this.#sign(this.#node, payload, now));
    return out;
  }

  nextNote(): SessionNote | undefined { return this.#notes.shift(); }

  /** Any event that names clientKey. Foreign and forged ones are ignored: whoever knows the address may send to it. Outer
   * signatures need no check: what opens was sealed by the node. */
  onEvent(event: Event, now: Moment): void {
    if (this.#state === "failed" || recipientOf(event) !== this.clientKey) return;
    if (!this.#link) {
      if (this.#state === "opening") this.#onReply(event, now);
      return;
    }
    if (event.pubkey !== this.#node) return;
    const problem = this.#refusal(() => this.#link?.onPayload(event.content, now.ms));
    for (let frame = this.#link.nextFrame(); frame; frame = this.#link.nextFrame()) this.#onFrame(frame, now);
    if (problem) this.#fail("protocol", problem);
    this.#sendBody(now);
  }

  onTimer(now: Moment): void {
    if (this.#state === "failed") return;
    if (this.#state === "opening") return this.#onOpeningTimer(now);
    if (!this.#link) return;
    if (this.#state === "open" && now.ms - this.#link.heardAtMs >= kSession.silenceMsMax) return this.#fail("node-silent", "the node fell silent");
    this.#link.onTimer(now.ms);
    this.#sendBody(now);
  }

  get nextTimerMs(): number {
    if (this.#state === "failed") return Infinity;
    if (this.#state === "opening") return Math.min(this.#resendAtMs, this.#openedAtMs + kSession.acceptMsMax);
    if (!this.#link) return Infinity;
    return this.#state === "ended" ? this.#link.nextTimerMs : Math.min(this.#link.nextTimerMs, this.#link.heardAtMs + kSession.silenceMsMax);
  }

  /** Data of this many bytes was passed on: more may come. */
  consumed(bytes: number, now: Moment): void {
    if (this.#state === "open") this.#link?.consumed(bytes, now.ms);
  }

  /** Stops the engine; the end still comes, with the usage so far. */
  cancel(reason: string, now: Moment): void {
    if (this.#cancelled || (this.#state !== "opening" && this.#state !== "open")) return;
    this.#cancelled = true;
    this.#link?.send({ t: "cancel", reason: reason.replace(/[^ -~]/g, "?").slice(0, 64) }, now.ms);
  }

  sendReceipt(receipt: Event, now: Moment): void {
    if (!this.#link || this.#state === "failed") return;
    if (!this.#link.canSend) return this.#fail("protocol", "the node acknowledges nothing");
    this.#link.send({ t: "receipt", receipt }, now.ms);
  }

  /** A relay was lost and is back, or another one is there: everything missing is asked for at once. */
  resume(now: Moment): void {
    if (this.#state === "opening") {
      this.#resendAtMs = now.ms;
      this.#onOpeningTimer(now);
    } else if (this.#state !== "failed") this.#link?.resume(now.ms);
  }

  /** Overwrites the session's keys; nothing can be opened or sealed afterwards. */
  wipe(): void {
    this.#state = "failed";
    this.#link?.wipe();
    this.#link = undefined;
    for (const key of [this.#secret, this.#k0]) key.fill(0);
  }

  #sign(recipient: string, payload: string, now: Moment): Event {
    const { id, pubkey, created_at, kind, tags, content, sig } = finalizeEvent({ kind: kKinds.frame, created_at: now.unixS, tags: [["p", recipient]], content: payload }, this.#secret);
    return { id, pubkey, created_at, kind, tags, content, sig };
  }

  #sendOpen(now: Moment): void {
    this.#events.push(this.#sign(this.#offer.encryptionKey, sealText(printFrame(0, this.#openFrame), this.#k0), now));
  }

  #onOpeningTimer(now: Moment): void {
    if (now.ms - this.#openedAtMs >= kSession.acceptMsMax) return this.#fail("accept-timeout", "the node did not accept in time");
    if (now.ms < this.#resendAtMs) return;
    this.#resendAtMs = now.ms + kLink.resendMs;
    if (!this.#cancelled) this.#sendOpen(now);
  }

  /** The text of a RefusedError that `act` throws. */
  #refusal(act: () => unknown): string | undefined {
    try {
      act();
      return undefined;
    } catch (error) {
      if (error instanceof RefusedError) return error.message;
      throw error;
    }
  }

  #fail(failure: SessionFailure, detail: string): void {
    if (this.#state === "failed") return;
    this.#state = "failed";
    this.#notes.push({ type: "failed", failure, detail });
  }

  #onReply(event: Event, now: Moment): void {
    const text = openPayload(event.content, this.#k0);
    if (text === undefined) return;
    // Only N's holder can make what opens; if that is wrong, the node is.
    const problem = this.#refusal(() => {
      const { n, frame } = parseFrame(text);
      must(n === 0, "handshake: a number");
      if (frame.t === "error") {
        this.#state = "ended";
        this.#notes.push({ type: "error", error: { ...frame, final: true } });
        return;
      }
      must(frame.t === "accept", "handshake: no accept");
      // s stands inside: a relay can't put its own key around the payload.
      if (frame.session !== event.pubkey) return;
      must(frame.request === this.#request.request, "handshake: another request");
      this.#onAccept(frame, now);
    });
    if (problem) this.#fail("bad-handshake", problem);
  }

  #onAccept(accept: AcceptFrame, now: Moment): void {
    const { id: offer, attestation, encryptionKey: encryption } = this.#offer;
    const ephemeral = conversationKey(this.#secret, accept.session);
    const keys = sessionKeys(this.#k0, ephemeral, { offer, attestation, client: this.clientKey, encryption, node: accept.session, request: this.#request.request });
    ephemeral.fill(0);
    this.#node = accept.session;
    this.#link = new SessionLink(keys.clientToNode, keys.nodeToClient, now.ms);
    this.#link.setSendCredit(accept.credit);
    this.#state = "open";
    this.#notes.push({ type: "accepted", accept });
    if (this.#cancelled) this.#link.send({ t: "cancel", reason: "cancelled before the accept" }, now.ms);
    this.#sendBody(now);
  }

  #sendBody(now: Moment): void {
    const body = this.#request.body;
    while (this.#link && this.#state === "open" && !this.#cancelled && this.#bodySent < body.length && this.#link.canSend && this.#link.creditLeft > 0) {
      const count = Math.min(body.length - this.#bodySent, this.#link.creditLeft, kFrameDataBytesMax);
      this.#link.send({ t: "data", bytes: body.subarray(this.#bodySent, this.#bodySent + count) }, now.ms);
      this.#bodySent += count;
    }
  }

  #onFrame(frame: Frame, now: Moment): void {
    if (this.#state !== "open") return; // after the end only acks matter, and the link eats those
    switch (frame.t) {
      case "data": return this.#onData(frame, now);
      case "progress": this.#notes.push({ type: "progress", progress: frame }); return;
      case "checkpoint":
        if (frame.bytes !== this.#responseBytes || frame.hash !== this.responseHash) this.#fail("bad-record", "a checkpoint is of other bytes");
        return;
      case "need-receipt": case "end": return this.#onRecord(frame.record, frame.t);
      case "error":
        if (frame.final) this.#state = "ended";
        this.#notes.push({ type: "error", error: frame });
        return;
      default: this.#fail("protocol", `a frame ${frame.t} may not stand here`);
    }
  }

  #onData(frame: DataFrame, now: Moment): void {
    if (this.#headSeen === (frame.head !== undefined)) return this.#fail("protocol", "status and type stand in the first data frame alone");
    if (frame.head) {
      this.#headSeen = true;
      this.#notes.push({ type: "head", head: frame.head });
    }
    if (frame.bytes.length === 0) return;
    this.#responseBytes += frame.bytes.length;
    if (this.#responseBytes > kSession.responseBytesMax) {
      this.#link?.send({ t: "cancel", reason: "too large" }, now.ms);
      return this.#fail("too-large", "the response is too large");
    }
    this.#responseHash.update(frame.bytes);
    this.#notes.push({ type: "data", bytes: frame.bytes });
  }

  #onRecord(event: Event, t: "need-receipt" | "end"): void {
    const problem = this.#refusal(() => {
      const genuine = verified(event);
      must(genuine, "record: its id or signature is wrong");
      const record = readRecord(genuine);
      this.#mustBelong(record, t === "need-receipt");
      if (t === "end") this.#state = "ended";
      this.#notes.push({ type: t === "end" ? "ended" : t, record, responseHash: this.responseHash });
    });
    if (problem) this.#fail("bad-record", problem);
  }

  #mustBelong(record: ResponseRecord, partial: boolean): void {
    const madeUnder = (offer: Offer): boolean => record.node === offer.node && record.offer === offer.id &&
      record.attestation === offer.attestation && record.model === offer.model && record.weights === offer.weights;
    must([this.#offer, ...(this.#request.earlierOffers ?? [])].some(madeUnder), "record: another offer, node, model or weights");
    must(record.request === this.#request.request && record.requestHash === this.requestHash, "record: another request");
    must(record.responseHash === this.responseHash, "record: another response");
    must((record.status === "partial") === partial, "record: a status that may not stand here");
  }
}
