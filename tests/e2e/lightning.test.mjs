// Deposits over Lightning, from an invoice to what comes back, with real Lightning nodes and the programs as they are:
// sums are exact in both journals and in the Lightning channel. NOSTRIL_LONG=1 also waits until a payment may be sent again.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { scenario, until } from "./lib.mjs";
import { Channel, Wallet } from "./lightning_lib.mjs";

const kMsatPerToken = 10_000;
const kTokens = 8;
const kCost = (20 + kTokens) * kMsatPerToken;  // the engine counts 20 tokens of every prompt
const kBudget = ["--budget", "100000000"];

/** A node that takes deposits, a user with a wallet, and what tests ask of both. */
class Shop {
  static async open(bed, lightning = {}) {
    const shop = new Shop();
    shop.bed = bed;
    shop.channel = await Channel.open(bed);
    shop.relay = await bed.relay();
    shop.engine = await bed.scripted_engine();
    shop.user_wallet = await Wallet.open(bed, shop.relay, shop.channel.user);
    shop.node_wallet = await Wallet.open(bed, shop.relay, shop.channel.node);
    shop.home = path.join(bed.folder, "user");
    fs.mkdirSync(shop.home, { mode: 0o700 });
    fs.writeFileSync(path.join(shop.home, "nwc"), `${shop.user_wallet.uri}\n`, { mode: 0o600 });
    shop.nwc_file = path.join(bed.folder, "node.nwc");
    fs.writeFileSync(shop.nwc_file, `${shop.node_wallet.uri}\n`, { mode: 0o600 });
    shop.lightning = lightning;
    await shop.start_node();
    shop.outbound = [shop.channel.user.outbound, shop.channel.node.outbound];
    return shop;
  }

  async start_node(env = {}) {
    const price = kMsatPerToken * 1_000_000;
    this.node = await this.bed.node({ relay: this.relay, engine_url: this.engine.url, env, sections: {
      offer: { asset: "msat", input_price: price, cached_price: price, output_price: price, credit: 1_000_000 },
      lightning: { nwc_file: this.nwc_file, network: "bcrt", ...this.lightning } } });
  }

  options = () => this.bed.client_options({ relay: this.relay, node: this.node });

  deposit = (amount, env) => this.bed.client(["wallet", "lightning", "deposit", ...this.options(), ...kBudget, this.node.npub, `${amount}`], env).end(60_000);

  refund = (env) => this.bed.client(["wallet", "lightning", "refund", ...this.options(), this.node.npub], env).end(60_000);

  async wallet(name) {
    const { code, out, err } = await this.bed.client(["wallet", "lightning", name, "--home", this.home, "--json"]).end(30_000);
    assert.equal(code, 0, err);
    return JSON.parse(out);
  }

  async gateway() {
    const program = this.bed.client(["gateway", ...this.options(), ...kBudget, "--listen", "127.0.0.1:0"]);
    const [, url] = await program.line(/^listening on (http:\/\/\S+)$/m);
    return { url, program };
  }

  ask = (gateway, id) => fetch(`${gateway.url}/chat/completions`, { method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: this.engine.model, stream: true, max_tokens: kTokens,
      messages: [{ role: "user", content: JSON.stringify({ id, tokens: kTokens, token_ms: 1 }) }] }) });

  async must_ask(gateway, id) {
    const response = await this.ask(gateway, id);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    assert.ok(text.includes("[DONE]"), text.slice(-500));
  }

  /** So much, in all, has gone from the user to the node, as both ends of the Lightning channel see it. */
  moved = (msat) => until(10_000, `${msat} msat moved`, () =>
    this.outbound[0] - this.channel.user.outbound === msat && this.channel.node.outbound - this.outbound[1] === msat);

  assert_no_secret() {
    for (const program of this.bed.programs) {
      for (const { secret } of [this.user_wallet, this.node_wallet]) {
        assert.ok(!program.err.includes(secret) && !program.out.toString().includes(secret), `${program.name} shows a wallet's secret`);
      }
    }
  }
}

const good = ({ code, out, err }) => {
  assert.equal(code, 0, err);
  return out;
};

scenario("deposit, streamed answers, refund: exact to the millisatoshi", async (bed) => {
  const shop = await Shop.open(bed);
  const gateway = await shop.gateway();
  assert.notEqual((await shop.ask(gateway, "unpaid")).status, 200, "nothing is served before a deposit");

  const refused = await shop.deposit(5_000_001);
  assert.match(refused.err, /more than this node takes at once/);
  const deposit = 4_900_123;
  assert.match(good(await shop.deposit(deposit)), /^deposited 4900123 fees 0 payment [0-9a-f]{64}$/m);
  await shop.moved(deposit);
  for (let i = 0; i < 6; ++i) await shop.must_ask(gateway, `q${i}`);
  const spent = 6 * kCost;
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

  assert.notEqual((await shop.ask(gateway, "nothing is left")).status, 200);
  const again = await shop.refund();
  assert.equal(again.code, 1);
  assert.match(again.err, /nothing is left of the deposits/);
  const history = (await shop.wallet("history")).map(({ what, state, amount }) => `${what} ${state} ${amount}`);
  assert.deepEqual(history.sort(),  // those of one second have no order
    [`deposit settled ${deposit}`, "deposit settled 1000000", `refund settled ${rest}`].sort());
  shop.assert_no_secret();
}, { ms: 90_000 });

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
