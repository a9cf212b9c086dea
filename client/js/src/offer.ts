// Offers (31470) and attestations (31471): spec/03-offer.md, 04-attestation.md. Whether the evidence is
// good is a verifier's word (verdict.ts); that it is evidence of exactly this offer's keys is checked here.
import { bigEndian, byteLength, bytesToHex, concatBytes, hexToBytes, sha256Hex, taggedHash, utf8ToBytes } from "./bytes.js";
import { kKinds, type Event } from "./event.js";
import { kTokensMax, TagReader } from "./tags.js";

export type PriceUnit = "input" | "cached" | "output" | "second" | "request" | "session";

/** Base units: tokens per 1,000,000, the others per 1. A missing unit is free, but cached costs what input does. */
export type Prices = Readonly<Partial<Record<PriceUnit, bigint>>>;

const kPerUnit: Readonly<Record<PriceUnit, string>> = { input: "1000000", cached: "1000000", output: "1000000", second: "1", request: "1", session: "1" };

export interface Offer {
  readonly event: Event;
  readonly id: string;
  readonly node: string;
  readonly createdAt: number;
  readonly model: string;
  readonly profile: string;
  readonly tee: string;
  /** N: opens the first frame, and not after `keyExpiresAt` (seconds). */
  readonly encryptionKey: string;
  readonly keyExpiresAt: number;
  readonly attestation: string;
  readonly weights: string | undefined;
  readonly asset: string;
  readonly prices: Prices;
  /** Spending without a receipt that the node bears. */
  readonly credit: bigint;
  readonly contextTokens: number;
  readonly outputTokensMax: number;
  readonly features: readonly string[];
  readonly engine: string;
  readonly engineVersion: string;
  readonly relays: readonly string[];
  readonly expiresAt: number;
}

export interface Attestation {
  readonly event: Event;
  readonly node: string;
  readonly digest: string;
  readonly encryptionKey: string;
  readonly keyExpiresAt: number;
  readonly tlsSpki: string;
  readonly gpuEvidence: string;
  readonly modelManifest: string;
  readonly nonce: string;
  readonly expiresAt: number;
  /** SHA-256 of the packed evidence's text: the name of what a verdict is about. */
  readonly evidenceDigest: string;
}

function readPrices(reader: TagReader, asset: string): Prices {
  const prices: Partial<Record<PriceUnit, bigint>> = {};
  for (const tag of reader.all("price", 6)) {
    reader.must(tag.length === 5, "bad tag price");
    const unit = reader.element(tag, 1) as PriceUnit;
    reader.must(Object.hasOwn(kPerUnit, unit) && tag[3] === kPerUnit[unit] && tag[4] === asset, "bad tag price");
    reader.must(prices[unit] === undefined, "a price stands twice");
    prices[unit] = reader.amount(reader.element(tag, 2));
  }
  return prices;
}

function readKey(reader: TagReader): { encryptionKey: string; keyExpiresAt: number } {
  const key = reader.exactly("key", 3);
  return { encryptionKey: reader.checkedHex(reader.element(key, 1), 32), keyExpiresAt: reader.time(reader.element(key, 2)) };
}

function readProfile(reader: TagReader, model: string): string {
  const d = reader.text("d", 128 + 1 + 32);
  reader.must(d.startsWith(`${model}@`), "d and M name different models");
  return reader.checkedName(d.slice(model.length + 1), 32);
}

function readRelays(reader: TagReader): string[] {
  const relays = reader.all("relay", 16).map((tag) => reader.checkedText(reader.element(tag, 1), 256));
  reader.must(relays.length > 0, "no tag relay");
  reader.must(relays.every((url) => url.startsWith("wss://") || url.startsWith("ws://")), "bad tag relay");
  return relays;
}

/** Of a genuine event; throws RefusedError. */
export function readOffer(event: Event): Offer {
  const reader: TagReader = new TagReader(event, kKinds.offer, "offer");
  const model = reader.text("M", 128);
  const credit = reader.exactly("credit", 3);
  const asset = reader.checkedName(reader.element(credit, 2), 96);
  const engine = reader.exactly("engine", 3);
  const attestation = reader.hex("attestation", 32);
  reader.must(reader.text("a", 256) === `${kKinds.attestation}:${event.pubkey}:${attestation}`, "a and attestation differ");
  const url = reader.optional("u");
  if (url) reader.must(reader.checkedText(reader.element(url, 1), 256).startsWith("https://"), "bad tag u");
  const operator = reader.optional("p");
  if (operator) {
    reader.must(operator.length === 4 && operator[3] === "operator", "bad tag p");
    reader.checkedHex(reader.element(operator, 1), 32);
  }
  return {
    event, id: event.id, node: event.pubkey, createdAt: event.created_at, model,
    profile: readProfile(reader, model), tee: reader.name("T", 64), ...readKey(reader), attestation,
    weights: reader.optionalHex("weights"), asset, prices: readPrices(reader, asset),
    credit: reader.amount(reader.element(credit, 1)),
    contextTokens: reader.number("context", kTokensMax), outputTokensMax: reader.number("output", kTokensMax),
    features: reader.all("feature", 32).map((tag) => reader.checkedName(reader.element(tag, 1), 64)),
    engine: reader.checkedText(reader.element(engine, 1), 64), engineVersion: reader.checkedText(reader.element(engine, 2), 64),
    relays: readRelays(reader), expiresAt: reader.time(reader.text("expiration", 20)),
  };
}

/** Of a genuine event; throws RefusedError. */
export function readAttestation(event: Event): Attestation {
  const reader: TagReader = new TagReader(event, kKinds.attestation, "attestation");
  reader.name("T", 64);
  reader.must(event.content.length > 0 && byteLength(event.content) <= 96 << 10, "bad content");
  return {
    event, node: event.pubkey, digest: reader.hex("d", 32), ...readKey(reader), tlsSpki: reader.hex("tls", 32),
    gpuEvidence: reader.hex("gpu", 32), modelManifest: reader.hex("weights", 32), nonce: reader.hex("nonce", 32),
    expiresAt: reader.time(reader.text("expiration", 20)), evidenceDigest: sha256Hex(utf8ToBytes(event.content)),
  };
}

function withLength(field: Uint8Array): Uint8Array {
  return concatBytes(bigEndian(field.length, 2), field);
}

/** The digest of what the CPU must have signed, were this offer true: its keys and weights, the tags' rest. */
export function expectedStatementDigest(offer: Offer, attestation: Attestation): string {
  const fields = [attestation.nonce, offer.node, offer.encryptionKey].map(hexToBytes);
  const rest = [attestation.tlsSpki, attestation.gpuEvidence, offer.weights ?? "00".repeat(32)].map(hexToBytes);
  const statement = [...fields, bigEndian(offer.keyExpiresAt, 8), ...rest].map(withLength);
  return bytesToHex(taggedHash("nostril/att/cpu", ...statement));
}
