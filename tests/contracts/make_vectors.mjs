// Writes spec/vectors/contract.json: a receipt and an order, what is signed, and the bytes that a chain gets.
// By the implementations that tests use (nostr-tools, ethers), never by ours. Run again only when the page changes.
import fs from "node:fs";
import { concat, Interface, Transaction, Wallet } from "ethers";
import { getPublicKey } from "nostr-tools/pure";
import { channels_artifact } from "./support/contract.mjs";
import { channel_id, kAmountMax, kTime, row_of, sign_order, sign_receipt, signature_of } from "./support/receipts.mjs";

const kSecret = "8d65fcf7d4880cd5224b36c33e43617cc519fc6514f79759f65fb571649dffab"; // the payer's of session.json
const secret = Uint8Array.from(Buffer.from(kSecret, "hex"));
const bytes_word = (byte) => `0x${byte.repeat(32)}`;

// Where a fresh anvil puts the first two contracts of its first account.
const place = { chain_id: 31337n, contract: "0x5fbdb2315678afecb367f032d93f642f64180aa3" };
const terms = { payer: "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", salt: 0x0102030405060708090a0b0cn, signer: `0x${getPublicKey(secret)}`,
  payee: "0x70997970c51812dc3a010c7d01b50e0d17dc79c8", token: "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512" };
const id = channel_id(place, terms);
const contract = new Interface(channels_artifact().abi);

const receipt_fields = { id, amount: 1_234_567n, x: bytes_word("7a"), time: kTime };
const receipt = sign_receipt(secret, receipt_fields);
const row = row_of(terms, { ...receipt_fields, signature: signature_of(receipt) });

const order_fields = { id, total: 5_000_000n, expiration: 4_000_000_000, time: kTime };
const order = sign_order(secret, order_fields);

const plain = ({ id: event_id, pubkey, created_at, kind, tags, content, sig }) => ({ id: event_id, pubkey, created_at, kind, tags, content, sig });

const call = (name, ...args) => contract.encodeFunctionData(name, args);
const calls = {
  deposit: call("deposit", terms.payer, terms.token, 7n),
  withdraw: call("withdraw", terms.token, kAmountMax, terms.payee),
  allow: call("allow", terms.signer, terms.token, 5_000_000n),
  open: call("open", terms, 1n),
  openPooled: call("openPooled", terms, order_fields.total),
  topUp: call("topUp", terms, kAmountMax),
  topUpPooled: call("topUpPooled", terms, 256n),
  refund: call("refund", terms, 3n),
  requestClose: call("requestClose", terms),
  finalise: call("finalise", terms),
  openSigned: call("openSigned", terms, order_fields.total, order_fields.time, order_fields.expiration, signature_of(order)),
  claim: call("claim", terms.payee, terms.token, row),
  claimTwice: call("claim", terms.payee, terms.token, concat([row, row])),
  claimNothing: call("claim", terms.payee, terms.token, "0x"),
  claimToPool: call("claimToPool", terms.token, row),
  channel: call("channel", id),
  pool: call("pool", terms.payer, terms.token),
};

const log = (name, ...args) => ({ name, ...contract.encodeEventLog(name, args) });
const logs = [
  log("Opened", id, terms.payer, terms.payee, terms.salt, terms.signer, terms.token, 5_000_000n), log("Locked", id, kAmountMax),
  log("Claimed", id, 1_234_567n), log("CloseRequested", id, 1_800_086_400n), log("Finalised", id, 1_234_567n), log("Skipped", 99n, 3n),
  log("Kept", terms.payee, terms.token, 42n), log("Deposited", terms.payer, terms.token, 7n), log("Allowed", terms.payer, terms.signer, terms.token, 5n),
];
const answers = {
  open: contract.encodeFunctionResult("channel", [5_000_000n, 1_234_567n, 0n, false, true]),
  closing: contract.encodeFunctionResult("channel", [kAmountMax, kAmountMax, 2n ** 40n - 1n, true, true]),
  unknown: contract.encodeFunctionResult("channel", [0n, 0n, 0n, false, false]),
  pool: contract.encodeFunctionResult("pool", [kAmountMax]),
};

// The first account of every anvil, whose key is public.
const wallet = new Wallet("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
async function transaction(fields) {
  const raw = await wallet.signTransaction({ type: 2, ...fields });
  const { unsignedHash, hash } = Transaction.from(raw);
  return { fields, from: wallet.address.toLowerCase(), digest: unsignedHash, raw, hash };
}
const transactions = [
  await transaction({ chainId: 31337n, nonce: 0, maxPriorityFeePerGas: 0n, maxFeePerGas: 0n, gasLimit: 21_000n, to: terms.payee, value: 0n, data: "0x" }),
  await transaction({ chainId: 1n, nonce: 127, maxPriorityFeePerGas: 1_000_000_000n, maxFeePerGas: 30_000_000_000n, gasLimit: 200_000n, to: place.contract, value: 0n, data: calls.claim }),
  await transaction({ chainId: 8453n, nonce: 128, maxPriorityFeePerGas: 1n, maxFeePerGas: 2n ** 64n, gasLimit: 65_536n, to: place.contract, value: 2n ** 96n - 1n, data: calls.open }),
  await transaction({ chainId: 2n ** 53n - 1n, nonce: 2 ** 40, maxPriorityFeePerGas: 5n, maxFeePerGas: 5n, gasLimit: 30_000_000n, value: 55n, data: `0x${"60".repeat(56)}` }),
];

const text = (value) => JSON.stringify(value, (_, field) => (typeof field === "bigint" ? String(field) : field), 1);
fs.writeFileSync(new URL("../../spec/vectors/contract.json", import.meta.url), `${text({
  place, terms: { ...terms, salt: terms.salt.toString(16).padStart(24, "0") }, id,
  receipt: plain(receipt), row, order: plain(order), calls, answers, logs, transactions,
})}\n`);
