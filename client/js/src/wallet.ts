// The payer: one channel for each node and asset, books in the storage, receipts signed only for what the book finds right. A
// receipt is stored before it is handed out. A channel of which an answer ended without its record is left for a new one: the
// node may have stated what was never seen here, and each statement names the one before.
import { bytesToHex, hexToBytes, randomBytes } from "./bytes.js";
import { PayerChannel, PaymentRefusedError, readReceipt, type ChannelSnapshot, type ChannelTerms, type ExpectedAnswer } from "./channel.js";
import { verified, type Event } from "./event.js";
import type { Resync } from "./frames.js";
import type { Offer } from "./offer.js";
import { readRecord, type ResponseRecord } from "./record.js";
import { SecretKeySigner, signChecked, type Signer } from "./signer.js";
import type { Storage } from "./storage.js";

const kEarlyMsMax = 10_000; ///< a record waits for the one before it, of another answer over the same channel
const kAmountDigits = 29;

interface StoredChannel {
  readonly terms: ChannelTerms;
  readonly snapshot: ChannelSnapshot;
  /** An answer is under way, or ended without its record: not used again after a restart. */
  readonly open: boolean;
}

class Channel {
  answers = 0;
  retired = false;
  receipt: Event | undefined;
  /** Waiting records look again after each payment. */
  moved: (() => void)[] = [];

  /** `shared`: others write to the storage, too, and must not take the channel for theirs. */
  constructor(readonly book: PayerChannel, private readonly shared: boolean) {}

  get row(): [string, string] {
    const stored: StoredChannel = { terms: this.book.terms, snapshot: this.book.snapshot, open: this.shared || this.retired || this.answers > 0 };
    return [`channel/${this.book.id}`, JSON.stringify(stored)];
  }
}

/** One answer's use of a channel. Ended by one close(). */
export interface Ticket {
  readonly channel: string;
  readonly signer: string;
  readonly salt: string;
}

const keyOf = (terms: { node: string; asset: string }): string => `${terms.node}:${terms.asset}`;
const padded = (value: number | bigint): string => value.toString().padStart(kAmountDigits, "0");

export class Wallet {
  readonly #storage: Storage;
  readonly #signer: Signer;
  readonly #budget: bigint;
  readonly #shared: boolean;
  readonly #channels = new Map<string, Channel>();
  readonly #current = new Map<string, Channel>();
  /** Spent over channels that are not used any more, by node and asset. */
  readonly #spentBefore = new Map<string, bigint>();
  #last: Promise<unknown> = Promise.resolve();

  private constructor(storage: Storage, signer: Signer, budget: bigint, shared: boolean) {
    this.#storage = storage;
    this.#signer = signer;
    this.#budget = budget;
    this.#shared = shared;
  }

  /** `budget`: most that one node may ever be owed in one asset, over all its channels; base units. */
  static async open(storage: Storage, budget: bigint, signer?: Signer): Promise<Wallet> {
    const shared = !await storage.exclusive();
    const wallet = new Wallet(storage, signer ?? await storedSigner(storage), budget, shared);
    for (const [, text] of await storage.list("channel/")) wallet.#load(JSON.parse(text) as StoredChannel);
    return wallet;
  }

  get signer(): string { return this.#signer.publicKey; }

  /** All receipts, oldest first for each channel. */
  async receipts(): Promise<Event[]> {
    return (await this.#storage.list("receipt/")).map(([, text]) => JSON.parse(text) as Event);
  }

  async records(): Promise<Event[]> {
    return (await this.#storage.list("record/")).map(([, text]) => JSON.parse(text) as Event);
  }

  /** The channel that pays `offer`, made on first use. */
  async open(offer: Offer): Promise<Ticket> {
    return this.#inTurn(async () => {
      const key = keyOf(offer);
      let channel = this.#current.get(key);
      if (!channel) {
        const terms = { signer: this.#signer.publicKey, node: offer.node, asset: offer.asset, salt: bytesToHex(randomBytes(16)) };
        channel = new Channel(new PayerChannel(terms), this.#shared);
        this.#channels.set(channel.book.id, channel);
        this.#current.set(key, channel);
      }
      channel.answers += 1;
      if (channel.answers === 1) await this.#storage.put([channel.row]);
      return { channel: channel.book.id, signer: channel.book.terms.signer, salt: channel.book.terms.salt };
    });
  }

  /** `settled`: the node has stated nothing for this answer, or its last record was paid. */
  async close(ticket: Ticket, settled: boolean): Promise<void> {
    const channel = this.#channels.get(ticket.channel);
    if (!channel) return;
    channel.answers -= 1;
    if (!settled) this.#retire(channel);
    if (channel.answers === 0) await this.#inTurn(() => this.#storage.put([channel.row]));
  }

  /** Judges a record whose signature was checked; gives the receipt, stored, or undefined when nothing is owed yet. Throws
   * PaymentRefusedError: nothing was signed. Any other error: nothing was handed out. */
  async pay(ticket: Ticket, offer: Offer, record: ResponseRecord, expected: ExpectedAnswer): Promise<Event | undefined> {
    const channel = this.#channels.get(ticket.channel);
    if (!channel || keyOf(channel.book.terms) !== keyOf(offer)) throw new PaymentRefusedError("another channel");
    const untilMs = performance.now() + kEarlyMsMax;
    for (;;) {
      try {
        return await this.#inTurn(() => this.#payNow(channel, offer, record, expected));
      } catch (error) {
        // Only another answer under way can bring the statement before it.
        const mayCome = error instanceof PaymentRefusedError && error.early && channel.answers > 1;
        const leftMs = untilMs - performance.now();
        if (!mayCome || leftMs <= 0) throw error;
        await movedWithin(channel, leftMs);
      }
    }
  }

  /** What the node kept of our channel: adopted only when it is ours and ahead of us. */
  async resync(ticket: Ticket, offer: Offer, state: Resync): Promise<void> {
    const channel = this.#channels.get(ticket.channel);
    const recordEvent = verified(state.record);
    const receiptEvent = verified(state.receipt);
    if (!channel || !recordEvent || !receiptEvent || recordEvent.pubkey !== offer.node) return;
    await this.#inTurn(async () => {
      if (!channel.book.resync(readRecord(recordEvent), readReceipt(receiptEvent), state.previous)) return;
      channel.receipt = receiptEvent;
      await this.#storage.put([channel.row]);
    });
  }

  async #payNow(channel: Channel, offer: Offer, record: ResponseRecord, expected: ExpectedAnswer): Promise<Event | undefined> {
    const known = channel.book.snapshot.last === record.id ? channel.receipt : undefined;
    const budget = channel.book.spent + this.#budgetLeft(keyOf(offer));
    const draft = channel.book.pay(record, expected, offer.prices, budget, Math.floor(Date.now() / 1000));
    for (const again of channel.moved.splice(0)) again();
    try {
      const rows: [string, string][] = [[`record/${channel.book.id}/${padded(record.n)}`, JSON.stringify(record.event)]];
      const receipt = draft && (known ?? await signChecked(this.#signer, draft));
      if (receipt) rows.push([`receipt/${channel.book.id}/${padded(record.spent)}`, JSON.stringify(receipt)]);
      await this.#storage.put([...rows, channel.row]);
      channel.receipt = receipt;
      return receipt;
    } catch (error) {
      this.#retire(channel); // the book has moved, and what it says is not on the disk
      throw error;
    }
  }

  #load(stored: StoredChannel): void {
    const book = new PayerChannel(stored.terms, stored.snapshot);
    const key = keyOf(stored.terms);
    if (!this.#shared && !stored.open && stored.terms.signer === this.#signer.publicKey && !this.#current.has(key)) {
      const channel = new Channel(book, false);
      this.#channels.set(book.id, channel);
      this.#current.set(key, channel);
    } else {
      this.#spentBefore.set(key, (this.#spentBefore.get(key) ?? 0n) + book.spent);
    }
  }

  #retire(channel: Channel): void {
    channel.retired = true;
    const key = keyOf(channel.book.terms);
    if (this.#current.get(key) === channel) this.#current.delete(key);
  }

  /** The budget less what all channels of this node have come to. */
  #budgetLeft(key: string): bigint {
    let spent = this.#spentBefore.get(key) ?? 0n;
    for (const { book } of this.#channels.values()) if (keyOf(book.terms) === key) spent += book.spent;
    return spent < this.#budget ? this.#budget - spent : 0n;
  }

  /** One at a time: rows must reach the storage in the order in which the books moved. */
  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const next = this.#last.then(act, act);
    this.#last = next.catch(() => undefined);
    return next;
  }
}

function movedWithin(channel: Channel, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    channel.moved.push(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

async function storedSigner(storage: Storage): Promise<Signer> {
  const [row] = await storage.list("signer");
  if (row) return new SecretKeySigner(hexToBytes(JSON.parse(row[1]) as string));
  const secret = randomBytes(32);
  await storage.put([["signer", JSON.stringify(bytesToHex(secret))]]);
  return new SecretKeySigner(secret);
}
