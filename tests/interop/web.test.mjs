// The page of the gateway, in Chromium, against a real relay, node, engine and gateway: what a person sees and does.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { chromium } from "playwright-core";
import { Bed, kBin, kLongQuestion, metric, Program, until } from "../e2e/lib.mjs";
import { expect_readable, kPageMs as kMs, launch, open_page, shot, skip } from "./page_checks.mjs";

const kPageBytesMax = 150_000;

let bed;
let engine;
let tap;
let gateway;
let origin;
let strict_origin;
let relay;
let node;
let browser;

const open = (options) => open_page(browser, { at: origin, ...options });

const focused = (page) => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent);
const shown = (page, text) => page.getByText(text).first().waitFor();

async function ask(page, question) {
  await page.getByLabel("Your question").fill(question);
  await page.keyboard.press("Enter");
}

before(async () => {
  bed = new Bed();
  if (skip) return;
  relay = await bed.relay();
  engine = await bed.engine({ slow_ms: 10 });
  tap = await bed.http_tap(engine);
  node = await bed.node({ relay, engine_url: tap.url });
  gateway = await bed.gateway({ relay, node });
  origin = new URL(gateway.url).origin;
  strict_origin = new URL((await bed.gateway({ relay, node, home: "strict", trust: false })).url).origin;
  await until(kMs, "a verified node", async () => (await fetch(`${origin}/health`)).ok);
  browser = await chromium.launch(launch);
});

after(async () => {
  await browser?.close();
  await bed.close();
});

describe("the gateway's page", { timeout: 120_000, skip }, () => {
  it("is light, cached by what it is, and under a strict policy", async () => {
    const { page, close } = await open();
    await page.waitForSelector(".facts-row");
    const loaded = await page.evaluate(() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
      .filter(({ name }) => !name.includes("/nostril/")).map(({ decodedBodySize }) => decodedBodySize));
    const sum = loaded.reduce((a, b) => a + b, 0);
    assert.ok(loaded.length > 15 && sum > 20_000 && sum <= kPageBytesMax, `${sum} bytes in ${loaded.length} files`);
    const first = await fetch(`${origin}/app.js`);
    const again = await fetch(`${origin}/app.js`, { headers: { "if-none-match": first.headers.get("etag") } });
    assert.equal(again.status, 304);
    assert.match((await fetch(`${origin}/`)).headers.get("content-security-policy"), /^default-src 'none'; script-src 'self';/);
    await close();
  });

  it("lets nothing run and nothing be fetched that an attacker brings", async () => {
    // The browser says on the console what it kept from happening.
    const { page, close, wrong } = await open({ noisy: /Content Security Policy|Trusted ?(Type|HTML|Script|String)/i });
    await page.waitForSelector(".facts-row");
    const results = await page.evaluate(async () => {
      const out = {};
      const script = document.createElement("script");
      try { script.textContent = "document.title = 'run'"; document.body.append(script); } catch { out.script = "refused"; }
      const picture = new Image();
      out.picture = await new Promise((resolve) => { picture.onload = () => resolve("loaded"); picture.onerror = () => resolve("refused"); picture.src = "https://tracker.example/p.gif"; });
      out.fetch = await fetch("https://tracker.example/").then(() => "sent", () => "refused");
      try { out.eval = String(new Function("return 1")()); } catch { out.eval = "refused"; }
      try { document.body.insertAdjacentHTML("beforeend", "<p>"); } catch { out.markup = "refused"; }
      out.title = document.title;
      return out;
    });
    assert.deepEqual(results, { script: "refused", picture: "refused", fetch: "refused", eval: "refused", markup: "refused", title: "Nostril" });
    // What the policy blocks never left the browser, though it is announced as a request.
    wrong.splice(0, wrong.length, ...wrong.filter((line) => !line.includes("tracker.example")));
    await close();
  });

  it("streams an answer, and shows verdict, record and receipt; the saved proof verifies", async () => {
    const { page, close } = await open();
    await shown(page, "Simulated evidence, not a TEE.");
    await shot(page, "empty");
    await ask(page, kLongQuestion);
    await page.waitForFunction(() => document.querySelector(".running .text p:not(.waiting)")?.textContent.length > 20);
    await shot(page, "streaming");
    const early = await page.textContent(".running .text");
    await page.getByRole("button", { name: "Record" }).waitFor();
    const whole = await page.textContent(".message:not(.mine) .text");
    assert.ok(whole.length > early.length + 20 && whole.startsWith(early.slice(0, 20)), "it came as a stream");
    assert.equal(await page.locator(".message:last-child .badge").textContent(), "Simulated");

    await page.getByRole("button", { name: "Record" }).click();
    await shown(page, "Checked again in this page");
    assert.equal(await page.locator("#answer-checks .passed").count(), 8);
    assert.equal(await page.locator("#answer-checks .bad").count(), 0);
    await shot(page, "record");
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download the proof" }).click()]);
    const file = path.join(bed.folder, "proof.json");
    await download.saveAs(file);
    const verify = (name) => new Program("nostril verify", path.join(kBin, "nostril"), ["verify", "--answer", name]).end(kMs);
    const good = await verify(file);
    assert.equal(good.code, 0, good.err + good.out);
    for (const line of ["the record's signature", "the request is the one", "byte for byte", "the receipt pays"]) assert.ok(good.out.includes(line), good.out);
    const proof = JSON.parse(fs.readFileSync(file));
    for (const change of [{ response: `${proof.response} ` }, { request: proof.request.replace("fox", "dog") }]) {
      fs.writeFileSync(file, JSON.stringify({ ...proof, ...change }));
      assert.equal((await verify(file)).code, 1);
    }
    // The same checks in the page, of an answer that was changed on the way.
    const seen = await page.evaluate(async (answer) => {
      const { check_answer } = await import("/record.js");
      const names = async (changed) => (await check_answer({ ...answer, ...changed })).filter(({ good }) => !good).map(({ name }) => name);
      const forged = { ...answer.record, sig: answer.record.sig.replace(/^../, (two) => (two === "00" ? "01" : "00")) };
      return [await names({}), await names({ response: "x" }), await names({ record: forged })];
    }, proof);
    assert.deepEqual(seen, [[], ["The answer is what the node sent, byte for byte"], ["The record is signed by the node"]]);

    await page.getByRole("tab", { name: "Node" }).click();
    assert.equal(await page.textContent(".verdict h2"), "Accepted, but simulated");
    assert.ok(await page.locator(".steps .passed").count() > 20);
    const step = page.locator(".steps li", { hasText: "Node key" }).first();
    await step.locator("summary").click();
    assert.match(await step.locator("dl").textContent(), /Found[0-9a-f]{64}Wanted/);
    await expect_readable(page, "panel");
    await shot(page, "verdict");

    await page.goto(`${origin}/#/nodes`);
    await page.waitForSelector(".nodes tbody tr");
    assert.match(await page.textContent(".nodes tbody tr"), /nostril-demo.*512 context.*Simulated.*\+1\+1 own.*100.000in400.000out.*of 16.*1 of 1 whole/s);
    await expect_readable(page, "nodes");
    await page.goto(`${origin}/#/spending`);
    await page.waitForSelector(".plot rect");
    const cost = proof.record.tags.find(([name]) => name === "cost")[1];
    assert.equal(await page.textContent(".tile .big"), cost);
    assert.match(await page.locator(".budgets").textContent(), new RegExp(`${cost} msat`));
    await expect_readable(page, "spending");

    // Kept over a reload, in this browser; gone when told so.
    await page.reload();
    await page.locator(".chats a").first().click();
    assert.equal(await page.textContent(".message:not(.mine) .text"), whole);
    await page.getByRole("button", { name: "Delete conversations" }).click();
    await page.getByRole("button", { name: "Press again" }).click();
    await page.waitForFunction(() => document.querySelectorAll(".chats li").length === 0);
    await close();
  });

  it("stops the engine, not just the words on the screen", async () => {
    const { page, close } = await open();
    await page.waitForSelector(".facts-row");
    await ask(page, kLongQuestion);
    await page.waitForFunction(() => document.querySelector(".running .text p:not(.waiting)")?.textContent.length > 10);
    await page.getByRole("button", { name: "Stop the answer" }).click();
    await shown(page, "Stopped");
    const call = tap.completions().at(-1);
    await until(kMs, "the engine is told", () => call.broken);
    await until(kMs, "the engine rests", async () => await metric(engine, "requests_processing") === 0);
    await close();
  });

  it("is used by keys alone", async () => {
    const { page, close } = await open();
    await page.waitForSelector(".facts-row");
    await page.locator("h1").click();  // focus is nowhere
    await page.keyboard.press("/");
    assert.equal(await focused(page), "Your question");
    await page.keyboard.type("one");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("two");
    assert.equal(await page.inputValue("#question"), "one\ntwo");
    await page.keyboard.press("Control+A");
    await page.keyboard.type(kLongQuestion);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector(".running .text p:not(.waiting)")?.textContent.length > 10);
    await page.keyboard.press("Escape");
    await shown(page, "Stopped");

    // Backwards from the question: record buttons, the bar. The picker by arrows.
    while (!/^Model/.test(await focused(page))) await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Enter");
    assert.equal(await focused(page), "Find a model");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    const active = await page.getAttribute("[role=combobox]", "aria-activedescendant");
    assert.equal(await page.getAttribute(`#${active}`, "aria-selected"), "true");
    await shot(page, "picker");
    await page.keyboard.type("no such model");
    await shown(page, "No model of that name.");
    await page.keyboard.press("Escape");
    assert.match(await focused(page), /^Model/);
    await page.keyboard.press("Tab");
    assert.equal(await focused(page), "Proof");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".verdict");
    await page.keyboard.press("Escape");
    assert.equal(await page.isVisible("#panel"), false);
    assert.equal(await focused(page), "Proof");
    await close();
  });

  it("is dark where it should be, and fits a phone", async () => {
    const dark = await open({ colorScheme: "dark", width: 390, height: 844, hasTouch: true, isMobile: true });
    const { page } = dark;
    await page.waitForSelector(".facts-row");
    await ask(page, "Hello");
    await page.getByRole("button", { name: "Record" }).waitFor();
    await expect_readable(page, "dark phone");
    await shot(page, "phone");
    const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const night = await back();
    await page.getByRole("button", { name: "Pages and conversations" }).click();
    const theme = page.getByRole("button", { name: /^Theme/ });
    await theme.click();
    assert.notEqual(await back(), night, "light by the switch");
    await theme.click();
    assert.equal(await back(), night, "dark by the switch");
    await page.getByRole("link", { name: "Nodes" }).click();
    await page.waitForSelector(".nodes");
    await expect_readable(page, "nodes on a dark phone");
    await shot(page, "phone-nodes");
    await page.goto(`${origin}/#/spending`);
    await page.waitForSelector(".plot");
    await expect_readable(page, "spending on a dark phone");
    await dark.close();
  });

  it("shows markdown as elements and markup as text", async () => {
    const { page, close } = await open();
    const html = await page.evaluate(async () => {
      const { show_markdown } = await import("/markdown.js");
      const box = document.createElement("div");
      const text = [
        "# Title", "A **bold** and *soft* `code` [link](https://a.example/x) [bad](javascript:alert(1)) ![pic](https://a.example/p.png)", "",
        "- one", "  - two", "", "```js", "<b>&</b>", "```", "", "| a | b |", "|---|--:|", "| 1 | 2 |", "", "<img src=x onerror=alert(1)> snake_case_name 2 * 3 * 4",
      ].join("\n");
      for (let end = 0; end <= text.length; end += 7) show_markdown(box, text.slice(0, end));  // as it streams
      show_markdown(box, text);
      show_markdown(document.createElement("div"), `${"> ".repeat(3_000)}deep ${"[".repeat(3_000)} ${"**a".repeat(3_000)}`);
      return box.innerHTML;
    });
    assert.equal(html.replace(/<figcaption>.*?<\/figcaption>/, ""), [
      "<h3>Title</h3>",
      '<p>A <strong>bold</strong> and <em>soft</em> <code>code</code> <a href="https://a.example/x" target="_blank" rel="noopener noreferrer nofollow">link</a> [bad](javascript:alert(1)) ',
      '<a href="https://a.example/p.png" target="_blank" rel="noopener noreferrer nofollow">picture: pic</a></p>',
      "<ul><li>one<ul><li>two</li></ul></li></ul>",
      '<figure class="code"><pre tabindex="0"><code>&lt;b&gt;&amp;&lt;/b&gt;</code></pre></figure>',
      '<div class="wide" tabindex="0" role="group" aria-label="Table"><table><thead><tr><th>a</th><th class="right">b</th></tr></thead><tbody><tr><td>1</td><td class="right">2</td></tr></tbody></table></div>',
      "<p>&lt;img src=x onerror=alert(1)&gt; snake_case_name 2 * 3 * 4</p>",
    ].join(""));
    await close();
  });

  it("says why a node is refused, and sends nothing", async () => {
    const asked = tap.completions().length;
    const { page, close } = await open({ at: strict_origin, noisy: /404|503/ });
    await shown(page, "No verified node yet");
    await shown(page, "simulated");
    await page.getByRole("link", { name: "See all nodes and reasons" }).click();
    await page.getByRole("button", { name: /is refused, step by step/ }).click();
    assert.equal(await page.textContent(".verdict h2"), "Refused");
    assert.ok(await page.locator(".steps .bad[class] details[open]").count() > 0, "what failed is open");
    await expect_readable(page, "refused");
    await shot(page, "refused");
    await close();
    assert.equal(tap.completions().length, asked);
  });

  it("asks for a key where keys are given out, and forgets it when told", async () => {
    const { code, out, err } = await bed.client(["keys", "add", "page", "--home", path.join(bed.folder, "keyed")]).end(kMs);
    assert.equal(code, 0, err);
    const [key] = out.trim().split(/\s+/).slice(-1);
    const at = new URL((await bed.gateway({ relay, node, home: "keyed" })).url).origin;
    const { page, close } = await open({ at, noisy: /401/ });
    await shown(page, "Enter one of the gateway's keys below");
    await expect_readable(page, "key");
    await page.getByLabel("Key of the gateway").fill(key);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".facts-row");
    await page.getByRole("button", { name: "Forget the key" }).click();
    await shown(page, "Enter one of the gateway's keys below");
    await close();
  });

  it("says what to do when the gateway is gone", async () => {
    const { page, close } = await open({ noisy: /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET/ });
    await page.waitForSelector(".facts-row");
    await gateway.program.stop();
    await ask(page, "Are you there?");
    await shown(page, "Is “nostril gateway” still running?");
    await expect_readable(page, "error");
    await shot(page, "error");
    await close();
  });
});
