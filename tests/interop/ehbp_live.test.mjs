// Applications whose SDK sends encrypted bodies: the openai SDK over npm ehbp, as published, through the node's HTTPS face.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Bed, kLongQuestion, words_of } from "../e2e/lib.mjs";

const kFile = fileURLToPath(import.meta.url);

/** In a child, whose roots are those of the node: what the SDK got, as one line of JSON. */
async function ask_as_child() {
  const { default: OpenAI } = await import("openai");
  const { createTransport } = await import("ehbp");
  const { url, model, key, stream, question } = JSON.parse(process.env.EHBP_ASK);
  const transport = await createTransport(url);
  let wire = null;
  const openai = new OpenAI({
    baseURL: `${url}/v1`, apiKey: key, maxRetries: 0, timeout: 30_000,
    fetch: async (target, init) => {
      const answer = await transport.request(target.toString(), init);
      wire = { status: answer.status, nonce: answer.headers.get("ehbp-response-nonce"), receipt: answer.headers.get("x-receipt-id") };
      return answer;
    },
  });
  const ask = { model, messages: [{ role: "user", content: question }], temperature: 0, max_tokens: 40 };
  const out = { pieces: [] };
  try {
    if (stream) {
      for await (const chunk of await openai.chat.completions.create({ ...ask, stream: true })) {
        const piece = chunk.choices[0]?.delta.content;
        if (piece) out.pieces.push(piece);
        out.id = chunk.id;
      }
    } else {
      const whole = await openai.chat.completions.create(ask);
      out.pieces.push(whole.choices[0].message.content);
      out.id = whole.id;
    }
  } catch (error) {
    out.error = { status: error.status, type: error.type, code: error.code };
  }
  console.log(JSON.stringify({ ...out, wire }));
}

if (process.env.EHBP_ASK) {
  await ask_as_child();
} else {
  let bed;
  let engine;
  let tap;
  let node;
  let url;
  let key;
  let ca;

  /** The certificate that the node made, from its handshake: the child trusts it and no other. */
  const certificate_of = (port) => new Promise((resolve, reject) => {
    const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
      const { raw } = socket.getPeerCertificate();
      socket.end();
      resolve(`-----BEGIN CERTIFICATE-----\n${raw.toString("base64").match(/.{1,64}/g).join("\n")}\n-----END CERTIFICATE-----\n`);
    });
    socket.on("error", reject);
  });

  const ask = async (options) => JSON.parse((await promisify(execFile)(process.execPath, [kFile], {
    timeout: 30_000,
    env: { ...process.env, NODE_TEST_CONTEXT: "", NODE_EXTRA_CA_CERTS: ca, EHBP_ASK: JSON.stringify({ url, model: engine.model, key, ...options }) },
  })).stdout);

  const said = () => Buffer.concat(tap.completions().at(-1).response).toString();

  before(async () => {
    bed = new Bed();
    const relay = await bed.relay();
    engine = await bed.engine({ slow_ms: 5 });
    tap = await bed.http_tap(engine);
    node = await bed.node({ relay, engine_url: tap.url, sections: { https: { listen: "127.0.0.1:0" }, access: { mode: "keys" } } });
    const [, base] = await node.program.line(/^serving (https:\/\/\S+)\/v1$/m);
    url = base;
    ca = path.join(bed.folder, "https.pem");
    fs.writeFileSync(ca, await certificate_of(Number(new URL(url).port)));
    const config = path.join(bed.folder, "node.toml");
    const made = bed.node_command(["keys", "add", "alice", "--config", config, "--tokens", "40000"]);
    [key] = await made.line(/^nk-[0-9a-f]{64}$/m);
    await new Promise((resolve) => setTimeout(resolve, 1_100));  // the node looks once a second
  });

  after(() => bed.close());

  describe("the openai SDK over ehbp", { timeout: 60_000 }, () => {
    it("gets a whole answer that was sealed on the wire", async () => {
      const got = await ask({ stream: false, question: "What is a relay?" });
      assert.equal(got.error, undefined);
      assert.match(got.wire.nonce, /^[0-9a-f]{64}$/);
      assert.equal(got.pieces[0], JSON.parse(said()).choices[0].message.content);
      assert.match(got.wire.receipt, /^rcpt-[0-9a-f]{32}$/);
    });

    it("streams: the pieces are those of the engine, one by one", async () => {
      const got = await ask({ stream: true, question: kLongQuestion });
      assert.equal(got.error, undefined);
      assert.ok(got.pieces.length > 5, `${got.pieces.length} pieces`);
      assert.equal(got.pieces.join(""), words_of(said()));
      assert.match(got.wire.nonce, /^[0-9a-f]{64}$/);
    });

    it("is told of a wrong key, in OpenAI's form, and the engine is not asked", async () => {
      const before = tap.completions().length;
      assert.deepEqual((await ask({ stream: false, question: "?", key: "nk-none" })).error,
        { status: 401, type: "unauthorized", code: "invalid_api_key" });
      assert.equal(tap.completions().length, before);
    });

    it("has its prompt in no file of the node", async () => {
      const question = "Wo wohnt der Quastenflosser?";
      assert.equal((await ask({ stream: false, question })).error, undefined);
      for (const file of fs.readdirSync(node.data, { recursive: true })) {
        const full = path.join(node.data, file);
        if (fs.statSync(full).isFile()) assert.ok(!fs.readFileSync(full).includes("Quastenflosser"), file);
      }
    });
  });
}
