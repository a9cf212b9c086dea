// client/js's one file for pages, in Chromium, under a strict policy: relay, node, verdict and receipts as in Node.js.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { chromium } from "playwright-core";
import { isGenuine, readReceipt, readRecord } from "../../client/js/dist/node.js";
import { Bed, kLongQuestion, kRoot, until, words_of } from "../e2e/lib.mjs";
import { sha256_hex } from "./js_support.mjs";

const kMs = 20_000;
const kChromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((file) => fs.existsSync(file));
const skip = kChromium ? false : "no /usr/bin/chromium: run ./scripts/setup";

const kScript = `
import { GatewayVerifier, IndexedDbStorage, nostrilFetch } from "/nostril.min.js";
let opened;
window.nostril = {
  async open({ relay, gateway }) {
    const storage = await IndexedDbStorage.open();
    const warnings = [];
    const fetch = nostrilFetch({ relays: [relay], verifier: new GatewayVerifier(gateway), storage, allowSimulated: true, onWarning: (text) => warnings.push(text) });
    opened = { fetch, client: await fetch.client() };
    return { exclusive: await storage.exclusive(), warnings, ready: await opened.client.ready() };
  },
  async ask(body) {
    const response = await opened.fetch("https://api.openai.com/v1/chat/completions", { method: "POST", body: JSON.stringify(body) });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    let pieces = 0;
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      text += next.value;
      pieces += 1;
      document.body.textContent = text;
    }
    return { text, pieces, label: response.headers.get("x-nostril-verification") };
  },
  async leave(body) {
    const controller = new AbortController();
    const asked = opened.fetch("https://x/v1/chat/completions", { method: "POST", body: JSON.stringify(body), signal: controller.signal });
    setTimeout(() => controller.abort(), 300);
    return asked.then(() => "answered", (error) => error.name);
  },
  kept: async () => ({ records: await opened.client.wallet.records(), receipts: await opened.client.wallet.receipts() }),
};
document.title = "ready";
`;

let bed;
let relay;
let node;
let gateway;
let engine;
let tap;
let browser;
let site;

/** Serves the page and the bundle, nothing else. */
async function serve() {
  const files = {
    "/": ["text/html", "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title></title><body></body><script type=module src=/page.mjs></script>"],
    "/page.mjs": ["text/javascript", kScript],
    "/nostril.min.js": ["text/javascript", fs.readFileSync(path.join(kRoot, "client/js/dist/nostril.min.js"))],
  };
  const policy = `default-src 'none'; script-src 'self'; img-src data:; connect-src ${relay.url} ${new URL(gateway.url).origin}; require-trusted-types-for 'script'`;
  const server = http.createServer((request, response) => {
    const [type, content] = files[request.url] ?? [];
    if (!type) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": type, "content-security-policy": policy }).end(content);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  bed.on_stop(() => { server.closeAllConnections(); return new Promise((resolve) => server.close(resolve)); });
  return `http://127.0.0.1:${server.address().port}/`;
}

/** A page that is ready; what went wrong on it fails close(). */
async function open(context, { quiet = true } = {}) {
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.setDefaultTimeout(kMs);
  await page.goto(site);
  await page.waitForFunction(() => document.title === "ready");
  const state = await page.evaluate((options) => window.nostril.open(options), { relay: relay.url, gateway: new URL(gateway.url).origin });
  return { page, state, async close() { await page.close(); if (quiet) assert.deepEqual(wrong, []); } };
}

const body_of = (more = {}) => ({ model: engine.model, messages: [{ role: "user", content: kLongQuestion }], temperature: 0, max_tokens: 40, stream: true, ...more });
const said = () => Buffer.concat(tap.completions().at(-1).response);

before(async () => {
  bed = new Bed();
  if (skip) return;
  relay = await bed.relay();
  engine = await bed.engine({ slow_ms: 15 });
  tap = await bed.http_tap(engine);
  node = await bed.node({ relay, engine_url: tap.url });
  gateway = await bed.gateway({ relay, node });
  await until(kMs, "a verified node behind the gateway", async () => (await fetch(new URL("/health", gateway.url))).ok);
  site = await serve();
  browser = await chromium.launch({ executablePath: kChromium, args: ["--no-sandbox", "--disable-gpu"], timeout: kMs });
});

after(async () => {
  await browser?.close();
  await bed.close();
});

describe("a page", { timeout: 60_000, skip }, () => {
  it("completes a verified answer, streamed, and keeps channel and receipts over a reload", async () => {
    const context = await browser.newContext();
    const first = await open(context);
    assert.equal(first.state.ready, true);
    assert.equal(first.state.exclusive, true);
    assert.match(first.state.warnings.join(), /SIMULATED/);
    const { text, pieces, label } = await first.page.evaluate((body) => window.nostril.ask(body), body_of());
    assert.equal(label, "declared; simulated");
    assert.ok(pieces > 5, `${pieces} pieces: it came as a stream`);
    const [comment, json] = /^: nostril-record (\{.*\})\n\n/m.exec(text);
    assert.equal(text.replace(comment, ""), said().toString());
    assert.ok(words_of(text.replace(comment, "")).length > 20);
    const { record, receipt } = JSON.parse(json);
    assert.ok(isGenuine(record) && isGenuine(receipt));
    assert.equal(readRecord(record).responseHash, sha256_hex(said()));

    const second = await open(context);
    assert.equal(second.state.exclusive, false, "the storage is the first tab's");
    assert.equal(await second.page.evaluate((body) => window.nostril.leave(body), body_of({ stream: false })), "AbortError");
    await second.close();
    await first.close();

    const again = await open(context);
    assert.equal(again.state.exclusive, true);
    await again.page.evaluate((body) => window.nostril.ask(body), body_of({ max_tokens: 5 }));
    const { records, receipts } = await again.page.evaluate(() => window.nostril.kept());
    const own = records.map(readRecord).filter(({ channel }) => channel === readRecord(record).channel);
    assert.deepEqual(own.map(({ n }) => n), [1, 2], "the channel goes on");
    const paid = receipts.map(readReceipt).filter(({ channel }) => channel === own[0].channel).map(({ amount }) => amount);
    assert.deepEqual(paid, own.map(({ spent }) => spent));
    assert.ok(receipts.some(({ id }) => id === receipt.id));
    await again.close();
    await context.close();
  });

  it("gets no verdict, and so sends nothing, when it is of another site than this machine", async () => {
    const asked = tap.completions().length;
    const response = await fetch(new URL("/nostril/v1/offers", gateway.url), { headers: { origin: "https://evil.example" } });
    assert.equal(response.status, 403);
    assert.equal(response.headers.get("access-control-allow-origin"), null);
    assert.equal(tap.completions().length, asked);
  });
});
