// Signed events in a page: NIP-01 ids and BIP-340 signatures. Checking them takes no secret; sign() does, and its arithmetic
// takes as long as the numbers are: for a key that its owner types into his own relay's page (relay/admin/), nothing else.

const kP = 2n ** 256n - 2n ** 32n - 977n;
const kN = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const kG = {
  x: 0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n,
  y: 0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8n,
  z: 1n,
};

const mod = (a, m = kP) => { const r = a % m; return r < 0n ? r + m : r; };

function power(base, exponent) {
  let out = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n) {
    if (e & 1n) out = (out * b) % kP;
    b = (b * b) % kP;
  }
  return out;
}

// Jacobian coordinates; z = 0 is infinity.
function double({ x, y, z }) {
  if (z === 0n) return { x, y, z };
  const a = mod(x * x);
  const b = mod(y * y);
  const c = mod(b * b);
  const d = mod(2n * ((x + b) * (x + b) - a - c));
  const e = 3n * a;
  const x3 = mod(e * e - 2n * d);
  return { x: x3, y: mod(e * (d - x3) - 8n * c), z: mod(2n * y * z) };
}

function add(p, q) {
  if (p.z === 0n) return q;
  if (q.z === 0n) return p;
  const pz2 = mod(p.z * p.z);
  const qz2 = mod(q.z * q.z);
  const u1 = mod(p.x * qz2);
  const h = mod(q.x * pz2 - u1);
  const s1 = mod(p.y * qz2 * q.z);
  const r = mod(q.y * pz2 * p.z - s1);
  if (h === 0n) return r === 0n ? double(p) : { x: 1n, y: 1n, z: 0n };
  const h2 = mod(h * h);
  const h3 = mod(h * h2);
  const v = mod(u1 * h2);
  const x = mod(r * r - h3 - 2n * v);
  return { x, y: mod(r * (v - x) - s1 * h3), z: mod(p.z * q.z * h) };
}

function times(point, scalar) {
  let out = { x: 1n, y: 1n, z: 0n };
  for (let p = point, k = scalar; k > 0n; k >>= 1n) {
    if (k & 1n) out = add(out, p);
    p = double(p);
  }
  return out;
}

/** The point of this x with an even y; nothing when x is on no point. */
function lift(x) {
  if (x >= kP) return undefined;
  const c = mod(x * x * x + 7n);
  const y = power(c, (kP + 1n) / 4n);
  if (mod(y * y) !== c) return undefined;
  return { x, y: y & 1n ? kP - y : y, z: 1n };
}

const number_of = (hex) => BigInt(`0x${hex}`);
const bytes_of = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const hex_of = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

export const sha256_hex = async (text) => hex_of(await sha256(new TextEncoder().encode(text)));

async function tagged(name, parts) {
  const tag = await sha256(new TextEncoder().encode(`BIP0340/${name}`));
  return sha256(await new Blob([tag, tag, ...parts]).arrayBuffer());
}

const challenge = async (parts) => number_of(hex_of(await tagged("challenge", parts)));

/** Of a multiple of the generator; never infinity here. */
function affine(point) {
  const inverse = power(point.z, kP - 2n);
  const y = mod(point.y * inverse * inverse * inverse);
  return { x: mod(point.x * inverse * inverse), y };
}

const hex_32 = (number) => number.toString(16).padStart(64, "0");

/** The secret's number and its public key, as BIP-340 has it (hex); nothing for a number that is no key. */
function keys_of(secret) {
  const d = number_of(secret);
  if (d === 0n || d >= kN) return undefined;
  const point = affine(times(kG, d));
  return { d: point.y & 1n ? kN - d : d, key: hex_32(point.x) };
}

/** Hex: secret key (32 bytes) to public key. */
export const public_key_of = (secret) => keys_of(secret)?.key;

/** Hex: secret key, message (32 bytes each) to signature. */
export async function sign(secret, message) {
  const { d, key } = keys_of(secret);
  const random = await tagged("aux", [crypto.getRandomValues(new Uint8Array(32))]);
  const masked = hex_32(d ^ number_of(hex_of(random)));
  const k = mod(number_of(hex_of(await tagged("nonce", [bytes_of(masked), bytes_of(key), bytes_of(message)]))), kN);
  if (k === 0n) throw new Error("a nonce of zero");
  const point = affine(times(kG, k));
  const r = hex_32(point.x);
  const e = mod(await challenge([bytes_of(r), bytes_of(key), bytes_of(message)]), kN);
  return r + hex_32(mod((point.y & 1n ? kN - k : k) + e * d, kN));
}

/** Hex: public key (32 bytes), message (32), signature (64). */
export async function verify(key, message, signature) {
  const point = lift(number_of(key));
  const r = number_of(signature.slice(0, 64));
  const s = number_of(signature.slice(64));
  if (!point || r >= kP || s >= kN) return false;
  const e = mod(await challenge([bytes_of(signature.slice(0, 64)), bytes_of(key), bytes_of(message)]), kN);
  const sum = add(times(kG, s), times(point, mod(kN - e, kN)));
  if (sum.z === 0n) return false;
  const inverse = power(sum.z, kP - 2n);
  const y = mod(sum.y * inverse * inverse * inverse);
  return (y & 1n) === 0n && mod(sum.x * inverse * inverse) === r;
}

const is_hex = (text, bytes) => typeof text === "string" && text.length === 2 * bytes && /^[0-9a-f]*$/.test(text);

/** NIP-01: what an event's id is the hash of. */
export const id_of = (event) => sha256_hex(JSON.stringify([0, event.pubkey, event.created_at, event.kind, event.tags, event.content]));

/** Whether an event is what its id and signature say. */
export async function is_genuine(event) {
  if (!is_hex(event?.id, 32) || !is_hex(event.pubkey, 32) || !is_hex(event.sig, 64)) return false;
  return await id_of(event) === event.id && verify(event.pubkey, event.id, event.sig);
}
