// The operator's page at /admin, in Chromium, against a real relay: signing in, figures, bans, lists, search, configuration.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { nsecEncode, npubEncode } from "nostr-tools/nip19";
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { Relay, useWebSocketImplementation } from "nostr-tools/relay";
import { chromium } from "playwright-core";
import WebSocket from "ws";
import { Bed, until } from "../e2e/lib.mjs";
import { expect_readable } from "./page_checks.mjs";

useWebSocketImplementation(WebSocket);

const kMs = 20_000;
const kPageBytesMax = 60_000;
const kChromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((file) => fs.existsSync(file));
const skip = kChromium ? false : "no /usr/bin/chromium: run ./scripts/setup";
const kShots = process.env.NOSTRIL_SHOTS;  // a folder for screenshots

const person = () => {
  const secret = generateSecretKey();
  return { secret, key: getPublicKey(secret), sign: (kind, tags = [], content = "") => finalizeEvent({ kind, content, tags, created_at: Math.floor(Date.now() / 1000) }, secret) };
};
const [operator, stranger, alice, bob] = [person(), person(), person(), person()];

let bed;
let relay;
let origin;
let browser;
let socket;

const free_port = () => new Promise((resolve) => {
  const server = net.createServer();
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** A page that fails close() for a line on its console, an error, or a request to anybody but the relay. */
async function open({ width = 1280, noisy = /^$/, nostr, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 800 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.setDefaultTimeout(kMs);
  page.on("console", (message) => { if (!noisy.test(message.text())) wrong.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("request", (request) => { if (!request.url().startsWith(`${origin}/`)) wrong.push(`request: ${request.url()}`); });
  if (nostr) {
    await page.exposeFunction("nostr_key", () => nostr.key);
    await page.exposeFunction("nostr_sign", (event) => finalizeEvent(event, nostr.secret));
    await page.addInitScript(() => { window.nostr = { getPublicKey: () => window.nostr_key(), signEvent: (event) => window.nostr_sign(event) }; });
  }
  await page.goto(`${origin}/admin`);
  return { page, async close() { await context.close(); assert.deepEqual(wrong, []); } };
}

const shown = (page, text) => page.getByText(text).first().waitFor();
const go = async (page, name) => {
  await page.getByRole("navigation").getByRole("button", { name }).click();
  await page.getByRole("heading", { level: 1, name }).waitFor();
};

async function shot(page, name) {
  if (kShots) await page.screenshot({ path: path.join(kShots, `${name}.png`), fullPage: true });
}

async function sign_in(page, who = operator) {
  await page.getByLabel("secret key").fill(nsecEncode(who.secret));
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

const query = (filter) => new Promise((resolve) => {
  const found = [];
  const subscription = socket.subscribe([filter], { onevent: (event) => found.push(event.id), oneose: () => { resolve(found); subscription.close(); } });
});

describe("the operator's page", { skip }, () => {
  before(async () => {
    bed = new Bed();
    const port = await free_port();
    relay = await bed.relay({ port, settings: { url: `ws://127.0.0.1:${port}` }, sections: { admin: { keys: [operator.key] }, info: { name: "<b>Test</b>" } } });
    origin = `http://127.0.0.1:${port}`;
    browser = await chromium.launch({ executablePath: kChromium });
    socket = await Relay.connect(relay.url);
  });

  after(async () => {
    socket?.close();
    await browser?.close();
    await bed?.close();
  });

  it("is light, loads from the relay alone, and may do nothing else", async () => {
    let bytes = 0;
    for (const file of ["", "/admin.js", "/api.js", "/bip340.js", "/dom.js", "/figures.js", "/lists.js", "/signer.js", "/style.css"]) {
      const answer = await fetch(`${origin}/admin${file}`);
      assert.equal(answer.status, 200, file);
      assert.match(answer.headers.get("content-security-policy"), /default-src 'none'.*script-src 'self'.*connect-src 'self'.*frame-ancestors 'none'/);
      assert.equal(answer.headers.get("access-control-allow-origin"), null);
      bytes += (await answer.arrayBuffer()).byteLength;
    }
    assert.ok(bytes <= kPageBytesMax, `${bytes} bytes`);
    assert.equal((await fetch(`${origin}/admin/nothing.js`)).status, 404);
  });

  it("lets only the operator in", async () => {
    const { page, close } = await open({ noisy: /status of 403/ });
    await sign_in(page, stranger);
    await shown(page, "this key may not manage this relay");
    await page.getByLabel("secret key").fill("nsec1nonsense");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await shown(page, "That is no nsec.");
    await expect_readable(page, "sign in");
    await sign_in(page);
    await page.getByRole("heading", { level: 1, name: "Now" }).waitFor();
    // The key is in no storage, and not in the field any more.
    assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]), [0, 0, ""]);
    await page.getByRole("button", { name: "Sign out" }).click();
    assert.equal(await page.getByLabel("secret key").inputValue(), "");
    await close();
  });

  it("an extension signs in its stead; figures move, who talks most is shown and banned", async () => {
    const events = [alice.sign(1, [], "buy now"), alice.sign(1, [], "buy more")];
    for (const event of events) await socket.publish(event);
    const { page, close } = await open({ nostr: operator });
    await page.getByRole("button", { name: "Sign in with the extension" }).click();
    await shown(page, "Events stored");
    await page.getByRole("cell", { name: "127.0.0.1", exact: true }).waitFor();
    await shot(page, "admin-now");
    await expect_readable(page, "figures");
    await page.getByRole("button", { name: `Ban ${alice.key}` }).click();
    await page.getByLabel("Reason").fill("spam");
    await page.getByRole("button", { name: "Yes" }).click();
    await until(kMs, "the events are gone", async () => (await query({ authors: [alice.key] })).length === 0);
    await go(page, "Lists");
    await page.getByText(alice.key).waitFor();
    await shown(page, "spam");
    await shot(page, "admin-lists");
    await expect_readable(page, "lists");
    await page.getByRole("button", { name: `Take ${alice.key} out of: Banned keys` }).click();
    await page.getByText(alice.key).waitFor({ state: "detached" });
    await socket.publish(events[0]);
    // Once more by hand, with an npub; and what is none.
    await page.getByLabel("Public key (npub or hex)").first().fill(npubEncode(bob.key));
    await page.getByRole("region", { name: "Banned keys" }).getByRole("button", { name: "Add" }).click();
    await page.getByText(bob.key).waitFor();
    await assert.rejects(socket.publish(bob.sign(1)), /blocked: /);
    await page.getByLabel("Kind (number)").first().fill("x");
    await page.getByRole("region", { name: "Disallowed kinds" }).getByRole("button", { name: "Add" }).click();
    await shown(page, "That is no kind.");
    await close();
  });

  it("reports are decided, events are found and removed, nothing in them becomes markup", async () => {
    const evil = alice.sign(1, [], "<img src=x onerror=alert(1)>");
    await socket.publish(evil);
    await socket.publish(alice.sign(1984, [["e", evil.id, "malware"]], "<script>"));
    const { page, close } = await open({ nostr: operator, colorScheme: "dark", width: 390 });
    await page.getByRole("button", { name: "Sign in with the extension" }).click();
    await go(page, "Reports");
    await shown(page, "malware: <script>");
    await shown(page, "<img src=x onerror=alert(1)>");
    await expect_readable(page, "reports, dark, narrow");
    await page.getByRole("button", { name: "Keep" }).click();
    await page.getByRole("button", { name: "Yes" }).click();
    await shown(page, "No stored event is reported");
    await go(page, "Events");
    await page.getByLabel("Filter").fill(JSON.stringify({ ids: [evil.id] }));
    await page.getByRole("button", { name: "Search" }).click();
    await shown(page, "1 found");
    await expect_readable(page, "events, dark, narrow");
    await page.getByRole("button", { name: "Ban the event" }).click();
    await page.getByRole("button", { name: "Yes" }).click();
    await shown(page, "0 found");
    await page.getByLabel("Filter").fill("nonsense");
    await page.getByRole("button", { name: "Search" }).click();
    await shown(page, "The filter is not JSON.");
    assert.deepEqual(await query({ ids: [evil.id] }), []);
    await close();
  });

  it("the configuration is shown with what may change; the relay gets a name", async () => {
    const { page, close } = await open({ nostr: operator });
    await page.getByRole("button", { name: "Sign in with the extension" }).click();
    await go(page, "Configuration");
    assert.match(await page.getByRole("row", { name: /^info\.name/ }).textContent(), /while it runs/);
    assert.match(await page.getByRole("row", { name: /^threads\.loops/ }).textContent(), /with a restart/);
    await expect_readable(page, "configuration");
    await shot(page, "admin-settings");
    await go(page, "Relay");
    assert.equal(await page.getByLabel("Name").first().inputValue(), "<b>Test</b>");
    await page.getByLabel("Name").first().fill("Another name");
    await page.getByRole("button", { name: "Change: Name" }).click();
    await until(kMs, "the name", async () => (await (await fetch(origin, { headers: { Accept: "application/nostr+json" } })).json()).name === "Another name");
    await close();
  });
});
