// Text is UTF-8 or the connection ends with 1007, wherever the fault stands and however the message is cut.
import assert from "node:assert/strict";
import { test } from "node:test";
import { frame, kOpcode, Raw, relay_under_test } from "./lib.mjs";

const relay = relay_under_test();
const bytes = (...list) => Buffer.from(list);
const kBad = {
  "a lone continuation": bytes(0x80), "the last continuation": bytes(0xbf), "many continuations": Buffer.alloc(64, 0x80), "a start of two, alone": bytes(0xc3), "a start of two, then ASCII": bytes(0xc3, 0x28), "a start of three, cut": bytes(0xe2, 0x82), "a start of four, cut": bytes(0xf0, 0x9f, 0xa6),
  "overlong NUL": bytes(0xc0, 0x80), "overlong slash": bytes(0xc0, 0xaf), "overlong in three": bytes(0xe0, 0x80, 0xaf), "overlong in four": bytes(0xf0, 0x80, 0x80, 0xaf), "the largest overlong in two": bytes(0xc1, 0xbf), "the largest overlong in three": bytes(0xe0, 0x9f, 0xbf), "the largest overlong in four": bytes(0xf0, 0x8f, 0xbf, 0xbf),
  "a high surrogate": bytes(0xed, 0xa0, 0x80), "a low surrogate": bytes(0xed, 0xbf, 0xbf), "a pair of surrogates": bytes(0xed, 0xa0, 0xbd, 0xed, 0xb2, 0xa9), "above U+10FFFF": bytes(0xf4, 0x90, 0x80, 0x80), "far above": bytes(0xf7, 0xbf, 0xbf, 0xbf), "five bytes": bytes(0xf8, 0x88, 0x80, 0x80, 0x80), "six bytes": bytes(0xfc, 0x84, 0x80, 0x80, 0x80, 0x80),
  "FE": bytes(0xfe), "FF": bytes(0xff), "UTF-16": bytes(0xff, 0xfe, 0x5b, 0x00), "Latin-1": bytes(0xe9, 0x74, 0xe9),
};
const kGood = { "two bytes": "é", "three": "漢", "four": "🦊", "the first of three": "\u0800", "before the surrogates": "\ud7ff", "after them": "\ue000", "a byte order mark inside": "x\ufeff", "the last": "\u{10ffff}", "a non-character": "\uffff" };
const around = (inner) => Buffer.concat([Buffer.from('["COUNT","'), Buffer.from(inner), Buffer.from('",{"ids":[]}]')]);

for (const [name, bad] of Object.entries(kBad)) {
  test(`1007: ${name}`, async () => {
    for (const payload of [around(bad), bad, Buffer.concat([bad, around("x")]), Buffer.concat([around("x"), bad]), around(Buffer.concat([Buffer.from("x".repeat(200)), bad]))]) {
      const cuts = [0, ...Array.from({ length: Math.min(payload.length - 1, 24) }, (_, i) => Math.floor(((i + 1) * payload.length) / 25))];
      for (const cut of new Set(payload.length > 100 ? cuts.slice(0, 6) : cuts)) {
        const raw = await Raw.websocket(relay);
        if (cut === 0) raw.send(frame(payload));
        else raw.send(frame(payload.subarray(0, cut), { fin: false }), frame(payload.subarray(cut), { opcode: kOpcode.continuation }));
        assert.equal(await raw.end(), 1007);
      }
    }
  });
}

test("what is UTF-8 is taken, cut anywhere", async () => {
  const raw = await Raw.websocket(relay);
  for (const [name, good] of Object.entries(kGood)) {
    const payload = around(good);
    for (let cut = 1; cut < payload.length; cut++) {
      const before = raw.frames.length;
      raw.send(frame(payload.subarray(0, cut), { fin: false }), frame(payload.subarray(cut), { opcode: kOpcode.continuation }));
      await raw.message(() => raw.frames.length > before);
      assert.deepEqual(raw.messages.at(-1), ["COUNT", good, { count: 0 }], name);
    }
  }
});
