// Bytes and their texts. What comes from outside is refused, never repaired.
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes, randomBytes, utf8ToBytes } from "@noble/hashes/utils.js";

export { bytesToHex, concatBytes, hexToBytes, randomBytes, sha256, utf8ToBytes };

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const kBase64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const kBase64StepBytes = 0x6000; // a multiple of three, and few enough arguments for one call

/** The text, or undefined when the bytes are no UTF-8. */
export function utf8Text(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

export function base64Of(bytes: Uint8Array): string {
  let out = "";
  for (let at = 0; at < bytes.length; at += kBase64StepBytes) {
    out += btoa(String.fromCharCode(...bytes.subarray(at, at + kBase64StepBytes)));
  }
  return out;
}

/** Padded RFC 4648 only; undefined for everything else, also for bits that would be lost. */
export function base64Bytes(text: string): Uint8Array | undefined {
  if (!kBase64.test(text)) return undefined;
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return base64Of(bytes) === text ? bytes : undefined;
}

/** Lowercase hex of exactly `bytes` bytes. */
export function isHex(text: unknown, bytes: number): text is string {
  return typeof text === "string" && text.length === bytes * 2 && /^[0-9a-f]*$/.test(text);
}

export const byteLength = (text: string): number => utf8ToBytes(text).length;

export const sha256Hex = (bytes: Uint8Array): string => bytesToHex(sha256(bytes));

/** BIP-340's: SHA-256(SHA-256(tag) ‖ SHA-256(tag) ‖ parts). */
export function taggedHash(tag: string, ...parts: Uint8Array[]): Uint8Array {
  const name = sha256(utf8ToBytes(tag));
  return sha256(concatBytes(name, name, ...parts));
}

export function bigEndian(value: number | bigint, bytes: number): Uint8Array {
  return hexToBytes(BigInt(value).toString(16).padStart(bytes * 2, "0"));
}
