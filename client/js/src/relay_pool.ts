// Several relays as one: each subscription and event goes to all of them, answers come back once. A lost connection is made
// again with growing pauses; then subscriptions are opened and unanswered events sent again. NIP-42 is answered when asked.
import { matchFilters, type Filter } from "nostr-tools/filter";
import { isGenuine, kKinds, readEvent, type Event } from "./event.js";
import { parseStrictJson } from "./strict_json.js";
import { SecretKeySigner, signChecked, type Signer } from "./signer.js";

export const kPool = {
  relaysMax: 16,
  namedRelaysMax: 4, ///< of one offer, when our own don't reach its node
  messageCharsMax: 256 << 10,
  unansweredMax: 4_096, ///< events a relay has not answered; they are repeated after a reconnect
  seenIdsMax: 16_384, ///< a subscription: an event that several relays deliver is handed on once
  publishMsMax: 10_000,
  reconnectFirstMs: 250,
  reconnectMsMax: 30_000,
} as const;

/** What this package needs of a WebSocket class: the browser's, Node's (22 and later) or that of `ws`. */
export interface WebSocketClass {
  new (url: string): {
    onopen: ((event: never) => void) | null;
    onclose: ((event: never) => void) | null;
    onerror: ((event: never) => void) | null;
    onmessage: ((event: never) => void) | null;
    send(text: string): void;
    close(): void;
  };
}

export interface PoolOptions {
  /** Default: the platform's. */
  readonly WebSocket?: WebSocketClass | undefined;
  /** Answers NIP-42 challenges. Default: a throw-away key, so that relays can't link sessions to a user. */
  readonly authSigner?: Signer | undefined;
}

export interface SubscriptionCallbacks {
  /** A matching event, once, from whichever relay is first; its signature is checked unless `unsigned` says not to. */
  onEvent(event: Event): void;
  /** The relay has sent what it stores; again after each reconnect. */
  onStoredEnd?(relay: string): void;
  onClosed?(relay: string, reason: string): void;
}

export interface PublishResult {
  readonly accepted: boolean;
  /** Not accepted, and a relay said so. */
  readonly refused: boolean;
  /** "relay: reason". */
  readonly refusals: readonly string[];
  /** Every relay that answered said `mute:`. */
  readonly nobodyListens: boolean;
}

interface Subscription {
  readonly name: string;
  readonly filters: Filter[];
  readonly callbacks: SubscriptionCallbacks;
  readonly unsigned: boolean;
  readonly seen: Set<string>;
}

/** One publish() over all relays: reported when the first took it or the last one that may answer did not. */
class Publication {
  #answered = 0;
  #muted = 0;
  #refusals: string[] = [];
  #done: ((result: PublishResult) => void) | undefined;
  readonly text: string;
  readonly result: Promise<PublishResult>;

  constructor(readonly event: Event) {
    this.text = JSON.stringify(["EVENT", event]);
    this.result = new Promise((resolve) => { this.#done = resolve; });
  }

  report(accepted: boolean): void {
    const refused = !accepted && this.#answered > 0;
    this.#done?.({ accepted, refused, refusals: this.#refusals, nobodyListens: refused && this.#muted === this.#answered });
    this.#done = undefined;
  }

  refuse(relay: string, reason: string): void {
    this.#answered += 1;
    if (reason.startsWith("mute:")) this.#muted += 1;
    this.fail(relay, reason);
  }

  fail(relay: string, reason: string): void { this.#refusals.push(`${relay}: ${reason}`); }
}

interface Unanswered {
  readonly publication: Publication;
  readonly deadlineMs: number;
}

/** One connection, made again and again. */
class Relay {
  connected = false;
  problem = "not connected yet";
  readonly unanswered = new Map<string, Unanswered>();
  #socket: InstanceType<WebSocketClass> | undefined;
  #waitMs: number = kPool.reconnectFirstMs;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #challenge: string | undefined;
  #authId: string | undefined;
  #authenticated = false;
  /** What waits for the answer to our AUTH. */
  #afterAuth: string[] = [];

  constructor(readonly url: string, private readonly pool: PoolInside) { this.#connect(); }

  send(text: string): void {
    if (this.connected) this.#socket?.send(text);
  }

  close(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    this.connected = false;
    socket?.close();
  }

  #connect(): void {
    let socket: InstanceType<WebSocketClass>;
    try {
      socket = new this.pool.WebSocket(this.url);
    } catch (error) {
      this.problem = error instanceof Error ? error.message : "can't connect";
      return;
    }
    this.#socket = socket;
    const current = (act: (event: { data?: unknown; message?: string; reason?: string }) => void) => (event: never): void => {
      if (this.#socket === socket) act(event);
    };
    socket.onopen = current(() => this.#opened());
    socket.onmessage = current(({ data }) => { if (typeof data === "string") this.#received(data); });
    socket.onerror = current(({ message }) => { this.problem = message || "connection failed"; });
    socket.onclose = current(({ reason }) => this.#closed(reason));
  }

  #opened(): void {
    this.connected = true;
    this.problem = "";
    this.#waitMs = kPool.reconnectFirstMs;
    for (const subscription of this.pool.subscriptions.values()) this.send(requestText(subscription));
    for (const { publication } of this.unanswered.values()) this.send(publication.text);
  }

  #closed(reason: string | undefined): void {
    const wasConnected = this.connected;
    this.problem = reason || this.problem || "connection closed";
    this.connected = false;
    this.#challenge = this.#authId = undefined;
    this.#authenticated = false;
    this.#afterAuth = [];
    // The pauses of many clients must not fall together.
    this.#timer = setTimeout(() => this.#connect(), this.#waitMs * (0.75 + Math.random() / 2));
    this.#waitMs = Math.min(this.#waitMs * 2, kPool.reconnectMsMax);
    if (wasConnected) this.pool.onLost();
  }

  #received(text: string): void {
    if (text.length > kPool.messageCharsMax) return;
    const message = parseStrictJson(text);
    if (!Array.isArray(message)) return;
    const [command, first, second, third] = message as unknown[];
    if (typeof first !== "string") return;
    if (command === "EVENT") this.pool.deliver(first, second);
    else if (command === "OK") this.#answered(first, second === true, typeof third === "string" ? third : "");
    else if (command === "EOSE") this.pool.subscriptions.get(first)?.callbacks.onStoredEnd?.(this.url);
    else if (command === "CLOSED") this.#subscriptionClosed(first, typeof second === "string" ? second : "");
    else if (command === "AUTH") this.#challenge = first.slice(0, 1024);
  }

  #subscriptionClosed(name: string, reason: string): void {
    const subscription = this.pool.subscriptions.get(name);
    if (!subscription) return;
    if (reason.startsWith("auth-required:") && this.#authenticateThen(requestText(subscription))) return;
    subscription.callbacks.onClosed?.(this.url, reason);
  }

  #answered(id: string, accepted: boolean, reason: string): void {
    if (id === this.#authId) return this.#onAuthAnswer(accepted);
    const publication = this.unanswered.get(id)?.publication;
    if (!publication) return;
    // Some relays say `mute:` with true, some with false: the event has reached nobody.
    const good = (accepted && !reason.startsWith("mute:")) || reason.startsWith("duplicate:");
    if (!good && reason.startsWith("auth-required:") && this.#authenticateThen(publication.text)) return;
    this.unanswered.delete(id);
    if (good) return publication.report(true);
    publication.refuse(this.url, reason);
    this.pool.settle(publication);
  }

  /** False when that can't help: no challenge, or done already. */
  #authenticateThen(text: string): boolean {
    if (this.#challenge === undefined || this.#authenticated || this.#afterAuth.length >= kPool.unansweredMax) return false;
    this.#afterAuth.push(text);
    if (this.#afterAuth.length > 1) return true;
    const draft = { kind: kKinds.auth, created_at: Math.floor(Date.now() / 1000), tags: [["relay", this.url], ["challenge", this.#challenge]], content: "" };
    const socket = this.#socket;
    signChecked(this.pool.authSigner, draft).then((event) => {
      if (this.#socket !== socket) return;
      this.#authId = event.id;
      this.send(JSON.stringify(["AUTH", event]));
    }, () => this.#onAuthAnswer(false));
    return true;
  }

  /** Sent again either way: without success the relay says "auth-required:" again, which then counts. */
  #onAuthAnswer(_accepted: boolean): void {
    this.#authenticated = true;
    this.#authId = undefined;
    const waiting = this.#afterAuth;
    this.#afterAuth = [];
    for (const text of waiting) this.send(text);
  }
}

const requestText = ({ name, filters }: Subscription): string => JSON.stringify(["REQ", name, ...filters]);

/** What a Relay sees of its pool. */
interface PoolInside {
  readonly WebSocket: WebSocketClass;
  readonly authSigner: Signer;
  readonly subscriptions: Map<string, Subscription>;
  deliver(name: string, value: unknown): void;
  settle(publication: Publication): void;
  onLost(): void;
}

/** The URL as connections are told apart by; undefined when it is none of a relay. */
export function relayUrl(text: string): string | undefined {
  try {
    const url = new URL(text);
    return ["ws:", "wss:"].includes(url.protocol) && url.username === "" && url.password === "" ? url.href : undefined;
  } catch {
    return undefined;
  }
}

export class RelayPool {
  readonly #relays: Relay[] = [];
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #lostListeners = new Set<() => void>();
  readonly #inside: PoolInside;
  #names = 0;
  readonly #deadlines: ReturnType<typeof setInterval>;

  constructor(urls: readonly string[], options: PoolOptions = {}) {
    const Socket = options.WebSocket ?? (globalThis.WebSocket as unknown as WebSocketClass | undefined);
    if (!Socket) throw new Error("no WebSocket here: pass options.WebSocket, for example that of the package ws");
    this.#inside = {
      WebSocket: Socket, authSigner: options.authSigner ?? new SecretKeySigner(), subscriptions: this.#subscriptions,
      deliver: (name, value) => this.#deliver(name, value), settle: (publication) => this.#settle(publication),
      onLost: () => { for (const listener of [...this.#lostListeners]) listener(); },
    };
    const distinct = new Set(urls.map((url) => {
      const href = relayUrl(url);
      if (!href) throw new Error(`no relay's URL: ${url}`);
      return href;
    }));
    if (distinct.size === 0 || distinct.size > kPool.relaysMax) throw new Error(`1 to ${kPool.relaysMax} relays`);
    for (const url of distinct) this.#relays.push(new Relay(url, this.#inside));
    this.#deadlines = setInterval(() => this.#checkDeadlines(), 250);
  }

  /** Also connects to relays that a node names: wss:// only, unless a ws:// relay is used already. They stay. */
  addNamed(urls: readonly string[]): void {
    const plain = this.#relays.some((relay) => relay.url.startsWith("ws:"));
    const fit = urls.map(relayUrl).filter((url) => url !== undefined).filter((url) => plain || url.startsWith("wss:"));
    for (const url of [...new Set(fit)].slice(0, kPool.namedRelaysMax)) {
      const isKnown = this.#relays.some((relay) => relay.url === url);
      if (!isKnown && this.#relays.length < kPool.relaysMax) this.#relays.push(new Relay(url, this.#inside));
    }
  }

  /** Called when a connection is lost. Returns what ends it. */
  onLost(listener: () => void): () => void {
    this.#lostListeners.add(listener);
    return () => this.#lostListeners.delete(listener);
  }

  get connectedCount(): number { return this.#relays.filter((relay) => relay.connected).length; }

  /** Why each relay that is not connected is not. */
  get problems(): string[] { return this.#relays.filter((relay) => !relay.connected).map((relay) => `${relay.url}: ${relay.problem}`); }

  /** `unsigned`: for frames, whose sealing says more than their signature. Returns what ends it. */
  subscribe(filters: Filter[], callbacks: SubscriptionCallbacks, { unsigned = false } = {}): () => void {
    const subscription: Subscription = { name: `s${++this.#names}`, filters, callbacks, unsigned, seen: new Set() };
    this.#subscriptions.set(subscription.name, subscription);
    for (const relay of this.#relays) relay.send(requestText(subscription));
    return () => {
      if (!this.#subscriptions.delete(subscription.name)) return;
      for (const relay of this.#relays) relay.send(JSON.stringify(["CLOSE", subscription.name]));
    };
  }

  publish(event: Event): Promise<PublishResult> {
    const publication = new Publication(event);
    const deadlineMs = performance.now() + kPool.publishMsMax;
    for (const relay of this.#relays) {
      if (relay.unanswered.size >= kPool.unansweredMax) continue;
      relay.unanswered.set(event.id, { publication, deadlineMs });
      relay.send(publication.text);
    }
    if (!this.#relays.some((relay) => relay.unanswered.has(event.id))) publication.report(false);
    return publication.result;
  }

  close(): void {
    clearInterval(this.#deadlines);
    this.#subscriptions.clear();
    for (const relay of this.#relays) {
      relay.close();
      for (const { publication } of relay.unanswered.values()) publication.report(false);
      relay.unanswered.clear();
    }
  }

  #deliver(name: string, value: unknown): void {
    const subscription = this.#subscriptions.get(name);
    const event = subscription && readEvent(value);
    if (!event || subscription.seen.has(event.id)) return;
    if (!matchFilters(subscription.filters, { ...event, tags: event.tags.map((tag) => [...tag]) })) return; // was not asked for
    // A forged event must not keep the true one of that id away; unsigned ones are told apart by what they open to.
    if (!subscription.unsigned) {
      if (!isGenuine(event)) return;
      subscription.seen.add(event.id);
      if (subscription.seen.size > kPool.seenIdsMax) for (const oldest of subscription.seen) { subscription.seen.delete(oldest); break; }
    }
    subscription.callbacks.onEvent(event);
  }

  /** Those that are away are not waited for; should one come back, it still gets the event. */
  #settle(publication: Publication): void {
    const { id } = publication.event;
    if (!this.#relays.some((relay) => relay.connected && relay.unanswered.has(id))) publication.report(false);
  }

  #checkDeadlines(): void {
    const nowMs = performance.now();
    for (const relay of this.#relays) {
      for (const [id, { publication, deadlineMs }] of relay.unanswered) {
        if (deadlineMs > nowMs) break; // in the order of publishing
        relay.unanswered.delete(id);
        publication.fail(relay.url, "no answer");
        this.#settle(publication);
      }
    }
  }
}
