// A chain with the contract, a token and people; channels with their keys, receipts and rows.
import crypto from "node:crypto";
import { concat } from "ethers";
import { Anvil } from "./anvil.mjs";
import { channels_artifact, Contract, helper_contracts } from "./contract.mjs";
import { channel_id, kEther, kTime, new_key, row_of, sign_order, sign_receipt, signature_of } from "./receipts.mjs";

export const kSkip = { unknown: 0n, nothing_new: 1n, bad_time: 2n, bad_signature: 3n };
export const kDay = 86_400;
const kRich = 10n ** 30n;

export const random_word = () => `0x${crypto.randomBytes(32).toString("hex")}`;

export class World {
  #salt = 0n;

  static async start(...options) {
    const world = new World();
    world.chain = await Anvil.start(...options);
    [world.payer, world.payee, world.stranger, world.other] = world.chain.accounts.map((account) => account.toLowerCase());
    world.contract = await Contract.deploy(world.chain, channels_artifact());
    world.chain_id = BigInt(await world.chain.rpc("eth_chainId"));
    world.token = await world.new_token("PlainToken");
    return world;
  }

  stop() { this.chain.stop(); }

  get place() { return { chain_id: this.chain_id, contract: this.contract.address }; }

  deploy_helper(name) { return Contract.deploy(this.chain, helper_contracts()[name]); }

  /** Everybody has plenty of it and lets the contract take it. */
  async new_token(name) {
    const token = await this.deploy_helper(name);
    for (const account of [this.payer, this.payee, this.stranger, this.other]) {
      await token.send({ from: this.payer }, "mint", account, kRich);
      await token.send({ from: account }, "approve", this.contract.address, 2n ** 256n - 1n);
    }
    return token;
  }

  /** Terms with a new key and salt; fields may be replaced. Its key stays beside the terms. */
  channel(fields = {}) {
    const key = fields.key ?? new_key();
    const terms = { payer: this.payer, salt: ++this.#salt, signer: key.signer, payee: this.payee, token: this.token.address, ...fields };
    delete terms.key;
    return { ...terms, key, id: channel_id(this.place, terms) };
  }

  async opened(amount, fields = {}) {
    const channel = this.channel(fields);
    await this.contract.send({ from: channel.payer, value: channel.token === kEther ? amount : 0n }, "open", channel, amount);
    return channel;
  }

  /** A row with a genuine receipt; what is claimed may differ from what was signed. */
  row(channel, amount, { time = kTime, x = random_word(), key = channel.key, id = channel.id, kind, ...claimed } = {}) {
    const signature = signature_of(sign_receipt(key.secret, { id, amount, x, time, kind }));
    return row_of(channel, { amount, time, x, signature, ...claimed });
  }

  claim(rows, { from = this.payee, payee = this.payee, token = this.token.address, to_pool = false } = {}) {
    const bytes = concat([rows].flat());
    return to_pool ? this.contract.send({ from }, "claimToPool", token, bytes) : this.contract.send({ from }, "claim", payee, token, bytes);
  }

  order(channel, total, { expiration = kTime + 365 * kDay, time = kTime, key = channel.key, id = channel.id, kind } = {}) {
    const signature = signature_of(sign_order(key.secret, { id, total, expiration, time, kind }));
    return [channel, total, time, expiration, signature];
  }

  async slot(channel) {
    const [locked, claimed, close_at, returned, known] = await this.contract.read("channel", channel.id);
    return { locked, claimed, close_at: Number(close_at), returned, known };
  }

  pool(owner, token = this.token.address) { return this.contract.read("pool", owner, token); }

  held(token = this.token) { return token === kEther ? this.chain.balance_of(this.contract.address) : token.read("balanceOf", this.contract.address); }

  async request_close(channel) { return this.contract.send({ from: channel.payer }, "requestClose", channel); }

  async close(channel) {
    await this.request_close(channel);
    await this.chain.pass(kDay);
    return this.contract.send({ from: this.stranger }, "finalise", channel);
  }
}
