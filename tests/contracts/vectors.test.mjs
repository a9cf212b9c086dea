// spec/vectors/contract.json on a chain: what any implementation must sign and send is what the contract pays.
// tests/settlement holds the same file against the C++.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, test } from "node:test";
import { verifyEvent } from "nostr-tools/pure";
import { channel_id, row_of, signature_of } from "./support/receipts.mjs";
import { World } from "./support/world.mjs";

const vectors = JSON.parse(fs.readFileSync(new URL("../../spec/vectors/contract.json", import.meta.url), "utf8"));
const terms = { ...vectors.terms, salt: BigInt(`0x${vectors.terms.salt}`) };

let world;
before(async () => { world = await World.start(); });
after(() => world?.stop());

const carry_out = async (from, data) => {
  const receipt = await world.chain.transact({ from, to: world.contract.address, data });
  assert.equal(receipt.status, "0x1");
  return world.contract.events(receipt);
};

test("the vectors' chain is a fresh one of ours", () => {
  assert.equal(world.contract.address.toLowerCase(), vectors.place.contract);
  assert.equal(world.chain_id, BigInt(vectors.place.chain_id));
  assert.equal(world.token.address.toLowerCase(), terms.token);
  assert.deepEqual([world.payer, world.payee], [terms.payer, terms.payee]);
});

test("id, events and row are those of the specification", async () => {
  assert.equal(channel_id({ ...vectors.place, chain_id: BigInt(vectors.place.chain_id) }, terms), vectors.id);
  assert.equal(await world.contract.read("channelId", terms), vectors.id);
  assert.ok(verifyEvent({ ...vectors.receipt }) && verifyEvent({ ...vectors.order }));
  const [, [, amount], [, x]] = vectors.receipt.tags;
  assert.equal(row_of(terms, { amount: BigInt(amount), time: vectors.receipt.created_at, x: `0x${x}`, signature: signature_of(vectors.receipt) }), vectors.row);
});

test("the order opens the channel, the receipt is paid, the payer closes", async () => {
  await world.contract.send({ from: world.payer }, "deposit", world.payer, terms.token, 10_000_000n);
  await world.contract.send({ from: world.payer }, "allow", terms.signer, terms.token, 5_000_000n);
  assert.deepEqual((await carry_out(world.other, vectors.calls.openSigned)).map(([name]) => name), ["Opened"]);
  assert.deepEqual(await carry_out(world.payee, vectors.calls.claim), [["Claimed", vectors.id, 1_234_567n]]);
  assert.deepEqual((await carry_out(world.payer, vectors.calls.requestClose)).map(([name]) => name), ["CloseRequested"]);
});
