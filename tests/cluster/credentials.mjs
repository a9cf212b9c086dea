// Decentralised authentication of NATS, as `nsc` makes it: an operator signs accounts, an account its users, each with a key of its own
// (Ed25519); a relay gets a user's token and seed in a .creds file. Made here, so that no tool beside Node is needed.
import { createHash, generateKeyPairSync, sign } from "node:crypto";

const kPrefixes = { operator: 14 << 3, account: 0, user: 20 << 3 };
const kSeed = 18 << 3;
const kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function base32(bytes) {
  let [bits, value, out] = [0, 0, ""];
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xffff;
    for (bits += 8; bits >= 5; bits -= 5) out += kAlphabet[(value >> (bits - 5)) & 31];
  }
  return bits > 0 ? out + kAlphabet[(value << (5 - bits)) & 31] : out;
}

/** CRC-16 of XMODEM, low byte first, behind the bytes. */
function with_check(bytes) {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let i = 0; i < 8; i++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return Buffer.concat([bytes, Buffer.from([crc & 0xff, crc >> 8])]);
}

function make_key(kind) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const prefix = kPrefixes[kind];
  const raw = (key, name) => Buffer.from(key.export({ format: "jwk" })[name], "base64url");
  return {
    name: base32(with_check(Buffer.concat([Buffer.from([prefix]), raw(publicKey, "x")]))),
    seed: base32(with_check(Buffer.concat([Buffer.from([kSeed | (prefix >> 5), (prefix & 31) << 3]), raw(privateKey, "d")]))),
    sign: (text) => sign(null, Buffer.from(text), privateKey),
  };
}

function token(signer, subject, name, nats) {
  const text = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iat: Math.floor(Date.now() / 1000), iss: signer.name, name, sub: subject.name, nats: { ...nats, version: 2 } };
  claims.jti = base32(createHash("sha256").update(JSON.stringify(claims)).digest());
  const signed = `${text({ typ: "JWT", alg: "ed25519-nkey" })}.${text(claims)}`;
  return `${signed}.${signer.sign(signed).toString("base64url")}`;
}

/** {server: lines of a server's configuration, relay: text of a .creds file}; the user may what `permissions` {publish, subscribe} say. */
export function make_credentials(permissions) {
  const [operator, system, account, user] = [make_key("operator"), make_key("account"), make_key("account"), make_key("user")];
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const system_token = token(operator, system, "SYS", { limits, type: "account" });
  const account_token = token(operator, account, "RELAYS", { limits: { ...limits, ...storage }, type: "account" });
  const user_token = token(account, user, "relay", { pub: { allow: permissions.publish }, sub: { allow: permissions.subscribe }, subs: -1, data: -1, payload: -1, type: "user" });
  return {
    server: `operator: ${token(operator, operator, "operator", { type: "operator" })}
system_account: ${system.name}
resolver: MEMORY
resolver_preload: { ${system.name}: ${system_token}, ${account.name}: ${account_token} }
`,
    relay: `-----BEGIN NATS USER JWT-----\n${user_token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${user.seed}\n------END USER NKEY SEED------\n`,
  };
}
