// All of it wired together from options.
import { Ask, type AskCallbacks, type AskRequest } from "./ask.js";
import { OfferBook, type RejectedOffer } from "./offer_book.js";
import { RelayPool, type PoolOptions } from "./relay_pool.js";
import type { Signer } from "./signer.js";
import { MemoryStorage, type Storage } from "./storage.js";
import type { TrustOptions, VerifiedOffer, Verifier } from "./verdict.js";
import { Wallet } from "./wallet.js";

export interface NostrilOptions extends PoolOptions, TrustOptions {
  /** ws:// or wss:// URLs, 1 to 16. */
  readonly relays: readonly string[];
  /** Who judges nodes' evidence. Nothing is sealed to a node that it did not accept. */
  readonly verifier: Verifier;
  /** Where channels and receipts outlive the process. Default: memory. */
  readonly storage?: Storage | undefined;
  /** Signs receipts. Default: a key made once and kept in the storage. */
  readonly signer?: Signer | undefined;
  /** Most that one node may ever be owed in one asset, in its base units. Default: 1,000,000. */
  readonly budget?: bigint | undefined;
  /** Sends no byte of a request before a node has accepted: forward secret at once, for one round trip. */
  readonly holdBody?: boolean | undefined;
  /** Told once when simulated evidence is taken. Default: console.warn. */
  readonly onWarning?: ((text: string) => void) | undefined;
}

export const kSimulatedWarning = "nostril: SIMULATED evidence is taken (allowSimulated): no TEE protects what you send";

const kClosingMsMax = 1_000;

export class Nostril {
  readonly #pool: RelayPool;
  readonly #book: OfferBook;
  readonly #wallet: Wallet;
  readonly #storage: Storage;
  readonly #holdBody: boolean;
  readonly #asks = new Set<Ask>();

  private constructor(pool: RelayPool, book: OfferBook, wallet: Wallet, storage: Storage, holdBody: boolean) {
    this.#pool = pool;
    this.#book = book;
    this.#wallet = wallet;
    this.#storage = storage;
    this.#holdBody = holdBody;
  }

  static async open(options: NostrilOptions): Promise<Nostril> {
    if (typeof options.verifier?.verify !== "function") throw new Error("a verifier is needed: nothing is sent to unproven nodes");
    if (options.allowSimulated === true) (options.onWarning ?? console.warn)(kSimulatedWarning);
    const storage = options.storage ?? new MemoryStorage();
    const wallet = await Wallet.open(storage, options.budget ?? 1_000_000n, options.signer);
    const pool = new RelayPool(options.relays, options);
    return new Nostril(pool, new OfferBook(pool, options.verifier, options), wallet, storage, options.holdBody === true);
  }

  /** Offers whose evidence was accepted, usable now. */
  get offers(): VerifiedOffer[] { return this.#book.usable; }
  /** A relay has sent all that it stores, and each offer was judged or refused. */
  get complete(): boolean { return this.#book.complete; }
  get rejected(): RejectedOffer[] { return this.#book.rejected; }
  /** Why each relay that is not connected is not. */
  get problems(): string[] { return this.#pool.problems; }
  /** Records, receipts, the payment signer's public key. */
  get wallet(): Wallet { return this.#wallet; }

  onOffersChanged(listener: () => void): () => void { return this.#book.onChange(listener); }

  /** True as soon as there is a usable offer (of this model), false after `ms`. */
  async ready(ms = 10_000, model?: string): Promise<boolean> {
    const is = (): boolean => this.offers.some(({ offer }) => model === undefined || offer.model === model);
    if (is()) return true;
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        stop();
        resolve(is());
      };
      const timer = setTimeout(end, ms);
      const stop = this.#book.onChange(() => { if (is()) end(); });
    });
  }

  /** One request to whichever verified node is best. */
  ask(request: AskRequest, callbacks: AskCallbacks = {}): Ask {
    const ask = new Ask(this.#book, this.#pool, this.#wallet, { holdBody: this.#holdBody, ...request }, callbacks);
    this.#asks.add(ask);
    void ask.ended.finally(() => this.#asks.delete(ask));
    return ask;
  }

  /** Cancels what runs, waits a moment for its records, and closes connections and storage. */
  async close(): Promise<void> {
    const asks = [...this.#asks];
    for (const ask of asks) ask.cancel("closed");
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, kClosingMsMax); });
    await Promise.race([Promise.all(asks.map((ask) => ask.ended)), late]);
    clearTimeout(timer);
    for (const ask of asks) ask.drop();
    this.#book.close();
    this.#pool.close();
    await this.#storage.close();
  }
}
