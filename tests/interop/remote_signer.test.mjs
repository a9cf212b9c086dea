// A user's key with a remote signer (NIP-46): the signer is nostr-tools' cryptography over our relay, and nostr-tools' own
// client gets the same answers from it as `nostril` does.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { BunkerSigner, parseBunkerInput } from "nostr-tools/nip46";
import { npubEncode } from "nostr-tools/nip19";
import { decrypt, encrypt, getConversationKey } from "nostr-tools/nip44";
import { SimplePool, useWebSocketImplementation } from "nostr-tools/pool";
import { finalizeEvent, generateSecretKey, getPublicKey, verifyEvent } from "nostr-tools/pure";
import { WebSocket } from "ws";
import { Bed, kBin, within } from "../e2e/lib.mjs";

useWebSocketImplementation(WebSocket);

const kRequestKind = 24133;
const kMs = 30_000;

/** Keeps the key of a user; `change` may spoil what it is about to answer. */
class Signer {
  user = generateSecretKey();
  own = generateSecretKey();
  calls = [];
  change = undefined;
  silent = false;
  ask_person = false;

  async listen(relay) {
    this.relay = relay;
    this.socket = new WebSocket(relay.url);
    await new Promise((resolve) => this.socket.once("open", resolve));
    this.socket.on("message", (text) => {
      const [kind, , event] = JSON.parse(text);
      if (kind === "EVENT") this.#answer(event);
    });
    this.socket.send(JSON.stringify(["REQ", "s", { kinds: [kRequestKind], "#p": [getPublicKey(this.own)] }]));
  }

  url(secret) {
    return `bunker://${getPublicKey(this.own)}?relay=${encodeURIComponent(this.relay.url)}&secret=${secret}`;
  }

  #send(client, message) {
    const event = finalizeEvent({
      kind: kRequestKind, created_at: Math.floor(Date.now() / 1000), tags: [["p", client]],
      content: encrypt(JSON.stringify(message), getConversationKey(this.own, client)),
    }, this.own);
    this.socket.send(JSON.stringify(["EVENT", event]));
  }

  #answer(event) {
    const { id, method, params } = JSON.parse(decrypt(event.content, getConversationKey(this.own, event.pubkey)));
    this.calls.push({ method, params, client: event.pubkey });
    if (this.silent) return;
    const key = (peer) => getConversationKey(this.user, peer);
    const methods = {
      connect: () => { if (params[1] !== "once") throw new Error("wrong secret"); return "ack"; },
      get_public_key: () => getPublicKey(this.user),
      sign_event: () => JSON.stringify(finalizeEvent(JSON.parse(params[0]), this.user)),
      nip44_encrypt: () => encrypt(params[1], key(params[0])),
      nip44_decrypt: () => decrypt(params[1], key(params[0])),
    };
    if (this.ask_person) this.#send(event.pubkey, { id, result: "auth_url", error: "https://signer.example/agree" });
    this.ask_person = false;
    try {
      const result = methods[method]();
      this.#send(event.pubkey, { id, result: this.change?.(method, result) ?? result, error: "" });
    } catch (error) {
      this.#send(event.pubkey, { id, result: "", error: error.message });
    }
  }
}

let bed;
let signer;
let home;

const nostril = (...words) => bed.client(words).end(kMs);

before(async () => {
  bed = new Bed();
  signer = new Signer();
  await signer.listen(await bed.relay());
  home = path.join(bed.folder, "user");
});

after(async () => {
  signer.socket.terminate();
  await bed.close();
});

describe("a remote signer", { timeout: 90_000 }, () => {
  it("signs for nostr-tools' client", async () => {
    const pool = new SimplePool();
    const client = BunkerSigner.fromBunker(generateSecretKey(), await parseBunkerInput(signer.url("once")), { pool });
    await within(kMs, "connect", client.connect());
    assert.equal(await client.getPublicKey(), getPublicKey(signer.user));
    await client.close();
    pool.close([signer.relay.url]);
  });

  it("refuses a wrong secret, and nothing is remembered", async () => {
    const { code, err } = await nostril("event", "--home", home, "--key", signer.url("guessed"), "--content", "hello");
    assert.equal(code, 1);
    assert.match(err, /the remote signer refuses: wrong secret/);
    assert.deepEqual(fs.readdirSync(path.join(home, "signers")).map((name) => path.extname(name)), [".nsec"]);
  });

  it("signs an event, after the user has agreed on a page", async () => {
    signer.ask_person = true;
    const { code, out, err } = await nostril("event", "--home", home, "--key", signer.url("once"), "--content", "hello \"you\"\n", "--tag", "t=a,b");
    assert.equal(code, 0, err);
    assert.match(err, /waits for you to agree: https:\/\/signer\.example\/agree/);
    const event = JSON.parse(out);
    assert.ok(verifyEvent(event));
    assert.equal(event.pubkey, getPublicKey(signer.user));
    assert.deepEqual([event.kind, event.content, event.tags], [1, "hello \"you\"\n", [["t", "a", "b"]]]);
  });

  it("is asked to connect once; a file may name it, and so may config.toml", async () => {
    signer.calls.length = 0;
    const file = path.join(bed.folder, "bunker");
    fs.writeFileSync(file, `${signer.url("used up")}\n`, { mode: 0o600 });
    fs.writeFileSync(path.join(home, "config.toml"), `identity = ${JSON.stringify(file)}\n`);
    assert.equal((await nostril("event", "--home", home, "--content", "again")).code, 0);
    assert.deepEqual(signer.calls.map(({ method }) => method), ["sign_event"]);
    fs.chmodSync(file, 0o644);
    assert.match((await nostril("event", "--home", home, "--content", "again")).err, /others may read/);
    fs.chmodSync(file, 0o600);
  });

  it("seals and opens messages", async () => {
    const friend = generateSecretKey();
    const npub = npubEncode(getPublicKey(friend));
    const run = (input, ...words) => new Promise((resolve, reject) => {
      const child = execFile(path.join(kBin, "nostril"), words, { timeout: kMs }, (error, out) => (error ? reject(error) : resolve(out)));
      child.stdin.end(input);
    });
    const sealed = (await run("for you", "message", "seal", "--home", home, "--to", npub)).trim();
    const shared = getConversationKey(friend, getPublicKey(signer.user));
    assert.equal(decrypt(sealed, shared), "for you");
    assert.equal(await run(encrypt("and back", shared), "message", "open", "--home", home, "--from", npub), "and back");
  });

  it("is not believed when it signs something else, or as somebody else", async () => {
    const refused = async (change) => {
      signer.change = change;
      const { code, err } = await nostril("event", "--home", home, "--content", "mine");
      signer.change = undefined;
      assert.equal(code, 1);
      return err;
    };
    const other = (change, key = signer.user) => (_, result) => JSON.stringify(finalizeEvent({ ...JSON.parse(result), ...change }, key));
    assert.match(await refused(other({ content: "theirs" })), /signed something else/);
    assert.match(await refused(other({}, generateSecretKey())), /signed something else/);
    assert.match(await refused(() => "{}"), /no event/);
    assert.match(await refused((_, result) => result.replace(/"sig":"(.)/, (_, digit) => `"sig":"${digit === "0" ? "1" : "0"}`)), /signature is wrong/);
  });

  it("that says nothing is not waited for without end", async () => {
    signer.silent = true;
    const { code, err } = await nostril("event", "--home", home, "--content", "mine");
    assert.equal(code, 1);
    assert.match(err, /does not answer/);
  });
});
