// BIP-340 on the chain against the official vectors, and against @noble/curves on random cases.
// NOSTRIL_CASES: how many (300; 5000 for a long run). NOSTRIL_SEED: repeats a run.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { schnorr, secp256k1 } from "@noble/curves/secp256k1.js";
import { concat } from "ethers";
import { even_y, word } from "./support/receipts.mjs";
import { Random } from "./support/random.mjs";
import { World } from "./support/world.mjs";

const kField = secp256k1.Point.Fp.ORDER;
const kOrder = secp256k1.Point.Fn.ORDER;
const kCases = Number(process.env.NOSTRIL_CASES ?? 300);
const kRowsInACall = 100;

let world;
let harness;
before(async () => {
  world = await World.start();
  harness = await world.deploy_helper("Bip340Harness");
});
after(() => world?.stop());

/** A false signature must be refused with whatever hint; a true one needs the even y. */
async function judged(key, message, signature) {
  const rx = BigInt(`0x${signature.slice(0, 64)}`);
  const s = BigInt(`0x${signature.slice(64)}`);
  const y = even_y(rx % kField);
  const hints = [y, kField - y, 0n, 1n, 2n, kField - 1n, kField, 2n ** 256n - 1n];
  const answers = [];
  for (const ry of hints) answers.push(await harness.read("verifyBytes", `0x${key}`, `0x${message}`, rx, s, ry));
  assert.ok(answers.slice(1).every((answer) => !answer), "only the even y of rx is an answer");
  return answers[0];
}

test("the 19 official vectors, messages of any length", async (t) => {
  const root = process.env.NOSTRIL_SHARED ?? fileURLToPath(new URL("../../../shared", import.meta.url));
  const file = path.join(root, "vectors/bip340/test-vectors.csv");
  if (!fs.existsSync(file)) return t.skip(`${file} is not there`);
  const [, ...rows] = fs.readFileSync(file, "utf8").trim().split(/\r?\n/).map((line) => line.split(","));
  assert.equal(rows.length, 19);
  for (const [index, , key, , message, signature, result] of rows) {
    assert.equal(await judged(key, message, signature), result === "TRUE", `vector ${index}`);
  }
});

// Made here with @noble/curves: {secret 3, aux 0s, message}; then what must be refused of each.
test("own vectors: a signature, and each of its neighbours", async () => {
  const secret = Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? 3 : 0));
  const key = "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9";
  assert.equal(Buffer.from(schnorr.getPublicKey(secret)).toString("hex"), key);
  for (const message of ["00".repeat(32), "ff".repeat(32), "", "11", "22".repeat(17), "99".repeat(100)]) {
    const signature = Buffer.from(schnorr.sign(Buffer.from(message, "hex"), secret, new Uint8Array(32))).toString("hex");
    assert.equal(await judged(key, message, signature), true);
    const [r, s] = [signature.slice(0, 64), BigInt(`0x${signature.slice(64)}`)];
    const with_s = (value) => r + value.toString(16).padStart(64, "0");
    assert.equal(await judged(key, `${message}00`, signature), false);
    assert.equal(await judged(key, message, with_s(kOrder - s)), false);
    assert.equal(await judged(key, message, with_s(s + 1n)), false);
    assert.equal(await judged(key, message, with_s(kOrder)), false);
    assert.equal(await judged(key, message, "0".repeat(128)), false);
    assert.equal(await judged("0".repeat(64), message, signature), false);
    assert.equal(await judged(kField.toString(16), message, signature), false);
  }
});

test("y hints: only the even y of a point is one", async () => {
  const random = new Random();
  // x + p and y + p fit into a word only near zero: x = 1 is on the curve, and so is x = p + 1 if it is reduced.
  const small = even_y(1n);
  assert.deepEqual([await harness.read("isEvenPoint", 1n, small), await harness.read("isEvenPoint", kField + 1n, small)], [true, false]);
  for (let i = 0; i < 20; ++i) {
    const x = BigInt(`0x${Buffer.from(schnorr.getPublicKey(random.bytes(32))).toString("hex")}`);
    const y = even_y(x);
    assert.equal(await harness.read("isEvenPoint", x, y), true, `seed ${random.seed}`);
    for (const other of [kField - y, (y + 2n) % kField, y ^ (1n << BigInt(1 + random.below(250))), 0n]) {
      assert.equal(await harness.read("isEvenPoint", x, other), false, `seed ${random.seed}`);
    }
  }
});

/** One random case: a genuine signature, or one with something wrong. */
function make_case(random) {
  const secret = random.bytes(32);
  const message = random.bytes(32);
  const signature = schnorr.sign(message, secret, random.bytes(32));
  const parts = [schnorr.getPublicKey(secret), message, signature.slice(0, 32), signature.slice(32)];
  const what = random.below(8);
  if (what >= 1 && what <= 4) parts[what - 1][random.below(32)] ^= 1 << random.below(8);
  if (what === 5) parts[random.below(4)].set(random.bytes(32));
  if (what === 6) parts[random.below(4)].fill(random.below(2) ? 0 : 255);
  return parts;
}

function valid([key, message, r, s]) {
  try {
    return schnorr.verify(new Uint8Array([...r, ...s]), message, key);
  } catch {
    return false;
  }
}

test(`${kCases} random cases: the chain says what @noble/curves says`, async (t) => {
  const random = new Random();
  t.diagnostic(`NOSTRIL_SEED=${random.seed}`);
  let accepted = 0;
  for (let done = 0; done < kCases; done += kRowsInACall) {
    const cases = Array.from({ length: Math.min(kRowsInACall, kCases - done) }, () => make_case(random));
    const hints = cases.map(([, , r]) => even_y(BigInt(`0x${Buffer.from(r).toString("hex")}`)));
    const rows = cases.map((parts, i) => concat([...parts, word(hints[i])]));
    const answers = Buffer.from((await harness.read("verifyMany", concat(rows))).slice(2), "hex");
    cases.forEach((parts, i) => {
      assert.equal(answers[i] === 1, valid(parts), `seed ${random.seed}, case ${done + i}`);
      accepted += answers[i];
    });
  }
  t.diagnostic(`${accepted} accepted`);
  assert.ok(accepted > 0 && accepted < kCases);
});
