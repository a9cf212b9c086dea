// What comes before there is a WebSocket: HTTP that is none, floods of it, peers that never finish, requests in the shadow of an
// upgrade; and frames that are sent along with the handshake, which must not be lost.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { beside_a_bystander, counted, frame, handshake, kOpcode, no_event, Raw, relay_under_test, rss_mb, sleep, until } from "./lib.mjs";

const relay = relay_under_test({ sections: { net: { handshake_s_max: 2, ping_after_s: 1, pong_wait_s_max: 1 } } });
const get = (path = "/") => `GET ${path} HTTP/1.1\r\nHost: x\r\n`;

async function answer_to(...pieces) {
  const raw = await Raw.connect(relay);
  raw.send(...pieces);
  const head = await raw.head();
  return { raw, head, status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0) };
}

const kRefused = {
  "no HTTP": ["hello\r\n\r\n", 400], "a frame": [Buffer.concat([frame("x", { mask: Buffer.from("abcd") }), Buffer.from("\r\n\r\n")]), 400], "NUL": ["\0\0\0\0\r\n\r\n", 400], "only line ends": ["\r\n".repeat(5), 400], "TLS": [Buffer.from("16030100a5010000a10303" + "00".repeat(80), "hex"), 0], "HTTP/2": ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505], "an SSH banner": ["SSH-2.0-OpenSSH_9.0\r\n", 400], "SMTP": ["EHLO example.org\r\n", 400],
  "HTTP/0.9": ["GET /\r\n\r\n", 400], "HTTP/3": ["GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505], "a version that is none": ["GET / HTTP/1.1x\r\nHost: x\r\n\r\n", 400], "no host": ["GET / HTTP/1.1\r\n\r\n", 400], "two hosts": ["GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400], "a bare line feed": ["GET / HTTP/1.1\nHost: x\n\n", 400],
  "a folded field": [`${get()}X: a\r\n b\r\n\r\n`, 400], "a blank before the colon": [`${get()}X : a\r\n\r\n`, 400], "a field without a colon": [`${get()}X\r\n\r\n`, 400], "a nameless field": [`${get()}: x\r\n\r\n`, 400], "NUL in a field": [`${get()}X: a\0b\r\n\r\n`, 400], "a control character in a name": [`${get()}X\u0001: a\r\n\r\n`, 400],
  "a bare carriage return": [`${get()}X: a\rY: b\r\n\r\n`, 400], "a target with a blank": ["GET / x HTTP/1.1\r\nHost: x\r\n\r\n", 400], "a target with a fragment": [`${get("/#x")}\r\n`, 400], "a target that is not one": [`${get("x")}\r\n`, 400], "CONNECT": ["CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400], "a full address without a host": [`${get("http:///x")}\r\n`, 400], "one with a user": [`${get("http://x@y/")}\r\n`, 400], "one of another protocol": [`${get("ftp://x/")}\r\n`, 400], "one instead of a host": ["GET http://x/ HTTP/1.1\r\n\r\n", 400], "a host that is none": ["GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400],
  "a length that is negative": [`${get()}Content-Length: -1\r\n\r\n`, 400], "a length with a sign": [`${get()}Content-Length: +1\r\n\r\n`, 400], "a length in hex": [`${get()}Content-Length: 0x1\r\n\r\n`, 400], "two lengths": [`${get()}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`, 400], "a list of lengths": [`${get()}Content-Length: 1, 1\r\n\r\nx`, 400], "a length of 2^64": [`${get()}Content-Length: 18446744073709551616\r\n\r\n`, 400],
  "length and chunks": [`${get()}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400], "chunks twice": [`${get()}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 501], "another coding": [`${get()}Transfer-Encoding: gzip\r\n\r\n`, 501], "chunked, hidden": [`${get()}Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n`, 501], "chunks of HTTP/1.0": ["GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
  "a chunk that is no number": [`${get()}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`, 400], "a chunk of 2^64": [`${get()}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n`, 400], "a chunk without an end": [`${get()}Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n`, 400], "a huge chunk": [`${get()}Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n`, 413], "a huge body": [`${get()}Content-Length: 1000000000\r\n\r\n`, 413],
  "a line of 20 KB": [`${get(`/${"x".repeat(20_000)}`)}\r\n`, 431], "a field of 20 KB": [`${get()}X: ${"y".repeat(20_000)}\r\n\r\n`, 431], "200 fields": [get() + Array.from({ length: 200 }, (_, i) => `X${i}: y\r\n`).join("") + "\r\n", 431], "a line without an end": [`GET /${"x".repeat(40_000)}`, 431],
};
for (const [name, [text, expected]] of Object.entries(kRefused)) {
  test(`refused: ${name}`, async () => {
    const errors = await counted(relay, "bad_http", async () => {
      const { raw, status } = await answer_to(text);
      if (expected !== 0) assert.equal(status, expected);
      await raw.end();
    });
    assert.ok(errors >= 1 || expected === 0);
  });
}

test("a full address as target, and an empty line before the request, are taken (RFC 9112 3.2.2, 2.2)", async () => {
  for (const target of ["http://x/", "http://other:7447", "HTTPS://[::1]/", "http://x?y"]) {
    const { raw, head, status } = await answer_to(`\r\n${get(target)}Accept: application/nostr+json\r\n\r\n`);
    assert.equal(status, 200, target);
    assert.match(head, /application\/nostr\+json/);
    raw.destroy();
  }
  const { raw, status } = await answer_to("\r\n", handshake({ path: "http://x/" }));
  assert.equal(status, 101);
  raw.destroy();
});

/** Upgrades that are none. */
const kNoUpgrades = {
  "no key": [{ "Sec-WebSocket-Key": undefined }, 400], "an empty key": [{ "Sec-WebSocket-Key": "" }, 400], "a short key": [{ "Sec-WebSocket-Key": "dGhl" }, 400], "a key that is no base64": [{ "Sec-WebSocket-Key": "!!!!!!!!!!!!!!!!!!!!!!==" }, 400], "no version": [{ "Sec-WebSocket-Version": undefined }, 426], "version 8": [{ "Sec-WebSocket-Version": "8" }, 426],
  "version 13, 8": [{ "Sec-WebSocket-Version": "13, 8" }, 426], "no Connection": [{ Connection: undefined }, 400], "another Connection": [{ Connection: "keep-alive" }, 400], "a body": [{ "Content-Length": "5" }, 400],
};
for (const [name, [headers, status]] of Object.entries(kNoUpgrades)) {
  test(`no upgrade: ${name}`, async () => {
    const { raw, head } = await answer_to(handshake({ headers }), "hello");
    assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
    if (status === 426) assert.match(head, /Sec-WebSocket-Version: 13/i);
    await raw.end();
  });
}
test("no upgrade: other methods, versions and paths", async () => {
  for (const options of [{ method: "POST" }, { method: "HEAD" }, { method: "PUT" }, { version: "HTTP/1.0" }, { path: "/x" }, { path: "/../" }, { path: "/./" }, { path: "//" }, { path: "/%2e" }, { path: "*" }, { extra: "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" }, { extra: "Sec-WebSocket-Version: 13\r\n" }]) {
    const { raw, status } = await answer_to(handshake(options));
    assert.ok(status >= 400 && status < 500, `${JSON.stringify(options)} ${status}`);
    await raw.end();
  }
});
test("h2c and other upgrades are none", async () => {
  for (const protocol of ["h2c", "HTTP/2.0", "TLS/1.0", "foo"]) {
    const { raw, status } = await answer_to(`${get()}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`);
    assert.notEqual(status, 101);
    assert.ok(status >= 200 && status < 500);
    raw.destroy();
  }
});

test("fields of any case and order, lists among them, are a handshake", async () => {
  for (const headers of [{ Upgrade: "WebSocket", Connection: "keep-alive, UPGRADE" }, { Upgrade: undefined, upgrade: "websocket" }, { Origin: "https://x", "Sec-WebSocket-Protocol": "nostr, chat" }, { "User-Agent": "x".repeat(4_000) }, { "X-Forwarded-For": "1.2.3.4, 5.6.7.8" }]) {
    const raw = await Raw.connect(relay);
    await raw.upgrade({ headers });
    await raw.serves();
    raw.destroy();
  }
});

test("frames that come with the handshake are read, however it is cut", async () => {
  const whole = Buffer.concat([Buffer.from(handshake()), ...Array.from({ length: 20 }, (_, i) => frame(JSON.stringify(["COUNT", `early${i}`, { ids: [] }]))), frame("p", { opcode: kOpcode.ping })]);
  for (const cut of [whole.length, 0, 1, handshake().length - 1, handshake().length, handshake().length + 1, handshake().length + 7, whole.length - 1]) {
    const raw = await Raw.connect(relay);
    raw.socket.setNoDelay(true);
    raw.send(whole.subarray(0, cut));
    if (cut < whole.length) await sleep(5);
    raw.send(whole.subarray(cut));
    await raw.head();
    await raw.pong("p");
    // A Pong overtakes answers that come from the query workers, and they each other.
    await raw.message(() => raw.messages.length === 20);
    assert.deepEqual(raw.messages.map(([, id]) => id).sort(), Array.from({ length: 20 }, (_, i) => `early${i}`).sort());
    raw.destroy();
  }
});

test("bad frames that come with the handshake are refused as ever", async () => {
  const raw = await Raw.connect(relay);
  raw.send(handshake(), frame("x", { mask: false }));
  await raw.head();
  assert.equal(await raw.end(), 1002);
});

test("a request behind the upgrade is bytes of a WebSocket, and none of HTTP", async () => {
  const before = await relay.metric("http_requests_total");
  const raw = await Raw.connect(relay);
  raw.send(handshake(), `${get("/metrics")}\r\n`);
  await raw.head();
  assert.equal(await raw.end(), 1002);
  assert.ok(!raw.bytes.includes("nostril_relay_"));
  // Behind one that was refused there is nothing either: the connection ends.
  const refused = await answer_to(handshake({ path: "/nothing" }), `${get("/metrics")}\r\n`);
  await refused.raw.end();
  assert.ok(!refused.raw.bytes.includes("nostril_relay_"));
  assert.equal((await relay.metric("http_requests_total")) - before, 1);  // that of metric() itself
});

test("requests in one piece are answered in turn", async () => {
  const raw = await Raw.connect(relay);
  raw.send(`${get()}Accept: application/nostr+json\r\n\r\n`.repeat(50), `${get("/nothing")}Connection: close\r\n\r\n`);
  await raw.end();
  const text = raw.bytes.toString();
  assert.equal(text.match(/HTTP\/1\.1 200 OK/g).length, 50);
  assert.equal(text.match(/HTTP\/1\.1 404 /g).length, 1);
});

test("a handshake that is never finished ends, and takes no place for long", async (t) => {
  const timeouts = await counted(relay, "handshake_timeout", async () => {
    const began = performance.now();
    await beside_a_bystander(t, relay, async () => {
      const slow = [];
      for (let i = 0; i < 500; i++) slow.push(await Raw.connect(relay));
      // Nothing at all; a byte from time to time; a head, and no end of fields; a body that never comes.
      const said = [() => "", () => "G", () => "X", () => "y"];
      for (const [i, raw] of slow.entries()) raw.send(["", "G", get(), `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n`][i % 4]);
      const drip = setInterval(() => { for (const [i, raw] of slow.entries()) if (i % 4 > 0) raw.send(said[i % 4]()); }, 200);
      await Promise.all(slow.map((raw) => raw.end(15_000)));
      clearInterval(drip);
    });
    t.diagnostic(`500 of them were gone after ${((performance.now() - began) / 1000).toFixed(1)} s`);
  });
  // Those that sent what is no request were told so before.
  assert.ok(timeouts >= 250, `${timeouts}`);
});

test("who does not answer a ping is gone, who does stays", async () => {
  const [dead, alive] = [await Raw.websocket(relay), await Raw.websocket(relay)];
  const answering = setInterval(() => {
    if (alive.frames.some(({ opcode }) => opcode === kOpcode.ping)) alive.send(frame("", { opcode: kOpcode.pong }));
  }, 50);
  const timeouts = await counted(relay, "ping_timeout", async () => { await dead.end(15_000); });
  assert.ok(timeouts >= 1);
  assert.ok(dead.frames.some(({ opcode }) => opcode === kOpcode.ping));
  assert.ok(!alive.ended);
  clearInterval(answering);
  alive.destroy();
});

test("garbage of every sort, for a while", async (t) => {
  const texts = Object.values(kRefused).map(([text]) => text);
  await beside_a_bystander(t, relay, async () => {
    for (let round = 0; round < 15; round++) {
      await Promise.all(texts.map(async (text) => {
        const raw = await Raw.connect(relay);
        raw.send(text);
        if (round % 2 === 0) raw.destroy();
        else await raw.end();
      }));
    }
  }, { rss_mb_max: 48 });
});

test("thousands of connections that come and go leave nothing", async (t) => {
  await beside_a_bystander(t, relay, async () => {
    for (let round = 0; round < 40; round++) {
      await Promise.all(Array.from({ length: 75 }, async (_, i) => {
        const raw = await Raw.connect(relay);
        if (i % 3 === 0) return raw.destroy();
        await raw.upgrade();
        if (i % 3 === 1) {
          raw.send(frame(JSON.stringify(["REQ", "x", { ids: [no_event()] }])));
          return raw.destroy();
        }
        raw.send(frame("", { opcode: kOpcode.close }));
        return raw.end();
      }));
    }
  }, { rss_mb_max: 48 });
  await until(10_000, "all gone", async () => (await relay.metric("subscriptions")) === 0 && (await relay.metric("websockets")) === 0);
});

test("readers of /metrics and of the document that never read", async (t) => {
  const before = rss_mb(relay);
  await beside_a_bystander(t, relay, async () => {
    const deaf = [];
    for (let i = 0; i < 30; i++) {
      const raw = await Raw.connect(relay);
      raw.socket.pause();
      raw.send(`${get("/metrics")}\r\n`.repeat(200));
      deaf.push(raw);
    }
    await sleep(1_000);
    for (const raw of deaf) raw.destroy();
  });
  t.diagnostic(`${before.toFixed(0)} -> ${rss_mb(relay).toFixed(0)} MB`);
});

test("keep-alive agents of many are served", async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 20 });
  await Promise.all(Array.from({ length: 300 }, async () => {
    const request = http.get(`${relay.http}/`, { agent, headers: { Accept: "application/nostr+json" } });
    const [response] = await once(request, "response");
    assert.equal(response.statusCode, 200);
    response.resume();
    await once(response, "end");
  }));
  agent.destroy();
});
