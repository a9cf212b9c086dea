// Tokens that do not keep to the standard: whatever they do, a user's loss is his own token's, and the
// contract never owes more of a token than it holds because of what it booked.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { World } from "./support/world.mjs";

let world;
before(async () => { world = await World.start(); });
after(() => world?.stop());

/** All that is owed in a token to the people of these tests and their channels. */
async function owed(token, channels) {
  let sum = 0n;
  for (const owner of [world.payer, world.payee, world.stranger, world.other]) sum += await world.pool(owner, token.address);
  for (const channel of channels) {
    const { locked, claimed } = await world.slot(channel);
    sum += locked - claimed;
  }
  return sum;
}

async function life_of(name) {
  const token = await world.new_token(name);
  const channel = await world.opened(1000n, { token: token.address });
  await world.contract.send({ from: world.payer }, "deposit", world.payer, token.address, 500n);
  await world.claim(world.row(channel, 400n), { token: token.address });
  assert.equal(await owed(token, [channel]), await world.held(token), "owed is held");
  await world.close(channel);
  for (const owner of [world.payer, world.payee]) {
    const has = await world.pool(owner, token.address);
    if (has > 0n) await world.contract.send({ from: owner }, "withdraw", token.address, has, owner);
  }
  assert.equal(await world.held(token), 0n, "all can be taken out");
  return { token, channel };
}

test("a token without return values works", () => life_of("SilentToken"));
test("a token that returns false though it pays works", () => life_of("PessimistToken"));
test("a plain token works", () => life_of("PlainToken"));

test("a token that keeps a fee is booked by what arrives", async () => {
  const { channel } = await life_of("FeeToken");
  assert.equal((await world.slot(channel)).claimed, 400n);
  const token = await world.new_token("FeeToken");
  const second = await world.opened(1000n, { token: token.address });
  assert.equal((await world.slot(second)).locked, 990n);
  await world.contract.send({ from: world.payer }, "topUp", second, 1000n);
  assert.equal((await world.slot(second)).locked, 1980n);
  await world.contract.send({ from: world.payer }, "deposit", world.payer, token.address, 100n);
  assert.equal(await world.pool(world.payer, token.address), 99n);
});

test("a token that gives more than was sent: no more is booked than was asked for", async () => {
  const token = await world.new_token("GenerousToken");
  const channel = await world.opened(1000n, { token: token.address });
  assert.equal((await world.slot(channel)).locked, 1000n);
  await world.contract.send({ from: world.payer }, "deposit", world.payer, token.address, 50n);
  assert.equal(await world.pool(world.payer, token.address), 50n);
});

test("a token that the contract may not take is not booked", async () => {
  const token = await world.new_token("PlainToken");
  await token.send({ from: world.payer }, "approve", world.contract.address, 99n);
  assert.equal(await world.contract.refusal({ from: world.payer }, "open", world.channel({ token: token.address }), 100n), "TransferFailed");
});

test("a token that takes a fee from the sender on top can't take it from others", async () => {
  const token = await world.new_token("FeeOnSenderToken");
  const channel = await world.opened(1000n, { token: token.address });
  await world.opened(1000n, { token: token.address, payer: world.stranger });
  const row = world.row(channel, 500n);
  assert.equal(await world.contract.refusal({ from: world.payee }, "claim", world.payee, token.address, row), "WrongAmountLeft");
  await world.claim(row, { token: token.address, to_pool: true });
  assert.equal(await world.contract.refusal({ from: world.payee }, "withdraw", token.address, 500n, world.payee), "WrongAmountLeft");
  await world.contract.send({ from: world.payee }, "withdraw", token.address, 99n, world.payee); // too little for a fee
  assert.equal(await world.held(token), 2000n - 99n);
});

test("a token that says it moved and did not: nothing is booked on the way in, nothing lost on the way out", async () => {
  const token = await world.new_token("LyingToken");
  const channel = await world.opened(1000n, { token: token.address });
  await token.send({ from: world.payer }, "lie", true);
  assert.equal(await world.contract.refusal({ from: world.payer }, "deposit", world.payer, token.address, 10n), "NothingArrived");
  assert.equal(await world.contract.refusal({ from: world.payer }, "open", world.channel({ token: token.address }), 10n), "NothingArrived");
  const { events } = await world.claim(world.row(channel, 600n), { token: token.address });
  assert.deepEqual(events.map(([name]) => name), ["Claimed", "Kept"]);
  assert.equal(await world.contract.refusal({ from: world.payee }, "withdraw", token.address, 600n, world.payee), "TransferFailed");
  await token.send({ from: world.payer }, "lie", false);
  await world.contract.send({ from: world.payee }, "withdraw", token.address, 600n, world.payee);
});

test("a token that shrinks balances hurts its own holders only", async () => {
  const token = await world.new_token("RebasingToken");
  const channel = await world.opened(1000n, { token: token.address });
  const plain = await world.opened(1000n);
  await token.send({ from: world.payer }, "rebase", world.contract.address, 300n);
  const { events } = await world.claim(world.row(channel, 400n), { token: token.address });
  assert.deepEqual(events.map(([name]) => name), ["Claimed", "Kept"]);
  await world.contract.send({ from: world.payee }, "withdraw", token.address, 300n, world.payee);
  await world.claim(world.row(plain, 1000n));
});

test("a token that grows balances: the surplus is nobody's, and no claim pays more", async () => {
  const token = await world.new_token("RebasingToken");
  const channel = await world.opened(1000n, { token: token.address });
  await token.send({ from: world.payer }, "rebase", world.contract.address, 5000n);
  await world.claim(world.row(channel, 5000n), { token: token.address });
  assert.equal(await world.held(token), 4000n);
});

test("tokens sent to the contract by mistake are nobody's, and disturb nobody", async () => {
  const token = await world.new_token("PlainToken");
  await token.send({ from: world.payer }, "transfer", world.contract.address, 77n);
  const channel = await world.opened(100n, { token: token.address });
  assert.equal((await world.slot(channel)).locked, 100n);
  await world.claim(world.row(channel, 100n), { token: token.address });
  assert.equal(await world.held(token), 77n);
});

test("ether sent without a call is refused", async () => {
  const { status } = await world.chain.transact({ from: world.payer, to: world.contract.address, data: "0x", value: 1n });
  assert.equal(status, "0x0");
});

test("a withdrawal to the contract itself is refused", async () => {
  await world.contract.send({ from: world.payer }, "deposit", world.payer, world.token.address, 10n);
  assert.equal(await world.contract.refusal({ from: world.payer }, "withdraw", world.token.address, 10n, world.contract.address), "TransferFailed");
});

test("what is no token can not be locked: the contract itself, an account", async () => {
  for (const token of [world.contract.address, world.stranger]) {
    assert.ok(["TransferFailed", "NoToken"].includes(await world.contract.refusal({ from: world.payer }, "open", world.channel({ token }), 1n)));
  }
});
