// Every attack on such contracts that is known to us, by name. What concerns the two programs instead of the
// contract (lies about usage, lost state, exposure) is in tests/settlement.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { concat } from "ethers";
import { Contract } from "./support/contract.mjs";
import { channel_id, even_y, kAmountMax, kEther, kTime, new_key, row_of, sign_receipt, signature_of } from "./support/receipts.mjs";
import { kDay, kSkip, random_word, World } from "./support/world.mjs";

const kOrder = secp256k1.Point.Fn.ORDER;
const kField = secp256k1.Point.Fp.ORDER;

let world;
before(async () => { world = await World.start(); });
after(() => world?.stop());

async function pays_nothing(rows, reason, options) {
  const { events } = await world.claim(rows, options);
  assert.deepEqual(events.map(([name, , why]) => [name, why]), [rows].flat().map(() => ["Skipped", reason]));
}

test("double spend: one deposit can't be promised to two payees", async () => {
  await world.contract.send({ from: world.payer }, "deposit", world.payer, world.token.address, 100n);
  const all = await world.pool(world.payer);
  await world.contract.send({ from: world.payer }, "openPooled", world.channel(), all);
  assert.equal(await world.contract.refusal({ from: world.payer }, "openPooled", world.channel({ payee: world.other }), 1n), "NotEnough");
  assert.equal(await world.contract.refusal({ from: world.payer }, "withdraw", world.token.address, 1n, world.payer), "NotEnough");
});

test("rollback: an older, smaller receipt pays nothing and takes nothing back", async () => {
  const channel = await world.opened(100n);
  await world.claim(world.row(channel, 50n));
  await pays_nothing(world.row(channel, 49n), kSkip.nothing_new);
  assert.equal((await world.slot(channel)).claimed, 50n);
});

test("replay: the same receipt, alone or twice in a batch, pays once", async () => {
  const channel = await world.opened(100n);
  const row = world.row(channel, 50n);
  const { events } = await world.claim([row, row]);
  assert.deepEqual(events, [["Claimed", channel.id, 50n], ["Skipped", 1n, kSkip.nothing_new]]);
  await pays_nothing(row, kSkip.nothing_new);
});

test("equal amount again: another receipt of the same amount pays nothing", async () => {
  const channel = await world.opened(100n);
  await world.claim(world.row(channel, 50n));
  await pays_nothing(world.row(channel, 50n, { time: kTime + 1 }), kSkip.nothing_new);
});

test("receipts out of order: whatever order they come in, the greatest counts", async () => {
  const channel = await world.opened(100n);
  const { events } = await world.claim([30n, 10n, 70n, 69n].map((amount) => world.row(channel, amount)));
  assert.deepEqual(events.filter(([name]) => name === "Claimed").map(([, , claimed]) => claimed), [30n, 70n]);
});

test("two devices: channels of two salts do not touch each other", async () => {
  const key = new_key();
  const [first, second] = [await world.opened(100n, { key }), await world.opened(100n, { key })];
  await pays_nothing(world.row(second, 10n, { id: first.id }), kSkip.bad_signature);
  await world.claim(world.row(first, 10n));
  assert.equal((await world.slot(second)).claimed, 0n);
});

test("another chain: a receipt for the same terms there is worth nothing here", async () => {
  const channel = await world.opened(100n);
  const there = channel_id({ chain_id: world.chain_id + 1n, contract: world.contract.address }, channel);
  await pays_nothing(world.row(channel, 10n, { id: there }), kSkip.bad_signature);
});

test("another contract: a receipt for the same terms there is worth nothing here", async () => {
  const channel = await world.opened(100n);
  const there = channel_id({ chain_id: world.chain_id, contract: world.stranger }, channel);
  await pays_nothing(world.row(channel, 10n, { id: there }), kSkip.bad_signature);
});

test("another token or payee: the same row with one of them exchanged names no channel", async () => {
  const channel = await world.opened(100n);
  const second = await world.new_token("PlainToken");
  await pays_nothing(world.row(channel, 10n), kSkip.unknown, { token: second.address });
  await pays_nothing(world.row(channel, 10n), kSkip.unknown, { token: kEther });
  await pays_nothing(world.row(channel, 10n), kSkip.unknown, { payee: world.stranger, from: world.stranger });
});

test("another token or payee, both opened: a receipt for one channel does not pay the other", async () => {
  const key = new_key();
  const channel = await world.opened(100n, { key, salt: 7n });
  const to_stranger = await world.opened(100n, { key, salt: 7n, payee: world.stranger });
  const in_ether = await world.opened(100n, { key, salt: 7n, token: kEther });
  await pays_nothing(world.row(to_stranger, 10n, { id: channel.id }), kSkip.bad_signature, { payee: world.stranger });
  await pays_nothing(world.row(in_ether, 10n, { id: channel.id }), kSkip.bad_signature, { token: kEther });
});

test("re-opened id: closing does not make old receipts good again", async () => {
  const channel = await world.opened(100n);
  const old = [20n, 60n].map((amount) => world.row(channel, amount));
  await world.claim(old);
  await world.close(channel);
  assert.equal(await world.contract.refusal({ from: world.payer }, "open", channel, 100n), "AlreadyOpen");
  assert.equal(await world.contract.refusal({ from: world.payer }, "openPooled", channel, 40n), "AlreadyOpen");
  await world.contract.send({ from: world.payer }, "topUp", channel, 100n);
  await pays_nothing(old, kSkip.nothing_new);
});

test("re-opened id: a channel closed without any claim stays known", async () => {
  const channel = await world.opened(100n);
  await world.close(channel);
  assert.deepEqual(await world.slot(channel), { locked: 0n, claimed: 0n, close_at: 0, returned: true, known: true });
  assert.equal(await world.contract.refusal({ from: world.payer }, "open", channel, 1n), "AlreadyOpen");
});

test("order replay: a signed order does not lock again what was returned", async () => {
  const channel = world.channel();
  await world.contract.send({ from: world.payer }, "deposit", world.payer, world.token.address, 1000n);
  await world.contract.send({ from: world.payer }, "allow", channel.signer, world.token.address, 1000n);
  const [first, second] = [world.order(channel, 100n), world.order(channel, 200n)];
  await world.contract.send({ from: world.stranger }, "openSigned", ...first);
  assert.equal(await world.contract.refusal({ from: world.stranger }, "openSigned", ...first), "Spent");
  await world.contract.send({ from: world.payee }, "refund", channel, 60n);
  for (const order of [first, second]) assert.equal(await world.contract.refusal({ from: world.stranger }, "openSigned", ...order), "Closing");
});

test("order against a close: while one is pending no order locks more", async () => {
  const channel = world.channel();
  await world.contract.send({ from: world.payer }, "deposit", world.payer, world.token.address, 1000n);
  await world.contract.send({ from: world.payer }, "allow", channel.signer, world.token.address, 1000n);
  await world.contract.send({ from: world.stranger }, "openSigned", ...world.order(channel, 100n));
  await world.request_close(channel);
  assert.equal(await world.contract.refusal({ from: world.stranger }, "openSigned", ...world.order(channel, 200n)), "Closing");
});

test("order forged, expired, of another kind, above the allowance or the pool: nothing is locked", async () => {
  const channel = world.channel();
  const from = world.stranger;
  const refused = async (order, reason) => assert.equal(await world.contract.refusal({ from }, "openSigned", ...order), reason);
  await refused(world.order(channel, 10n), "TooMuch"); // nothing allowed
  await world.contract.send({ from: world.payer }, "allow", channel.signer, world.token.address, 10n ** 20n);
  await refused(world.order(channel, 10n ** 19n), "NotEnough"); // nothing in the pool
  await world.contract.send({ from: world.payer }, "deposit", world.payer, world.token.address, 1000n);
  await refused(world.order(channel, 10n, { key: new_key() }), "BadSignature");
  await refused(world.order(channel, 10n, { kind: 1472 }), "BadSignature");
  await refused(world.order(channel, 10n, { id: world.channel().id }), "BadSignature");
  await refused(world.order(channel, 10n, { expiration: await world.chain.now() - 1 }), "Expired");
  await refused(world.order(channel, 10n, { expiration: 999_999_999 }), "BadTimes");
  await refused(world.order(channel, 10n, { time: 999_999_999 }), "BadTimes");
  await refused(world.order(channel, 0n), "Spent");
  const changed = world.order(channel, 10n);
  await refused(changed.with(1, 11n), "BadSignature");
  await refused(changed.with(3, changed[3] + 1), "BadSignature");
});

test("order for somebody else's pool: the allowance is the payer's own to give", async () => {
  await world.contract.send({ from: world.payer }, "deposit", world.payer, world.token.address, 1000n);
  const theft = world.channel({ payee: world.stranger });
  await world.contract.send({ from: world.stranger }, "allow", theft.signer, world.token.address, 1000n);
  assert.equal(await world.contract.refusal({ from: world.stranger }, "openSigned", ...world.order(theft, 10n)), "TooMuch");
});

test("a receipt is no order and an order is no receipt", async () => {
  const channel = await world.opened(100n);
  await pays_nothing(world.row(channel, 10n, { kind: 1473 }), kSkip.bad_signature);
});

test("amounts at and above 2^96: nothing wraps round", async () => {
  const channel = await world.opened(100n);
  const { events } = await world.claim(world.row(channel, kAmountMax));
  assert.deepEqual(events, [["Claimed", channel.id, 100n]]);
  assert.equal(await world.contract.refusal({ from: world.payer }, "topUp", channel, kAmountMax), "TooMuch");
  const full = await world.opened(kAmountMax);
  assert.equal(await world.contract.refusal({ from: world.payer }, "topUp", full, 1n), "TooMuch");
  await world.claim(world.row(full, kAmountMax));
  assert.equal((await world.slot(full)).claimed, kAmountMax);
  await world.token.send({ from: world.payee }, "transfer", world.payer, kAmountMax);
});

test("claim above the deposit: no more than the deposit is paid, nobody else's money", async () => {
  const [channel, neighbour] = [await world.opened(100n), await world.opened(100n)];
  const held = await world.held();
  await world.claim([world.row(channel, 150n), world.row(channel, 300n)]);
  assert.equal(await world.held(), held - 100n);
  await world.claim(world.row(neighbour, 100n));
});

test("other spellings of the amount: leading zero, sign, fraction, exponent, hex sign another event", async () => {
  const channel = await world.opened(1000n);
  for (const spelling of ["010", "+10", "10.0", "1e1", "0xa", " 10", "10 ", ""]) {
    const x = random_word();
    const event = sign_receipt(channel.key.secret, { id: channel.id, amount: spelling, x });
    await pays_nothing(row_of(channel, { amount: 10n, x, signature: signature_of(event) }), kSkip.bad_signature);
  }
});

test("template ambiguity: more tags, other order, content, upper case hex or other JSON sign another event", async () => {
  const { finalizeEvent } = await import("nostr-tools/pure");
  const channel = await world.opened(1000n);
  const x = random_word();
  const [d, amount, hash] = [["d", channel.id.slice(2)], ["amount", "10"], ["x", x.slice(2)]];
  const forms = [{ tags: [d, amount, hash, ["y", "1"]] }, { tags: [amount, d, hash] }, { tags: [d, amount] }, { tags: [d, amount, [...hash, ""]] },
    { tags: [d, amount, hash], content: " " }, { tags: [["d", d[1].toUpperCase()], amount, hash] }, { tags: [d, amount, hash], kind: 1471 },
    { tags: [d, ["amount", "10\"],[\"x\",\""], hash] }];
  for (const form of forms) {
    const event = finalizeEvent({ kind: 1472, created_at: kTime, content: "", ...form }, channel.key.secret);
    await pays_nothing(row_of(channel, { amount: 10n, x, signature: signature_of(event) }), kSkip.bad_signature);
  }
  const good = finalizeEvent({ kind: 1472, created_at: kTime, content: "", tags: [d, amount, hash] }, channel.key.secret);
  await world.claim(row_of(channel, { amount: 10n, x, signature: signature_of(good) }));
  assert.equal((await world.slot(channel)).claimed, 10n);
});

test("any field changed after signing: the row pays nothing", async () => {
  const channel = await world.opened(1000n);
  const row = Buffer.from(world.row(channel, 100n).slice(2), "hex");
  const rows = [];
  for (let byte = 0; byte < row.length; ++byte) {
    const changed = Buffer.from(row);
    changed[byte] ^= 1 << (byte % 8);
    rows.push(`0x${changed.toString("hex")}`);
  }
  const { events } = await world.claim(rows);
  assert.equal(events.length, rows.length);
  assert.ok(events.every(([name]) => name === "Skipped"));
  assert.equal((await world.slot(channel)).claimed, 0n);
});

test("a stranger can't cancel, start or finish a close", async () => {
  const channel = await world.opened(100n);
  assert.equal(await world.contract.refusal({ from: world.stranger }, "requestClose", channel), "NotPayer");
  assert.equal(await world.contract.refusal({ from: world.payee }, "requestClose", channel), "NotPayer");
  await world.request_close(channel);
  const { close_at } = await world.slot(channel);
  assert.equal(await world.contract.refusal({ from: world.stranger }, "topUp", channel, 0n), "NotPayer");
  assert.equal(await world.contract.refusal({ from: world.stranger }, "finalise", channel), "NotYet");
  await world.contract.send({ from: world.stranger }, "deposit", world.payer, world.token.address, 1n);
  await world.claim(world.row(channel, 10n), { from: world.stranger });
  assert.equal((await world.slot(channel)).close_at, close_at);
});

test("the payer can't prolong, shorten or restart his own pending close", async () => {
  const channel = await world.opened(100n);
  await world.request_close(channel);
  const { close_at } = await world.slot(channel);
  await world.chain.pass(100);
  await world.request_close(channel);
  await world.contract.send({ from: world.payer }, "topUp", channel, 10n);
  assert.equal((await world.slot(channel)).close_at, close_at);
});

test("a close without the receipt: the payee is paid before any money returns", async () => {
  const channel = await world.opened(100n);
  await world.request_close(channel);
  await world.chain.pass(kDay - 5);
  await world.claim(world.row(channel, 90n), { from: world.stranger });
  await world.chain.pass(5);
  const before_close = await world.pool(world.payer);
  await world.contract.send({ from: world.payer }, "finalise", channel);
  assert.equal(await world.pool(world.payer), before_close + 10n);
});

test("request to close, then a burst of receipts: they are paid until the close is final", async () => {
  const channel = await world.opened(100n);
  await world.request_close(channel);
  for (const amount of [10n, 20n, 100n]) await world.claim(world.row(channel, amount));
  await world.chain.pass(kDay);
  await world.contract.send({ from: world.payer }, "finalise", channel);
  assert.equal((await world.slot(channel)).claimed, 100n);
});

test("withdrawal without a request: nothing is final before a close was asked for", async () => {
  const channel = await world.opened(100n);
  await world.chain.pass(10 * kDay);
  assert.equal(await world.contract.refusal({ from: world.payer }, "finalise", channel), "NotYet");
});

test("finalised twice: the second time there is nothing to return", async () => {
  const channel = await world.opened(100n);
  await world.close(channel);
  assert.equal(await world.contract.refusal({ from: world.payer }, "finalise", channel), "NotYet");
});

test("late claim after the close: it is skipped, not paid out of others' money", async () => {
  const [channel, neighbour] = [await world.opened(100n), await world.opened(100n)];
  const row = world.row(channel, 80n);
  await world.close(channel);
  const { events } = await world.claim([row, world.row(neighbour, 5n)]);
  assert.deepEqual(events, [["Skipped", 0n, kSkip.nothing_new], ["Claimed", neighbour.id, 5n]]);
});

test("late claim after a refund: what was given back is not paid again", async () => {
  const channel = await world.opened(100n);
  await world.contract.send({ from: world.payee }, "refund", channel, 70n);
  const held = await world.held();
  await world.claim(world.row(channel, 100n));
  assert.equal(await world.held(), held - 30n);
});

test("front-run open: nobody can take a name first, since the payer is part of it", async () => {
  const channel = world.channel();
  assert.equal(await world.contract.refusal({ from: world.stranger }, "open", channel, 1n), "NotPayer");
  const own = { ...channel, payer: world.stranger };
  await world.contract.send({ from: world.stranger }, "open", own, 1n);
  assert.notEqual(await world.contract.read("channelId", own), channel.id);
  await world.contract.send({ from: world.payer }, "open", channel, 5n);
});

test("a stranger's allowance: nobody's tokens are pulled but the caller's", async () => {
  const before_all = await world.token.read("balanceOf", world.payer);
  await world.contract.send({ from: world.stranger }, "deposit", world.payer, world.token.address, 10n);
  assert.equal(await world.token.read("balanceOf", world.payer), before_all);
});

test("a re-org that drops a deposit: its row is skipped, the others are paid", async () => {
  const neighbour = await world.opened(100n);
  const snapshot = await world.chain.rpc("evm_snapshot");
  const channel = await world.opened(100n);
  await world.chain.rpc("evm_revert", snapshot);
  const { events } = await world.claim([world.row(channel, 50n), world.row(neighbour, 50n)]);
  assert.deepEqual(events, [["Skipped", 0n, kSkip.unknown], ["Claimed", neighbour.id, 50n]]);
});

test("malleability: s + n, n - s, rx + p and the odd y are refused", async () => {
  const channel = await world.opened(1000n);
  const x = random_word();
  const signature = signature_of(sign_receipt(channel.key.secret, { id: channel.id, amount: 10n, x }));
  const { rx, s, ry } = signature;
  const variants = [{ rx, s: kOrder - s, ry }, { rx, s, ry: kField - ry }, { rx, s: kOrder - s, ry: kField - ry }];
  if (s + kOrder < 2n ** 256n) variants.push({ rx, s: s + kOrder, ry });
  if (rx + kField < 2n ** 256n) variants.push({ rx: rx + kField, s, ry });
  for (const changed of variants) await pays_nothing(row_of(channel, { amount: 10n, x, signature: changed }), kSkip.bad_signature);
  await world.claim(row_of(channel, { amount: 10n, x, signature }));
});

test("ecrecover(0): keys, points and scalars of zero or out of range are refused", async () => {
  const x = random_word();
  const good = signature_of(sign_receipt(new_key().secret, { id: random_word(), amount: 10n, x }));
  const keys = [0n, 1n, 5n, kOrder - 1n, kOrder, kField - 1n, kField, 2n ** 256n - 1n];
  for (const key of keys) {
    const channel = await world.opened(10n, { signer: `0x${key.toString(16).padStart(64, "0")}` });
    const signatures = [{ rx: 0n, s: 0n, ry: 0n }, { rx: 1n, s: 0n, ry: even_y(1n) }, { ...good, s: 0n }, { ...good, s: kOrder }, { ...good, rx: 0n },
      { ...good, rx: kField }, { ...good, ry: 0n }, { ...good, ry: kField }, { ...good, ry: 2n ** 256n - 1n }, good];
    await pays_nothing(signatures.map((signature) => row_of(channel, { amount: 10n, x, signature })), kSkip.bad_signature);
  }
});

test("free y hint: an address collision needs a point of the curve", async () => {
  const channel = await world.opened(1000n);
  const x = random_word();
  const { rx, s, ry } = signature_of(sign_receipt(channel.key.secret, { id: channel.id, amount: 10n, x }));
  for (const hint of [ry + 2n, ry - 2n, 0n, 2n, kField - ry - 1n, kField + 1n]) {
    await pays_nothing(row_of(channel, { amount: 10n, x, signature: { rx, s, ry: hint } }), kSkip.bad_signature);
  }
});

test("a blacklisted payee: his row does not fail the transaction, his money waits for him", async () => {
  const token = await world.new_token("BlacklistToken");
  const channel = await world.opened(100n, { token: token.address });
  await token.send({ from: world.payer }, "list", world.payee, true);
  const { events } = await world.claim(world.row(channel, 60n), { token: token.address });
  assert.deepEqual(events.map(([name]) => name), ["Claimed", "Kept"]);
  assert.equal(await world.contract.refusal({ from: world.payee }, "withdraw", token.address, 60n, world.payee), "TransferFailed");
  await world.contract.send({ from: world.payee }, "withdraw", token.address, 60n, world.other);
});

test("somebody else's claim to the pool: it names no channel of another payee", async () => {
  const channel = await world.opened(100n);
  await pays_nothing(world.row(channel, 10n), kSkip.unknown, { from: world.stranger, to_pool: true });
  assert.equal((await world.slot(channel)).claimed, 0n);
});

test("a blacklisted payer: the close is final all the same", async () => {
  const token = await world.new_token("BlacklistToken");
  const channel = await world.opened(100n, { token: token.address });
  await token.send({ from: world.payer }, "list", world.payer, true);
  await world.close(channel);
  assert.equal(await world.pool(world.payer, token.address), 100n);
});

test("a payee that refuses ether: it is kept for him", async () => {
  const payee = await world.deploy_helper("HookedPayee");
  const channel = await world.opened(100n, { token: kEther, payee: payee.address });
  await payee.send({ from: world.payer }, "hook", kEther, "0x", true);
  await world.claim(world.row(channel, 60n), { token: kEther, payee: payee.address, from: world.stranger });
  assert.equal(await world.pool(payee.address, kEther), 60n);
  await payee.send({ from: world.payer }, "run", world.contract.address, 0n, world.contract.data("withdraw", kEther, 60n, world.other));
  assert.equal(await world.pool(payee.address, kEther), 0n);
});

test("re-entrance while ether is paid: nothing can be done twice", async () => {
  const payee = await world.deploy_helper("HookedPayee");
  const channel = await world.opened(100n, { token: kEther, payee: payee.address });
  const row = world.row(channel, 60n);
  const calls = [["claim", payee.address, kEther, row], ["claimToPool", kEther, row], ["withdraw", kEther, 1n, payee.address],
    ["refund", channel, 1n], ["deposit", payee.address, kEther, 0n]];
  let amount = 10n;
  for (const call of calls) {
    await payee.send({ from: world.payer }, "hook", world.contract.address, world.contract.data(...call), false);
    await world.claim(world.row(channel, amount), { token: kEther, payee: payee.address, from: world.stranger });
    assert.deepEqual([await payee.read("called"), await payee.read("succeeded")], [true, false], call[0]);
    amount += 10n;
  }
  assert.equal((await world.slot(channel)).claimed, 50n);
});

test("re-entrance by a token: no function that moves money runs inside another", async () => {
  const token = await world.new_token("HookedToken");
  const channel = await world.opened(1000n, { token: token.address });
  const row = world.row(channel, 500n);
  const ordered = world.order(world.channel({ token: token.address }), 5n);
  const calls = [["deposit", world.stranger, token.address, 5n], ["withdraw", token.address, 1n, world.stranger], ["open", channel, 1n],
    ["openPooled", channel, 1n], ["openSigned", ...ordered], ["topUp", channel, 1n], ["topUpPooled", channel, 1n],
    ["claim", world.payee, token.address, row], ["claimToPool", token.address, row], ["requestClose", channel],
    ["finalise", channel], ["refund", channel, 1n]];
  for (const call of calls) {
    await token.send({ from: world.payer }, "hook", world.contract.address, world.contract.data(...call));
    await world.contract.send({ from: world.payer }, "deposit", world.payer, token.address, 10n);
    assert.deepEqual([await token.read("called"), await token.read("succeeded")], [true, false], `${call[0]} inside deposit`);
    await token.send({ from: world.payer }, "hook", world.contract.address, world.contract.data(...call));
    await world.contract.send({ from: world.payer }, "withdraw", token.address, 10n, world.payer);
    assert.deepEqual([await token.read("called"), await token.read("succeeded")], [true, false], `${call[0]} inside withdraw`);
  }
  assert.equal(await world.held(token), 1000n);
});

test("a fork that changes the chain id: nothing new is locked, what is here can be claimed and taken", async () => {
  const fork = await World.start("--chain-id", "777");
  try {
    const channel = await fork.opened(100n);
    await fork.contract.send({ from: fork.payer }, "deposit", fork.payer, fork.token.address, 10n);
    await fork.chain.rpc("anvil_autoImpersonateAccount", true); // its own accounts sign for the first chain
    await fork.chain.rpc("anvil_setChainId", 778);
    const refused = async (name, ...args) => assert.equal(await fork.contract.refusal({ from: fork.payer }, name, ...args), "AnotherChain", name);
    await refused("deposit", fork.payer, fork.token.address, 1n);
    await refused("open", fork.channel(), 1n);
    await refused("openPooled", fork.channel(), 1n);
    await refused("openSigned", ...fork.order(fork.channel(), 1n));
    await refused("topUp", channel, 1n);
    await refused("topUpPooled", channel, 1n);
    await fork.claim(fork.row(channel, 40n));
    await fork.close(channel);
    await fork.contract.send({ from: fork.payer }, "withdraw", fork.token.address, 70n, fork.payer);
    assert.equal(await fork.held(), 0n);
  } finally {
    fork.stop();
  }
});

test("the same terms in a second contract of the same chain: each pays only its own receipts", async () => {
  const { channels_artifact } = await import("./support/contract.mjs");
  const second = await Contract.deploy(world.chain, channels_artifact());
  const here = await world.opened(100n);
  await world.token.send({ from: world.payer }, "approve", second.address, 100n);
  await second.send({ from: world.payer }, "open", here, 100n);
  const row = world.row(here, 10n);
  const { events } = await second.send({ from: world.payee }, "claim", world.payee, world.token.address, concat([row]));
  assert.deepEqual(events, [["Skipped", 0n, kSkip.bad_signature]]);
  await world.claim(row);
});

test("no owner: the contract has no function that is anybody's privilege but a channel's or pool's own", () => {
  const functions = [];
  world.contract.interface.forEachFunction(({ name, stateMutability }) => { if (stateMutability !== "view") functions.push(name); });
  assert.deepEqual(functions.sort(), ["allow", "claim", "claimToPool", "deposit", "finalise", "open", "openPooled", "openSigned", "refund",
    "requestClose", "topUp", "topUpPooled", "withdraw"]);
});
