// Money from a deposit to its return, on a real EVM, with the programs as they are: sums are exact on the chain and in
// both journals. NOSTRIL_MONEY_QUERIES=1000 for the whole run (docs/money.md).
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { doctor_of, metrics_of, scenario, until } from "./lib.mjs";
import { kGrace, Market } from "./money_lib.mjs";

const kQueries = Number(process.env.NOSTRIL_MONEY_QUERIES ?? 100);
const kOthersQueries = Math.ceil(kQueries / 10);
const kTokens = 8;
const kCost = 20 + kTokens;  // the engine counts 20 tokens of every prompt; one base unit a token

scenario("deposit, open, streamed queries, receipts, batched claim, disputed close, return: exact to the last unit", async (bed) => {
  const market = await Market.open(bed);
  const { chain, token, contract } = market;
  const locked = kCost * kQueries + 500;
  const deposit = locked + 1_000;
  await market.fund(deposit + 77);
  await market.wallet("deposit", `${deposit}`);
  assert.equal(await contract.read("pool", market.account, token.address), BigInt(deposit));

  const channel = await market.open(locked);
  await market.seen(channel, locked);
  assert.deepEqual(await market.on_chain(channel), [locked, 0, 0, 0, 1]);

  const gateway = await market.gateway();
  for (let i = 0; i < kQueries; ++i) await market.ask(gateway, `first ${i}`, kTokens);
  const sum = kCost * kQueries;
  await until(10_000, "the node has all receipts", async () => (await market.accepted(channel)) === sum);
  assert.equal(await market.spent(channel), sum);

  // Somebody else's receipts are claimed in the same transaction.
  const other = market.another("other");
  const others_sum = kCost * kOthersQueries;
  await other.fund(others_sum);
  const others_channel = await other.open(others_sum);
  await other.seen(others_channel, others_sum);
  const others_gateway = await other.gateway();
  for (let i = 0; i < kOthersQueries; ++i) await other.ask(others_gateway, `other ${i}`, kTokens);
  await until(10_000, "the node has his receipts", async () => (await other.accepted(others_channel)) === others_sum);
  assert.equal(await other.spent(others_channel), others_sum);

  await market.settle("claim");  // the running node is told to
  await until(10_000, "claimed", async () => (await market.on_chain(channel))[1] === sum);
  assert.deepEqual(await market.on_chain(others_channel), [others_sum, others_sum, 0, 0, 1], "to the last unit that he locked");
  const earned = sum + others_sum;
  assert.equal(await token.read("balanceOf", market.node_account), BigInt(earned));
  await market.settle("claim");  // and again: nothing
  assert.equal(await token.read("balanceOf", market.node_account), BigInt(earned));
  const claims = (await market.status()).transactions.map(({ purpose }) => purpose);
  assert.match(claims.at(-1), / of 2 channels$/);  // the first receipt may have been claimed by itself: nothing ever was
  assert.equal(claims.reduce((all, purpose) => all + Number(purpose.split(" ")[1]), 0), earned);

  const metrics = await metrics_of(market.node);
  assert.equal(metrics['settlement_channels{state="open"}'], "2");
  assert.equal(metrics['settlement_units{what="claimed"}'], `${earned}`);
  const found = await doctor_of(bed, market.node);
  for (const name of ["account", "chain", "gas"]) assert.equal(found[name].health, "ok", JSON.stringify(found[name]));
  assert.equal(found.journal.found, `2 channels; receipts of ${earned} ${market.asset}, 0 owed`);

  // Two more; then the user asks for the close, and the node's watchtower answers with the newest receipt.
  for (let i = 0; i < 2; ++i) await market.ask(gateway, `more ${i}`, kTokens);
  const total = sum + 2 * kCost;
  await until(10_000, "the node has these receipts", async () => (await market.accepted(channel)) === total);
  await market.wallet("close", channel);
  await until(20_000, "the node claims before the close", async () => (await market.on_chain(channel))[1] === total);
  const refused = await fetch(`${gateway.url}/chat/completions`, { method: "POST", body: JSON.stringify({ model: market.engine.model, stream: true, max_tokens: 4,
    messages: [{ role: "user", content: JSON.stringify({ id: "late", tokens: 4, token_ms: 1 }) }] }) });
  assert.notEqual(refused.status, 200, "nothing is served over a channel that closes");

  await chain.pass(kGrace + 10);
  await market.wallet("close", channel);
  assert.deepEqual(await market.on_chain(channel), [total, total, 0, 1, 1]);
  const rest = deposit - total;
  assert.equal(await contract.read("pool", market.account, token.address), BigInt(rest));
  await market.wallet("withdraw", `${rest}`);
  assert.equal(await token.read("balanceOf", market.account), BigInt(rest + 77));
  assert.equal(await token.read("balanceOf", contract.address), 0n);
  assert.equal(await token.read("balanceOf", market.node_account), BigInt(total + others_sum));

  const history = await market.wallet_json("history");
  assert.deepEqual(history.map(({ what, state }) => [what, state]),
    [`approve ${deposit}`, `deposit ${deposit}`, `open ${locked}`, "request close", "finalise", `withdraw ${rest}`].map((what) => [what, "done"]));
  assert.match(await market.wallet("channels", "--csv"), new RegExp(`^${channel},npub1\\w+,closed,${total},${total},${total},0,`, "m"));
}, { ms: 90_000 + kQueries * 1_000 });

scenario("a channel that is not on the chain, or no longer after a re-org, pays for nothing", async (bed) => {
  const market = await Market.open(bed);
  await market.fund(5_000);
  const gateway = await bed.gateway({ relay: market.relay, node: market.node });
  const ask = () => fetch(`${gateway.url}/chat/completions`, { method: "POST", body: JSON.stringify({ model: market.engine.model, stream: true, max_tokens: 4,
    messages: [{ role: "user", content: JSON.stringify({ id: "q", tokens: 4, token_ms: 1 }) }] }) });
  assert.notEqual((await ask()).status, 200, "no channel");

  const before = await market.chain.rpc("evm_snapshot");
  const channel = await market.open(2_000);
  await market.seen(channel, 2_000);
  assert.equal((await ask()).status, 200);

  // The chain takes another branch, longer than the first, on which the channel was never opened.
  await market.chain.rpc("evm_revert", before);
  await market.chain.rpc("anvil_mine", "0x10");
  await market.node.program.said(/re-org: what was read above block/);
  await until(20_000, "the channel is gone", async () => (await market.status()).channels.length === 0);
  assert.notEqual((await ask()).status, 200, "its deposit is gone");
});

scenario("endpoints that say different things are not believed, and their tokens are not shown", async (bed) => {
  const market = await Market.open(bed);
  await market.fund(5_000);
  let lies = false;
  const liar = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer = await fetch(market.chain.url, { method: "POST", headers: { "content-type": "application/json" }, body: Buffer.concat(chunks) });
    const text = await answer.text();
    response.end(lies ? text.replace(/"result":"0x0*"/, '"result":"0x1"').replace(/"result":"0x[0-9a-f]{64}"/, `"result":"0x${"0".repeat(63)}1"`) : text);
  });
  await new Promise((resolve) => liar.listen(0, "127.0.0.1", resolve));
  bed.on_stop(() => new Promise((resolve) => { liar.closeAllConnections(); liar.close(resolve); }));
  const file = path.join(market.home, "wallet.toml");
  const second = `http://127.0.0.1:${liar.address().port}/v3/very-secret-token`;
  fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(/^rpc = .*$/m, `rpc = ${JSON.stringify([market.chain.url, second])}`));
  assert.equal((await market.wallet_json("balance"))[0].wallet, "5000");

  lies = true;
  const { code, err } = await bed.client(["wallet", "balance", "--home", market.home]).end(30_000);
  assert.equal(code, 1);
  assert.match(err, /endpoints disagree about eth_call/);
  assert.doesNotMatch(err, /very-secret-token/);
});

scenario("what is claimed is split by basis points, rounded never twice; requests and sessions have prices", async (bed) => {
  const owner = `0x${"11".repeat(20)}`;
  const relay = `0x${"22".repeat(20)}`;
  const market = await Market.open(bed, { settlement: { split: [`${owner}=3333`, `${relay}=6667`], split_at: 1 }, offer: { request_price: 5, session_price: 7 } });
  const { contract, token } = market;
  await market.fund(5_000);
  const channel = await market.open(2_000);
  await market.seen(channel, 2_000);
  const gateway = await bed.gateway({ relay: market.relay, node: market.node });
  let sum = 7;
  for (let i = 0; i < 3; ++i) {
    await market.ask(gateway, `split ${i}`, kTokens);
    sum += kCost + 5;
    await until(10_000, "the receipt", async () => (await market.accepted(channel)) === sum);
    await market.settle("claim");
    const shares = [3333, 6667].map((points) => Math.floor((sum * points) / 10_000));
    await until(20_000, `shares of ${sum}`, async () => Number(await token.read("balanceOf", owner)) === shares[0] && Number(await token.read("balanceOf", relay)) === shares[1]);
    assert.equal(Number(await contract.read("pool", market.node_account, token.address)), sum - shares[0] - shares[1]);
  }
});

scenario("a node that is asked to close claims, and gives the rest back without the day's wait", async (bed) => {
  const market = await Market.open(bed, { settlement: { refund_at: 1 } });
  const { chain, contract, token } = market;
  await market.fund(5_000);
  await market.wallet("deposit", "5000");
  const channel = await market.open(2_000);
  await market.seen(channel, 2_000);
  const gateway = await market.gateway();
  await market.ask(gateway, "one", kTokens);
  await until(10_000, "the receipt", async () => (await market.accepted(channel)) === kCost);
  const untouched = await market.open(700);
  await market.wallet("close", channel);
  await until(20_000, "what was earned is claimed", async () => (await market.on_chain(channel))[1] === kCost);
  assert.equal((await market.on_chain(channel))[0], 2_000, "not before answers under way have ended");
  await chain.pass(70);
  await chain.rpc("anvil_mine", "0x2");
  await until(20_000, "the rest is back", async () => (await market.on_chain(channel))[0] === kCost);
  assert.equal(await contract.read("pool", market.account, token.address), BigInt(5_000 - 700 - kCost));
  assert.equal(await token.read("balanceOf", market.node_account), BigInt(kCost));
  assert.deepEqual(await market.on_chain(untouched), [700, 0, 0, 0, 1], "who did not ask keeps his channel");
  await market.wallet("withdraw", `${5_000 - 700 - kCost}`);
  const sent = (await market.status()).transactions.map(({ purpose }) => purpose);
  assert.deepEqual(sent, [`claim ${kCost} of 1 channel`, `refund ${2_000 - kCost}`], "once");
});
