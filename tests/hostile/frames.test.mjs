// RFC 6455 against its letter: what a frame may not be ends the connection with the right code, whatever came before it and however
// it is cut; what it may be is taken.
import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { beside_a_bystander, counted, frame, handshake, kOpcode, Raw, relay_under_test, sleep } from "./lib.mjs";

const kMax = 20_000;
const relay = relay_under_test({ sections: { limits: { message_bytes_max: kMax, event_bytes_max: kMax } } });
const request = '["COUNT","x",{"ids":[]}]';
const { continuation, text, binary, close, ping, pong } = kOpcode;
const close_frame = (code, reason = "") => frame(Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]), { opcode: close });

/** Each must end the connection with 1002. */
const kProtocol = {
  "RSV1 without an extension": [frame(request, { rsv: 4 })], "RSV2": [frame(request, { rsv: 2 })], "RSV3": [frame(request, { rsv: 1 })], "all RSV": [frame(request, { rsv: 7 })],
  "RSV on a ping": [frame("", { opcode: ping, rsv: 4 })], "RSV on a continuation": [frame("[", { fin: false }), frame("]", { opcode: continuation, rsv: 4 })],
  ...Object.fromEntries([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`opcode ${opcode}`, [frame("", { opcode })]])),
  "a reserved opcode inside a message": [frame("[", { fin: false }), frame("", { opcode: 3 })],
  "no mask": [frame(request, { mask: false })], "no mask on a ping": [frame("x", { opcode: ping, mask: false })], "no mask on a close": [frame("", { opcode: close, mask: false })], "no mask on the second frame": [frame(request), frame(request, { mask: false })],
  "a ping of 126 bytes": [frame("x".repeat(126), { opcode: ping })], "a pong of 65,536 bytes": [frame("x".repeat(65_536), { opcode: pong })], "a close of 126 bytes": [frame(Buffer.concat([Buffer.from([3, 232]), Buffer.alloc(124, 120)]), { opcode: close })],
  "a ping with a 16-bit length": [frame("x", { opcode: ping, form: 16 })], "a ping with a 64-bit length": [frame("x", { opcode: ping, form: 64 })],
  "a ping in fragments": [frame("x", { opcode: ping, fin: false })], "a close in fragments": [frame("", { opcode: close, fin: false })], "a pong in fragments, in a message": [frame("[", { fin: false }), frame("", { opcode: pong, fin: false })],
  "a continuation of nothing": [frame(request, { opcode: continuation })], "a continuation that starts": [frame(request, { opcode: continuation, fin: false })], "a continuation after a whole message": [frame(request), frame("]", { opcode: continuation })],
  "a message inside a message": [frame("[", { fin: false }), frame(request)], "binary inside text": [frame("[", { fin: false }), frame("x", { opcode: binary, fin: false })], "a new message between fragments": [frame("[", { fin: false }), frame("1", { opcode: continuation, fin: false }), frame("2", { fin: false })],
  "16 bits for a short length": [frame("x", { form: 16 })], "64 bits for a short length": [frame("x", { form: 64 })], "64 bits for a middle length": [frame("x".repeat(300), { form: 64 })], "16 bits for 125": [frame("x".repeat(125), { form: 16 })],
  "a close of one byte": [frame("x", { opcode: close })],
  ...Object.fromEntries([0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map((code) => [`close code ${code}`, [close_frame(code)]])),
};
for (const [name, frames] of Object.entries(kProtocol)) {
  test(`1002: ${name}`, async () => {
    const errors = await counted(relay, "protocol", async () => {
      const raw = await Raw.websocket(relay);
      await raw.serves();
      raw.send(...frames);
      assert.equal(await raw.end(), 1002);
    });
    assert.equal(errors, 1);
  });
}

test("byte by byte the verdict is the same", async () => {
  for (const frames of [kProtocol["RSV2"], kProtocol["a message inside a message"], kProtocol["64 bits for a middle length"], kProtocol["close code 1005"]]) {
    const raw = await Raw.websocket(relay);
    raw.socket.setNoDelay(true);
    for (const byte of Buffer.concat(frames)) {
      raw.send([byte]);
      if (raw.ended) break;
      await sleep(1);
    }
    assert.equal(await raw.end(), 1002);
  }
});

/** Lengths that nothing follows: refused by the header alone, before any memory is taken. */
const kTooBig = {
  "one byte over the limit": [frame("x".repeat(kMax + 1))], "a length of 2^31": [frame("x", { length: 2 ** 31 })], "a length of 2^32": [frame("x", { length: 2 ** 32 })], "a length of 2^63 - 1": [frame("x", { length: (1n << 63n) - 1n })],
  "a length of 2^63": [frame("x", { length: 1n << 63n })], "a length of 2^64 - 1": [frame("x", { length: (1n << 64n) - 1n })],
  "fragments that together are over the limit": [frame("x".repeat(kMax - 10), { fin: false }), frame("x".repeat(11), { opcode: continuation })],
  "a fragment whose length wraps the sum": [frame("x".repeat(100), { fin: false }), frame("", { opcode: continuation, length: (1n << 64n) - 50n })],
  "many small fragments over the limit": [frame("x", { fin: false }), ...Array.from({ length: 250 }, () => frame("x".repeat(100), { opcode: continuation, fin: false }))],
  "pings between them change nothing": [frame("x".repeat(kMax - 1), { fin: false }), frame("p", { opcode: ping }), frame("xx", { opcode: continuation })],
  "binary, too": [frame(Buffer.alloc(kMax + 1), { opcode: binary })],
};
for (const [name, frames] of Object.entries(kTooBig)) {
  test(`1009: ${name}`, async () => {
    const errors = await counted(relay, "too_big", async () => {
      const raw = await Raw.websocket(relay);
      raw.send(...frames);
      const code = await raw.end();
      // A length with the top bit set may also be called malformed.
      assert.ok(code === 1009 || (code === 1002 && name.includes("2^6")), `${code}`);
    });
    assert.ok(errors <= 1);
  });
}

test("what is allowed, however odd, is taken", async () => {
  const raw = await Raw.websocket(relay);
  const pieces = [...request].map((character, i, all) => frame(character, { opcode: i === 0 ? text : continuation, fin: i === all.length - 1 }));
  const padded = request.slice(0, -1) + " ".repeat(kMax - request.length) + "]";
  for (const frames of [
    [frame(request)], [frame(request, { mask: Buffer.alloc(4) })], [frame(request, { mask: Buffer.from([255, 255, 255, 255]) })], pieces, pieces.flatMap((piece) => [piece, frame("between", { opcode: ping }), frame("", { opcode: pong })]),
    [frame("", { fin: false }), frame("", { opcode: continuation, fin: false }), frame(request, { opcode: continuation, fin: false }), frame("", { opcode: continuation })], [frame(padded)],
    [frame(padded.slice(0, 100), { fin: false }), frame(padded.slice(100), { opcode: continuation })], [frame(padded.slice(0, 126))].slice(1).concat(frame(request)), [frame("", { opcode: pong }), frame("unasked", { opcode: pong }), frame(request)],
    [frame("x".repeat(125), { opcode: ping }), frame(request)],
  ]) {
    const before = raw.messages.length;
    raw.send(...frames);
    await raw.message(() => raw.messages.length > before);
    assert.deepEqual(raw.messages.at(-1), ["COUNT", "x", { count: 0 }]);
  }
  await raw.pong("x".repeat(125));
  raw.send(frame("", { opcode: ping }));
  await raw.pong("");
  for (const odd of [frame(""), frame("", { opcode: binary })]) {
    raw.send(odd);
    await raw.serves();
  }
});

test("a Close is answered with its code, and nothing after it is read", async () => {
  for (const [sent, answer] of [[close_frame(1000), 1000], [close_frame(1001, "bye"), 1001], [close_frame(3000), 3000], [close_frame(4999, "x".repeat(123)), 4999], [frame("", { opcode: close }), 1005]]) {
    const raw = await Raw.websocket(relay);
    raw.send(sent, frame(request), frame("rubbish", { opcode: 7 }));
    assert.equal(await raw.end(), answer);
    assert.deepEqual(raw.messages, []);
  }
});

test("an invalid reason of a Close is 1007", async () => {
  const raw = await Raw.websocket(relay);
  raw.send(frame(Buffer.from([3, 232, 0xc3, 0x28]), { opcode: close }));
  assert.ok([1007, 1002].includes(await raw.end()));
});

// --- permessage-deflate.

const offered = { headers: { "Sec-WebSocket-Extensions": "permessage-deflate" } };
const deflated = (bytes) => deflateRawSync(bytes, { finishFlush: 2 }).subarray(0, -4);  // Z_SYNC_FLUSH without its tail

test("compressed messages are read, in fragments too", async () => {
  const raw = await Raw.connect(relay);
  await raw.upgrade(offered);
  const [whole, bytes, plain] = ["a", "b", "c"].map((id) => request.replace("x", id)).map((text, i) => (i < 2 ? deflated(text) : text));
  raw.send(frame(whole, { rsv: 4 }), frame(bytes.subarray(0, 5), { rsv: 4, fin: false }), frame("p", { opcode: ping }), frame(bytes.subarray(5), { opcode: continuation }), frame(plain));
  await raw.message(() => raw.messages.length === 3);
});

test("1009: what is too big when it is inflated", async () => {
  for (const size of [kMax + 1, 1 << 20, 64 << 20]) {
    const raw = await Raw.connect(relay);
    await raw.upgrade(offered);
    raw.send(frame(deflated(Buffer.alloc(size, 0x20)), { rsv: 4 }));
    assert.equal(await raw.end(), 1009);
  }
});

test("1007 or 1002: what is no compressed data", async () => {
  for (const [bytes, options] of [["rubbish that is no deflate stream", { rsv: 4 }], [Buffer.alloc(100, 0xff), { rsv: 4 }], [deflated(Buffer.from([0xff, 0xfe])), { rsv: 4 }], [deflated(request), { rsv: 6 }], [deflated(request), { rsv: 5 }], [deflated("x"), { rsv: 4, opcode: ping }]]) {
    const raw = await Raw.connect(relay);
    await raw.upgrade(offered);
    raw.send(frame(bytes, options));
    assert.ok([1007, 1002].includes(await raw.end()));
  }
  const raw = await Raw.connect(relay);
  await raw.upgrade(offered);
  raw.send(frame(deflated(request).subarray(0, 4), { rsv: 4, fin: false }), frame("x", { rsv: 4, opcode: continuation }));
  assert.equal(await raw.end(), 1002);
});

test("extensions that make no sense are not agreed on, or refused", async () => {
  for (const offer of ["permessage-deflate; server_max_window_bits=7", "permessage-deflate; client_max_window_bits=99", "permessage-deflate; unknown", "x-unknown", "permessage-deflate; server_max_window_bits=8; server_max_window_bits=9", ";;;", "permessage-deflate;".repeat(200), ","]) {
    const raw = await Raw.connect(relay);
    raw.send(handshake({ headers: { "Sec-WebSocket-Extensions": offer } }));
    const head = await raw.head();
    assert.match(head, /^HTTP\/1\.1 (101|4\d\d) /);
    if (/ 101 /.test(head)) await raw.serves();
    raw.destroy();
  }
});

test("a thousand broken connections do not disturb anybody", async (t) => {
  const all = Object.values({ ...kProtocol, ...kTooBig });
  await beside_a_bystander(t, relay, async () => {
    for (let i = 0; i < 600; i++) {
      const raw = await Raw.websocket(relay);
      raw.send(...all[i % all.length]);
      if (i % 3 === 0) raw.destroy();
      else await raw.end();
    }
  }, { rss_mb_max: 64 });
});

test("compression bombs one after the other", async (t) => {
  const bomb = frame(deflated(Buffer.alloc(64 << 20, 0x20)), { rsv: 4 });
  // Within the frame's limit: 19 MB of blanks in 19 KB.
  const small = frame(deflated(Buffer.alloc(19 << 20, 0x20)), { rsv: 4 });
  await beside_a_bystander(t, relay, async () => {
    for (let i = 0; i < 100; i++) {
      const raw = await Raw.connect(relay);
      await raw.upgrade(offered);
      raw.send(i % 2 === 0 ? small : bomb);
      assert.equal(await raw.end(), 1009);
    }
  }, { rss_mb_max: 64 });
});
