// One real EVM (anvil) for a test file: on a free loopback port, stopped by its own pid. Ether costs nothing
// to move here (gas price 0), so that balances can be compared exactly; gas is counted all the same.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const kReadyMsMax = 30_000;
const kCallMsMax = 30_000;
const kGasMax = "0x1c9c380"; // 30 million
/** The clock of every chain starts here. */
export const kGenesisTime = 1_800_000_000;

function anvil_path() {
  const manifest = createRequire(import.meta.url).resolve("@foundry-rs/anvil-linux-amd64/package.json");
  return path.join(path.dirname(manifest), "bin/anvil");
}

function port_of(child) {
  return new Promise((resolve, reject) => {
    let text = "";
    const timer = setTimeout(() => reject(new Error(`anvil is not ready: ${text}`)), kReadyMsMax);
    child.stdout.on("data", (data) => {
      text += data;
      const port = /Listening on 127\.0\.0\.1:(\d+)/.exec(text)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      child.stdout.removeAllListeners("data").resume();
      resolve(Number(port));
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`anvil ended with ${code}: ${text}`)));
  });
}

export class Anvil {
  #child;
  #url;
  #id = 0;
  #last_sent = Promise.resolve();

  /** More anvil options, e.g. "--chain-id", "5". */
  static async start(...options) {
    const child = spawn(anvil_path(), ["--host", "127.0.0.1", "--port", "0", "--hardfork", "osaka", "--gas-price", "0",
      "--block-base-fee-per-gas", "0", "--timestamp", String(kGenesisTime), ...options], { stdio: ["ignore", "pipe", "ignore"] });
    process.on("exit", () => child.kill("SIGKILL"));
    const anvil = new Anvil();
    anvil.#child = child;
    anvil.#url = `http://127.0.0.1:${await port_of(child)}`;
    anvil.accounts = await anvil.rpc("eth_accounts");
    return anvil;
  }

  get url() { return this.#url; }

  stop() { this.#child.kill("SIGKILL"); }

  async rpc(method, ...params) {
    const response = await fetch(this.#url, { method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: ++this.#id, method, params }), signal: AbortSignal.timeout(kCallMsMax) });
    const { result, error } = await response.json();
    if (error) throw Object.assign(new Error(`${method}: ${error.message}`), { data: error.data });
    return result;
  }

  /** Sends one at a time: anvil gives two that arrive together the same nonce. */
  #sent(transaction) {
    const sent = this.#last_sent.then(() => this.rpc("eth_sendTransaction", transaction));
    this.#last_sent = sent.catch(() => undefined);
    return sent;
  }

  /** The receipt of a mined transaction, reverted or not. */
  async transact({ from, to, data, value = 0n }) {
    const hash = await this.#sent({ from, to, data, value: `0x${value.toString(16)}`, gas: kGasMax });
    for (let waited = 0; waited < kCallMsMax; waited += 5) {
      const receipt = await this.rpc("eth_getTransactionReceipt", hash);
      if (receipt) return receipt;
      await sleep(5);
    }
    throw new Error(`not mined: ${hash}`);
  }

  call({ from, to, data, value = 0n }) {
    return this.rpc("eth_call", { from, to, data, value: `0x${value.toString(16)}`, gas: kGasMax }, "latest");
  }

  async balance_of(account) { return BigInt(await this.rpc("eth_getBalance", account, "latest")); }

  async now() { return Number((await this.rpc("eth_getBlockByNumber", "latest", false)).timestamp); }

  /** Mines a block that many seconds later. */
  async pass(seconds) {
    await this.rpc("evm_increaseTime", seconds);
    await this.rpc("evm_mine");
  }
}
