// The page's cards of money over Lightning, in Chromium: what was paid in advance, what the node holds on its word, what is
// settled and given back; with real Lightning nodes.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { scenario } from "../e2e/lib.mjs";
import { good, kCost, Shop } from "../e2e/lightning_lib.mjs";
import { expect_readable, launch, open_page, saved_table, shot, skip } from "./page_checks.mjs";

scenario("deposits are exposed until they are spent or given back; each payment is shown and saved", async (bed) => {
  const shop = await Shop.open(bed);
  const gateway = await shop.gateway();
  const origin = new URL(gateway.url).origin;
  const deposit = 1_000_000;
  good(await shop.deposit(deposit));
  for (let i = 0; i < 2; ++i) await shop.must_ask(gateway, `q${i}`);
  const spent = 2 * kCost;
  const browser = await chromium.launch(launch);
  bed.on_stop(() => browser.close());
  const look = async (at) => {
    const opened = await open_page(browser, { at: origin, path: "/#/spending", ...at });
    await opened.page.locator(".wallet").waitFor();
    const tile = async (title) => (await opened.page.locator(".tile", { has: opened.page.locator("dt", { hasText: title }) }).locator(".big").textContent()).replaceAll("\u2009", "");
    const tiles = [];
    for (const title of ["Left to spend", "Exposed", "Locked", "Settled"]) tiles.push(Number(await tile(title)));
    return { ...opened, tiles };
  };
  for (const [name, at] of Object.entries({ light: {}, phone: { colorScheme: "dark", width: 390, height: 844, isMobile: true, hasTouch: true } })) {
    const { page, tiles, close } = await look(at);
    assert.deepEqual(tiles, [deposit - spent, deposit - spent, 0, spent]);
    assert.match(await page.getByRole("group", { name: "Payments over Lightning" }).locator("tbody tr").first().textContent(), /paid in advance.*settled.*1.000.000/);
    await expect_readable(page, `lightning, ${name}`);
    await shot(page, `lightning-${name}`, ".wallet");
    await close();
  }
  good(await shop.refund());
  const rest = deposit - spent;
  const { page, tiles, close } = await look({});
  assert.deepEqual(tiles, [0, 0, 0, spent]);
  const [names, ...rows] = await saved_table(bed.folder, page, "Save “Over Lightning” as CSV");
  assert.deepEqual(names, ["at", "what", "state", "amount", "fees", "channel"]);
  assert.deepEqual(rows.map(([, what, state, amount]) => [what, state, amount]).sort(), [["deposit", "settled", `${deposit}`], ["refund", "settled", `${rest}`]]);
  await close();
  shop.assert_no_secret();
}, { skip });
