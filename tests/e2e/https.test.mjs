// The node's HTTPS face as foreign programs use it: the openai SDK and curl, over TLS whose key the node made.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import fs from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";
import path from "node:path";
import tls from "node:tls";
import { promisify } from "node:util";
import { kLongQuestion, metric, scenario, until, words_of } from "./lib.mjs";

const require = createRequire(new URL("../interop/package.json", import.meta.url));
const { OpenAI } = require("openai");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** The certificate that the server shows, PEM. */
function certificate_of(url) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const socket = tls.connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      resolve(new X509Certificate(raw));
    });
    socket.on("error", reject);
  });
}

/** One request with these roots; the exact bytes of both bodies. */
function call(url, { method = "GET", body, headers = {}, ca } = {}) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers, ca, agent: false }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts) }));
      answer.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function start(bed, { slow_ms = 0 } = {}) {
  const relay = await bed.relay();
  const engine = await bed.engine({ slow_ms });
  const node = await bed.node({ relay, engine_url: engine.url, sections: { https: { listen: "127.0.0.1:0" } } });
  const [, url] = await node.program.line(/^serving (https:\/\/\S+)$/m);
  const certificate = await certificate_of(url);
  return { engine, node, url, certificate, ca: certificate.toString() };
}

scenario("the openai SDK and curl are served over the node's own TLS key", async (bed) => {
  const { engine, url, certificate, ca } = await start(bed);
  const origin = new URL(url).origin;

  const fetch_with_roots = async (target, options) => {
    const { status, headers, body } = await call(target, { method: options.method ?? "GET", body: options.body,
      headers: Object.fromEntries(new Headers(options.headers)), ca });
    return new Response(body, { status, headers: { "content-type": headers["content-type"] } });
  };
  const openai = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0, fetch: fetch_with_roots });
  const models = await openai.models.list();
  assert.deepEqual(models.data.map((model) => model.id), [engine.model]);
  const whole = await openai.chat.completions.create({ model: engine.model, messages: [{ role: "user", content: "What is a relay?" }], temperature: 0 });
  assert.ok(whole.choices[0].message.content.length > 0);
  let streamed = "";
  for await (const chunk of await openai.chat.completions.create({ model: engine.model, messages: [{ role: "user", content: "What is a relay?" }], temperature: 0, stream: true })) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
  }
  assert.equal(streamed, whole.choices[0].message.content);
  await assert.rejects(openai.chat.completions.create({ model: "other", messages: [] }), (error) => error.status === 404 && error.code === "model_not_found");

  // curl, and what is signed about the bytes that it saw.
  const roots = path.join(bed.folder, "node.pem");
  fs.writeFileSync(roots, ca);
  const request = JSON.stringify({ model: engine.model, messages: [{ role: "user", content: "What is a relay?" }], temperature: 0, stream: true });
  const { stdout } = await promisify(execFile)("curl", ["--silent", "--fail", "--no-buffer", "--cacert", roots,
    "--header", "Content-Type: application/json", "--data-binary", request, `${origin}/v1/chat/completions`], { encoding: "buffer" });
  assert.equal(words_of(stdout), streamed);
  const { id } = JSON.parse(stdout.toString().split("\n").find((line) => line.startsWith("data: {")).slice(6));
  const signed = JSON.parse((await call(`${origin}/v1/signature/${id}?signing_algo=ecdsa&model=${engine.model}`, { ca })).body);
  assert.equal(signed.text, `${engine.model}:${sha256(request)}:${sha256(stdout)}`);

  // The report is over our nonce, this address and this TLS key.
  const nonce = "5a".repeat(32);
  const report = JSON.parse((await call(`${origin}/v1/attestation/report?nonce=${nonce}&include_tls_fingerprint=true`, { ca })).body);
  const spki = sha256(certificate.publicKey.export({ type: "spki", format: "der" }));
  assert.equal(report.tls_cert_fingerprint, spki);
  assert.equal(report.signing_address, signed.signing_address);
  const address = Buffer.from(report.signing_address.slice(2), "hex");
  const bound = sha256(Buffer.concat([address, Buffer.from(spki, "hex")])) + nonce;
  assert.ok(report.intel_quote.includes(bound), "report data");
  assert.equal(report.model_attestations[0].intel_quote, report.intel_quote);
  assert.equal(typeof JSON.parse(report.info.tcb_info.app_compose), "object");
});

scenario("a client that goes away stops the engine", async (bed) => {
  const { engine, url, ca } = await start(bed, { slow_ms: 50 });
  const body = JSON.stringify({ model: engine.model, messages: [{ role: "user", content: kLongQuestion }], max_tokens: 400, stream: true });
  await new Promise((resolve, reject) => {
    const request = https.request(`${url}/chat/completions`, { method: "POST", ca, agent: false }, (answer) => {
      answer.on("error", () => {});
      answer.once("data", () => { request.destroy(); resolve(); });
    });
    request.on("error", (error) => { if (!request.destroyed) reject(error); });
    request.end(body);
  });
  await until(5_000, "an idle engine", async () => (await metric(engine, "requests_processing")) === 0);
});
