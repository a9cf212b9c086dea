// What holds of every page that we make.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

export const kPageMs = 20_000;
export const kChromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((file) => fs.existsSync(file));
export const skip = kChromium ? false : "no /usr/bin/chromium: run ./scripts/setup";
export const launch = { executablePath: kChromium, args: ["--no-sandbox", "--disable-gpu"], timeout: kPageMs };

/** A page of the gateway at `at` that fails close() for a line on its console, an error, or a request to anybody but the gateway. */
export async function open_page(browser, { at, width = 1280, height = 800, path: where = "/", noisy = /^$/, ...options }) {
  const context = await browser.newContext({ viewport: { width, height }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.setDefaultTimeout(kPageMs);
  page.on("console", (message) => { if (!noisy.test(message.text())) wrong.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("request", (request) => { if (!request.url().startsWith(`${at}/`) && !request.url().startsWith(`blob:${at}/`)) wrong.push(`request: ${request.url()}`); });
  await page.goto(at + where);
  return { page, context, wrong, async close() { await context.close(); assert.deepEqual(wrong, []); } };
}

/** What a button of the page saves, as lines of cells; none of them has a comma of its own. */
export async function saved_table(folder, page, button) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button }).click()]);
  const file = path.join(folder, download.suggestedFilename());
  await download.saveAs(file);
  const text = fs.readFileSync(file, "utf8");
  assert.ok(text.endsWith("\r\n"), text);
  return text.trimEnd().split("\r\n").map((line) => line.split(","));
}

/** Where NOSTRIL_SHOTS names a folder; of the part of the page where `at` is. */
export async function shot(page, name, at) {
  if (!process.env.NOSTRIL_SHOTS) return;
  if (at) await page.locator(at).scrollIntoViewIfNeeded();
  await page.screenshot({ path: path.join(process.env.NOSTRIL_SHOTS, `${name}.png`) });
}

const kContrastMin = 4.5;  // WCAG 2.2, AA, text of usual size

/** Of every text that is seen: the least contrast with what is painted behind it. */
function least_contrast() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const painted = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  let least = { ratio: 99 };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [channels(ink), painted(element)].map(luminance).sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least.ratio) least = { ratio, text: texts.currentNode.textContent.slice(0, 60), where: element.outerHTML.slice(0, 120) };
  }
  return least;
}

/** Every text has the contrast that people need, and nothing is wider than the screen. */
export async function expect_readable(page, what) {
  const least = await page.evaluate(least_contrast);
  assert.ok(least.ratio >= kContrastMin, `${what}: ${JSON.stringify(least)}`);
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(wide <= screen, `${what}: ${wide} pixels on a screen of ${screen}`);
}
