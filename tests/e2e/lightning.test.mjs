// Deposits over Lightning, from an invoice to what comes back, with real Lightning nodes and the programs as they are:
// sums are exact in both journals and in the Lightning channel. NOSTRIL_LONG=1 also waits until a payment may be sent again,
// NOSTRIL_MONEY_QUERIES=1000 asks so often (docs/money.md).
import assert from "node:assert/strict";
import { doctor_of, metrics_of, scenario } from "./lib.mjs";
import { good, kCost, Shop } from "./lightning_lib.mjs";

const kQueries = Number(process.env.NOSTRIL_MONEY_QUERIES ?? 100);

scenario("deposit, streamed answers, refund: exact to the millisatoshi", async (bed) => {
  const shop = await Shop.open(bed);
  const gateway = await shop.gateway();
  assert.notEqual((await shop.ask(gateway, "unpaid")).status, 200, "nothing is served before a deposit");

  const refused = await shop.deposit(5_000_001);
  assert.match(refused.err, /more than this node takes at once/);
  // As much at a time as the node takes; a rest remains that divides by nothing.
  const most = 5_000_000;
  const spent = kQueries * kCost;
  const deposit = spent + 700_123;
  for (let left = deposit; left > 0; left -= Math.min(left, most)) {
    const amount = Math.min(left, most);
    assert.match(good(await shop.deposit(amount)), new RegExp(`^deposited ${amount} fees 0 payment [0-9a-f]{64}$`, "m"));
  }
  await shop.moved(deposit);
  for (let i = 0; i < kQueries; ++i) await shop.must_ask(gateway, `q${i}`);
  let [row] = await shop.wallet("balance");
  assert.deepEqual([row.deposited, row.refunded, row.spent].map(Number), [deposit, 0, spent]);

  good(await shop.deposit(1_000_000));  // more into the same channel
  await shop.must_ask(gateway, "after more");
  const total = deposit + 1_000_000;
  const rest = total - spent - kCost;
  assert.match(good(await shop.refund()), new RegExp(`^refunded ${rest} `, "m"));
  [row] = await shop.wallet("balance");
  assert.deepEqual([row.deposited, row.refunded, row.spent].map(Number), [total, rest, spent + kCost]);
  await shop.moved(spent + kCost);
  assert.equal(shop.user_wallet.paid, total);
  assert.equal(shop.user_wallet.received, rest);

  const metrics = await metrics_of(shop.node);
  assert.deepEqual(["deposit", "refund"].map((purpose) => metrics[`lightning_msat{purpose="${purpose}",state="settled"}`]), [`${total}`, `${rest}`]);
  const { journal, lightning } = await doctor_of(bed, shop.node);
  assert.equal(journal.found, `1 channels; receipts of ${spent + kCost} msat, 0 owed`);
  assert.equal(lightning.health, "ok", JSON.stringify(lightning));
  const page = await (await fetch(new URL("/nostril/v1/spending", gateway.url))).json();
  assert.deepEqual(page.channels.map(({ backing }) => backing), [{ rail: "lightning", deposited: `${total}`, refunded: `${rest}` }]);
  assert.equal(page.payments.filter(({ what }) => what === "refund")[0].amount, `${rest}`);

  assert.notEqual((await shop.ask(gateway, "nothing is left")).status, 200);
  const again = await shop.refund();
  assert.equal(again.code, 1);
  assert.match(again.err, /nothing is left of the deposits/);
  const history = await shop.wallet("history");
  assert.ok(history.every(({ state }) => state === "settled"));
  const sum_of = (name) => history.filter(({ what }) => what === name).reduce((sum, { amount }) => sum + Number(amount), 0);
  assert.deepEqual([sum_of("deposit"), sum_of("refund")], [total, rest]);
  assert.equal(history.length, Math.ceil(deposit / most) + 2);
  shop.assert_no_secret();
}, { ms: 90_000 + kQueries * 1_000 });

scenario("killed between the journal and the wallet: paid once, or looked up until it may be sent again", async (bed) => {
  const shop = await Shop.open(bed);
  const amount = 2_000_000;
  const killed = await shop.deposit(amount, { NOSTRIL_CRASH_AT: "deposit-answered" });
  assert.equal(killed.signal, "SIGKILL");
  assert.equal(shop.user_wallet.sent.length, 1);
  good(await shop.deposit(amount));  // the same wish: what was begun is ended
  assert.equal(shop.user_wallet.sent.length, 1);
  await shop.moved(amount);

  const before = await shop.deposit(700_000, { NOSTRIL_CRASH_AT: "deposit-journalled" });
  assert.equal(before.signal, "SIGKILL");
  const early = await shop.deposit(700_000);
  assert.equal(early.code, 1);
  assert.match(early.err, /knows no such payment yet; give the command again in \d+ s/);
  assert.equal(shop.user_wallet.sent.length, 1);
  const other = await shop.refund();
  assert.match(other.err, /a deposit is not decided yet/);
  if (!process.env.NOSTRIL_LONG) return;
  await new Promise((resolve) => setTimeout(resolve, 92_000));
  good(await shop.deposit(700_000));
  assert.equal(shop.user_wallet.sent.length, 2);
  await shop.moved(amount + 700_000);
}, { ms: process.env.NOSTRIL_LONG ? 240_000 : 90_000 });

scenario("a node that is killed while it pays a refund pays it once", async (bed) => {
  const shop = await Shop.open(bed);
  const amount = 3_000_000;
  good(await shop.deposit(amount));
  await shop.node.program.stop();
  await shop.start_node({ NOSTRIL_CRASH_AT: "refund-answered" });
  const asked = shop.refund();
  assert.equal((await shop.node.program.end(40_000)).signal, "SIGKILL");
  await shop.start_node();
  const first = await asked;  // perhaps paid before it noticed that the node is gone
  if (first.code !== 0) good(await shop.refund());
  assert.equal(shop.node_wallet.sent.length, 1);
  await shop.moved(0);
  const again = await shop.refund();
  assert.match(again.err, /nothing is left of the deposits/);
  assert.equal(shop.node_wallet.sent.length, 1);
}, { ms: 120_000 });

scenario("a node that gives a step on trust serves so much and no more", async (bed) => {
  const shop = await Shop.open(bed, { step: 1 });
  const gateway = await shop.gateway();
  assert.notEqual((await shop.ask(gateway, "step below a token")).status, 200);
}, { ms: 60_000 });
