// Random calls by random people, right and wrong ones, against the contract and a second bookkeeping of it.
// After each call: the same refusal or the same effect, and the invariants. NOSTRIL_STEPS: how many calls
// (600); NOSTRIL_SEED repeats a run.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { concat } from "ethers";
import { Model } from "./support/model.mjs";
import { Random } from "./support/random.mjs";
import { kAmountMax, kEther, new_key } from "./support/receipts.mjs";
import { World } from "./support/world.mjs";

const kSteps = Number(process.env.NOSTRIL_STEPS ?? 600);
const kChannels = 14;
const kRowsMax = 5;
const kYear = 365 * 86_400;

let world;
before(async () => { world = await World.start(); });
after(() => world?.stop());

/** The random calls. Each makes the same call of the model and of the contract and compares. */
class Walk {
  constructor(random, fee_token) {
    this.random = random;
    this.people = [world.payer, world.payee, world.stranger, world.other];
    this.tokens = { [kEther]: kEther, [world.token.address]: world.token, [fee_token.address]: fee_token };
    this.model = new Model(fee_token.address);
    this.signed_max = new Map();
    this.rows = [];
    this.counts = {};
    this.channels = Array.from({ length: kChannels }, (_, i) => world.channel({ payer: this.people[i % 2], payee: this.people[2 + (i % 2)],
      token: Object.keys(this.tokens)[i % 3], salt: BigInt(i % 4), key: i % 5 === 0 ? (this.key ??= new_key()) : new_key() }));
  }

  amount() {
    const { random } = this;
    return random.pick([0n, 1n, 99n, 100n, random.big_below(1000n), random.big_below(10n ** 6n), random.big_below(10n ** 20n)]);
  }

  /** Mostly the right one. */
  somebody(right) { return this.random.below(8) === 0 ? this.random.pick(this.people) : right; }

  async run({ from, value = 0n }, refused, name, ...args) {
    this.counts[`${name}: ${refused ?? "done"}`] = (this.counts[`${name}: ${refused ?? "done"}`] ?? 0) + 1;
    if (refused !== undefined) {
      assert.equal(await world.contract.refusal({ from, value }, name, ...args), refused, name);
      return undefined;
    }
    return world.contract.send({ from, value }, name, ...args);
  }

  async deposit() {
    const [from, owner, token, amount] = [this.random.pick(this.people), this.random.pick(this.people), this.random.pick(Object.keys(this.tokens)), this.amount()];
    await this.run({ from, value: token === kEther ? amount : 0n }, this.model.deposit(owner, token, amount), "deposit", owner, token, amount);
  }

  async withdraw() {
    const [from, token] = [this.random.pick(this.people), this.random.pick(Object.keys(this.tokens))];
    const has = this.model.pool(from, token);
    const amount = this.random.pick([has, has + 1n, has / 2n, this.amount()]);
    await this.run({ from }, this.model.withdraw(from, token, amount), "withdraw", token, amount, this.random.pick(this.people));
  }

  async allow() {
    const channel = this.random.pick(this.channels);
    const [from, amount] = [this.somebody(channel.payer), this.amount()];
    this.model.allow(from, channel.signer, channel.token, amount);
    await this.run({ from }, undefined, "allow", channel.signer, channel.token, amount);
  }

  async lock(name) {
    const channel = this.random.pick(this.channels);
    const [from, amount] = [this.somebody(channel.payer), this.random.below(30) === 0 ? kAmountMax : this.amount()];
    const pulled = name === "open" || name === "topUp";
    if (pulled && amount === kAmountMax && name === "open") return;
    const value = pulled && channel.token === kEther ? amount % 10n ** 21n : 0n;
    const paid = pulled && channel.token === kEther ? value : amount;
    await this.run({ from, value }, this.model[name](from, channel, paid), name, channel, paid);
  }

  async openSigned() {
    const { random } = this;
    const channel = random.pick(this.channels);
    const total = this.amount();
    const [expired, forged] = [random.below(8) === 0, random.below(8) === 0];
    const now = await world.chain.now();
    const order = world.order(channel, total, { expiration: now + (expired ? -1 : kYear), ...(forged && { key: new_key() }) });
    await this.run({ from: random.pick(this.people) }, this.model.openSigned(channel, total, { expired, forged }), "openSigned", ...order);
  }

  /** A new receipt, an old row again, or a forged one. */
  row(channel) {
    const { random } = this;
    const old = this.rows.filter((row) => row.channel === channel);
    if (old.length > 0 && random.below(3) === 0) return random.pick(old);
    const { locked, claimed } = this.model.slot(channel);
    const amount = random.pick([claimed, claimed + 1n, locked, locked + 1n, (locked + claimed) / 2n + 1n, 1n + this.amount()]) || 1n;
    if (random.below(5) === 0) {
      const wrong = random.pick([{ key: new_key() }, { id: random.pick(this.channels.filter((other) => other !== channel)).id }, { kind: 1473 }]);
      return { channel, amount, forged: true, bytes: world.row(channel, amount, wrong) };
    }
    const row = { channel, amount, forged: false, bytes: world.row(channel, amount) };
    this.rows.push(row);
    if (amount > (this.signed_max.get(channel.id) ?? 0n)) this.signed_max.set(channel.id, amount);
    return row;
  }

  async claim() {
    const { random } = this;
    const { payee, token } = random.pick(this.channels);
    const fitting = this.channels.filter((channel) => channel.payee === payee && channel.token === token);
    const rows = Array.from({ length: random.below(kRowsMax + 1) }, () => this.row(random.pick(random.below(6) === 0 ? this.channels : fitting)));
    const to_pool = random.below(3) === 0;
    const { said } = this.model.claim(payee, token, rows, to_pool);
    const bytes = concat(rows.map((row) => row.bytes));
    const { events } = to_pool ? await this.run({ from: payee }, undefined, "claimToPool", token, bytes)
      : await this.run({ from: random.pick(this.people) }, undefined, "claim", payee, token, bytes);
    assert.deepEqual(events.slice(0, said.length), said);
  }

  async requestClose() {
    const channel = this.random.pick(this.channels);
    const from = this.somebody(channel.payer);
    const known = this.model.slot(channel).known && this.model.slot(channel).close_at === 0;
    const refused = this.model.requestClose(from, channel, 0);
    await this.run({ from }, refused, "requestClose", channel);
    if (refused === undefined && known) this.model.slots.set(channel.id, { ...this.model.slot(channel), close_at: await world.chain.now() + 86_400 });
  }

  async finalise() {
    const closing = this.channels.filter((channel) => this.model.slot(channel).close_at !== 0);
    const channel = this.random.pick(this.random.below(4) === 0 || closing.length === 0 ? this.channels : closing);
    const now = await world.chain.now();
    const { close_at } = this.model.slot(channel);
    if (close_at !== 0 && now < close_at && close_at - now < 60) return; // the next block's second decides
    await this.run({ from: this.random.pick(this.people) }, this.model.finalise(channel, now), "finalise", channel);
  }

  async refund() {
    const channel = this.random.pick(this.channels);
    const { locked, claimed } = this.model.slot(channel);
    const [from, amount] = [this.somebody(channel.payee), this.random.pick([locked - claimed, (locked - claimed) / 3n, locked - claimed + 1n])];
    await this.run({ from }, this.model.refund(from, channel, amount), "refund", channel, amount);
  }

  async pass() { await world.chain.pass(this.random.pick([10, 3600, 90_000])); }

  async step() {
    const { random } = this;
    const name = random.pick(["deposit", "deposit", "withdraw", "allow", "open", "open", "openPooled", "openPooled", "openSigned", "openSigned",
      "topUp", "topUpPooled", "claim", "claim", "claim", "claim", "claim", "requestClose", "finalise", "finalise", "refund", "pass"]);
    const before_step = new Map(this.model.slots);
    if (["open", "openPooled", "topUp", "topUpPooled"].includes(name)) await this.lock(name);
    else await this[name]();
    await this.check(name, before_step);
  }

  async check(name, before_step) {
    for (const channel of this.channels) {
      const slot = this.model.slot(channel);
      const was = before_step.get(channel.id);
      if (slot === was) continue;
      if (slot.known) assert.deepEqual(await world.slot(channel), slot, name);
      if (was) assert.ok(slot.claimed >= was.claimed, "claimed never falls");
      if (was && !["finalise", "refund"].includes(name)) assert.ok(slot.locked >= was.locked, "nothing returns but by finalise and refund");
      assert.ok(slot.claimed <= slot.locked, "no more is claimed than is locked");
      assert.ok(slot.claimed <= (this.signed_max.get(channel.id) ?? 0n), "no more is claimed than was signed");
    }
    for (const [token, contract] of Object.entries(this.tokens)) {
      assert.equal(await world.held(contract), this.model.owed(token, this.channels), `${name}: what is held of ${token} is what is owed`);
    }
  }

  /** Everybody leaves: nothing remains, and nobody lacks anything. */
  async leave() {
    for (const channel of this.channels.filter((one) => this.model.slot(one).known)) {
      await this.run({ from: channel.payer }, this.model.requestClose(channel.payer, channel, 1), "requestClose", channel);
    }
    await world.chain.pass(100_000);
    const now = await world.chain.now();
    for (const channel of this.channels.filter((one) => this.model.slot(one).known)) {
      await this.run({ from: world.other }, this.model.finalise(channel, now), "finalise", channel);
    }
    for (const token of Object.keys(this.tokens)) {
      for (const owner of this.people) {
        const has = this.model.pool(owner, token);
        assert.equal(await world.pool(owner, token), has);
        if (has > 0n) await this.run({ from: owner }, this.model.withdraw(owner, token, has), "withdraw", token, has, owner);
      }
      assert.equal(await world.held(this.tokens[token]), 0n);
    }
  }

  async replay() {
    for (const row of this.rows) {
      const { payee, token } = row.channel;
      const { events } = await this.run({ from: world.other }, undefined, "claim", payee, token, row.bytes);
      assert.equal(events[0][0], "Skipped", "an old receipt pays nothing");
    }
  }
}

test(`${kSteps} random calls: the contract keeps its books, and the invariants hold`, async (t) => {
  const random = new Random();
  t.diagnostic(`NOSTRIL_SEED=${random.seed}`);
  const walk = new Walk(random, await world.new_token("FeeToken"));
  try {
    for (let i = 0; i < kSteps; ++i) await walk.step();
    await walk.leave();
    await walk.replay();
  } catch (error) {
    error.message = `NOSTRIL_SEED=${random.seed}: ${error.message}`;
    throw error;
  }
  for (const [what, count] of Object.entries(walk.counts).sort()) t.diagnostic(`${what}: ${count}`);
});
