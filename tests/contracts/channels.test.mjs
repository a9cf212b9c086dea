// What the contract does for those who keep to the rules: spec/12-contract.md.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { kAmountMax, kEther, kTime } from "./support/receipts.mjs";
import { kDay, kSkip, random_word, World } from "./support/world.mjs";

let world;
before(async () => { world = await World.start(); });
after(() => world?.stop());

const names = ({ events }) => events.map(([name]) => name);

test("a channel is opened, claimed from step by step, and its payee is paid exactly", async () => {
  const channel = await world.opened(1000n);
  const before_claim = await world.token.read("balanceOf", world.payee);
  assert.deepEqual((await world.claim(world.row(channel, 300n))).events, [["Claimed", channel.id, 300n]]);
  assert.deepEqual((await world.claim(world.row(channel, 301n))).events, [["Claimed", channel.id, 301n]]);
  assert.equal(await world.token.read("balanceOf", world.payee), before_claim + 301n);
  assert.deepEqual(await world.slot(channel), { locked: 1000n, claimed: 301n, close_at: 0, returned: false, known: true });
});

test("the same in ether", async () => {
  const channel = await world.opened(10n ** 18n, { token: kEther });
  const before_claim = await world.chain.balance_of(world.payee);
  await world.claim(world.row(channel, 10n ** 17n), { token: kEther, from: world.stranger });
  assert.equal(await world.chain.balance_of(world.payee), before_claim + 10n ** 17n);
  assert.equal(await world.held(kEther), 9n * 10n ** 17n);
  await world.close(channel);
  await world.contract.send({ from: world.payer }, "withdraw", kEther, 9n * 10n ** 17n, world.other);
  assert.equal(await world.held(kEther), 0n);
});

test("a channel's id is the one that the specification derives", async () => {
  for (let i = 0; i < 20; ++i) {
    const channel = world.channel({ salt: BigInt(random_word()) >> 160n, token: i % 2 ? kEther : world.token.address });
    assert.equal(await world.contract.read("channelId", channel), channel.id);
  }
});

test("a batch pays all receipts of a payee with one transfer, and skips bad rows", async () => {
  const channels = await Promise.all([1, 2, 3].map(() => world.opened(100n)));
  const unknown = world.channel();
  const rows = [world.row(channels[0], 10n), world.row(unknown, 5n), world.row(channels[1], 20n, { amount: 21n }),
    world.row(channels[2], 30n), world.row(channels[0], 7n), world.row(channels[1], 40n, { time: 999_999_999 })];
  const before_claim = await world.token.read("balanceOf", world.payee);
  assert.deepEqual((await world.claim(rows)).events, [["Claimed", channels[0].id, 10n], ["Skipped", 1n, kSkip.unknown],
    ["Skipped", 2n, kSkip.bad_signature], ["Claimed", channels[2].id, 30n], ["Skipped", 4n, kSkip.nothing_new],
    ["Skipped", 5n, kSkip.bad_time]]);
  assert.equal(await world.token.read("balanceOf", world.payee), before_claim + 40n);
});

test("no rows and only bad rows pay nothing and are no failure; torn rows are refused", async () => {
  assert.deepEqual((await world.claim([])).events, []);
  const row = world.row(world.channel(), 1n);
  assert.deepEqual((await world.claim(row)).events, [["Skipped", 0n, kSkip.unknown]]);
  assert.deepEqual((await world.claim(row, { token: world.stranger })).events, [["Skipped", 0n, kSkip.unknown]], "no token is asked");
  for (const torn of [row.slice(0, -2), `${row}00`, "0x00"]) {
    assert.equal(await world.contract.refusal({ from: world.payee }, "claim", world.payee, world.token.address, torn), "BadRows");
  }
});

test("receipts of every length of amount and time are rebuilt to the byte", async () => {
  const channel = await world.opened(kAmountMax);
  const powers = Array.from({ length: 29 }, (_, i) => 10n ** BigInt(i));
  const amounts = [...new Set(powers.flatMap((power) => [power - 1n, power, power + 1n]))].filter((a) => a > 0n);
  amounts.push(kAmountMax - 1n, kAmountMax);
  const times = [1_000_000_000, 1_999_999_999, 2_000_000_000, 2 ** 32 - 1];
  const rows = amounts.map((amount, i) => world.row(channel, amount, { time: times[i % times.length] }));
  const { events } = await world.claim(rows);
  assert.deepEqual(events, amounts.map((amount) => ["Claimed", channel.id, amount]));
  await world.contract.send({ from: world.payee }, "deposit", world.payee, world.token.address, 1n);
  await world.token.send({ from: world.payee }, "transfer", world.payer, kAmountMax);
});

test("a receipt above the deposit is worth the deposit, and the rest when it is added", async () => {
  const channel = await world.opened(100n);
  const row = world.row(channel, 250n);
  assert.deepEqual((await world.claim(row)).events, [["Claimed", channel.id, 100n]]);
  await world.contract.send({ from: world.payer }, "topUp", channel, 70n);
  assert.deepEqual((await world.claim(row)).events, [["Claimed", channel.id, 170n]]);
  await world.contract.send({ from: world.payer }, "topUp", channel, 500n);
  assert.deepEqual((await world.claim(row)).events, [["Claimed", channel.id, 250n]]);
  assert.deepEqual((await world.claim(row)).events, [["Skipped", 0n, kSkip.nothing_new]]);
});

test("the pool: deposits for anybody, locks, withdrawals to anybody", async () => {
  const before_all = await world.pool(world.payer);
  await world.contract.send({ from: world.stranger }, "deposit", world.payer, world.token.address, 500n);
  const channel = world.channel();
  const opened = await world.contract.send({ from: world.payer }, "openPooled", channel, 200n);
  assert.deepEqual(names(opened), ["Opened"]);
  await world.contract.send({ from: world.payer }, "topUpPooled", channel, 50n);
  assert.equal((await world.slot(channel)).locked, 250n);
  assert.equal(await world.pool(world.payer), before_all + 250n);
  const before_withdrawal = await world.token.read("balanceOf", world.other);
  await world.contract.send({ from: world.payer }, "withdraw", world.token.address, before_all + 250n, world.other);
  assert.equal(await world.token.read("balanceOf", world.other), before_withdrawal + before_all + 250n);
  for (const [name, ...args] of [["withdraw", world.token.address, 1n, world.payer], ["openPooled", world.channel(), 1n],
    ["topUpPooled", channel, 1n], ["withdraw", world.token.address, 0n, world.payer]]) {
    assert.equal(await world.contract.refusal({ from: world.payer }, name, ...args), "NotEnough", name);
  }
});

test("a payee pays others from what he claimed into his pool", async () => {
  const channel = await world.opened(100n);
  const claimed = await world.claim(world.row(channel, 60n), { to_pool: true });
  assert.deepEqual(claimed.events, [["Claimed", channel.id, 60n], ["Kept", ...claimed.events[1].slice(1, 3), 60n]]);
  const upstream = world.channel({ payer: world.payee, payee: world.other });
  await world.contract.send({ from: world.payee }, "openPooled", upstream, 60n);
  await world.claim(world.row(upstream, 60n), { payee: world.other });
});

test("a signer opens and raises a channel by order, within the allowance; anybody brings it", async () => {
  const channel = world.channel();
  await world.contract.send({ from: world.payer }, "deposit", world.payer, world.token.address, 1000n);
  await world.contract.send({ from: world.payer }, "allow", channel.signer, world.token.address, 300n);
  assert.deepEqual(names(await world.contract.send({ from: world.stranger }, "openSigned", ...world.order(channel, 100n))), ["Opened"]);
  const raised = await world.contract.send({ from: world.stranger }, "openSigned", ...world.order(channel, 250n));
  assert.deepEqual(raised.events, [["Locked", channel.id, 250n]]);
  assert.equal(await world.contract.read("allowance", world.payer, channel.signer, world.token.address), 50n);
  assert.equal(await world.contract.refusal({ from: world.stranger }, "openSigned", ...world.order(channel, 301n)), "TooMuch");
  await world.contract.send({ from: world.payer }, "topUp", channel, 50n);
  await world.contract.send({ from: world.stranger }, "openSigned", ...world.order(channel, 350n));
  assert.equal((await world.slot(channel)).locked, 350n);
});

test("ids of orders and receipts are those that nostr-tools computes", async () => {
  const { sign_order, sign_receipt } = await import("./support/receipts.mjs");
  const channel = world.channel();
  for (const amount of [1n, 10n ** 27n, kAmountMax]) {
    const x = random_word();
    const receipt = sign_receipt(channel.key.secret, { id: channel.id, amount, x });
    assert.equal(await world.contract.read("receiptId", channel.signer, kTime, channel.id, amount, x), `0x${receipt.id}`);
    const order = sign_order(channel.key.secret, { id: channel.id, total: amount, expiration: 2 ** 32 - 1 });
    assert.equal(await world.contract.read("orderId", channel.signer, kTime, channel.id, amount, 2 ** 32 - 1), `0x${order.id}`);
  }
});

test("a close takes a day, during which receipts are paid; the rest returns to the payer's pool", async () => {
  const channel = await world.opened(1000n);
  const pool_before = await world.pool(world.payer);
  await world.claim(world.row(channel, 100n));
  await world.request_close(channel);
  const { close_at } = await world.slot(channel);
  assert.equal(close_at, await world.chain.now() + kDay);
  await world.chain.pass(kDay - 10);
  assert.equal(await world.contract.refusal({ from: world.payer }, "finalise", channel), "NotYet");
  await world.claim(world.row(channel, 400n));
  await world.chain.pass(10);
  const finalised = await world.contract.send({ from: world.stranger }, "finalise", channel);
  assert.deepEqual(finalised.events, [["Finalised", channel.id, 400n]]);
  assert.equal(await world.pool(world.payer), pool_before + 600n);
  assert.deepEqual(await world.slot(channel), { locked: 400n, claimed: 400n, close_at: 0, returned: true, known: true });
});

test("a payee who gives back ends a channel without waiting", async () => {
  const channel = await world.opened(1000n);
  const pool_before = await world.pool(world.payer);
  await world.claim(world.row(channel, 400n));
  assert.equal(await world.contract.refusal({ from: world.payee }, "refund", channel, 601n), "NotEnough");
  assert.equal(await world.contract.refusal({ from: world.payee }, "refund", channel, 0n), "NotEnough");
  const refunded = await world.contract.send({ from: world.payee }, "refund", channel, 600n);
  assert.deepEqual(refunded.events, [["Locked", channel.id, 400n]]);
  assert.equal(await world.pool(world.payer), pool_before + 600n);
  assert.equal(await world.contract.refusal({ from: world.payee }, "refund", channel, 1n), "NotEnough");
});

test("a finalised channel takes new money; its counters go on", async () => {
  const channel = await world.opened(100n);
  const old = world.row(channel, 60n);
  await world.claim(old);
  await world.close(channel);
  await world.contract.send({ from: world.payer }, "topUp", channel, 40n);
  assert.deepEqual((await world.claim(old)).events, [["Skipped", 0n, kSkip.nothing_new]]);
  assert.deepEqual((await world.claim(world.row(channel, 90n))).events, [["Claimed", channel.id, 90n]]);
  assert.equal((await world.slot(channel)).close_at, 0);
});

test("only the payer and the payee do what is theirs", async () => {
  const channel = await world.opened(100n);
  for (const name of ["requestClose"]) {
    for (const from of [world.payee, world.stranger]) assert.equal(await world.contract.refusal({ from }, name, channel), "NotPayer");
  }
  for (const name of ["topUp", "topUpPooled", "open", "openPooled"]) {
    for (const from of [world.payee, world.stranger]) assert.equal(await world.contract.refusal({ from }, name, channel, 1n), "NotPayer");
  }
  for (const from of [world.payer, world.stranger]) assert.equal(await world.contract.refusal({ from }, "refund", channel, 1n), "NotPayee");
});

test("what was never opened can't be topped up, closed, finalised or refunded", async () => {
  const channel = world.channel();
  assert.equal(await world.contract.refusal({ from: world.payer }, "topUp", channel, 1n), "NotOpen");
  assert.equal(await world.contract.refusal({ from: world.payer }, "topUpPooled", channel, 1n), "NotOpen");
  assert.equal(await world.contract.refusal({ from: world.payer }, "requestClose", channel), "NotOpen");
  assert.equal(await world.contract.refusal({ from: world.payer }, "finalise", channel), "NotYet");
  assert.equal(await world.contract.refusal({ from: world.payee }, "refund", channel, 1n), "NotEnough");
});

test("values that make no sense are refused", async () => {
  const from = world.payer;
  assert.equal(await world.contract.refusal({ from }, "open", world.channel({ payee: kEther }), 1n), "BadChannel");
  assert.equal(await world.contract.refusal({ from }, "open", world.channel(), 0n), "NothingArrived");
  assert.equal(await world.contract.refusal({ from, value: 1n }, "open", world.channel(), 1n), "WrongValue");
  assert.equal(await world.contract.refusal({ from }, "open", world.channel({ token: kEther }), 1n), "WrongValue");
  assert.equal(await world.contract.refusal({ from, value: 2n }, "open", world.channel({ token: kEther }), 1n), "WrongValue");
  assert.equal(await world.contract.refusal({ from }, "open", world.channel({ token: kEther }), 0n), "WrongValue");
  assert.ok(await world.contract.refusal({ from }, "open", world.channel({ token: world.stranger }), 1n) !== undefined, "no contract");
});
