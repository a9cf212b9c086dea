// Offers and their evidence from the relays, each pair judged by the verifier: what is usable now, and why the rest is not.
import { kKinds, type Event } from "./event.js";
import { readAttestation, readOffer, type Attestation, type Offer } from "./offer.js";
import type { RelayPool } from "./relay_pool.js";
import { RefusedError } from "./tags.js";
import { NotJudgedError, verifyOffer, type TrustOptions, type VerifiedOffer, type Verifier } from "./verdict.js";

export const kOfferBook = {
  offersMax: 2_000,
  evidenceBytesMax: 32 << 20,
  judgesMax: 4, ///< questions to the verifier at once
};
const kJudgeMsMax = 20_000;
const kAgainFirstMs = 250;
const kAgainMsMax = 30_000;

export interface RejectedOffer {
  readonly offer: Offer;
  readonly reason: string;
}

interface Entry {
  offer: Offer;
  reason: string;
  /** Of the same address, perhaps of the offer before: good until it ends. */
  verified: VerifiedOffer | undefined;
  again: ReturnType<typeof setTimeout> | undefined;
  waitMs: number;
}

const addressOf = (offer: Offer): string => `${offer.node}:${offer.model}@${offer.profile}`;
const unixS = (): number => Math.floor(Date.now() / 1000);

export class OfferBook {
  readonly #verifier: Verifier;
  readonly #trust: TrustOptions;
  readonly #limits: typeof kOfferBook;
  readonly #entries = new Map<string, Entry>();
  readonly #attestations = new Map<string, Attestation>();
  readonly #listeners = new Set<() => void>();
  readonly #unsubscribe: () => void;
  #evidenceBytes = 0;
  #storedEnds = 0;
  #judging = 0;
  #queue: Entry[] = [];
  #closed = false;

  constructor(pool: Pick<RelayPool, "subscribe">, verifier: Verifier, trust: TrustOptions, limits = kOfferBook) {
    this.#limits = limits;
    this.#verifier = verifier;
    this.#trust = { ...trust };
    const filters = [{ kinds: [kKinds.offer, kKinds.attestation] }, { kinds: [kKinds.deletion], "#k": [`${kKinds.offer}`], since: unixS() - 3600 }];
    this.#unsubscribe = pool.subscribe(filters, {
      onEvent: (event) => this.#onEvent(event),
      onStoredEnd: () => {
        this.#storedEnds += 1;
        this.#changed();
      },
    });
  }

  /** A relay has sent all that it stores, and each offer was judged or refused. */
  get complete(): boolean { return this.#storedEnds > 0 && this.#judging === 0 && this.#queue.length === 0; }

  get usable(): VerifiedOffer[] {
    const nowS = unixS();
    return [...this.#entries.values()].map((entry) => entry.verified).filter((made) => made !== undefined).filter((made) => made.usableAt(nowS));
  }

  get rejected(): RejectedOffer[] {
    return [...this.#entries.values()].filter((entry) => entry.reason !== "").map(({ offer, reason }) => ({ offer, reason }));
  }

  /** Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    for (const entry of this.#entries.values()) clearTimeout(entry.again);
    this.#entries.clear();
  }

  #changed(): void { for (const listener of [...this.#listeners]) listener(); }

  #onEvent(event: Event): void {
    try {
      if (event.kind === kKinds.offer) this.#onOffer(readOffer(event));
      else if (event.kind === kKinds.attestation) this.#onAttestation(readAttestation(event));
      else this.#onDeletion(event);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error; // not an offer by the protocol: as if it were not there
    }
  }

  #onOffer(offer: Offer): void {
    const nowS = unixS();
    this.#forgetOld(nowS);
    const address = addressOf(offer);
    const known = this.#entries.get(address);
    if (offer.expiresAt <= nowS || (known && known.offer.createdAt >= offer.createdAt) || (!known && !this.#makeRoom())) return;
    clearTimeout(known?.again);
    const entry: Entry = { offer, reason: "", verified: known?.verified, again: undefined, waitMs: kAgainFirstMs };
    this.#entries.set(address, entry);
    this.#judge(entry);
  }

  #forgetOld(nowS: number): void {
    for (const [address, { offer, again }] of this.#entries) {
      if (offer.expiresAt > nowS) continue;
      clearTimeout(again);
      this.#entries.delete(address);
    }
    for (const [key, { expiresAt, event }] of this.#attestations) {
      if (expiresAt > nowS) continue;
      this.#evidenceBytes -= event.content.length;
      this.#attestations.delete(key);
    }
  }

  /** What was refused, or not judged yet, goes first: offers made in masses must not keep good ones out. */
  #makeRoom(): boolean {
    if (this.#entries.size < this.#limits.offersMax) return true;
    for (const [address, { verified, again }] of this.#entries) {
      if (verified) continue;
      clearTimeout(again);
      return this.#entries.delete(address);
    }
    return false;
  }

  #makeRoomForEvidence(bytes: number): boolean {
    const isFull = (): boolean => this.#evidenceBytes + bytes > this.#limits.evidenceBytesMax;
    if (!isFull()) return true;
    const inUse = new Set([...this.#entries.values()].filter(({ verified }) => verified).map(({ offer }) => `${offer.node}:${offer.attestation}`));
    for (const [key, { event }] of this.#attestations) {
      if (!isFull()) break;
      if (inUse.has(key)) continue;
      this.#evidenceBytes -= event.content.length;
      this.#attestations.delete(key);
    }
    return !isFull();
  }

  #onAttestation(attestation: Attestation): void {
    const key = `${attestation.node}:${attestation.digest}`;
    const bytes = attestation.event.content.length;
    if (attestation.expiresAt <= unixS() || this.#attestations.has(key) || !this.#makeRoomForEvidence(bytes)) return;
    this.#evidenceBytes += bytes;
    this.#attestations.set(key, attestation);
    for (const entry of this.#entries.values()) {
      if (entry.offer.node === attestation.node && entry.offer.attestation === attestation.digest) this.#judge(entry);
    }
  }

  #onDeletion(event: Event): void {
    const prefix = `${kKinds.offer}:${event.pubkey}:`;
    for (const [name, value] of event.tags) {
      if (name !== "a" || !value?.startsWith(prefix)) continue;
      const address = `${event.pubkey}:${value.slice(prefix.length)}`;
      const entry = this.#entries.get(address);
      if (!entry || entry.offer.createdAt > event.created_at) continue;
      clearTimeout(entry.again);
      this.#entries.delete(address);
      this.#changed();
    }
  }

  #judge(entry: Entry): void {
    if (!this.#attestations.has(`${entry.offer.node}:${entry.offer.attestation}`)) {
      entry.reason = "its attestation is on none of our relays";
      return;
    }
    clearTimeout(entry.again);
    if (!this.#queue.includes(entry)) this.#queue.push(entry);
    this.#work();
  }

  #isCurrent(entry: Entry): boolean { return !this.#closed && this.#entries.get(addressOf(entry.offer)) === entry; }

  #work(): void {
    while (this.#judging < this.#limits.judgesMax) {
      const entry = this.#queue.shift();
      if (!entry) return;
      if (!this.#isCurrent(entry)) continue;
      this.#judging += 1;
      void this.#verdictOn(entry).then(() => {
        this.#judging -= 1;
        if (this.#closed) return;
        this.#work();
        this.#changed();
      });
    }
  }

  async #verdictOn(entry: Entry): Promise<void> {
    const attestation = this.#attestations.get(`${entry.offer.node}:${entry.offer.attestation}`);
    if (!attestation) return;
    let late: ReturnType<typeof setTimeout> | undefined;
    const limit = new Promise<never>((_, reject) => { late = setTimeout(() => reject(new Error("the verifier takes too long")), kJudgeMsMax); });
    try {
      entry.verified = await Promise.race([verifyOffer(entry.offer, attestation, this.#verifier, this.#trust, unixS), limit]);
      entry.reason = "";
      this.#judgeAgain(entry, Math.min(entry.verified.verdict.holdsUntil * 1000 - Date.now(), 2 ** 31 - 1));
    } catch (error) {
      // Whatever it was: not accepted. What is missing may come (a verifier that starts, collateral), so it is asked again.
      entry.reason = error instanceof Error ? error.message : "the verifier failed";
      const isRefused = error instanceof RefusedError && !(error instanceof NotJudgedError);
      if (isRefused || entry.verified?.offer === entry.offer) entry.verified = undefined;
      this.#judgeAgain(entry, entry.waitMs);
      entry.waitMs = Math.min(entry.waitMs * 2, kAgainMsMax);
    } finally {
      clearTimeout(late);
    }
  }

  #judgeAgain(entry: Entry, ms: number): void {
    if (!this.#isCurrent(entry)) return;
    entry.again = setTimeout(() => { if (this.#isCurrent(entry)) this.#judge(entry); }, Math.max(ms, kAgainFirstMs));
  }
}
