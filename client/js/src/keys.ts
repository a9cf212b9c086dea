// The key schedule of a session and the sealing of its frames: spec/05-session.md. Key bytes stay in private members, so
// that no log, inspector or JSON text shows them, and are overwritten when their generation ends.
import { expand, hkdf } from "@noble/hashes/hkdf.js";
import * as nip44 from "nostr-tools/nip44";
import { concatBytes, hexToBytes, sha256, utf8ToBytes } from "./bytes.js";
import { parseFrame, printFrame, type Frame, type NumberedFrame } from "./frames.js";
import { must, RefusedError } from "./tags.js";

/** Frames of one direction that share a key. */
export const kRatchetFrames = 1024;
/** Longest NIP-44 payload of a frame. */
const kPayloadBytesMax = 14_336;

/** Everything that the session keys commit to; hex. */
export interface SessionContext {
  readonly offer: string;
  readonly attestation: string;
  readonly client: string;
  readonly encryption: string;
  readonly node: string;
  readonly request: string;
}

/** NIP-44's: the same from either side. Throws RefusedError when the public key is no point of the curve. */
export function conversationKey(secret: Uint8Array, publicKey: string): Uint8Array {
  try {
    return nip44.getConversationKey(secret, publicKey);
  } catch {
    throw new RefusedError("no public key");
  }
}

export function sessionInfo(context: SessionContext): Uint8Array {
  const { offer, attestation, client, encryption, node, request } = context;
  return concatBytes(utf8ToBytes("nostril/session/1"), ...[offer, attestation, client, encryption, node, request].map(hexToBytes));
}

export function sessionKeys(k0: Uint8Array, ephemeral: Uint8Array, context: SessionContext): { clientToNode: Uint8Array; nodeToClient: Uint8Array } {
  const both = hkdf(sha256, ephemeral, k0, sessionInfo(context), 64);
  return { clientToNode: both.slice(0, 32), nodeToClient: both.slice(32) };
}

export const ratchet = (key: Uint8Array): Uint8Array => expand(sha256, key, utf8ToBytes("nostril/ratchet/1"), 32);

/** The text inside a payload, or undefined when it does not open under this key. */
export function openPayload(payload: string, key: Uint8Array): string | undefined {
  if (payload.length > kPayloadBytesMax) return undefined;
  try {
    return nip44.decrypt(payload, key);
  } catch {
    return undefined;
  }
}

export const sealText = (text: string, key: Uint8Array, nonce?: Uint8Array): string => nip44.encrypt(text, key, nonce);

/** One direction's keys by generation; the newest two are kept. */
class KeyChain {
  #current: Uint8Array;
  #previous: Uint8Array | undefined;
  #next: Uint8Array | undefined;
  #generation = 0;

  constructor(first: Uint8Array) { this.#current = first; }

  get generation(): number { return this.#generation; }

  at(generation: number): Uint8Array | undefined {
    if (generation === this.#generation) return this.#current;
    if (generation === this.#generation - 1) return this.#previous;
    if (generation === this.#generation + 1) return (this.#next ??= ratchet(this.#current));
    return undefined;
  }

  advanceTo(generation: number): void {
    if (generation !== this.#generation + 1) return;
    const next = this.#next ?? ratchet(this.#current);
    this.#previous?.fill(0);
    this.#previous = this.#current;
    this.#current = next;
    this.#next = undefined;
    this.#generation = generation;
  }

  wipe(): void {
    for (const key of [this.#current, this.#previous, this.#next]) key?.fill(0);
  }
}

const generationOf = (n: number): number => Math.floor(n / kRatchetFrames);

export class FrameSealer {
  readonly #chain: KeyChain;

  constructor(key: Uint8Array) { this.#chain = new KeyChain(key); }

  /** `n` may go back by less than kRatchetFrames (repairs). */
  seal(n: number, frame: Frame, nonce?: Uint8Array): string {
    this.#chain.advanceTo(generationOf(n));
    const key = this.#chain.at(generationOf(n));
    if (!key) throw new Error("a frame of a generation that is gone");
    return sealText(printFrame(n, frame), key, nonce);
  }

  wipe(): void { this.#chain.wipe(); }
}

export class FrameOpener {
  readonly #chain: KeyChain;

  constructor(key: Uint8Array) { this.#chain = new KeyChain(key); }

  /** Undefined: sealed by somebody else. Throws RefusedError: sealed by the peer, and wrong. */
  open(payload: string): NumberedFrame | undefined {
    const now = this.#chain.generation;
    for (const generation of [now, now + 1, now - 1]) {
      const key = this.#chain.at(generation);
      const text = key && openPayload(payload, key);
      if (text === undefined) continue;
      const numbered = parseFrame(text);
      must(generationOf(numbered.n) === generation, "frame: its number belongs to another key");
      this.#chain.advanceTo(generation);
      return numbered;
    }
    return undefined;
  }

  wipe(): void { this.#chain.wipe(); }
}
