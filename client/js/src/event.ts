// Events as spec/01-events.md takes them: exactly seven members, bounded, with a right id and signature.
import { getEventHash, verifyEvent } from "nostr-tools/pure";
import { byteLength, isHex } from "./bytes.js";

/** A signed event. `readEvent` gives one with a checked form, `verified` one with checked id and signature. */
export interface Event {
  readonly id: string;
  readonly pubkey: string;
  readonly created_at: number;
  readonly kind: number;
  readonly tags: readonly (readonly string[])[];
  readonly content: string;
  readonly sig: string;
}

/** What a signer turns into an event: it adds pubkey, id and sig. */
export interface EventDraft {
  readonly kind: number;
  readonly created_at: number;
  readonly tags: string[][];
  readonly content: string;
}

export const kKinds = {
  frame: 21472, storedFrame: 1470, offer: 31470, attestation: 31471, record: 1471, receipt: 1472, auth: 22242, deletion: 5,
} as const;

const kMembers = ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"] as const;
const kTagsMax = 5_000;
const kElementsMax = 256;
const kElementBytesMax = 64 << 10;
const kContentBytesMax = 100 << 10;

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isText = (value: unknown, bytesMax: number): value is string =>
  typeof value === "string" && value.length <= bytesMax && !value.includes("\0") && byteLength(value) <= bytesMax;

const isTag = (value: unknown): value is string[] =>
  Array.isArray(value) && value.length > 0 && value.length <= kElementsMax && value.every((item) => isText(item, kElementBytesMax));

const isInteger = (value: unknown, max: number): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && !Object.is(value, -0) && value <= max;

/** The event, copied, when its form is right; nothing is said of id and signature. */
export function readEvent(value: unknown): Event | undefined {
  if (!isRecord(value) || Object.keys(value).length !== kMembers.length) return undefined;
  if (!kMembers.every((name) => Object.hasOwn(value, name))) return undefined;
  const { id, pubkey, created_at, kind, tags, content, sig } = value;
  if (!isHex(id, 32) || !isHex(pubkey, 32) || !isHex(sig, 64)) return undefined;
  if (!isInteger(created_at, Number.MAX_SAFE_INTEGER) || !isInteger(kind, 65_535)) return undefined;
  if (!isText(content, kContentBytesMax)) return undefined;
  if (!Array.isArray(tags) || tags.length > kTagsMax || !tags.every(isTag)) return undefined;
  return { id, pubkey, created_at, kind, tags: tags.map((tag) => [...tag]), content, sig };
}

/** Id and signature are right. Works on a copy: nobody else's "verified" mark counts. */
export function isGenuine(event: Event): boolean {
  const copy = { ...event, tags: event.tags.map((tag) => [...tag]) };
  return getEventHash(copy) === copy.id && verifyEvent(copy);
}

/** From outside to trusted form: read, id, signature. */
export function verified(value: unknown): Event | undefined {
  const event = readEvent(value);
  return event && isGenuine(event) ? event : undefined;
}
