// What the contract should do, written a second time as plain bookkeeping: every call is first made here.
// A method returns the reason of its refusal, or nothing when it was carried out.
import { kAmountMax, kEther } from "./receipts.mjs";
import { kSkip } from "./world.mjs";

const kGrace = 86_400;

export class Model {
  pools = new Map();
  allowances = new Map();
  slots = new Map();

  constructor(fee_token) { this.fee_token = fee_token; }

  pool(owner, token) { return this.pools.get(`${owner}/${token}`) ?? 0n; }

  #credit(owner, token, amount) { this.pools.set(`${owner}/${token}`, this.pool(owner, token) + amount); }

  #arrived(token, amount) { return token === this.fee_token ? amount - amount / 100n : amount; }

  #refused_pull(token, amount) {
    if (amount > 0n) return undefined;
    return token === kEther ? "WrongValue" : "NothingArrived";
  }

  slot(channel) { return this.slots.get(channel.id) ?? { locked: 0n, claimed: 0n, close_at: 0, returned: false, known: false }; }

  allowance(payer, signer, token) { return this.allowances.get(`${payer}/${signer}/${token}`) ?? 0n; }

  /** All that is owed in a token. */
  owed(token, channels) {
    let sum = 0n;
    for (const [key, amount] of this.pools) if (key.endsWith(`/${token}`)) sum += amount;
    for (const channel of channels) if (channel.token === token) sum += this.slot(channel).locked - this.slot(channel).claimed;
    return sum;
  }

  deposit(owner, token, amount) {
    const refused = this.#refused_pull(token, amount);
    if (refused === undefined) this.#credit(owner, token, this.#arrived(token, amount));
    return refused;
  }

  withdraw(from, token, amount) {
    if (amount === 0n || amount > this.pool(from, token)) return "NotEnough";
    this.#credit(from, token, -amount);
    return undefined;
  }

  allow(from, signer, token, amount) { this.allowances.set(`${from}/${signer}/${token}`, amount); }

  #lock_new(channel, amount) { this.slots.set(channel.id, { locked: amount, claimed: 0n, close_at: 0, returned: false, known: true }); }

  #lock_more(channel, amount) {
    const slot = this.slot(channel);
    this.slots.set(channel.id, { ...slot, locked: slot.locked + amount });
  }

  open(from, channel, amount) {
    if (from !== channel.payer) return "NotPayer";
    if (this.slot(channel).known) return "AlreadyOpen";
    const refused = this.#refused_pull(channel.token, amount);
    if (refused === undefined) this.#lock_new(channel, this.#arrived(channel.token, amount));
    return refused;
  }

  openPooled(from, channel, amount) {
    if (from !== channel.payer) return "NotPayer";
    if (this.slot(channel).known) return "AlreadyOpen";
    const refused = this.withdraw(from, channel.token, amount);
    if (refused === undefined) this.#lock_new(channel, amount);
    return refused;
  }

  openSigned(channel, total, { expired, forged }) {
    if (expired) return "Expired";
    const slot = this.slot(channel);
    if (slot.close_at !== 0 || slot.returned) return "Closing";
    if (total <= slot.locked) return "Spent";
    if (forged) return "BadSignature";
    const more = total - slot.locked;
    const allowed = this.allowance(channel.payer, channel.signer, channel.token);
    if (more > allowed) return "TooMuch";
    const refused = this.withdraw(channel.payer, channel.token, more);
    if (refused !== undefined) return refused;
    this.allow(channel.payer, channel.signer, channel.token, allowed - more);
    if (slot.known) this.#lock_more(channel, more);
    else this.#lock_new(channel, more);
    return undefined;
  }

  topUp(from, channel, amount) {
    if (from !== channel.payer) return "NotPayer";
    if (!this.slot(channel).known) return "NotOpen";
    const refused = this.#refused_pull(channel.token, amount);
    if (refused !== undefined) return refused;
    if (this.slot(channel).locked + this.#arrived(channel.token, amount) > kAmountMax) return "TooMuch";
    this.#lock_more(channel, this.#arrived(channel.token, amount));
    return undefined;
  }

  topUpPooled(from, channel, amount) {
    if (from !== channel.payer) return "NotPayer";
    if (!this.slot(channel).known) return "NotOpen";
    const refused = this.withdraw(from, channel.token, amount);
    if (refused === undefined) this.#lock_more(channel, amount);
    return refused;
  }

  /** Rows of {channel, amount, forged}: the sum, and what the log says of each. */
  claim(payee, token, rows, to_pool) {
    let sum = 0n;
    const said = rows.map(({ channel, amount, forged }, row) => {
      const slot = this.slot(channel);
      const due = amount < slot.locked ? amount : slot.locked;
      const skip = (reason) => ["Skipped", BigInt(row), reason];
      if (!slot.known || channel.payee !== payee || channel.token !== token) return skip(kSkip.unknown);
      if (due <= slot.claimed) return skip(kSkip.nothing_new);
      if (forged) return skip(kSkip.bad_signature);
      sum += due - slot.claimed;
      this.slots.set(channel.id, { ...slot, claimed: due });
      return ["Claimed", channel.id, due];
    });
    if (to_pool) this.#credit(payee, token, sum);
    return { sum, said };
  }

  requestClose(from, channel, now) {
    if (from !== channel.payer) return "NotPayer";
    const slot = this.slot(channel);
    if (!slot.known) return "NotOpen";
    if (slot.close_at === 0) this.slots.set(channel.id, { ...slot, close_at: now + kGrace });
    return undefined;
  }

  finalise(channel, now) {
    const slot = this.slot(channel);
    if (slot.close_at === 0 || now < slot.close_at) return "NotYet";
    this.#credit(channel.payer, channel.token, slot.locked - slot.claimed);
    this.slots.set(channel.id, { ...slot, locked: slot.claimed, close_at: 0, returned: true });
    return undefined;
  }

  refund(from, channel, amount) {
    if (from !== channel.payee) return "NotPayee";
    const slot = this.slot(channel);
    if (amount === 0n || amount > slot.locked - slot.claimed) return "NotEnough";
    this.slots.set(channel.id, { ...slot, locked: slot.locked - amount, returned: true });
    this.#credit(channel.payer, channel.token, amount);
    return undefined;
  }
}
