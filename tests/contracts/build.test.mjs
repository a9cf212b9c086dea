// The committed bytecode is what the committed sources make.
import assert from "node:assert/strict";
import { test } from "node:test";
import { artifact, committed } from "../../settlement/contracts/build.mjs";

const kCodeBytesMax = 24_576; // EIP-170

test("the pinned compiler makes the committed file, byte for byte", () => {
  assert.equal(committed(), artifact());
});

test("the contract fits onto a chain", () => {
  const { bytecode } = JSON.parse(committed());
  assert.ok(bytecode.length / 2 - 1 < kCodeBytesMax);
});
