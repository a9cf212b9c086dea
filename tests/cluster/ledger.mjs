// A load over all relays of a cluster, and the proof of what it may claim: what one relay has acknowledged is stored by all of them
// (or rightly replaced, deleted, banned), was delivered to who listened, wherever; nothing is acknowledged by a relay that is cut
// off; and in the end all of them hold the same, byte for byte.
//
// Whoever publishes keeps the ledger, outside of the relays. What was sent and never acknowledged may be there or not, but
// everywhere or nowhere.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, now, person, sha256 } from "../conformance/lib.mjs";
import { random_of, until } from "../e2e/lib.mjs";
import { operator } from "./lib.mjs";

/** Longer than any stall of a shared machine: what takes longer never comes. */
const kAnswerMsMax = 60_000;
/** What a relay may take to tell the others that somebody listens. */
const kHeardOfMs = 1_000;
const [kNote, kDelete, kVanish, kAddressable, kReplaceable, kEphemeral] = [1, 5, 62, 30_078, 10_002, 20_001];

const is_newer = (a, b) => a.created_at > b.created_at || (a.created_at === b.created_at && a.id < b.id);
const address_of = ({ kind, pubkey, tags }) => (kind === kAddressable ? `${kind}:${pubkey}:${tags.find(([name]) => name === "d")[1]}` : kind === kReplaceable ? `${kind}:${pubkey}:` : undefined);

/** A call of NIP-86 at a relay, by the operator: its result. */
export async function moderate(member, method, ...params) {
  const body = JSON.stringify({ method, params });
  const proof = operator.sign(27_235, { tags: [["u", "https://relay.example/"], ["method", "POST"], ["payload", sha256(body)]], content: `${Math.random()}` });
  const answer = await fetch(`${member.http}/`, { method: "POST", body, signal: AbortSignal.timeout(kAnswerMsMax),
    headers: { "Content-Type": "application/nostr+json+rpc", Authorization: `Nostr ${Buffer.from(JSON.stringify(proof)).toString("base64")}` } });
  const { result, error } = await answer.json();
  if (error) throw new Error(error);
  return result;
}

const kLists = ["listbannedpubkeys", "listallowedpubkeys", "listbannedevents", "listallowedevents", "listallowedkinds", "listdisallowedkinds", "listblockedips"];

/** What moderators have decided, as one relay has it. */
async function lists_of(member) {
  const lists = [];
  for (const name of kLists) lists.push([name, (await moderate(member, name)).map((one) => JSON.stringify(one)).sort()]);
  return JSON.stringify(lists);
}

/** What was claimed, and what follows of it. Pure: no socket. */
export class Ledger {
  acknowledged = new Map();      // id -> {event, by, sent_ms}
  deleted = new Set();           // ids whose deletion by their author was acknowledged
  banned_ids = new Set();
  gone_authors = new Map();      // author -> created_at up to which all is gone: vanished; Infinity: banned
  #may_be_gone_ids = new Set();  // somebody has asked for it
  #may_be_gone_authors = new Set();
  #latest = new Map();           // address -> the newest that was acknowledged
  #cut_off = new Map();          // relay -> since ms
  wrong = [];

  /** From now on `relay` can't reach a majority. */
  cut_off(relay) { this.#cut_off.set(relay, performance.now()); }

  /** Said before the line is whole again. */
  rejoin(relay) { this.#cut_off.delete(relay); }

  is_cut_off(relay) { return this.#cut_off.has(relay); }

  /** Before anything is sent that takes `ids` or all of `author` away. */
  may_go({ ids = [], author }) {
    for (const id of ids) this.#may_be_gone_ids.add(id);
    if (author) this.#may_be_gone_authors.add(author);
  }

  may_be_gone(event) { return this.#may_be_gone_ids.has(event.id) || this.#may_be_gone_authors.has(event.pubkey); }

  /** OK true for an event that was first sent at `sent_ms`, to anybody. */
  acknowledge(event, by, sent_ms) {
    if (event.kind === kEphemeral) return;  // somebody has heard it, there
    const since = this.#cut_off.get(by);
    if (since !== undefined && sent_ms > since) this.wrong.push(`${by} was cut off and has acknowledged ${event.id}`);
    this.acknowledged.set(event.id, { event, by, sent_ms });
    const address = address_of(event);
    const before = address && this.#latest.get(address);
    if (address && (!before || is_newer(event, before))) this.#latest.set(address, event);
    if (event.kind === kDelete) for (const [name, value] of event.tags) if (name === "e") this.deleted.add(value);
    if (event.kind === kVanish) this.gone_authors.set(event.pubkey, event.created_at);
  }

  /** Acknowledged notes that nobody has asked to remove, sent after `from_ms`. */
  due(from_ms) {
    return [...this.acknowledged.values()].filter(({ event, sent_ms }) => event.kind === kNote && sent_ms > from_ms && !this.may_be_gone(event)).map(({ event }) => event.id);
  }

  /** What is wrong with a relay whose export these lines are. */
  judge(relay, lines) {
    const events = lines.map((line) => JSON.parse(line));
    const there = new Map(events.map((event) => [event.id, event]));
    const wrong = [];
    for (const { event, by } of this.acknowledged.values()) {
      if (address_of(event) || this.may_be_gone(event) || there.has(event.id)) continue;
      wrong.push(`${relay} has lost ${event.id} of kind ${event.kind}, acknowledged by ${by}`);
    }
    for (const id of [...this.deleted, ...this.banned_ids]) if (there.has(id)) wrong.push(`${relay} still has ${id}, which was deleted or banned`);
    for (const event of events) {
      const until_time = this.gone_authors.get(event.pubkey);
      if (until_time !== undefined && event.created_at <= until_time && event.kind !== kVanish) wrong.push(`${relay} still has ${event.id} of an author who is gone`);
    }
    const versions = new Map();
    for (const event of events) {
      const address = address_of(event);
      if (!address) continue;
      if (versions.has(address)) wrong.push(`${relay} has two versions of ${address}`);
      versions.set(address, event);
    }
    for (const [address, event] of this.#latest) {
      if (this.may_be_gone(event)) continue;
      const now_there = versions.get(address);
      // One that was never answered may have replaced it.
      if (!now_there || (now_there.id !== event.id && !is_newer(now_there, event))) wrong.push(`${relay} has ${now_there ? "an older version" : "nothing"} of ${address}`);
    }
    return wrong;
  }
}

/** What two relays don't have in common, in a few words; undefined: nothing. */
export function difference(a, b) {
  const [of_a, of_b] = [new Set(a), new Set(b)];
  const [only_a, only_b] = [a.filter((line) => !of_b.has(line)), b.filter((line) => !of_a.has(line))];
  if (only_a.length === 0 && only_b.length === 0) return undefined;
  return `${only_a.length} and ${only_b.length} that the other lacks: ${only_a[0] ?? ""} ${only_b[0] ?? ""}`.slice(0, 1_500);
}

/** Publishers and listeners on every relay. */
export class Load {
  ledger = new Ledger();
  counts = { sent: 0, acknowledged: 0, refused: {}, unanswered: 0, heard: 0, ephemeral: 0, ephemeral_heard: 0, moderated: 0, connections: 0, checked: 0, refused_cut_off: 0 };
  flaws = [];
  is_over = false;
  is_resting = false;
  /** Nothing is broken: ephemeral events must arrive. */
  is_calm = true;
  /** What publishers wait between two batches. */
  rest_ms = 15;
  #under_way = 0;
  #listeners = [];
  #authors;
  #shared_notes = [];
  #awaited = new Map();  // ephemeral events, by id
  began_ms = performance.now();

  constructor(cluster, { seed, say = () => {} }) {
    this.cluster = cluster;
    this.random = random_of(seed);
    this.say = say;
    // Everybody publishes for everybody: one author's events come over all relays.
    this.#authors = Array.from({ length: 12 }, () => person());
    this.ears = new Map(cluster.members.map((member) => [member.name, person().key]));
  }

  pick(list) { return list[Math.floor(this.random() * list.length)]; }

  async #connect(member) {
    for (;;) {
      try {
        const client = await Client.connect(member.url, { handshakeTimeout: 5_000 });
        this.counts.connections += 1;
        client.wait_ms = kAnswerMsMax;
        return client;
      } catch {
        if (this.is_over) throw new Error("over");
        await sleep(100);
      }
    }
  }

  #bury(client) {
    if (!client) return;
    this.flaws.push(...client.flaws);
    client.socket.terminate();
  }

  // --- Who takes part.

  /** What is published next: mostly notes; versions, of one author over several relays; deletions; who vanishes; ephemeral ones. */
  #next_event() {
    const dice = this.random();
    const author = this.pick(this.#authors);
    const created_at = now() - 60 + Math.floor(this.random() * 30);
    if (dice < 0.12) return author.sign(kAddressable, { content: `${this.random()}`, tags: [["d", `${Math.floor(this.random() * 6)}`]], created_at });
    if (dice < 0.18) return author.sign(kReplaceable, { content: `${this.random()}`, created_at });
    if (dice < 0.22 && this.#shared_notes.length > 100) {
      const [target] = this.#shared_notes.splice(Math.floor(this.random() * this.#shared_notes.length), 1);
      this.ledger.may_go({ ids: [target.event.id] });
      return target.author.sign(kDelete, { tags: [["e", target.event.id]], created_at });
    }
    if (dice < 0.3) return author.sign(kEphemeral, { content: `${this.random()}`, tags: [["p", this.ears.get(this.pick(this.cluster.members).name)]], created_at: now() });
    const event = author.sign(kNote, { content: `${this.random()}`.padEnd(Math.floor(this.random() * (dice > 0.97 ? 20_000 : 400)), "lorem ipsum "), tags: [["t", "load"]], created_at });
    return event;
  }

  /** Some events at once that belong together, each for another relay. */
  #story() {
    const who = person();
    const created_at = now() - 30;
    const notes = Array.from({ length: 3 }, (_, i) => who.sign(kNote, { content: `${i}`, created_at: created_at + i }));
    if (this.random() < 0.5) {  // the deletion goes first, or is overtaken
      this.ledger.may_go({ ids: [notes[0].id] });
      return [who.sign(kDelete, { tags: [["e", notes[0].id]], created_at: created_at + 5 }), ...notes];
    }
    this.ledger.may_go({ author: who.key });
    return [notes[0], notes[1], who.sign(kVanish, { tags: [["relay", "ALL_RELAYS"]], content: "enough", created_at: created_at + 10 }), notes[2]];
  }

  #refused(event, member, text) {
    const why = text.split(":")[0];
    this.counts.refused[why] = (this.counts.refused[why] ?? 0) + 1;
    if (this.ledger.is_cut_off(member.name)) this.counts.refused_cut_off += 1;
  }

  /** Sends `events` and takes their answers: ids of the accepted. Throws when the connection breaks. */
  async #publish(client, member, events) {
    this.#under_way += 1;
    let answered = 0;
    const all_accepted = new Set();
    try {
      const sent_ms = new Map();
      for (const event of events) {
        sent_ms.set(event.id, performance.now());
        client.send("EVENT", event);
      }
      this.counts.sent += events.length;
      for (const event of events) {
        const [, , accepted, text] = await client.take(["OK", event.id]);
        answered += 1;
        if (!accepted) {
          this.#refused(event, member, text);
          continue;
        }
        this.counts.acknowledged += 1;
        all_accepted.add(event.id);
        // An answer that was "deleted" or "have newer" is true as well: it changes nothing.
        this.ledger.acknowledge(event, member.name, sent_ms.get(event.id));
      }
      return all_accepted;
    } finally {
      this.counts.unanswered += events.length - answered;
      this.#under_way -= 1;
    }
  }

  async #publisher(home) {
    let client;
    let at = home;
    while (!this.is_over) {
      try {
        client ??= await this.#connect(at);
        if (this.is_resting) {
          await sleep(20);
          continue;
        }
        const sent_ms = performance.now();
        const calm_before = this.is_calm;
        const batch = Array.from({ length: 1 + Math.floor(this.random() * 8) }, () => this.#next_event());
        const accepted = await this.#publish(client, at, batch);
        for (const event of batch) {
          if (event.kind === kNote && this.ledger.acknowledged.has(event.id) && this.random() < 0.3) {
            const author = this.#authors.find(({ key }) => key === event.pubkey);
            this.#shared_notes.push({ event, author });
          }
          if (event.kind === kEphemeral && accepted.has(event.id) && calm_before && this.is_calm) this.#expect_ephemeral(event, at.name, sent_ms);
        }
        // What was acknowledged here can be read here at once.
        const seen = batch.find((event) => event.kind === kNote && this.ledger.acknowledged.has(event.id));
        if (seen && this.random() < 0.1) {
          const ids = await client.ids({ ids: [seen.id] });
          if (ids.length !== 1 && !this.ledger.may_be_gone(seen)) this.ledger.wrong.push(`${at.name} has acknowledged ${seen.id} and doesn't show it`);
        }
        await sleep(this.rest_ms * this.random() * 2);
      } catch (error) {
        if (client && !client.closed && !this.is_over) throw error;
        this.#bury(client);
        client = undefined;
        at = this.is_over || this.random() < 0.5 ? home : this.pick(this.cluster.members);  // anywhere
      }
    }
    this.#bury(client);
  }

  async #storyteller() {
    while (!this.is_over) {
      await sleep(150);
      if (this.is_resting) continue;
      const first = Math.floor(this.random() * 3);
      await Promise.all(this.#story().map((event, i) => this.#publish_alone(this.cluster.members[(first + i) % this.cluster.members.length], event)));
    }
  }

  /** On a connection of its own, if it comes about. */
  async #publish_alone(member, event) {
    let client;
    try {
      client = await Client.connect(member.url, { handshakeTimeout: 2_000 });
      client.wait_ms = kAnswerMsMax;
      await this.#publish(client, member, [event]);
    } catch (error) {
      if (client && !client.closed) throw error;
    } finally {
      this.#bury(client);
    }
  }

  /** Bans an event and an author now and then, at any relay. */
  async #moderator() {
    while (!this.is_over) {
      await sleep(1_000);
      if (this.is_resting || this.#shared_notes.length < 20) continue;
      const member = this.pick(this.cluster.members);
      this.#under_way += 1;
      try {
        const [target] = this.#shared_notes.splice(Math.floor(this.random() * this.#shared_notes.length), 1);
        this.ledger.may_go({ ids: [target.event.id] });
        await moderate(member, "banevent", target.event.id, "spam");
        this.ledger.banned_ids.add(target.event.id);
        const who = person();
        this.ledger.may_go({ author: who.key });
        // Elsewhere its notes are under way meanwhile.
        const notes = [0, 1, 2].map((i) => this.#publish_alone(this.pick(this.cluster.members), who.sign(kNote, { content: `${i}` })));
        await Promise.all([...notes, moderate(member, "banpubkey", who.key, "spam")]);
        this.ledger.gone_authors.set(who.key, Infinity);
        this.counts.moderated += 2;
      } catch (error) {  // the relay is away, or its cluster: nothing was promised
        this.counts.not_moderated = error.message;
      } finally {
        this.#under_way -= 1;
      }
    }
  }

  /** Whoever listened, some time before it was sent, hears of it. */
  #expect_ephemeral(event, by, sent_ms) {
    const listener = this.#listeners.find(({ member }) => this.ears.get(member.name) === event.tags[0][1]);
    if (!listener?.client || listener.from_ms > sent_ms - kHeardOfMs) return;
    this.counts.ephemeral += 1;
    this.#awaited.set(event.id, { listener, client: listener.client, by, sent_ms });
  }

  #awaited_still() {
    return [...this.#awaited].filter(([id, { listener, client }]) => listener.client === client && !client.closed && !listener.ephemeral.has(id)).map(([id]) => id);
  }

  async #listener(member) {
    const own = { member, heard: new Map(), from_ms: Infinity, client: undefined };
    this.#listeners.push(own);
    const ear = this.ears.get(member.name);
    while (!this.is_over) {
      const client = await this.#connect(member).catch(() => undefined);
      if (!client) return;
      own.heard = new Map();
      own.ephemeral = new Set();
      try {
        const notes = await client.subscribe({ kinds: [kNote, kDelete], limit: 0 });
        const mail = await client.subscribe({ kinds: [kEphemeral], "#p": [ear] });
        Object.assign(own, { from_ms: performance.now(), client });
        while (!this.is_over) {
          const [, id, event] = await client.take(([word]) => word === "EVENT", 2 ** 30);
          if (id === notes.id) {
            this.counts.heard += 1;
            own.heard.set(event.id, (own.heard.get(event.id) ?? 0) + 1);
          } else if (id === mail.id) {
            this.counts.ephemeral_heard += 1;
            if (own.ephemeral.has(event.id)) this.ledger.wrong.push(`${member.name} delivered the ephemeral ${event.id} twice`);
            own.ephemeral.add(event.id);
          }
        }
      } catch (error) {
        if (!client.closed && !this.is_over) throw error;
      }
      own.client = undefined;
      own.from_ms = Infinity;
      this.#bury(client);
    }
  }

  /** A relay shows what was acknowledged some time ago. */
  async reads(member) {
    const [id] = this.ledger.due(0);
    const client = await Client.connect(member.url, { handshakeTimeout: 5_000 });
    try {
      assert.deepEqual(await client.ids({ ids: [id] }), [id], `${member.name} does not show what it has`);
    } finally {
      this.#bury(client);
    }
  }

  /** Something new is acknowledged by every relay. */
  async works(ms = kAnswerMsMax) {
    for (const member of this.cluster.members) {
      await until(ms, `${member.name} acknowledges`, async () => {
        const event = person().sign(kNote, { content: "works" });
        await this.#publish_alone(member, event);
        return this.ledger.acknowledged.has(event.id) || sleep(200, false);
      });
    }
  }

  // --- The proof.

  /** With nothing under way: the ledger against every relay. `is_last`: the moderators' lists as well, for which a relay that has just started makes us wait. */
  async check({ is_last = false } = {}) {
    const { members } = this.cluster;
    this.is_resting = true;
    await until(kAnswerMsMax + 10_000, "publishers rest", () => this.#under_way === 0);
    await this.cluster.settled();
    for (const { member, client, heard, from_ms } of this.#listeners) {
      if (!client) continue;
      const due = this.ledger.due(from_ms);
      await until(45_000, `${member.name} has told its listener what was acknowledged`, () => client.closed || due.every((id) => heard.has(id))).catch((error) => {
        const missing = due.filter((id) => !heard.has(id));
        this.ledger.wrong.push(`${error.message}: ${missing.length} of ${due.length} are missing, ${missing[0]} acknowledged by ${this.ledger.acknowledged.get(missing[0]).by}`);
      });
      const is_to_stay = (id) => this.ledger.acknowledged.has(id) && !this.ledger.may_be_gone(this.ledger.acknowledged.get(id).event);
      const twice = [...heard].filter(([id, times]) => times > 1 && is_to_stay(id));
      if (twice.length > 0) this.ledger.wrong.push(`${member.name} told its listener of ${twice[0][0]} ${twice[0][1]} times`);
    }
    if (this.is_calm) {
      await until(10_000, "ephemeral events have arrived", () => this.#awaited_still().length === 0).catch((error) => {
        const missing = this.#awaited_still().map((id) => this.#awaited.get(id));
        const told = missing.map(({ by, listener, sent_ms }) => `${by} to ${listener.member.name}, ${((performance.now() - sent_ms) / 1_000).toFixed(1)} s ago`);
        this.ledger.wrong.push(`${error.message}: ${missing.length} of ${this.#awaited.size} have not: ${told.slice(0, 5).join("; ")}`);
      });
    }
    this.#awaited.clear();
    await this.#compare(members, is_last);
    assert.deepEqual(this.ledger.wrong.slice(0, 5), [], `${this.ledger.wrong.length} things are wrong`);
    assert.deepEqual(this.flaws.slice(0, 5), [], "what no relay may say");
    this.counts.checked += 1;
    this.is_resting = false;
  }

  async #compare(members, with_lists) {
    // What is in a relay's log only is in its tables a second later.
    let wrong;
    await until(60_000, "all relays hold the same", async () => {
      const exports = members.map((member) => [member.name, member.exported()]);
      wrong = exports.flatMap(([name, lines]) => this.ledger.judge(name, lines));
      const [[first_name, first], ...others] = exports;
      for (const [name, lines] of others) {
        const found = difference(first, lines);
        if (found) wrong.push(`${first_name} and ${name} differ: ${found}`);
      }
      try {
        const [lists, ...more] = with_lists ? await Promise.all(members.map(lists_of)) : [];
        if (more.some((other) => other !== lists)) wrong.push(`the moderators' lists differ: ${[lists, ...more].join(" | ").slice(0, 1_500)}`);
      } catch (error) {  // for some seconds a relay that has just started takes no signed request
        wrong.push(`the moderators' lists: ${error.message}`);
      }
      this.counts.stored = first.length;
      return wrong.length === 0 || sleep(500, false);
    }).catch(() => this.ledger.wrong.push(...wrong));
  }

  /** Runs the load while `body` does what it likes; checks at the end. `publishers`: at each relay. */
  async during(body, { publishers = 2 } = {}) {
    const { members } = this.cluster;
    const people = [...members.flatMap((member) => [this.#listener(member), ...Array.from({ length: publishers }, () => this.#publisher(member))]), this.#storyteller(), this.#moderator()];
    const all = Promise.all(people);
    let fail;
    const failure = new Promise((_, reject) => { fail = reject; });
    all.catch(fail);
    failure.catch(() => {});
    try {
      await Promise.race([body(), failure]);
      await Promise.race([this.check({ is_last: true }), failure]);
    } finally {
      this.is_over = true;
      for (const { client } of this.#listeners) client?.socket.terminate();
      await all.catch(() => {});
    }
  }
}
