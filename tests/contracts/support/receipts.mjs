// What payers sign, made by nostr-tools and @noble/curves, and the rows that claim() takes: spec/12-contract.md.
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { concat, keccak256, toBeHex, toUtf8Bytes, zeroPadValue } from "ethers";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";

export const kEther = "0x0000000000000000000000000000000000000000";
export const kAmountMax = (1n << 96n) - 1n;
export const kTime = 1_800_000_000;
const kDomainName = keccak256(toUtf8Bytes("nostril/channel/evm/1"));

export const word = (value) => toBeHex(value, 32);
const address_word = (address) => zeroPadValue(address, 32);
const packed = (value, bytes) => toBeHex(value, bytes);

/** A payer's Nostr key. */
export function new_key() {
  const secret = generateSecretKey();
  return { secret, signer: `0x${getPublicKey(secret)}` };
}

/** The even y of x, which a row carries; 0 when there is no such point. */
export function even_y(x) {
  try {
    return secp256k1.Point.fromHex(`02${x.toString(16).padStart(64, "0")}`).toAffine().y;
  } catch {
    return 0n;
  }
}

/** As the contract computes it, from its own words. */
export function channel_id({ chain_id, contract }, { payer, salt, signer, payee, token }) {
  const domain = keccak256(concat([kDomainName, word(chain_id), address_word(contract)]));
  return keccak256(concat([domain, payer, packed(salt, 12), signer, address_word(payee), address_word(token)]));
}

export function sign_receipt(secret, { id, amount, x, time = kTime, kind = 1472 }) {
  return finalizeEvent({ kind, created_at: time, content: "",
    tags: [["d", id.slice(2)], ["amount", String(amount)], ["x", x.slice(2)]] }, secret);
}

export function sign_order(secret, { id, total, expiration, time = kTime, kind = 1473 }) {
  return finalizeEvent({ kind, created_at: time, content: "",
    tags: [["d", id.slice(2)], ["amount", String(total)], ["expiration", String(expiration)]] }, secret);
}

/** {rx, s, ry} of an event's signature. */
export function signature_of({ sig }) {
  const rx = BigInt(`0x${sig.slice(0, 64)}`);
  return { rx, s: BigInt(`0x${sig.slice(64)}`), ry: even_y(rx) };
}

/** The 208 bytes of one row. */
export function row_of(channel, { amount, time = kTime, x, signature }) {
  return concat([channel.payer, packed(channel.salt, 12), channel.signer, packed(amount, 12), packed(time, 4), x,
    word(signature.rx), word(signature.s), word(signature.ry)]);
}
