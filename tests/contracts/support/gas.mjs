// Gas of what users pay for, measured on the chain. The same transactions always cost the same, so the
// bounds are exact.
import { new_key, sign_receipt, signature_of } from "./receipts.mjs";
import { random_word, World } from "./world.mjs";

/** {question: most gas}; the test holds them. */
export const kBounds = {
  "check a BIP-340 signature": 4_200,
  "open from the pool": 55_000,
  "claim, one receipt": 56_000,
  "claim, each of 100 receipts": 18_200,
};

/** Figures of others for the same question, on the same kind of EVM, each in its own way of paying. */
const kOthers = {
  "check a BIP-340 signature": "zerodao bip340-solidity 35,634; an ECDSA ecrecover 3,227",
  "open, the first with a token": "uRaiden 86,973; x402 batch settlement 94,525; TIP-1034 107,520",
  "claim, one receipt": "uRaiden 58,629; TIP-1034 60,259; Swarm 68,112; x402 90,778 with its settle; 0G 94,517",
  "claim, each of 10 receipts": "x402 25,716; Orchid 35,355",
  "claim, each of 50 receipts": "x402 19,950",
  "claim, each of 100 receipts": "x402 19,255",
};

const kAmount = 2_123_456n;
const kDeposit = 50_000_000n;

async function claims(world, count) {
  const channels = [];
  for (let i = 0; i < count; ++i) channels.push(await world.opened(kDeposit));
  await world.claim(channels.map((channel) => world.row(channel, 1n)));
  const { gas, events } = await world.claim(channels.map((channel) => world.row(channel, kAmount)));
  if (events.filter(([name]) => name === "Claimed").length !== count) throw new Error("not all rows were paid");
  return gas / count;
}

export async function measure(world) {
  const gas = {};
  const { contract, payer, payee, token } = world;
  const harness = await world.deploy_helper("Bip340Harness");
  const key = new_key();
  const event = sign_receipt(key.secret, { id: random_word(), amount: 1n, x: random_word() });
  const { rx, s, ry } = signature_of(event);
  const [ok, used] = await harness.read("gasOfVerify", key.signer, `0x${event.id}`, rx, s, ry);
  if (!ok) throw new Error("a genuine signature was refused");
  gas["check a BIP-340 signature"] = Number(used);

  const send = async (question, from, ...call) => { gas[question] = (await contract.send({ from }, ...call)).gas; };
  await send("open, the first with a token", payer, "open", world.channel(), kDeposit);
  const channel = world.channel();
  await send("open", payer, "open", channel, kDeposit);
  await send("deposit, the owner's first", payer, "deposit", payer, token.address, kDeposit * 10n);
  await send("deposit", payer, "deposit", payer, token.address, kDeposit * 10n);
  await send("open from the pool", payer, "openPooled", world.channel(), kDeposit);
  const ordered = world.channel();
  await contract.send({ from: payer }, "allow", ordered.signer, token.address, 2n * kDeposit);
  await send("open by signed order", world.stranger, "openSigned", ...world.order(ordered, kDeposit));
  await send("add to a channel", payer, "topUp", channel, kDeposit);
  gas["claim, one receipt"] = await claims(world, 1);
  for (const count of [10, 50, 100]) gas[`claim, each of ${count} receipts`] = await claims(world, count);
  await send("refund", payee, "refund", channel, 1n);
  await send("request to close", payer, "requestClose", channel);
  await world.chain.pass(86_400);
  await send("finalise", payer, "finalise", channel);
  await send("withdraw", payer, "withdraw", token.address, 1n, payer);
  gas.deploy = contract.deploy_gas;
  return gas;
}

/** Rows of the table: {question, others, bound, gas}. */
export async function gas_table() {
  const world = await World.start();
  try {
    const gas = await measure(world);
    return Object.entries(gas).map(([question, value]) => ({ question, others: kOthers[question] ?? "", bound: kBounds[question], gas: value }));
  } finally {
    world.stop();
  }
}
