// The whole path over wss://, with a certificate made here and now.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";
import tls from "node:tls";
import { read, read_json, scenario, tag, until, within } from "./lib.mjs";

/** A self-signed certificate, its own root, of 127.0.0.1 or of another name. */
function certificate(folder, name, subject = "IP:127.0.0.1") {
  const [tls_certificate, tls_key] = ["pem", "key"].map((end) => path.join(folder, `${name}.${end}`));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
    "-subj", `/CN=${name}`, "-addext", `subjectAltName=${subject}`, "-keyout", tls_key, "-out", tls_certificate], { stdio: "pipe" });
  return { tls_certificate, tls_key };
}

scenario("relay, node and client speak wss:// with a certificate that they were told to trust, and with no other", async (bed) => {
  const settings = certificate(bed.folder, "relay");
  const relay = await bed.relay({ settings });
  assert.match(relay.url, /^wss:\/\/127\.0\.0\.1:\d+$/);
  const ca_file = settings.tls_certificate;
  const node = await bed.node({ relay, settings: { ca_file } });
  const save = path.join(bed.folder, "saved");
  const options = { relay, node, question: "What is a relay?" };
  const good = await bed.chat({ ...options, save, ca_file }).end(30_000);
  assert.equal(good.code, 0, good.err);
  const record = read_json(save, "record.json");
  assert.equal(tag(record, "status"), "ok");
  assert.equal(tag(read_json(save, "receipt.json"), "amount"), tag(record, "spent"));

  const stranger = certificate(bed.folder, "stranger").tls_certificate;
  const untold = bed.chat({ ...options, home: "untold" });
  const misled = bed.chat({ ...options, home: "misled", ca_file: stranger });
  for (const chat of [untold, misled]) {
    const { code, out, err } = await chat.end(40_000);
    assert.equal(code, 1);
    assert.equal(out, "");
    assert.match(err, /wss:\/\/127\.0\.0\.1:\d+\/?: .*certificate.*self.signed/);
  }
  const lost = bed.node_program({ relay, data: path.join(bed.folder, "lost") });
  await lost.program.said(/wss:\/\/127\.0\.0\.1:\d+\/?: .*certificate.*self.signed/);
  assert.doesNotMatch(lost.program.out.toString(), /serving/);
});

scenario("a certificate of another name is refused though its root is trusted", async (bed) => {
  const settings = certificate(bed.folder, "elsewhere", "DNS:elsewhere.example");
  const relay = await bed.relay({ settings });
  const { code, err } = await bed.client(["req", "--relay", relay.url, "--ca-file", settings.tls_certificate, "-k", "1"]).end(30_000);
  assert.equal(code, 1);
  assert.match(err, /certificate: IP address mismatch/);
});

scenario("files that can't be used are named at the start", async (bed) => {
  const { tls_certificate, tls_key } = certificate(bed.folder, "relay");
  const other = certificate(bed.folder, "other");
  for (const [settings, said] of [
    [{ tls_certificate }, /tls_certificate and tls_key: set both or none/],
    [{ tls_certificate: "/nowhere.pem", tls_key }, /certificate \/nowhere\.pem/],
    [{ tls_certificate, tls_key: other.tls_key }, /key .*other\.key/],
  ]) {
    await assert.rejects(bed.relay({ settings }), said);
  }
  const relay = await bed.relay();
  const { program } = bed.node_program({ relay, settings: { ca_file: "/nowhere.pem" } });
  const node = await program.end(10_000);
  assert.equal(node.code, 1);
  assert.match(node.err, /nostril-node: .*\/nowhere\.pem/);
  const client = await bed.client(["req", "--relay", relay.url, "--ca-file", "/nowhere.pem", "-k", "1"]).end(10_000);
  assert.equal(client.code, 1);
  assert.match(client.err, /nostril: .*\/nowhere\.pem/);
});

/** One request and its whole answer. */
function call(client, url, { body, ...options } = {}) {
  return within(30_000, `${url} answers`, new Promise((resolve, reject) => {
    const request = client.request(url, { method: body ? "POST" : "GET", agent: false, ...options }, (response) => {
      let text = "";
      response.on("data", (bytes) => { text += bytes; }).on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on("error", reject).end(body);
  }));
}

scenario("the gateway serves HTTPS under the certificate that it was given, and nothing in the clear", async (bed) => {
  const relay = await bed.relay();
  const node = await bed.node({ relay });
  const { tls_certificate, tls_key } = certificate(bed.folder, "gateway");
  const start = (key) => bed.client(["gateway", ...bed.client_options({ relay, node }), "--listen", "127.0.0.1:0",
    "--tls-cert", tls_certificate, "--tls-key", key]);
  const gateway = start(tls_key);
  const [, url] = await gateway.line(/^listening on (https:\/\/\S+\/v1)$/m);
  const ca = read(tls_certificate);
  const body = JSON.stringify({ model: node.model, messages: [{ role: "user", content: "What is a relay?" }], max_tokens: 30 });
  const answer = await call(https, `${url}/chat/completions`, { ca, body });
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers["x-nostril-record"], /^[0-9a-f]{64}$/);
  assert.ok(JSON.parse(answer.text).choices[0].message.content.length > 10);
  await assert.rejects(call(https, `${url}/models`), { code: /SELF_SIGNED/ }, "nobody named its certificate");
  await assert.rejects(call(http, `${url.replace("https", "http")}/models`), "without TLS");

  const other = certificate(bed.folder, "other");
  const { code, out, err } = await start(other.tls_key).end(30_000);
  assert.notEqual(code, 0);
  assert.doesNotMatch(out, /listening/);
  assert.match(err, /other\.key/);
});

/** Which certificate is served to a new connection. */
const served = (url) => new Promise((resolve, reject) => {
  const { hostname: host, port } = new URL(url);
  const socket = tls.connect({ host, port: Number(port), rejectUnauthorized: false }, () => {
    resolve(socket.getPeerCertificate().subject.CN);
    socket.destroy();
  });
  socket.once("error", reject);
});

const refusals = async (url) => {
  const { text } = await call(https, `${url.replace(/^wss/, "https").replace(/\/$/, "")}/metrics`, { rejectUnauthorized: false });
  return Number(/^nostril_relay_reloads_total\{result="refused"\} (\d+)$/m.exec(text)[1]);
};

scenario("a relay serves a renewed certificate without a restart, and keeps the old one when the new can't be used", async (bed) => {
  const settings = certificate(bed.folder, "relay");
  const relay = await bed.relay({ settings });
  const pid = relay.program.pid;
  assert.equal(await served(relay.url), "relay");
  const open = tls.connect({ host: "127.0.0.1", port: relay.port, rejectUnauthorized: false });
  await new Promise((resolve, reject) => open.once("secureConnect", resolve).once("error", reject));
  const replace = (from) => {
    for (const file of ["tls_certificate", "tls_key"]) {
      fs.copyFileSync(from[file], `${settings[file]}.new`);
      fs.renameSync(`${settings[file]}.new`, settings[file]);
    }
  };

  replace(certificate(bed.folder, "renewed"));
  await until(10_000, "the new one is served", async () => (await served(relay.url)) === "renewed");
  const answer = new Promise((resolve) => open.once("data", (bytes) => resolve(bytes.toString())));
  open.write("GET / HTTP/1.1\r\nHost: relay\r\nAccept: application/nostr+json\r\n\r\n");
  assert.match(await answer, /^HTTP\/1\.1 200 /);  // under the old one
  assert.equal(open.getPeerCertificate().subject.CN, "relay");
  open.destroy();

  const half = certificate(bed.folder, "half");
  for (const broken of ["no certificate\n", fs.readFileSync(half.tls_certificate)]) {  // the second: of another key
    const before = await refusals(relay.url);
    fs.writeFileSync(`${settings.tls_certificate}.new`, broken);
    fs.renameSync(`${settings.tls_certificate}.new`, settings.tls_certificate);
    await until(10_000, "it is refused", async () => (await refusals(relay.url)) > before);
    assert.equal(await served(relay.url), "renewed");
  }
  replace(half);
  await until(10_000, "one that fits is served again", async () => (await served(relay.url)) === "half");
  assert.equal(relay.program.pid, pid);
});
