// Contracts on a chain: deployed, called, and what they answer as names and numbers.
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Interface } from "ethers";
import { committed, compile, kSettings, sources } from "../../../settlement/contracts/build.mjs";

const kFolder = path.dirname(fileURLToPath(import.meta.url));
const kCache = path.join(kFolder, "../node_modules/.cache/nostril-contracts");
const kHelpers = ["Bip340Harness.sol", "Tokens.sol"];

/** Contracts that only tests use: compiled when they change, kept beside the packages. */
export function helper_contracts() {
  const all = { "Bip340.sol": sources()["Bip340.sol"] };
  for (const name of kHelpers) all[name] = fs.readFileSync(path.join(kFolder, name), "utf8");
  const key = crypto.createHash("sha256").update(JSON.stringify([all, kSettings])).digest("hex");
  const file = path.join(kCache, `${key}.json`);
  if (!fs.existsSync(file)) {
    fs.mkdirSync(kCache, { recursive: true });
    const temporary = `${file}.${process.pid}`;
    fs.writeFileSync(temporary, JSON.stringify(compile(all)));
    fs.renameSync(temporary, file);
  }
  return JSON.parse(fs.readFileSync(file, "utf8"));
}

export const channels_artifact = () => JSON.parse(committed());

/** One deployed contract. Senders are accounts of the chain. */
export class Contract {
  constructor(chain, address, abi) {
    this.chain = chain;
    this.address = address;
    this.interface = new Interface(abi);
  }

  static async deploy(chain, { abi, bytecode }, from = chain.accounts[0]) {
    const { contractAddress, status, gasUsed } = await chain.transact({ from, data: bytecode });
    if (status !== "0x1") throw new Error("not deployed");
    const contract = new Contract(chain, contractAddress, abi);
    contract.deploy_gas = Number(gasUsed);
    return contract;
  }

  data(name, ...args) { return this.interface.encodeFunctionData(name, args); }

  /** What a view says; one value, or an array of several. */
  async read(name, ...args) {
    const answer = await this.chain.call({ to: this.address, data: this.data(name, ...args) });
    const values = this.interface.decodeFunctionResult(name, answer);
    return values.length === 1 ? values[0] : [...values];
  }

  /** A transaction that must succeed: {gas, events: [[name, ...values]]}. */
  async send({ from, value = 0n }, name, ...args) {
    const receipt = await this.chain.transact({ from, to: this.address, data: this.data(name, ...args), value });
    if (receipt.status !== "0x1") throw new Error(`${name} reverted: ${await this.refusal({ from, value }, name, ...args)}`);
    return { gas: Number(receipt.gasUsed), events: this.events(receipt) };
  }

  events(receipt) {
    return receipt.logs.filter(({ address }) => address.toLowerCase() === this.address.toLowerCase())
      .map((log) => this.interface.parseLog(log)).map(({ name, args }) => [name, ...args]);
  }

  /** Why a call would be refused: the error's name, or its bytes; undefined if it would be carried out. */
  async refusal({ from, value = 0n }, name, ...args) {
    try {
      await this.chain.call({ from, to: this.address, data: this.data(name, ...args), value });
      return undefined;
    } catch (error) {
      if (typeof error.data !== "string") throw error;
      return (error.data.length >= 10 && this.interface.parseError(error.data)?.name) || error.data;
    }
  }
}
