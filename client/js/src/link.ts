// One end of an established session: numbers, seals, repairs and orders frames; grants and obeys credit (spec/05-session.md).
// Pure: events and time in, events out. Knows nothing of what frames mean, but for ack, credit and resume.
import { kAckRangesMax, takesNumber, type AckFrame, type Frame, type FrameRange } from "./frames.js";
import { FrameOpener, FrameSealer } from "./keys.js";
import { must } from "./tags.js";

export const kLink = {
  reorderFramesMax: 256, ///< held back behind a gap
  unackedFramesMax: 512, ///< the repair ring
  unackedBytesMax: 768 << 10,
  windowBytes: 256 << 10, ///< credit beyond what was consumed
  ackDelayMs: 50,
  repairGapMs: 100,
  ackFrames: 16,
  resendMs: 1000,
  keepaliveMs: 5000,
} as const;

const kRepairFramesMax = 64;
const kSilenceRepairFrames = 8;
const kClosingFrames = 16; ///< frames that close a session fit into a full ring, too
const kResumeGapMs = 500;

interface Sent {
  readonly n: number;
  readonly frame: Frame;
  readonly bytes: number;
  atMs: number;
}

const bodyBytes = (frame: Frame): number => (frame.t === "data" ? frame.bytes.length : 0);

export class SessionLink {
  readonly #sealer: FrameSealer;
  readonly #opener: FrameOpener;
  /** Payloads to publish, oldest first. */
  #payloads: string[] = [];

  // Sending.
  #lastSent = 0;
  #ring: Sent[] = [];
  #ringBytes = 0;
  #sendCredit = 0;
  #bodySent = 0;
  #resendWaitMs: number = kLink.resendMs;
  #resendFromMs: number;
  #blockedSinceMs: number | undefined;

  // Receiving.
  #upto = 0;
  #highest = 0;
  readonly #held = new Map<number, Frame>();
  #ready: Frame[] = [];
  #receiveCredit = kLink.windowBytes as number;
  #bodyReceived = 0;
  #bodyConsumed = 0;
  #progressN = 0;
  #unacked = 0;
  #ackDueMs: number | undefined;
  #ackedAtMs: number;
  #resumedAtMs: number;
  heardAtMs: number;

  constructor(sendKey: Uint8Array, receiveKey: Uint8Array, nowMs: number) {
    this.#sealer = new FrameSealer(sendKey);
    this.#opener = new FrameOpener(receiveKey);
    this.#resendFromMs = this.#ackedAtMs = this.heardAtMs = nowMs;
    this.#resumedAtMs = nowMs - kResumeGapMs;
  }

  get canSend(): boolean { return this.#ring.length < kLink.unackedFramesMax && this.#ringBytes < kLink.unackedBytesMax; }
  get creditLeft(): number { return Math.max(0, this.#sendCredit - this.#bodySent); }
  get receiveCredit(): number { return this.#receiveCredit; }
  /** All that was sent is acknowledged. */
  get drained(): boolean { return this.#ring.length === 0; }

  takePayloads(): string[] {
    const out = this.#payloads;
    this.#payloads = [];
    return out;
  }

  nextFrame(): Frame | undefined { return this.#ready.shift(); }

  wipe(): void {
    this.#sealer.wipe();
    this.#opener.wipe();
  }

  /** Credit never falls. */
  setSendCredit(bytes: number): void {
    if (bytes <= this.#sendCredit) return;
    this.#sendCredit = bytes;
    this.#blockedSinceMs = undefined;
  }

  /** Numbered frames go into the ring until they are acknowledged. */
  send(frame: Frame, nowMs: number): void {
    if (!takesNumber(frame)) return this.#publish(this.#lastSent, frame);
    if (this.#ring.length >= kLink.unackedFramesMax + kClosingFrames) throw new Error("the repair ring is full");
    const body = bodyBytes(frame);
    if (this.#ring.length === 0) this.#restartResend(nowMs);
    this.#bodySent += body;
    if (body > 0 && this.creditLeft === 0) this.#blockedSinceMs = nowMs;
    const sent: Sent = { n: ++this.#lastSent, frame, bytes: body > 0 ? Math.ceil(body / 3) * 4 + 64 : 2048, atMs: nowMs };
    this.#ring.push(sent);
    this.#ringBytes += sent.bytes;
    this.#publish(sent.n, frame);
  }

  /** False: not sealed by the peer, nothing changed. Throws RefusedError when the peer broke the protocol. */
  onPayload(payload: string, nowMs: number): boolean {
    const opened = this.#opener.open(payload);
    if (!opened) return false;
    this.heardAtMs = nowMs;
    if (takesNumber(opened.frame)) this.#acceptNumbered(opened.n, opened.frame, nowMs);
    else this.#onUnnumbered(opened.n, opened.frame, nowMs);
    if (this.#ackDueMs !== undefined && nowMs >= this.#ackDueMs) this.#sendAck(nowMs, false);
    return true;
  }

  /** The application took this many body bytes: credit for as many more. */
  consumed(bytes: number, nowMs: number): void {
    this.#bodyConsumed += bytes;
    const credit = this.#bodyConsumed + kLink.windowBytes;
    // Half a window at a time: an ack an event would cost as much as the data.
    if (credit < this.#receiveCredit + kLink.windowBytes / 2) return;
    this.#receiveCredit = credit;
    this.#sendAck(nowMs, false);
  }

  /** After a relay was lost and another one, or the same, is back. */
  resume(nowMs: number): void {
    this.#publish(this.#lastSent, this.#arrived("resume"));
    this.#ackedAtMs = nowMs;
    this.#repair(0, this.#lastSent, kRepairFramesMax, nowMs, nowMs);
  }

  onTimer(nowMs: number): void {
    if (this.#blockedSinceMs !== undefined && nowMs - this.#blockedSinceMs >= kLink.resendMs) {
      this.#blockedSinceMs = nowMs;
      this.#sendAck(nowMs, true);
    } else if ((this.#ackDueMs !== undefined && nowMs >= this.#ackDueMs) || nowMs - this.#ackedAtMs >= kLink.keepaliveMs) {
      this.#sendAck(nowMs, false);
    }
    if (this.#ring.length > 0 && nowMs - this.#resendFromMs >= this.#resendWaitMs) {
      this.#resendFromMs = nowMs;
      this.#resendWaitMs = Math.min(this.#resendWaitMs * 2, kLink.resendMs * 8);
      this.#repair(0, this.#lastSent, kSilenceRepairFrames, nowMs, nowMs);
    }
  }

  get nextTimerMs(): number {
    return Math.min(this.#ackedAtMs + kLink.keepaliveMs, this.#ackDueMs ?? Infinity,
      this.#blockedSinceMs === undefined ? Infinity : this.#blockedSinceMs + kLink.resendMs,
      this.#ring.length > 0 ? this.#resendFromMs + this.#resendWaitMs : Infinity);
  }

  #publish(n: number, frame: Frame): void { this.#payloads.push(this.#sealer.seal(n, frame)); }

  #restartResend(nowMs: number): void {
    this.#resendFromMs = nowMs;
    this.#resendWaitMs = kLink.resendMs;
  }

  #wantAck(dueMs: number): void { this.#ackDueMs = Math.min(this.#ackDueMs ?? dueMs, dueMs); }

  #acceptNumbered(n: number, frame: Frame, nowMs: number): void {
    if (n <= this.#upto || this.#held.has(n)) return this.#wantAck(nowMs + kLink.ackDelayMs / 2); // our ack was lost
    this.#highest = Math.max(this.#highest, n);
    this.#wantAck(nowMs + (++this.#unacked >= kLink.ackFrames ? 0 : kLink.ackDelayMs));
    if (n > this.#upto + kLink.reorderFramesMax) return;
    this.#held.set(n, frame);
    for (let next = this.#held.get(this.#upto + 1); next; next = this.#held.get(this.#upto + 1)) {
      this.#held.delete(++this.#upto);
      this.#bodyReceived += bodyBytes(next);
      must(this.#bodyReceived <= this.#receiveCredit, "the node sent more than its credit");
      this.#ready.push(next);
    }
  }

  #onUnnumbered(n: number, frame: Frame, nowMs: number): void {
    this.#highest = Math.max(this.#highest, Math.min(n, this.#upto + kLink.reorderFramesMax));
    if (this.#highest > this.#upto) this.#wantAck(nowMs + kLink.ackDelayMs);
    if (frame.t === "ack") {
      this.#onAck(frame, false, nowMs);
      if (frame.ask) this.#wantAck(nowMs);
    } else if (frame.t === "resume") {
      const again = nowMs - this.#resumedAtMs >= kResumeGapMs;
      if (again) this.#resumedAtMs = nowMs;
      this.#onAck(frame, again, nowMs);
      this.#wantAck(nowMs);
    } else if (frame.t === "credit") {
      this.setSendCredit(frame.credit);
    } else if (n >= this.#progressN && this.#ready.length < kLink.reorderFramesMax) {
      this.#progressN = n;
      this.#ready.push(frame);
    }
  }

  #onAck(ack: AckFrame, resendAll: boolean, nowMs: number): void {
    if (ack.upto > this.#lastSent) return; // of frames that we never sent
    this.setSendCredit(ack.credit);
    const before = this.#ring.length;
    while (this.#ring[0] && this.#ring[0].n <= ack.upto) this.#ringBytes -= this.#ring.shift()?.bytes ?? 0;
    if (this.#ring.length < before) this.#restartResend(nowMs);
    const oldest = this.#ring[0];
    if (!oldest || ack.upto + 1 < oldest.n) return; // an old ack says nothing new
    const notSince = resendAll ? nowMs : nowMs - kLink.repairGapMs;
    let budget = kRepairFramesMax;
    for (const [first, last] of ack.missing) budget = this.#repair(first, last, budget, notSince, nowMs);
    if (resendAll) this.#repair((ack.missing.at(-1)?.[1] ?? ack.upto) + 1, this.#lastSent, budget, notSince, nowMs);
  }

  /** Sends ring frames of the range again, but none that was sent after `notSinceMs`. A repeated frame keeps its number and
   * is sealed anew: relays drop ids that they know. Returns what is left of `budget`. */
  #repair(first: number, last: number, budget: number, notSinceMs: number, nowMs: number): number {
    for (const sent of this.#ring) {
      if (budget === 0 || sent.n > last) break;
      if (sent.n < first || sent.atMs > notSinceMs) continue;
      sent.atMs = nowMs;
      --budget;
      this.#publish(sent.n, sent.frame);
    }
    return budget;
  }

  #missing(): FrameRange[] {
    const ranges: FrameRange[] = [];
    let next = this.#upto + 1;
    for (const n of [...this.#held.keys()].sort((a, b) => a - b)) {
      if (ranges.length === kAckRangesMax) return ranges;
      if (n > next) ranges.push([next, n - 1]);
      next = n + 1;
    }
    if (next <= this.#highest && ranges.length < kAckRangesMax) ranges.push([next, this.#highest]);
    return ranges;
  }

  #arrived(t: "ack" | "resume"): AckFrame { return { t, upto: this.#upto, missing: this.#missing(), credit: this.#receiveCredit }; }

  #sendAck(nowMs: number, ask: boolean): void {
    this.#publish(this.#lastSent, ask ? { ...this.#arrived("ack"), ask } : this.#arrived("ack"));
    this.#ackedAtMs = nowMs;
    this.#ackDueMs = undefined;
    this.#unacked = 0;
  }
}

