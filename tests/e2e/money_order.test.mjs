// Signed orders (1473) on a real EVM: a user without gas signs, the node or anybody else brings it; the money is the payer's
// pool's, within what he allowed, and comes back to it.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { scenario, until } from "./lib.mjs";
import { kGrace, Market } from "./money_lib.mjs";

const kTokens = 8;
const kCost = 20 + kTokens;
const kMs = 60_000;

/** A market whose user has `pool` in the contract, lets his own key lock `allowed` of it, and has no gas any more. */
async function without_gas(bed, { pool, allowed }) {
  const market = await Market.open(bed);
  await market.fund(pool);
  await market.wallet("deposit", `${pool}`);
  await market.wallet("allow", `${allowed}`);
  await market.chain.rpc("anvil_setBalance", market.account, "0x0");
  return market;
}

const client_options = (market) => market.bed.client_options({ relay: market.relay, node: market.node, home: market.user });

const end = (market, ...args) => market.bed.client(args).end(kMs);
const order_of = (market, what, total, ...more) => end(market, "wallet", "order", ...client_options(market), what, `${total}`, ...more);

/** The order in a file of its own. */
async function signed(market, what, total, ...more) {
  const { code, out, err } = await order_of(market, what, total, ...more);
  assert.equal(code, 0, err);
  const order = JSON.parse(out);
  const file = path.join(market.bed.folder, `order-${market.user}-${total}.json`);
  fs.writeFileSync(file, out);
  return { file, order, channel: order.order.tags[0][1] };
}

const settle = (market, file, env) => market.bed.node_command(["settle", "bring", "--config", market.node.config, file], env).end(100_000);
const purposes = async (market) => (await market.status()).transactions.map(({ purpose, state }) => `${purpose} ${state}`);

scenario("a user without gas signs an order, his node brings it, and he is served over the channel", async (bed) => {
  const market = await without_gas(bed, { pool: 5_000, allowed: 2_000 });
  const { file, order, channel } = await signed(market, market.node.npub, 500);
  assert.deepEqual(await market.on_chain(channel), [0, 0, 0, 0, 0], "a signature moves nothing");
  assert.equal((await market.wallet_json("channels"))[0].state, "opening");
  // Asked again before it was brought, the order is for the same channel: no second one.
  assert.equal((await signed(market, market.node.npub, 500)).channel, channel);

  // A byte of it, another node's payee, another chain: nobody brings that.
  const refuse = async (change, why) => {
    const bad = path.join(bed.folder, "bad.json");
    const changed = structuredClone(order);
    change(changed);
    fs.writeFileSync(bad, JSON.stringify(changed));
    const { code, err } = await settle(market, bad);
    assert.equal(code, 1);
    assert.match(err, why);
  };
  await refuse((one) => { one.order.tags[1][1] = "900"; }, /malformed or not signed/);
  await refuse((one) => { one.payee = one.payer; }, /another channel/);
  await refuse((one) => { one.chain = "1"; }, /another channel/);
  await refuse((one) => { one.more = 1; }, /not a signed order/);

  const brought = await settle(market, file);  // the running node is told to
  assert.equal(brought.code, 0, brought.err);
  assert.equal(brought.out, `channel ${channel}: locked 500 more\n`);
  assert.deepEqual(await market.on_chain(channel), [500, 0, 0, 0, 1]);
  const again = await settle(market, file);
  assert.equal(again.out, `channel ${channel}: nothing to do, it is there already\n`, again.err);
  assert.deepEqual(await purposes(market), ["order 500 done"], "once");

  await market.seen(channel, 500);
  assert.equal((await market.wallet_json("channels"))[0].state, "open");
  const gateway = await market.gateway();
  await market.ask(gateway, "paid by an order", kTokens);
  await until(10_000, "the receipt", async () => (await market.accepted(channel)) === kCost);

  // More of the pool, brought by somebody who has nothing to do with either, and again while the node is away.
  const more = await signed(market, channel, 900);
  assert.equal(more.channel, channel);
  const stranger = market.another("stranger");
  await stranger.fund(0);
  assert.equal(await stranger.wallet("bring", more.file), `channel ${channel}: locked 400 more\n`);
  assert.equal(await stranger.wallet("bring", more.file), `channel ${channel}: nothing to do, it is there already\n`);
  assert.equal((await stranger.wallet_json("history")).length, 1);
  const late = await signed(market, channel, 950);
  await market.node.program.stop();
  const alone = await settle(market, late.file);
  assert.equal(alone.out, `channel ${channel}: locked 50 more\n`, alone.err);
  assert.equal((await market.on_chain(channel))[0], 950);
  assert.equal(await market.contract.read("pool", market.account, market.token.address), BigInt(5_000 - 950));
  assert.equal(await market.contract.read("allowance", market.account, `0x${order.order.pubkey}`, market.token.address), BigInt(2_000 - 950));
});

scenario("what the contract would refuse is not signed, and not brought", async (bed) => {
  const market = await without_gas(bed, { pool: 1_000, allowed: 800 });
  const refused = async (what, total, why, ...more) => {
    const { code, out, err } = await order_of(market, what, total, ...more);
    assert.equal(code, 1, out);
    assert.equal(out, "", "no signature leaves");
    assert.match(err, why);
  };
  await refused(market.node.npub, 801, /lets npub1\w+ lock 800/);
  await refused(market.node.npub, 0, /above zero/);
  await refused("f".repeat(64), 10, /no channel/);
  assert.deepEqual(await market.wallet_json("channels"), [], "and no channel is kept for it");

  const short = await signed(market, market.node.npub, 300, "--valid-s", "60");
  await market.chain.pass(100);
  const { code, err } = await settle(market, short.file);
  assert.equal(code, 1);
  assert.match(err, /the order has ended/);
  assert.deepEqual(await market.status().then(({ transactions }) => transactions), [], "no gas was paid for it");

  const order = await signed(market, market.node.npub, 300, "--valid-s", "86400");
  assert.equal(order.channel, short.channel);
  assert.equal((await settle(market, order.file)).code, 0);
  await refused(order.channel, 300, /300 or more is locked/);
  // Once the payer closes, no order counts, not even one that is signed.
  const raise = await signed(market, order.channel, 400, "--valid-s", "604800");
  await market.chain.rpc("anvil_setBalance", market.account, "0xde0b6b3a7640000");
  await market.wallet("channels");
  await market.wallet("close", order.channel);
  const closing = await settle(market, raise.file);
  assert.equal(closing.code, 1);
  assert.match(closing.err, /closing: no order counts/);
  await refused(order.channel, 500, /closing/);
  await market.chain.pass(kGrace + 10);
  await market.wallet("close", order.channel);
  assert.equal(await market.contract.read("pool", market.account, market.token.address), 1_000n);
  assert.match((await settle(market, raise.file)).err, /given back/);
});

scenario("another key spends out of a payer's pool like a card, and the payer gets the rest back", async (bed) => {
  const market = await Market.open(bed);
  await market.fund(3_000);
  await market.wallet("deposit", "3000");
  // The card has no account's coin, no token, and no leave yet: it is told what to ask for.
  const card = market.another("card");
  const first = await order_of(card, market.node.npub, 200, "--payer", market.account);
  assert.equal(first.code, 1);
  const [, signer] = /`nostril wallet allow 200 --signer (npub1\w+)`/.exec(first.err);
  await market.wallet("allow", "200", "--signer", signer);
  const { file, channel } = await signed(card, market.node.npub, 200, "--payer", market.account);
  assert.equal((await settle(market, file)).code, 0);
  await market.seen(channel, 200);
  assert.equal((await card.wallet_json("channels"))[0].state, "open");
  const gateway = await card.gateway();
  await card.ask(gateway, "by card", kTokens);
  await until(10_000, "the receipt", async () => (await market.accepted(channel)) === kCost);
  await gateway.program.stop();

  const own = await end(card, "wallet", "close", "--home", card.home, channel);
  assert.equal(own.code, 1);
  assert.match(own.err, new RegExp(`out of the pool of ${market.account}`, "i"));
  const foreign = await end(card, "wallet", "close", "--home", card.home, file);
  assert.match(foreign.err, /may close that channel/);
  assert.match(await market.wallet("close", file), /closing locked 200/);
  await until(20_000, "the node claims", async () => (await market.on_chain(channel))[1] === kCost);
  await market.chain.pass(kGrace + 10);
  assert.match(await market.wallet("close", file), new RegExp(`closed locked ${kCost} claimed ${kCost} `));
  assert.match(await market.wallet("close", file), /closed/, "again: nothing");
  assert.equal(await market.contract.read("pool", market.account, market.token.address), BigInt(3_000 - kCost));
  await market.wallet("allow", "0", "--signer", signer);
  assert.match((await order_of(card, market.node.npub, 10, "--payer", market.account)).err, /lock 0/);
});

scenario("who brings an order and is killed at any step has brought it once", async (bed) => {
  const market = await without_gas(bed, { pool: 5_000, allowed: 5_000 });
  const kSteps = ["tx-signed", "tx-stored", "tx-sent", "tx-mined", "tx-done"];
  const bringer = market.another("bringer");
  await bringer.fund(0);
  const first = await signed(market, market.node.npub, 100);
  assert.equal(await bringer.wallet("bring", first.file), `channel ${first.channel}: locked 100 more\n`);
  await market.wallet("channels");
  let total = 100;
  for (const step of kSteps) {
    const { file, channel } = await signed(market, first.channel, total += 100);
    const { signal } = await bed.client(["wallet", "bring", "--home", bringer.home, file], { NOSTRIL_CRASH_AT: step }).end(kMs);
    assert.equal(signal, "SIGKILL", `${step}: was reached`);
    await bringer.wallet("bring", file);
    assert.deepEqual((await market.on_chain(channel)).slice(0, 2), [total, 0], step);
  }
  assert.equal((await bringer.wallet_json("history")).filter(({ state }) => state === "done").length, kSteps.length + 1, "one transaction each");
  // The node alone, and the running node that dies while it brings one: it goes on at its next start.
  await market.node.program.stop();
  for (const step of [...kSteps, "order-brought"]) {
    const { file } = await signed(market, first.channel, total += 100);
    assert.equal((await settle(market, file, { NOSTRIL_CRASH_AT: step })).signal, "SIGKILL", `${step}: was reached`);
    assert.equal((await settle(market, file)).code, 0, step);
    assert.deepEqual((await market.on_chain(first.channel)).slice(0, 2), [total, 0], step);
  }
  const { file } = await signed(market, first.channel, total += 100);
  await market.start_node({ NOSTRIL_CRASH_AT: "order-brought" });
  const asking = settle(market, file);
  assert.equal((await market.node.program.end(30_000)).signal, "SIGKILL");
  await market.start_node();
  const told = await asking;
  assert.match(told.out, /locked 100 more|there already/, told.err);
  assert.deepEqual((await market.on_chain(first.channel)).slice(0, 2), [total, 0]);
  const sent = await purposes(market);
  assert.equal(sent.length, kSteps.length + 2, sent.join());
  assert.ok(sent.every((one) => one.endsWith(" done")), sent.join());
}, { ms: 150_000 });
