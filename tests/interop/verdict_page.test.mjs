// What a reader sees of a verdict's page, in Chromium: the verdict, why, and that nothing of the page
// runs or is fetched. Pages of genuine evidence come from the shared vectors, those of simulated
// evidence from a node of the test's own.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { Bed, kRoot, read_json } from "../e2e/lib.mjs";

const kMs = 20_000;
const kVectors = path.join(process.env.NOSTRIL_SHARED ?? path.join(kRoot, "../shared"), "vectors/attestation");
const kChromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((file) => fs.existsSync(file));
const kContrastMin = 4.5;  // WCAG 2.2, AA, text of usual size
const skip = kChromium ? false : "no /usr/bin/chromium: run ./scripts/setup";
const skip_genuine = skip || (fs.existsSync(kVectors) ? false : `no ${kVectors}`);
const vector = (...parts) => path.join(kVectors, ...parts);

let bed;
let browser;

/** Runs `nostril verify …`; the page's path and the verdict as JSON. */
async function judge(name, args) {
  const page = path.join(bed.folder, `${name}.html`);
  const { code, out, err } = await bed.client(["verify", ...args, "--json", "--html", page]).end(kMs);
  assert.ok([0, 1, 3].includes(code), err);
  return { page, code, verdict: JSON.parse(out) };
}

const gpu_args = (more = []) => ["gpu", "--report", vector("nvidia/reports/h100-550.90.07.bin"),
  "--chain", vector("nvidia/chains/h100-550.90.07.pem"), "--now", "1770000000",
  "--rim", vector("nvidia/rims/NV_GPU_DRIVER_GH100_550.90.07.xml"),
  "--rim", vector("nvidia/rims/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml"), ...more];

function near_args() {
  const [near] = read_json(kVectors, "combined/cases.json").cases;
  const folder = vector("combined", near.id);
  const collateral = fs.readdirSync(folder).filter((file) => file.startsWith("collateral-"));
  return ["report", "--file", path.join(folder, "report.json"), "--now", `${near.now}`, "--nonce", near.nonce,
    "--peer-spki", near.peer_spki_sha256, ...collateral.flatMap((file) => ["--collateral", path.join(folder, file)])];
}

/** Opens the page; fails on any line on its console, any error, any request but its own. */
async function open(file, { width = 1200, scheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("request", (request) => { if (request.url() !== pathToFileURL(file).href) wrong.push(`request: ${request.url()}`); });
  page.setDefaultTimeout(5_000);
  await page.goto(pathToFileURL(file).href);
  return { page, async close() { await context.close(); assert.deepEqual(wrong, []); } };
}

/** Of every text that is seen: the least contrast with what is painted behind it, and where. */
function least_contrast() {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const painted = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  let least = { ratio: 99, text: "" };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim();
    if (!text) continue;
    const element = texts.currentNode.parentElement;
    const [a, b] = [channels(getComputedStyle(element).color), painted(element)].map(luminance).sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least.ratio) least = { ratio, text: text.slice(0, 60), where: element.outerHTML.slice(0, 120) };
  }
  return least;
}

/** Boxes by title: what they say. */
const boxes = (page) => page.$$eval(".chain > li", (items) => items.map((item) => ({
  title: item.querySelector("b").textContent, tag: item.querySelector(".tag").textContent, text: item.textContent })));

/** Whatever the verdict: readable in both schemes, on a narrow screen, on paper. */
async function expect_readable(file) {
  for (const scheme of ["light", "dark"]) {
    const { page, close } = await open(file, { width: 320, scheme });
    const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(wide <= screen, `${wide} pixels on a screen of ${screen}`);
    const least = await page.evaluate(least_contrast);
    assert.ok(least.ratio >= kContrastMin, `${scheme}: ${JSON.stringify(least)}`);
    if (scheme === "dark") {
      const [back, ink] = await page.evaluate(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]);
      assert.ok(Number(back.match(/\d+/)[0]) < 64 && Number(ink.match(/\d+/)[0]) > 192, `dark: ${back} ${ink}`);
      await page.emulateMedia({ media: "print" });
      const paper = await page.evaluate(() => getComputedStyle(document.querySelector(".banner")).backgroundColor);
      assert.equal(paper, "rgb(255, 255, 255)", "on paper");
      const printed = await page.evaluate(least_contrast);
      assert.ok(printed.ratio >= kContrastMin, `print: ${JSON.stringify(printed)}`);
    }
    await close();
  }
}

const font_px = (page, selector) => page.$eval(selector, (element) => parseFloat(getComputedStyle(element).fontSize));

before(async () => {
  bed = new Bed();
  if (skip) return;
  browser = await chromium.launch({ executablePath: kChromium, args: ["--no-sandbox", "--disable-gpu"], timeout: kMs });
});

after(async () => {
  await browser?.close();
  await bed.close();
});

describe("a page of genuine evidence", { timeout: 60_000, skip: skip_genuine }, () => {
  it("says ACCEPTED, and draws the GPU with both manifests", async () => {
    const { page: file, code } = await judge("accepted", gpu_args());
    assert.equal(code, 0);
    const { page, close } = await open(file);
    assert.equal(await page.textContent("h1"), "ACCEPTED");
    assert.ok(await font_px(page, "h1") >= 2 * await font_px(page, "body") - 1, "the verdict is big");
    assert.equal(await page.locator("text=NOT A TEE").count(), 0);
    assert.equal(await page.locator(".reasons").count(), 0);
    const drawn = await boxes(page);
    for (const [title, text] of [["Root of the devices", "NVIDIA Device Identity CA"], ["GPU 0", "GH100 A01 GSP FMC LF"],
      ["Signer", "HCC RIM L4 Signer"], ["Manifest", "550.90.07"]]) {
      const box = drawn.find((candidate) => candidate.title === title);
      assert.ok(box?.text.includes(text), `${title}: ${box?.text}`);
      assert.match(box.tag, /^proven/);
    }
    assert.match(drawn.find(({ title }) => title === "Signer").text, /valid\s*2024-06-01T02:08:29Z to 2026-06-01T02:08:29Z/);
    await close();
    await expect_readable(file);
  });

  it("says REFUSED and why, with what was found and what was wanted", async () => {
    const { page: file, code, verdict } = await judge("refused", gpu_args(["--nonce", "ab".repeat(32)]));
    assert.equal(code, 1);
    const [failed] = verdict.failed;
    assert.equal(failed.check, "gpu_nonce");
    const { page, close } = await open(file);
    assert.equal(await page.textContent("h1"), "REFUSED");
    const reasons = await page.$$eval(".reasons li", (items) => items.map((item) => item.textContent));
    assert.ok(reasons[0].startsWith("gpu_nonce: found ") && reasons[0].includes(failed.found) && reasons[0].includes(failed.wanted), reasons[0]);
    const top = await page.$eval(".reasons li", (item) => item.getBoundingClientRect().bottom);
    assert.ok(top < 900, "seen without scrolling");
    assert.match((await boxes(page)).find(({ title }) => title === "GPU 0").tag, /^REFUSED: .*gpu_nonce/);
    await close();
    await expect_readable(file);
  });

  it("draws every machine of a whole report", async () => {
    const { page: file, verdict } = await judge("near", near_args());
    const { page, close } = await open(file);
    assert.deepEqual(await page.$$eval("h3", (items) => items.map((item) => item.textContent)), ["gateway", "model", "model, after the boot"]);
    const drawn = await boxes(page);
    assert.equal(drawn.filter(({ title }) => /^GPU \d$/.test(title)).length, 8);
    assert.equal(drawn.filter(({ title, text }) => title === "Root certificate" && text.includes("CN=Intel SGX Root CA")).length, 3);
    const shown = await page.$$eval(".reasons li b", (items) => items.map((item) => item.textContent));
    assert.deepEqual(shown, verdict.failed.map(({ check }) => check));
    await close();
    await expect_readable(file);
  });
});

describe("a page of simulated evidence", { timeout: 60_000, skip }, () => {
  it("says NOT A TEE wherever the verdict stands, taken or not", async () => {
    const relay = await bed.relay();
    const node = await bed.node({ relay });
    for (const trust of [true, false]) {
      const options = bed.client_options({ relay, node, trust, home: `user-${trust}` });
      const { page: file, code } = await judge(`simulated-${trust}`, ["offer", ...options, "--node", node.npub]);
      assert.equal(code, trust ? 3 : 1);
      const { page, close } = await open(file);
      assert.equal(await page.textContent("h1"), `${trust ? "ACCEPTED" : "REFUSED"} (SIMULATED EVIDENCE - not a TEE)`);
      assert.match(await page.textContent(".simulated"), /^SIMULATED - NOT A TEE: /);
      assert.match(await page.title(), /SIMULATED/);
      assert.ok(await page.isVisible(".simulated"));
      assert.equal(await page.$eval(".banner", (banner) => banner.classList.contains("good")), false, "never green");
      assert.match((await boxes(page))[0].text, /CN=NOSTRIL TEST ROOT - NOT A TEE/);
      await close();
      if (trust) await expect_readable(file);
    }
  });
});

describe("a page of a whole board", { timeout: 60_000, skip }, () => {
  it("draws GPUs, NVSwitches and the manifests of both, of evidence whose vendors' documents travel by themselves", async () => {
    const relay = await bed.relay({ data: path.join(bed.folder, "board-relay") });
    const node = await bed.node({ relay, data: path.join(bed.folder, "board"), sections: { tee: { simulated_gpus: 8, simulated_switches: 4 } } });
    const options = [...bed.client_options({ relay, node, home: "board-user" }),
      "--trust-test-root", path.join(node.data, "sim-gpu-root.der")];
    const { page: file, code, verdict } = await judge("board", ["offer", ...options, "--node", node.npub]);
    assert.equal(code, 3, JSON.stringify(verdict.failed));
    const documents = await bed.client(["req", "--relay", relay.url, "--kind", "31474"]).end(kMs);
    const names = documents.out.trim().split("\n").map((line) => JSON.parse(line).tags.find(([name]) => name === "name")[1]);
    assert.equal(names.length, 5, names.join(" "));
    const { page, close } = await open(file);
    const drawn = await boxes(page);
    for (let i = 0; i < 4; ++i) {
      const box = drawn.find(({ title }) => title === `NVSwitch ${i}`);
      assert.match(box?.tag ?? "not drawn", /^proven/);
      assert.match(box.text, /pdi[0-9a-f]{16}vbios/);
      assert.match(box.text, /firmware key.*valid/s);
    }
    assert.equal(drawn.filter(({ title }) => /^GPU \d$/.test(title)).length, 8);
    assert.equal(drawn.filter(({ title }) => title === "Manifest").length, 3);
    const titles = await page.$$eval("h4", (items) => items.map((item) => item.textContent));
    assert.ok(titles.includes("NVSwitches: NVIDIA") && titles.includes("Reference values of the switches"), titles.join());
    await close();
    await expect_readable(file);
  });
});

describe("a page of evidence that wants to speak for itself", { timeout: 60_000, skip }, () => {
  it("shows it as text", async () => {
    const name = path.join(bed.folder, "<img src=x onerror=alert(1)>.bin");
    fs.writeFileSync(name, "<script>alert(1)</script>");
    const { page: file, code } = await judge("hostile", ["intel", "--quote", name]);
    assert.equal(code, 1);
    const { page } = await open(file);
    assert.equal(await page.textContent("h1"), "REFUSED");
    assert.ok((await page.textContent(".banner")).includes("<img src=x onerror=alert(1)>.bin"));
    assert.equal(await page.locator("img, script, iframe, link, a, form").count(), 0);
    // Were there a script all the same, the page's own policy would keep it from running.
    await page.evaluate(() => { document.body.insertAdjacentHTML("beforeend", "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' onload='document.title=1'>"); });
    await page.waitForTimeout(50);
    assert.equal(await page.title(), "REFUSED");
    await page.context().close();
  });
});
