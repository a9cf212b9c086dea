// Who signs the requests: an extension of the browser (NIP-07), or a secret key that was typed in. That one is kept in this
// module's memory until the page is left, never stored, and never sent.
import { id_of, public_key_of, sign } from "/admin/bip340.js";

const kLetters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const kGenerator = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

function checksum(values) {
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    for (let i = 0; i < 5; ++i) if ((top >>> i) & 1) sum ^= kGenerator[i];
  }
  return sum;
}

/** The 32 bytes (hex) of an nsec or npub (NIP-19); nothing for any other text. */
export function decode_key(text, prefix) {
  const code = text.trim();
  if (!code.startsWith(`${prefix}1`) || code.length !== prefix.length + 1 + 52 + 6) return undefined;
  const values = [...code.slice(prefix.length + 1)].map((letter) => kLetters.indexOf(letter));
  if (values.includes(-1)) return undefined;
  const letters = [...prefix].map((letter) => letter.charCodeAt(0));
  const all = [...letters.map((c) => c >>> 5), 0, ...letters.map((c) => c & 31), ...values];
  if (checksum(all) !== 1) return undefined;
  const bits = values.slice(0, 52).map((value) => value.toString(2).padStart(5, "0")).join("");
  if (/1/.test(bits.slice(256))) return undefined;
  return bits.slice(0, 256).match(/.{4}/g).map((four) => parseInt(four, 2).toString(16)).join("");
}

/** A public key in hex, of hex or npub. */
export const read_key = (text) => (/^[0-9a-f]{64}$/.test(text.trim()) ? text.trim() : decode_key(text, "npub"));

export const has_extension = () => typeof window.nostr?.signEvent === "function";

/** {key, sign(event)}; event without id, pubkey and sig. */
export async function extension_signer() {
  const key = await window.nostr.getPublicKey();
  return { key, sign: (event) => window.nostr.signEvent(event) };
}

/** Of an nsec; throws a sentence for people. */
export function secret_signer(nsec) {
  const secret = decode_key(nsec, "nsec");
  const key = secret && public_key_of(secret);
  if (!key) throw new Error("That is no nsec.");
  return {
    key,
    async sign(event) {
      const whole = { ...event, pubkey: key };
      const id = await id_of(whole);
      return { ...whole, id, sig: await sign(secret, id) };
    },
  };
}
