// Where channels, records and receipts outlive the page or process. Values are JSON texts; the row "signer" of a generated
// payment key is the only secret.

export interface Storage {
  /** True when nobody else writes to it as long as it is open. Otherwise stored channels are left to the other one. */
  exclusive(): Promise<boolean>;
  /** All rows whose key begins so, in the order of their keys. */
  list(prefix: string): Promise<[key: string, value: string][]>;
  /** All rows or none; on the disk, as far as the platform says, when it resolves. A receipt leaves only after that. */
  put(rows: readonly (readonly [key: string, value: string])[]): Promise<void>;
  close(): Promise<void>;
}

/** Forgets everything with the process: each start opens new channels. */
export class MemoryStorage implements Storage {
  readonly #rows = new Map<string, string>();

  async exclusive(): Promise<boolean> { return true; }

  async list(prefix: string): Promise<[string, string][]> {
    return [...this.#rows].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  async put(rows: readonly (readonly [string, string])[]): Promise<void> {
    for (const [key, value] of rows) this.#rows.set(key, value);
  }

  async close(): Promise<void> {}
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"));
  });
}

const kRows = "rows";

/** A browser's. Tabs of one origin share it; the first one that asks has it exclusively (Web Locks). */
export class IndexedDbStorage implements Storage {
  readonly #database: IDBDatabase;
  #release: (() => void) | undefined;

  private constructor(database: IDBDatabase) { this.#database = database; }

  static async open(name = "nostril"): Promise<IndexedDbStorage> {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(kRows);
    return new IndexedDbStorage(await done(request));
  }

  exclusive(): Promise<boolean> {
    if (this.#release) return Promise.resolve(true);
    if (!navigator.locks) return Promise.resolve(false);
    return new Promise((resolve, reject) => {
      const held = (lock: Lock | null): Promise<void> | undefined => {
        resolve(lock !== null);
        return lock ? new Promise((release) => { this.#release = release; }) : undefined;
      };
      navigator.locks.request(`nostril:${this.#database.name}`, { ifAvailable: true }, held).catch(reject);
    });
  }

  async list(prefix: string): Promise<[string, string][]> {
    const store = this.#database.transaction(kRows).objectStore(kRows);
    const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
    const [keys, values] = await Promise.all([done(store.getAllKeys(range)), done<unknown[]>(store.getAll(range))]);
    return keys.map((key, index) => [String(key), String(values[index])]);
  }

  put(rows: readonly (readonly [string, string])[]): Promise<void> {
    const transaction = this.#database.transaction(kRows, "readwrite", { durability: "strict" });
    for (const [key, value] of rows) transaction.objectStore(kRows).put(value, key);
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error("IndexedDB failed"));
    });
  }

  async close(): Promise<void> {
    this.#release?.();
    this.#database.close();
  }
}
