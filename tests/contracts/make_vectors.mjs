// Writes spec/vectors/contract.json: a receipt and an order, what is signed, and the bytes that a chain gets.
// By the implementations that tests use (nostr-tools, ethers), never by ours. Run again only when the page changes.
import fs from "node:fs";
import { Interface } from "ethers";
import { getPublicKey } from "nostr-tools/pure";
import { channels_artifact } from "./support/contract.mjs";
import { channel_id, kTime, row_of, sign_order, sign_receipt, signature_of } from "./support/receipts.mjs";

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
const text = (value) => JSON.stringify(value, (_, field) => (typeof field === "bigint" ? String(field) : field), 1);
fs.writeFileSync(new URL("../../spec/vectors/contract.json", import.meta.url), `${text({
  place, terms: { ...terms, salt: terms.salt.toString(16).padStart(24, "0") }, id,
  receipt: plain(receipt), row, claim: contract.encodeFunctionData("claim", [terms.payee, terms.token, row]),
  order: plain(order),
  openSigned: contract.encodeFunctionData("openSigned", [terms, order_fields.total, order_fields.time, order_fields.expiration, signature_of(order)]),
  openPooled: contract.encodeFunctionData("openPooled", [terms, order_fields.total]),
  requestClose: contract.encodeFunctionData("requestClose", [terms]),
})}\n`);
