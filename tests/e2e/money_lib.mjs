// A chain of its own, with the contract and a token on it, for scenarios about money.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { Anvil } from "../contracts/support/anvil.mjs";
import { channels_artifact, Contract, helper_contracts } from "../contracts/support/contract.mjs";
import { until } from "./lib.mjs";

const kEther = "0xde0b6b3a7640000";
export const kGrace = 86_400;

const toml = (values) => Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join("");

/** A node that is paid on a chain, a user with a home, and what tests ask of both. */
export class Market {
  static async open(bed, { price = 1_000_000, credit = 200, settlement = {}, offer = {} } = {}) {
    const market = new Market();
    market.bed = bed;
    market.chain = await Anvil.start();
    bed.on_stop(() => market.chain.stop());
    market.contract = await Contract.deploy(market.chain, channels_artifact());
    market.token = await Contract.deploy(market.chain, helper_contracts().PlainToken);
    market.asset = `eip155:31337/erc20:${market.token.address.toLowerCase()}`;
    market.chain_keys = { rpc: [market.chain.url], contract: market.contract.address, confirmations: 1, poll_ms: 100, replace_s: 5 };
    market.relay = await bed.relay();
    market.engine = await bed.scripted_engine();
    market.sections = {
      offer: { asset: market.asset, input_price: price, cached_price: price, output_price: price, credit, ...offer },
      settlement: { ...market.chain_keys, claim_at: 1_000_000_000_000, ...settlement },
      metrics: { listen: "127.0.0.1:0" },
    };
    await market.start_node();
    market.move_in("user");
    market.node_account = (await market.status()).account;
    await market.chain.rpc("anvil_setBalance", market.node_account, kEther);
    return market;
  }

  move_in(name) {
    this.user = name;
    this.home = path.join(this.bed.folder, name);
    fs.mkdirSync(this.home, { mode: 0o700 });
    fs.writeFileSync(path.join(this.home, "wallet.toml"), toml({ asset: this.asset, ...this.chain_keys }));
  }

  /** The same market, asked for by another user. */
  another(name) {
    const other = Object.assign(new Market(), this);
    other.move_in(name);
    return other;
  }

  gateway() { return this.bed.gateway({ relay: this.relay, node: this.node, home: this.user }); }

  async start_node(env = {}) {
    this.node = await this.bed.node({ relay: this.relay, engine_url: this.engine.url, sections: this.sections, env });
  }

  /** A command of the wallet; what it printed. */
  async wallet(name, ...args) {
    const { code, out, err } = await this.bed.client(["wallet", name, "--home", this.home, ...args]).end(60_000);
    assert.equal(code, 0, `wallet ${name}: ${err}`);
    return out;
  }

  async wallet_json(name) { return JSON.parse(await this.wallet(name, "--json")); }

  open_args(amount) { return ["wallet", "open", ...this.bed.client_options({ relay: this.relay, node: this.node, home: this.user }), this.node.npub, `${amount}`]; }

  /** The user's account gets tokens and gas; what it has of the token then. */
  async fund(amount) {
    const [{ account }] = await this.wallet_json("balance");
    this.account = account;
    await this.chain.rpc("anvil_setBalance", account, kEther);
    await this.token.send({ from: this.chain.accounts[0] }, "mint", account, amount);
  }

  async open(amount) {
    const { code, out, err } = await this.bed.client(this.open_args(amount)).end(60_000);
    assert.equal(code, 0, err);
    return /^channel ([0-9a-f]{64}) open locked (\d+)/m.exec(out)[1];
  }

  async settle(name, ...args) {
    const { code, out, err } = await this.bed.node_command(["settle", name, "--config", this.node.config, ...args]).end(100_000);
    assert.equal(code, 0, `settle ${name}: ${err}`);
    return out;
  }

  async status() { return JSON.parse(await this.settle("status", "--json")); }

  /** [locked, claimed, closeAt, returned, known] as numbers, of the contract. */
  async on_chain(channel) { return (await this.contract.read("channel", `0x${channel}`)).map(Number); }

  /** The node has seen the channel with so much in it. */
  seen(channel, locked) {
    return until(20_000, "the node sees the channel", async () =>
      (await this.status()).channels.some((one) => one.channel === channel && Number(one.locked) === locked));
  }

  /** One streamed question over the gateway; its tokens as the engine counted them. */
  async ask(gateway, id, tokens, token_ms = 1) {
    const response = await fetch(`${gateway.url}/chat/completions`, { method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: this.engine.model, stream: true, max_tokens: tokens,
        messages: [{ role: "user", content: JSON.stringify({ id, tokens, token_ms }) }] }) });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    assert.ok(text.includes("[DONE]"), text.slice(-500));
  }

  /** What the payer's own book says that the channel has come to. */
  async spent(channel) {
    const all = await this.wallet_json("channels");
    return Number(all.find((one) => one.channel === channel).spent);
  }

  async accepted(channel) {
    return Number((await this.status()).channels.find((one) => one.channel === channel).accepted);
  }
}
