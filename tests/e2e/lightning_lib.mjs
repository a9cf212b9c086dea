// Real Lightning nodes (LDK) with one channel between them, and wallet services that share no code with ours.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { kRoot, until, WebSocket } from "./lib.mjs";

const packages = createRequire(new URL("../lightning/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(packages.resolve(name)));
globalThis.WebSocket ??= WebSocket;
const ldk = await load("lightningdevkit");
const { NodeLDKNet } = await load("lightningdevkit-node-net");
const { NWCWalletService, NWCWalletServiceKeyPair } = packages("@getalby/sdk/nwc");
const { generateSecretKey, getPublicKey } = packages("nostr-tools/pure");
await ldk.initializeWasmFromBinary(fs.readFileSync(path.join(kRoot, "tests/lightning/node_modules/lightningdevkit/liblightningjs.wasm")));

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest();
const now_s = () => Math.floor(Date.now() / 1000);
const ok = (result, what) => {
  assert.ok(result.is_ok(), what);
  return result.res;
};

/** Of the loopback address: LDK's listener does not say which one it got. */
const free_port = () => new Promise((resolve) => {
  const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});

/** One node. Nothing is kept: it lives as long as the test. */
class LightningNode {
  events = [];
  broadcast = [];

  constructor(seed) {
    const network = ldk.Network.LDKNetwork_Regtest;
    const done = ldk.ChannelMonitorUpdateStatus.LDKChannelMonitorUpdateStatus_Completed;
    const fees = ldk.FeeEstimator.new_impl({ get_est_sat_per_1000_weight: () => 253 });
    const broadcaster = ldk.BroadcasterInterface.new_impl({ broadcast_transactions: (all) => { this.broadcast.push(...all); } });
    const logger = ldk.Logger.new_impl({ log: () => {} });
    const persist = ldk.Persist.new_impl({ persist_new_channel: () => done, update_persisted_channel: () => done, archive_persisted_channel: () => {} });
    this.monitor = ldk.ChainMonitor.constructor_new(ldk.Option_FilterZ.constructor_none(), broadcaster, logger, fees, persist);
    const keys = ldk.KeysManager.constructor_new(new Uint8Array(32).fill(seed), BigInt(now_s()), seed);
    const [entropy, signer] = [keys.as_EntropySource(), keys.as_NodeSigner()];
    const graph = ldk.NetworkGraph.constructor_new(network, logger);
    const scorer = ldk.ProbabilisticScorer.constructor_new(ldk.ProbabilisticScoringDecayParameters.constructor_default(), graph, logger);
    const router = ldk.DefaultRouter.constructor_new(graph, logger, entropy, ldk.MultiThreadedLockableScore.constructor_new(scorer.as_Score()).as_LockableScore(),
      ldk.ProbabilisticScoringFeeParameters.constructor_default());
    const messages = ldk.DefaultMessageRouter.constructor_new(graph, entropy);
    this.manager = ldk.ChannelManager.constructor_new(fees, this.monitor.as_Watch(), broadcaster, router.as_Router(), messages.as_MessageRouter(), logger, entropy, signer,
      keys.as_SignerProvider(), ldk.UserConfig.constructor_default(), ldk.ChainParameters.constructor_new(network, ldk.BestBlock.constructor_from_network(network)), now_s());
    const ignore = ldk.IgnoringMessageHandler.constructor_new();
    this.peers = ldk.PeerManager.constructor_new(this.manager.as_ChannelMessageHandler(), ignore.as_RoutingMessageHandler(), ignore.as_OnionMessageHandler(),
      ignore.as_CustomMessageHandler(), now_s(), entropy.get_secure_random_bytes(), logger, signer);
    this.net = new NodeLDKNet(this.peers);
    this.handler = ldk.EventHandler.new_impl({ handle_event: (event) => {
      this.events.push(event);
      return ldk.Result_NoneReplayEventZ.constructor_ok();
    } });
  }

  get id() { return this.manager.get_our_node_id(); }

  turn() {
    this.manager.process_pending_htlc_forwards();
    this.manager.as_EventsProvider().process_pending_events(this.handler);
    this.monitor.as_EventsProvider().process_pending_events(this.handler);
    this.net.process_events();
  }

  take(type, suits = () => true) {
    const at = this.events.findIndex((event) => event instanceof type && suits(event));
    return at < 0 ? undefined : this.events.splice(at, 1)[0];
  }


  get outbound() {
    return this.manager.list_channels().reduce((sum, one) => sum + Number(one.get_outbound_capacity_msat()), 0);
  }
}

/** Two nodes with a channel of 2,000,000 sat; the second begins with `pushed` msat of it. */
export class Channel {
  static async open(bed, pushed = 200_000_000n) {
    const channel = new Channel();
    const [user, node] = [channel.user, channel.node] = [new LightningNode(1), new LightningNode(2)];
    const turns = setInterval(() => { user.turn(); node.turn(); }, 2);
    bed.on_stop(() => { clearInterval(turns); user.net.stop(); node.net.stop(); });
    const port = await free_port();
    await node.net.bind_listener("127.0.0.1", port);
    await user.net.connect_peer("127.0.0.1", port, node.id);
    await until(10_000, "the nodes know each other", () => user.peers.list_peers().length > 0 && node.peers.list_peers().length > 0);
    ok(user.manager.create_channel(node.id, 2_000_000n, pushed, 1n, null, null), "create_channel");
    const ready = await until(10_000, "the channel's funding", () => user.take(ldk.Event_FundingGenerationReady));
    const funding = channel.funding(ready.channel_value_satoshis, ready.output_script);
    ok(user.manager.funding_transaction_generated(ready.temporary_channel_id, ready.counterparty_node_id, funding), "funding");
    await until(10_000, "the funding is sent", () => user.broadcast.length > 0);
    channel.blocks([funding], 7);
    await until(10_000, "the channel", () => user.take(ldk.Event_ChannelReady) && true);
    await until(10_000, "the channel there", () => node.manager.list_usable_channels().length > 0 && user.manager.list_usable_channels().length > 0);
    return channel;
  }

  /** A transaction with one made-up input that pays the channel. */
  funding(value, script) {
    const amount = Buffer.alloc(8);
    amount.writeBigUInt64LE(value);
    return new Uint8Array(Buffer.concat([Buffer.from("02000000000101", "hex"), Buffer.alloc(32, 9), Buffer.from("0000000000ffffffff01", "hex"), amount,
      Buffer.from([script.length]), Buffer.from(script), Buffer.from("0101ff00000000", "hex")]));
  }

  /** Headers without work: a node trusts what brings it the chain. */
  blocks(transactions, count) {
    let previous = sha256(sha256(Buffer.alloc(80)));
    for (let height = 1; height <= count; ++height) {
      const header = Buffer.alloc(80);
      header.writeInt32LE(1, 0);
      previous.copy(header, 4);
      header.writeUInt32LE(now_s(), 68);
      header.writeUInt32LE(height, 76);
      for (const one of [this.user, this.node]) {
        for (const chain of [one.manager.as_Confirm(), one.monitor.as_Confirm()]) {
          if (height === 1) chain.transactions_confirmed(header, transactions.map((bytes, i) => ldk.TwoTuple_usizeTransactionZ.constructor_new(i + 1, bytes)), 1);
          chain.best_block_updated(header, height);
        }
      }
      previous = sha256(sha256(header));
    }
  }
}

/** A wallet service (NIP-47) over one Lightning node and our relay. */
export class Wallet {
  book = new Map();
  sent = [];  // payment hashes, each time a payment was begun
  paid = 0;
  received = 0;

  static async open(bed, relay, node) {
    const wallet = new Wallet();
    wallet.node = node;
    const [service_key, client_key] = [hex(generateSecretKey()), hex(generateSecretKey())];
    wallet.secret = client_key;
    const key = (secret) => getPublicKey(Buffer.from(secret, "hex"));
    wallet.uri = `nostr+walletconnect://${key(service_key)}?relay=${encodeURIComponent(relay.url)}&secret=${client_key}`;
    const methods = ["get_info", "get_balance", "make_invoice", "lookup_invoice", "pay_invoice"];
    const service = new NWCWalletService({ relayUrls: [relay.url] });
    await service.publishWalletServiceInfoEvent(service_key, methods, []);
    const unsubscribe = await service.subscribe(new NWCWalletServiceKeyPair(service_key, key(client_key)), wallet.handlers());
    const claims = setInterval(() => wallet.claim(), 2);
    bed.on_stop(() => { clearInterval(claims); unsubscribe(); service.close(); });
    await sleep(200);
    return wallet;
  }

  handlers() {
    const result = (value) => ({ result: value, error: undefined });
    const refuse = (code, message) => ({ result: undefined, error: { code, message } });
    return {
      getInfo: async () => result({ alias: "ldk", color: "#ffffff", pubkey: hex(this.node.id), network: "regtest", block_height: 7, block_hash: "00", methods: [] }),
      getBalance: async () => result({ balance: this.node.outbound }),
      makeInvoice: async ({ amount, description, expiry }) => result(this.make_invoice(amount, description, expiry)),
      lookupInvoice: async ({ payment_hash }) => {
        const found = this.book.get(payment_hash);
        return found ? result(found) : refuse("NOT_FOUND", "no such payment");
      },
      payInvoice: async ({ invoice }) => {
        try {
          return result(await this.pay(invoice));
        } catch (error) {
          return refuse("PAYMENT_FAILED", String(error.message));
        }
      },
    };
  }

  make_invoice(amount, description, expiry) {
    const invoice = ok(ldk.UtilMethods.constructor_create_invoice_from_channelmanager(this.node.manager,
      ldk.Option_u64Z.constructor_some(BigInt(amount)), description ?? "", expiry ?? 3600, ldk.Option_u16Z.constructor_none()), "invoice");
    const entry = { type: "incoming", state: "pending", invoice: invoice.to_str(), description, payment_hash: hex(invoice.payment_hash()), amount, fees_paid: 0,
      created_at: now_s(), expires_at: now_s() + (expiry ?? 3600), preimage: "" };
    this.book.set(entry.payment_hash, entry);
    return entry;
  }

  async pay(text) {
    const invoice = ok(ldk.Bolt11Invoice.constructor_from_str(text), "not an invoice");
    const terms = ok(ldk.UtilMethods.constructor_payment_parameters_from_invoice(invoice), "not payable");
    const hash = terms.get_a();
    this.sent.push(hex(hash));
    // Its id is its hash: a node does not pay it a second time.
    ok(this.node.manager.send_payment(hash, terms.get_b(), hash, terms.get_c(), ldk.Retry.constructor_attempts(1)), "not sent");
    const mine = (event) => hex(event.payment_hash) === hex(hash);
    const amount = Number(invoice.amount_milli_satoshis().some);
    this.book.set(hex(hash), { type: "outgoing", state: "pending", invoice: text, payment_hash: hex(hash), amount, fees_paid: 0, created_at: now_s(), expires_at: now_s() + 60, preimage: "" });
    const sent = await until(20_000, "the payment", () => this.node.take(ldk.Event_PaymentSent, mine));
    this.paid += amount;
    const preimage = hex(sent.payment_preimage);
    Object.assign(this.book.get(hex(hash)), { state: "settled", settled_at: now_s(), preimage });
    return { preimage, fees_paid: 0 };
  }

  claim() {
    const offered = this.node.take(ldk.Event_PaymentClaimable);
    if (offered) this.node.manager.claim_funds(offered.purpose.payment_preimage.some);
    const claimed = this.node.take(ldk.Event_PaymentClaimed);
    const entry = claimed && this.book.get(hex(claimed.payment_hash));
    if (!entry) return;
    this.received += entry.amount;
    Object.assign(entry, { state: "settled", settled_at: now_s() });
  }
}

const kMsatPerToken = 10_000;
const kTokens = 8;
export const kCost = (20 + kTokens) * kMsatPerToken;  // of one answer: the engine counts 20 tokens of every prompt
const kBudget = ["--budget", "1000000000"];

/** A node that takes deposits, a user with a wallet, and what tests ask of both. */
export class Shop {
  /** `wallet`: of the user's wallet.toml, [lightning]. */
  static async open(bed, lightning = {}, wallet = undefined) {
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
    if (wallet) fs.writeFileSync(path.join(shop.home, "wallet.toml"), `[lightning]\n${Object.entries(wallet).map(([key, value]) => `${key} = ${value}\n`).join("")}`);
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
      lightning: { nwc_file: this.nwc_file, network: "bcrt", ...this.lightning }, metrics: { listen: "127.0.0.1:0" } } });
  }

  options = () => this.bed.client_options({ relay: this.relay, node: this.node });

  deposit = (amount, env) => this.bed.client(["wallet", "lightning", "deposit", ...this.options(), ...kBudget, this.node.npub, `${amount}`], env).end(60_000);

  refund = (env) => this.bed.client(["wallet", "lightning", "refund", ...this.options(), this.node.npub], env).end(60_000);

  async wallet(name) {
    const { code, out, err } = await this.bed.client(["wallet", "lightning", name, "--home", this.home, "--json"]).end(30_000);
    assert.equal(code, 0, err);
    return JSON.parse(out);
  }

  async gateway(env) {
    const program = this.bed.client(["gateway", ...this.options(), ...kBudget, "--listen", "127.0.0.1:0"], env);
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

export const good = ({ code, out, err }) => {
  assert.equal(code, 0, err);
  return out;
};
