// Numbers that can be had again: NOSTRIL_SEED, else a new seed, which the test prints.
import crypto from "node:crypto";

export class Random {
  #counter = 0;
  #block = Buffer.alloc(0);

  constructor(seed = process.env.NOSTRIL_SEED ?? String(crypto.randomInt(2 ** 47))) { this.seed = seed; }

  bytes(count) {
    while (this.#block.length < count) {
      const next = crypto.createHash("sha256").update(`${this.seed}/${this.#counter++}`).digest();
      this.#block = Buffer.concat([this.#block, next]);
    }
    const taken = new Uint8Array(this.#block.subarray(0, count));
    this.#block = this.#block.subarray(count);
    return taken;
  }

  /** 0 to limit - 1. */
  below(limit) { return Number(this.big_below(BigInt(limit))); }

  big_below(limit) { return BigInt(`0x${Buffer.from(this.bytes(24)).toString("hex")}`) % limit; }

  pick(list) { return list[this.below(list.length)]; }
}
