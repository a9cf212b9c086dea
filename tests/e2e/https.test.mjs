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
import { kBin, kLongQuestion, kRoot, metric, scenario, until, words_of } from "./lib.mjs";

const require = createRequire(new URL("../interop/package.json", import.meta.url));
const { OpenAI, toFile } = require("openai");
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

async function start(bed, { slow_ms = 0, engine: own, sections = {} } = {}) {
  const relay = await bed.relay();
  const engine = own ?? await bed.engine({ slow_ms });
  const node = await bed.node({ relay, engine_url: engine.url, sections: { https: { listen: "127.0.0.1:0" }, ...sections } });
  const [, url] = await node.program.line(/^serving (https:\/\/\S+)$/m);
  const certificate = await certificate_of(url);
  return { engine, node, url, certificate, ca: certificate.toString() };
}

/** The openai SDK, trusting these roots only. Its bodies may be forms; `sent` holds the last one's bytes. */
function sdk_of(url, ca, sent = {}) {
  const fetch_with_roots = async (target, options) => {
    const given = new Response(options.body);  // a form gets its delimiters here
    const headers = Object.fromEntries(new Headers(options.headers));
    if (options.body instanceof FormData) headers["content-type"] = given.headers.get("content-type");
    sent.body = options.body ? Buffer.from(await given.arrayBuffer()) : undefined;
    const answer = await call(target, { method: options.method ?? "GET", body: sent.body, headers, ca });
    return new Response(answer.body, { status: answer.status, headers: { "content-type": answer.headers["content-type"] } });
  };
  return new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0, fetch: fetch_with_roots });
}

scenario("the openai SDK and curl are served over the node's own TLS key", async (bed) => {
  const { engine, url, certificate, ca } = await start(bed);
  const origin = new URL(url).origin;

  const openai = sdk_of(url, ca);
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

scenario("the certificate and the report name the machine's quote over the TLS key", async (bed) => {
  const { node, url, certificate, ca } = await start(bed);
  const pem = path.join(bed.folder, "node.pem");
  fs.writeFileSync(pem, ca);
  const judge = async (...args) => {
    const { code, out, err } = await bed.client(["verify", "report", "--root", node.root, "--json", ...args]).end(20_000);
    assert.equal(code, 1, err);  // nobody brings Intel's collateral of a simulated machine
    const { failed, claims } = JSON.parse(out);
    return { failed: failed.map(({ check }) => check.replace(/^(gateway|model)\./, "")), claims };
  };
  const kCollateral = ["tcb_info", "qe_identity", "revocation", "tcb"];
  const spki = sha256(certificate.publicKey.export({ type: "spki", format: "der" }));

  // dstack's RA-TLS has no place for the compose text.
  const carried = await judge("--file", pem, "--peer-spki", pem);
  assert.equal(carried.claims.form, "ra-tls");
  assert.equal(carried.claims.tls_spki_sha256, spki);
  assert.deepEqual(carried.failed, [...kCollateral, "app_compose", "images_pinned"]);
  const foreign = await judge("--file", pem, "--peer-spki", "00".repeat(32));
  assert.ok(foreign.failed.includes("peer_key"), foreign.failed.join());

  const saved = path.join(bed.folder, "report.json");
  const asked = await judge("--url", new URL(url).origin, "--ca-file", pem, "--save", saved);
  assert.equal(asked.claims.gateway.tls_spki_sha256, spki);
  assert.deepEqual([...new Set(asked.failed)], kCollateral);

  // What verifiers of dstack guests read beside the quote, in the forms that they take.
  const report = JSON.parse(fs.readFileSync(saved));
  assert.equal(new X509Certificate(report.tls_certificate).fingerprint256, certificate.fingerprint256);
  const events = JSON.parse(report.gateway_attestation.event_log);
  assert.deepEqual(events, report.event_log);
  let rtmr3 = Buffer.alloc(48);
  for (const { imr, digest } of events) {
    if (imr === 3) rtmr3 = createHash("sha384").update(rtmr3).update(Buffer.from(digest, "hex")).digest();
  }
  assert.equal(report.info.tcb_info.rtmr3, rtmr3.toString("hex"), "the digests replay as they stand");
  assert.equal(report.info.compose_hash, sha256(report.info.tcb_info.app_compose));
  assert.ok(report.intel_quote.includes(report.report_data));
  assert.ok(report.intel_quote.includes(report.info.tcb_info.mrtd));

  // ACI's verifiers take the log as a text, and want to be told of an image.
  const { attestation } = JSON.parse((await call(`${new URL(url).origin}/v1/aci/attestation`, { ca })).body);
  assert.deepEqual(JSON.parse(attestation.evidence.event_log), events);
  assert.match(attestation.source_provenance.image_digest, /^sha256:[0-9a-f]{64}$/);
  assert.ok(attestation.evidence.app_compose.includes(attestation.source_provenance.image_digest));
});

scenario("the commands of docs/https.md do what it says", async (bed) => {
  const { engine, node, url } = await start(bed);
  const [, script] = /```sh\n([^]*?)```/.exec(fs.readFileSync(path.join(kRoot, "docs/https.md"), "utf8"));
  const { stdout } = await promisify(execFile)("bash", ["-euo", "pipefail", "-c", script], {
    cwd: bed.folder, timeout: 30_000,
    env: { ...process.env, PATH: `${kBin}:${process.env.PATH}`, url: new URL(url).origin, model: engine.model, root: node.root },
  });
  const said = stdout.toString();
  assert.ok(said.includes(`"id":"${engine.model}"`), "the list of models");
  const { text } = JSON.parse(fs.readFileSync(path.join(bed.folder, "signature.json")));
  assert.ok(said.includes(text), "grep found both hashes");
  assert.ok(said.includes("data: [DONE]"), "the stream");
  assert.equal(said.match(/^REFUSED \(SIMULATED EVIDENCE/gm).length, 2, said);
});

scenario("the openai SDK and curl upload sounds, byte for byte, and their transcripts are streamed", async (bed) => {
  const engine = await bed.scripted_engine();
  const { url, ca } = await start(bed, { engine, sections: { engine: { paths: ["/v1/audio/transcriptions"] } } });
  const sound = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256));
  const sent = {};
  const openai = sdk_of(url, ca, sent);
  const file = () => toFile(sound, "sound.wav", { type: "audio/wav" });
  const whole = await openai.audio.transcriptions.create({ model: engine.model, file: await file(), language: "en" });
  assert.equal(whole.text, sha256(sent.body), "the engine got the bytes that the SDK sent");
  let streamed = "";
  for await (const chunk of await openai.audio.transcriptions.create({ model: engine.model, file: await file(), stream: true })) {
    streamed += chunk.choices?.[0]?.delta.content ?? "";
  }
  assert.match(streamed, /^[0-9a-f]{64}$/);

  const saved = path.join(bed.folder, "sound.wav");
  const roots = path.join(bed.folder, "node.pem");
  fs.writeFileSync(saved, sound);
  fs.writeFileSync(roots, ca);
  const { stdout } = await promisify(execFile)("curl", ["--silent", "--fail", "--cacert", roots,
    "--form", `model=${engine.model}`, "--form", `file=@${saved}`, "--form", "stream=true", `${url}/audio/transcriptions`]);
  const { id } = JSON.parse(stdout.split("\n")[0].slice(6));
  const signed = JSON.parse((await call(`${url}/signature/${id}`, { ca })).body);
  assert.equal(signed.text.split(":").at(-1), sha256(stdout));
});
