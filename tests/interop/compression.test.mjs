// permessage-deflate between our relay and foreign WebSocket libraries: npm ws with every setting it
// has, and the platform's own WebSocket where there is one.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { finalizeEvent, generateSecretKey } from "nostr-tools/pure";
import WebSocket from "ws";
import { Bed, until, within } from "../e2e/lib.mjs";

const secret = generateSecretKey();
let bed;
let relay;

before(async () => {
  bed = new Bed();
  relay = await bed.relay({ sections: { net: { compress_stored: true } } });
});
after(() => bed?.close());

const sign = (kind, content) =>
  finalizeEvent({ kind, content, tags: [], created_at: Math.floor(Date.now() / 1000) }, secret);
/** By way of JSON, which drops the mark that nostr-tools puts on events it has verified. */
const plain = (event) => JSON.parse(JSON.stringify(event));
const words = (count) => Array.from({ length: count }, (_, i) => `word${(i * 7919) % 97}`).join(" ");

/** A client with all messages it got, as text. `options` as of ws. */
async function connect(url, options = {}) {
  const socket = new WebSocket(url, options);
  const messages = [];
  socket.on("message", (data, binary) => messages.push(binary ? "binary" : data.toString()));
  await within(10_000, "open", new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject)));
  return {
    socket,
    messages,
    /** The first message that starts so. */
    got: (start) => until(10_000, start, () => messages.find((text) => text.startsWith(start))),
    bytes: () => socket._socket.bytesRead,
  };
}

async function metric(name) {
  const text = await (await fetch(`${relay.url.replace(/^ws/, "http")}/metrics`)).text();
  return Number(new RegExp(`^\\S*${name} (\\d+)$`, "m").exec(text)[1]);
}

// threshold 0: ws compresses all that it sends.
const kSettings = {
  plain: false,
  default: { threshold: 0 },
  "client without context": { threshold: 0, clientNoContextTakeover: true },
  "server without context": { threshold: 0, serverNoContextTakeover: true },
  "small client window": { threshold: 0, clientMaxWindowBits: 9 },
  "small server window": { threshold: 0, serverMaxWindowBits: 9 },
};

for (const [name, perMessageDeflate] of Object.entries(kSettings)) {
  test(`ws publishes, subscribes and reads what is stored: ${name}`, async () => {
    const one = await connect(relay.url, { perMessageDeflate });
    assert.equal(one.socket.extensions, perMessageDeflate ? "permessage-deflate" : "");
    for (const [i, length] of [3, 200, 5_000].entries()) {
      const event = sign(20_002, `${name} ${words(length)} ünï 🦊`);
      const sub = `live${i}`;
      one.socket.send(JSON.stringify(["REQ", sub, { kinds: [20_002], ids: [event.id] }]));
      await one.got(`["EOSE","${sub}"`);
      one.socket.send(JSON.stringify(["EVENT", event]));
      const text = await one.got(`["EVENT","${sub}"`);
      assert.deepEqual(JSON.parse(text)[2], plain(event));
    }
    const stored = sign(1, `${name} ${words(300)}`);
    // In fragments: the compressed message is cut anywhere.
    const text = JSON.stringify(["EVENT", stored]);
    one.socket.send(text.slice(0, 100), { fin: false });
    one.socket.ping();
    one.socket.send(text.slice(100), { fin: true });
    assert.match(await one.got(`["OK","${stored.id}"`), /true/);
    one.socket.send(JSON.stringify(["REQ", "stored", { ids: [stored.id] }]));
    assert.deepEqual(JSON.parse(await one.got('["EVENT","stored"'))[2], plain(stored));
    one.socket.close();
  });
}

test("one event for many readers is compressed once and is a third shorter", async () => {
  const readers = [];
  for (let i = 0; i < 10; i++) readers.push(await connect(relay.url, { perMessageDeflate: i % 5 !== 0 }));
  for (const [i, reader] of readers.entries()) {
    reader.socket.send(JSON.stringify(["REQ", `r${i}`, { kinds: [20_003] }]));
    await reader.got(`["EOSE","r${i}"`);
  }
  const before_bytes = readers.map((reader) => reader.bytes());
  const [deflates, deflated] = [await metric("deflates_total"), await metric("messages_deflated_total")];
  const event = sign(20_003, words(60));
  readers[0].socket.send(JSON.stringify(["EVENT", event]));
  for (const [i, reader] of readers.entries()) {
    assert.deepEqual(JSON.parse(await reader.got(`["EVENT","r${i}"`))[2], plain(event));
  }
  const grew = readers.map((reader, i) => reader.bytes() - before_bytes[i]);
  assert.ok(grew[1] < 0.67 * grew[5], `${grew}`);
  assert.equal((await metric("messages_deflated_total")) - deflated, 8);
  const loops = (await metric("deflates_total")) - deflates;
  assert.ok(loops >= 1 && loops <= 8, `${loops}`);
  for (const reader of readers) reader.socket.close();
});

test("switched off, nothing is agreed on", async () => {
  const off = await bed.relay({ data: `${bed.folder}/off`, sections: { net: { compression: false } } });
  const one = await connect(off.url, { perMessageDeflate: { threshold: 0 } });
  assert.equal(one.socket.extensions, "");
  one.socket.send(JSON.stringify(["REQ", "s", { kinds: [1] }]));
  await one.got('["EOSE"');
  one.socket.close();
});

test("the platform's own WebSocket", { skip: globalThis.WebSocket ? false : "this Node.js has none" }, async () => {
  const socket = new globalThis.WebSocket(relay.url);
  const messages = [];
  socket.onmessage = ({ data }) => messages.push(data);
  await within(10_000, "open", new Promise((resolve) => (socket.onopen = resolve)));
  const event = sign(20_004, words(100));
  socket.send(JSON.stringify(["REQ", "own", { kinds: [20_004] }]));
  await until(10_000, "EOSE", () => messages.some((text) => text.startsWith('["EOSE"')));
  socket.send(JSON.stringify(["EVENT", event]));
  const text = await until(10_000, "the event", () => messages.find((one) => one.startsWith('["EVENT"')));
  assert.deepEqual(JSON.parse(text)[2], plain(event));
  socket.close();
});
