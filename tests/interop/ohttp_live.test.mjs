// Oblivious HTTP as a client of another hand speaks it: npm hpke, binary HTTP and the chunks composed here, through a relay
// that holds the API key, against the node's HTTPS face.
import assert from "node:assert/strict";
import { createDecipheriv, hkdfSync } from "node:crypto";
import https from "node:https";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import * as hpke from "hpke";
import { Bed, words_of } from "../e2e/lib.mjs";

const kTag = 16;
const suite = new hpke.CipherSuite(hpke.KEM_DHKEM_X25519_HKDF_SHA256, hpke.KDF_HKDF_SHA256, hpke.AEAD_AES_128_GCM);
const text = (value) => Buffer.from(value);

/** QUIC's number, of at most four bytes. */
function number(value) {
  if (value < 0x40) return Buffer.from([value]);
  const out = Buffer.alloc(4);
  out.writeUInt32BE((value | 0x80000000) >>> 0);
  return out;
}

const sized = (bytes) => Buffer.concat([number(bytes.length), bytes]);

/** Takes numbers and sized texts off the front of its bytes. */
class Reader {
  constructor(bytes) { this.rest = bytes; }

  number() {
    const size = 1 << (this.rest[0] >> 6);
    const value = this.rest.readUIntBE(0, size) - (this.rest[0] >> 6) * 2 ** (8 * size - 2);
    this.rest = this.rest.subarray(size);
    return value;
  }

  take(size) {
    const out = this.rest.subarray(0, size);
    assert.equal(out.length, size, "cut off");
    this.rest = this.rest.subarray(size);
    return out;
  }

  sized() { return this.take(this.number()); }
}

function request_of({ method, target, body = "", headers = {} }) {
  const fields = Object.entries(headers).flatMap(([name, value]) => [sized(text(name)), sized(text(value))]);
  return Buffer.concat([number(0), ...[method, "https", "node", target].map((part) => sized(text(part))),
    sized(Buffer.concat(fields)), sized(text(body)), number(0)]);
}

function response_of(message) {
  const reader = new Reader(message);
  const framing = reader.number();
  const out = { status: reader.number(), headers: {}, body: Buffer.alloc(0) };
  const fields = (from, name) => { out.headers[name.toString()] = from.sized().toString(); };
  if (framing === 1) {
    const section = new Reader(reader.sized());
    while (section.rest.length > 0) fields(section, section.sized());
    out.body = reader.sized();
    return out;
  }
  assert.equal(framing, 3);
  for (let name = reader.sized(); name.length > 0; name = reader.sized()) fields(reader, name);
  for (let part = reader.sized(); part.length > 0; part = reader.sized()) out.body = Buffer.concat([out.body, part]);
  return out;
}

/** What comes back for one inner request: {status, headers, body, parts}. `outer`: headers that the relay adds. */
async function ask(origin, config, inner, { chunked = false, outer = {} } = {}) {
  const kind = chunked ? "bhttp chunked" : "bhttp";
  const head = Buffer.concat([config.subarray(0, 3), config.subarray(37, 41)]);
  const { encapsulatedSecret, ctx } = await suite.SetupSender(await suite.DeserializePublicKey(config.subarray(3, 35)),
    { info: Buffer.concat([text(`message/${kind} request\0`), head]) });
  const seal = async (bytes, aad = "") => Buffer.from(await ctx.Seal(bytes, text(aad)));
  const message = request_of(inner);
  const sealed = chunked
    ? [sized(await seal(message.subarray(0, 9))), sized(await seal(message.subarray(9))), number(0), await seal(Buffer.alloc(0), "final")]
    : [await seal(message)];
  const media = (name) => `message/ohttp-${chunked ? "chunked-" : ""}${name}`;
  const answer = await new Promise((resolve, reject) => {
    const call = https.request(`${origin}/ohttp`, { method: "POST", agent: false, rejectUnauthorized: false, headers: { "content-type": media("req"), ...outer } }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve({ status: response.statusCode, type: response.headers["content-type"], body: Buffer.concat(parts) }));
    });
    call.on("error", reject);
    call.end(Buffer.concat([head, Buffer.from(encapsulatedSecret), ...sealed]));
  });
  assert.deepEqual([answer.status, answer.type], [200, media("res")], answer.body.toString());

  const nonce = answer.body.subarray(0, 16);
  const secret = Buffer.from(await ctx.Export(text(`message/${kind} response`), 16));
  const salt = Buffer.concat([Buffer.from(encapsulatedSecret), nonce]);
  const key = Buffer.from(hkdfSync("sha256", secret, salt, "key", 16));
  const base = Buffer.from(hkdfSync("sha256", secret, salt, "nonce", 12));
  let count = 0;
  const open = (bytes, aad = "") => {
    const iv = Buffer.from(base);
    iv.writeUInt32BE((iv.readUInt32BE(8) ^ count++) >>> 0, 8);
    const cipher = createDecipheriv("aes-128-gcm", key, iv).setAAD(text(aad)).setAuthTag(bytes.subarray(-kTag));
    return Buffer.concat([cipher.update(bytes.subarray(0, -kTag)), cipher.final()]);
  };
  const reader = new Reader(answer.body.subarray(16));
  if (!chunked) return { ...response_of(open(reader.rest)), parts: 1 };
  const parts = [];
  for (let size = reader.number(); size > 0; size = reader.number()) parts.push(open(reader.take(size)));
  parts.push(open(reader.rest, "final"));
  return { ...response_of(Buffer.concat(parts)), parts: parts.length };
}

describe("oblivious requests through a relay that pays", { timeout: 60_000 }, () => {
  let bed;
  let engine;
  let origin;
  let config;
  let outer;
  const chat = (stream) => ({ method: "POST", target: "/v1/chat/completions", headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: engine.model, stream, temperature: 0, messages: [{ role: "user", content: "What is a relay?" }] }) });

  before(async () => {
    bed = new Bed();
    engine = await bed.engine();
    const node = await bed.node({ relay: await bed.relay(), engine_url: engine.url,
      sections: { https: { listen: "127.0.0.1:0" }, access: { mode: "keys" } } });
    [, origin] = await node.program.line(/^serving (https:\/\/\S+)\/v1$/m);
    const made = bed.node_command(["keys", "add", "relay", "--config", path.join(bed.folder, "node.toml"), "--tokens", "40000"]);
    const [key] = await made.line(/^nk-[0-9a-f]{64}$/m);
    outer = { authorization: `Bearer ${key}` };
    await new Promise((resolve) => setTimeout(resolve, 1_100));  // the node looks once a second
    config = await new Promise((resolve, reject) => https.get(`${origin}/.well-known/ohttp-gateway`, { rejectUnauthorized: false }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part)).on("end", () => resolve(Buffer.concat(parts)));
    }).on("error", reject));
  });

  after(() => bed.close());

  it("are answered whole", async () => {
    const got = await ask(origin, config, chat(false), { outer });
    assert.equal(got.status, 200);
    assert.equal(got.headers["content-type"], "application/json");
    assert.ok(JSON.parse(got.body).choices[0].message.content.length > 0);
  });

  it("are answered in chunks, as the engine writes", async () => {
    const whole = JSON.parse((await ask(origin, config, chat(false), { outer })).body).choices[0].message.content;
    const got = await ask(origin, config, chat(true), { outer, chunked: true });
    assert.equal(words_of(got.body), whole);
    assert.ok(got.parts > 5, `${got.parts} parts`);
  });

  it("stand on the key outside, whatever is inside", async () => {
    assert.equal((await ask(origin, config, chat(false))).status, 401);
    const inside = chat(false);
    inside.headers.authorization = outer.authorization;
    assert.equal((await ask(origin, config, inside)).status, 200);
    const wrong = { authorization: `Bearer nk-${"0".repeat(64)}` };
    assert.equal((await ask(origin, config, inside, { outer: wrong })).status, 401);
  });
});
