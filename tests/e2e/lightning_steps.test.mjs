// A node that is paid after the fact, and a client that pays it by itself, within its policy: real Lightning nodes, the
// programs as they are. NOSTRIL_LONG=1 also waits until a payment may be sent again.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { scenario, until } from "./lib.mjs";
import { kCost, Shop } from "./lightning_lib.mjs";

const kStep = 1_000_000;  // three answers and a part of the fourth

const sums_of = async (shop) => {
  const [row] = await shop.wallet("balance");
  return Object.fromEntries(["deposited", "refunded", "spent"].map((name) => [name, Number(row[name])]));
};
const payments_of = async (shop) => (await shop.wallet("history")).map(({ what, state, amount }) => ({ what, state, amount: Number(amount) }));
/** Every payment that the wallet was asked for has a hash of its own. */
const paid_once = (shop) => assert.equal(new Set(shop.user_wallet.sent).size, shop.user_wallet.sent.length);

scenario("a client pays step by step, no more than its receipts owe, and stops at its limit", async (bed) => {
  const day_max = 3_000_000;
  const payment_max = 700_000;
  const shop = await Shop.open(bed, { step: kStep }, { payment_max, day_max });
  const gateway = await shop.gateway();
  for (let i = 0; i < 11; ++i) {
    await shop.must_ask(gateway, `q${i}`);
    const { deposited, spent } = await sums_of(shop);
    assert.ok(deposited <= spent, `${deposited} paid of ${spent}: never in advance`);
    assert.ok(spent - deposited <= kStep, "never more on trust than the step");
  }
  const spent = 11 * kCost;
  // The day's limit leaves 3,000,000 of 3,080,000 to be paid; the node trusts for the rest and its step.
  await until(20_000, "what may be paid is paid", async () => (await sums_of(shop)).deposited >= day_max - payment_max);
  let answers = 11;
  for (;;) {
    const response = await shop.ask(gateway, `more ${answers}`);
    const text = await response.text();
    if (response.status !== 200 || !text.includes("[DONE]")) break;
    answers += 1;
    assert.ok(answers * kCost <= day_max + kStep, "the node gives no more");
  }
  const after = await sums_of(shop);
  assert.ok(after.spent >= spent && after.spent <= day_max + kStep, JSON.stringify(after));
  const refused = await shop.ask(gateway, "refused");
  assert.notEqual(refused.status, 200);
  assert.match(await refused.text(), /used up \(lightning\.day_max\)/);
  const payments = await payments_of(shop);
  assert.ok(payments.every(({ what, state, amount }) => what === "step" && state === "settled" && amount <= payment_max), JSON.stringify(payments));
  assert.equal(payments.reduce((sum, { amount }) => sum + amount, 0), day_max);
  const end = await sums_of(shop);
  assert.deepEqual([end.deposited, end.refunded], [day_max, 0]);
  await shop.moved(day_max);
  assert.equal(shop.user_wallet.paid, day_max);
  assert.equal(shop.node_wallet.received, day_max);
  paid_once(shop);
  shop.assert_no_secret();
}, { ms: 120_000 });

scenario("an answer longer than the step goes on when it is paid; one command after the other pays, too", async (bed) => {
  const shop = await Shop.open(bed, { step: 150_000 }, { payment_max: 1_000_000, day_max: 100_000_000 });
  const gateway = await shop.gateway();
  await shop.must_ask(gateway, "long");
  await until(20_000, "most of it is paid", async () => (await sums_of(shop)).deposited >= kCost - 150_000);
  const { deposited, spent } = await sums_of(shop);
  assert.equal(spent, kCost);
  await shop.moved(deposited);
  await gateway.program.stop();
  for (let i = 0; i < 3; ++i) {
    const { code, err } = await bed.client(["chat", ...shop.options(), "--budget", "100000000", JSON.stringify({ id: `c${i}`, tokens: 8, token_ms: 1 })]).end(40_000);
    assert.equal(code, 0, err);
  }
  const after = await sums_of(shop);
  assert.ok(after.deposited <= after.spent && after.spent - after.deposited <= 150_000, JSON.stringify(after));
  await shop.moved(after.deposited);
  assert.ok((await payments_of(shop)).every(({ state }) => state === "settled"));
  paid_once(shop);
}, { ms: 120_000 });

scenario("without a policy nothing is paid by itself", async (bed) => {
  const shop = await Shop.open(bed, { step: kStep });
  const gateway = await shop.gateway();
  const refused = await shop.ask(gateway, "q");
  assert.notEqual(refused.status, 200);
  assert.match(await refused.text(), /nostril wallet lightning deposit/);
  assert.equal(shop.user_wallet.sent.length, 0);
}, { ms: 60_000 });

scenario("a gateway that is killed while it pays has paid once, and goes on", async (bed) => {
  const shop = await Shop.open(bed, { step: kStep }, { payment_max: kStep, day_max: 100_000_000 });
  const killed_at = async (step) => {
    const gateway = await shop.gateway({ NOSTRIL_CRASH_AT: step });
    for (let i = 0; i < 5 && !gateway.program.result; ++i) await shop.ask(gateway, `${step} ${i}`).then((response) => response.text()).catch(() => {});
    assert.equal((await gateway.program.end(30_000)).signal, "SIGKILL", `${step}: was reached`);
  };
  await killed_at("deposit-answered");  // paid, and not noted
  assert.equal(shop.user_wallet.sent.length, 1);
  assert.ok((await payments_of(shop)).every(({ state }) => state === "waiting"));
  let gateway = await shop.gateway();
  for (let i = 0; i < 4; ++i) await shop.must_ask(gateway, `after ${i}`);
  await until(20_000, "what was begun is ended", async () => (await payments_of(shop)).some(({ state }) => state === "settled"));
  paid_once(shop);
  await until(20_000, "nothing is under way", async () => (await payments_of(shop)).every(({ state }) => state === "settled"));
  await shop.moved((await payments_of(shop)).reduce((sum, { amount }) => sum + amount, 0));
  await gateway.program.stop();

  const before = shop.user_wallet.sent.length;
  await killed_at("deposit-journalled");  // noted, and not sent
  assert.equal(shop.user_wallet.sent.length, before);
  gateway = await shop.gateway();
  let refusal = "";
  for (let i = 0; i < 6 && refusal === ""; ++i) {
    const response = await shop.ask(gateway, `later ${i}`);
    const text = await response.text();
    if (response.status !== 200) refusal = text;
  }
  assert.match(refusal, /knows no such payment yet|no channel|used up/);
  assert.equal(shop.user_wallet.sent.length, before, "it is not sent a second time while the first may come");
  if (!process.env.NOSTRIL_LONG) return;
  await sleep(92_000);
  for (let i = 0; i < 3; ++i) await shop.must_ask(gateway, `at last ${i}`);
  await until(30_000, "all is paid", async () => (await payments_of(shop)).every(({ state }) => state === "settled"));
  paid_once(shop);
}, { ms: process.env.NOSTRIL_LONG ? 260_000 : 120_000 });
