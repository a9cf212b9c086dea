// Killed at each step of settling, as by a power cut (NOSTRIL_CRASH_AT), and begun again: nothing is lost, nothing is
// done twice.
import assert from "node:assert/strict";
import { scenario, until } from "./lib.mjs";
import { kGrace, Market } from "./money_lib.mjs";

const kSendSteps = ["tx-signed", "tx-stored", "tx-sent", "tx-mined", "tx-done"];
const kTokens = 8;
const kCost = 20 + kTokens;

scenario("a wallet that is killed at any step of a command and asked again has done it once", async (bed) => {
  const market = await Market.open(bed);
  const { contract, token } = market;
  await market.fund(100_000);
  const killed = async (step, args) => {
    const { signal } = await bed.client(args, { NOSTRIL_CRASH_AT: step }).end(60_000);
    assert.equal(signal, "SIGKILL", `${step}: was reached`);
  };
  const local = (...args) => ["wallet", args[0], "--home", market.home, ...args.slice(1)];
  const pool = () => contract.read("pool", market.account, token.address);

  await market.wallet("deposit", "10000");
  await token.send({ from: market.chain.accounts[0] }, "mint", market.account, 0);
  let in_pool = 10_000;
  for (const step of kSendSteps) {
    const amount = "100";
    await killed(step, local("withdraw", amount));
    await market.wallet("withdraw", amount);
    in_pool -= 100;
    assert.equal(await pool(), BigInt(in_pool), step);
  }
  // The approval is the first transaction of a deposit.
  for (const step of kSendSteps) {
    await killed(step, local("deposit", "50"));
    await market.wallet("deposit", "50");
    in_pool += 50;
    assert.equal(await pool(), BigInt(in_pool), step);
  }
  for (const step of ["channel-stored", ...kSendSteps, "channel-open"]) {
    await killed(step, market.open_args(200));
    const channel = await market.open(200);
    in_pool -= 200;
    assert.equal(await pool(), BigInt(in_pool), step);
    assert.deepEqual((await market.on_chain(channel)).slice(0, 2), [200, 0]);
  }
  const channels = await market.wallet_json("channels");
  assert.deepEqual(channels.map(({ state, locked }) => [state, locked]), channels.map(() => ["open", "200"]));
  assert.equal(channels.length, kSendSteps.length + 2);
  for (const [i, step] of ["close-stored", "tx-stored", "tx-mined"].entries()) {
    await killed(step, local("close", channels[i].channel));
    await market.wallet("close", channels[i].channel);
    assert.notEqual((await market.on_chain(channels[i].channel))[2], 0, step);
  }
  await market.chain.pass(kGrace + 10);
  for (const [i, step] of ["tx-stored", "tx-sent", "tx-done"].entries()) {
    await killed(step, local("close", channels[i].channel));
    await market.wallet("close", channels[i].channel);
    in_pool += 200;
    assert.equal(await pool(), BigInt(in_pool), step);
  }
}, { ms: 150_000 });

scenario("a node that is killed at any step of following and claiming claims each unit once", async (bed) => {
  const market = await Market.open(bed);
  const { token } = market;
  await market.fund(100_000);
  await market.wallet("deposit", "50000");
  const channel = await market.open(20_000);
  let sum = 0;
  for (const step of ["log-read", "log-stored", ...kSendSteps, "claim-done"]) {
    await market.seen(channel, 20_000);
    const gateway = await bed.gateway({ relay: market.relay, node: market.node });
    await market.ask(gateway, step, kTokens);
    await gateway.program.stop();
    sum += kCost;
    await until(10_000, "the receipt is there", async () => (await market.accepted(channel)) === sum);
    await market.node.program.stop();

    const dying = market.bed.node_program({ relay: market.relay, engine_url: market.engine.url,
      sections: { ...market.sections, settlement: { ...market.sections.settlement, claim_at: 1 } }, env: { NOSTRIL_CRASH_AT: step } });
    await market.chain.rpc("evm_mine");  // something new to read
    const { signal } = await dying.program.end(30_000);
    assert.equal(signal, "SIGKILL", `${step}: was reached`);
    await market.start_node();
    await market.settle("claim");
    await until(20_000, `claimed after ${step}`, async () => (await market.on_chain(channel))[1] === sum);
    assert.equal(await token.read("balanceOf", market.node_account), BigInt(sum), step);
  }
  const { transactions } = await market.status();
  assert.ok(transactions.every(({ state }) => state === "done"), JSON.stringify(transactions));
}, { ms: 150_000 });

scenario("a client that is killed in the middle of an answer loses nothing but what it signed, the node at most its credit", async (bed) => {
  const kCredit = 200;
  const market = await Market.open(bed, { credit: kCredit });
  const { contract, token } = market;
  await market.fund(5_000);
  await market.wallet("deposit", "4000");
  const channel = await market.open(2_000);
  await market.seen(channel, 2_000);
  const gateway = await bed.gateway({ relay: market.relay, node: market.node });
  await market.ask(gateway, "whole", kTokens);
  market.ask(gateway, "cut off", 600, 3).catch(() => {});
  await until(20_000, "receipts in the middle of it", async () => (await market.accepted(channel)) > kCost);
  await gateway.program.kill("SIGKILL");

  const signed = await market.spent(channel);
  await market.settle("claim");
  await market.wallet("close", channel);
  let claimed = 0;
  await until(20_000, "the node has claimed all that it has", async () => {
    claimed = (await market.on_chain(channel))[1];
    return claimed === (await market.accepted(channel));
  });
  assert.ok(claimed > kCost && claimed <= signed, `${claimed} of ${signed}`);
  assert.ok(signed - claimed <= kCredit, `${signed - claimed} were signed and did not arrive`);
  await market.chain.pass(kGrace + 10);
  await market.wallet("close", channel);
  assert.equal(await contract.read("pool", market.account, token.address), BigInt(4_000 - claimed));
  assert.equal(await token.read("balanceOf", market.node_account), BigInt(claimed));
});
