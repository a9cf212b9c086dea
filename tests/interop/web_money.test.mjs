// The money cards of the gateway's page, in Chromium: balances, channels, exposure, settlements, the tables as CSV; against a
// chain with the contract, a node that claims, a wallet and a gateway.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { Market } from "../e2e/money_lib.mjs";
import { scenario, until } from "../e2e/lib.mjs";
import { expect_readable, launch, open_page, saved_table, shot, skip } from "./page_checks.mjs";

const kTokens = 8;
const kCost = 20 + kTokens;

const table = (page, label) => page.getByRole("group", { name: label }).locator("tbody tr");
const cells = (row) => row.locator("th, td").allTextContents();
const plain = (texts) => texts.map((text) => text.replaceAll("\u2009", ""));

scenario("balances, channels, exposure and settlements are the chain's and the journal's; each table is saved", async (bed) => {
  const market = await Market.open(bed);
  await market.fund(100_000);
  await market.wallet("deposit", "60000");
  const channel = await market.open(40_000);
  await market.seen(channel, 40_000);
  const gateway = await market.gateway();
  const origin = new URL(gateway.url).origin;
  for (let i = 0; i < 3; ++i) await market.ask(gateway, `q ${i}`, kTokens);
  const sum = 3 * kCost;
  await until(10_000, "the receipts", async () => (await market.accepted(channel)) === sum);
  await market.settle("claim");
  await until(10_000, "claimed", async () => (await market.on_chain(channel))[1] === sum);
  await market.wallet("channels");  // the wallet looks, the page shows what it saw

  const browser = await chromium.launch(launch);
  bed.on_stop(() => browser.close());
  for (const [name, look] of Object.entries({ light: { colorScheme: "light" }, dark: { colorScheme: "dark" }, phone: { colorScheme: "dark", width: 390, height: 844, isMobile: true, hasTouch: true } })) {
    const { page, close } = await open_page(browser, { at: origin, path: "/#/spending", ...look });
    await page.locator(".wallet").waitFor();
    const tile = async (title) => (await page.locator(".tile", { has: page.locator("dt", { hasText: title }) }).locator(".big").textContent()).replaceAll("\u2009", "");
    assert.equal(await tile("Today"), `${sum}`);
    assert.deepEqual([await tile("Left to spend"), await tile("Exposed"), await tile("Locked"), await tile("Settled")], [`${40_000 - sum}`, "0", `${40_000 - sum}`, `${sum}`]);
    const [row] = await table(page, "Channels with money behind them").all();
    assert.deepEqual(plain(await cells(row)).slice(1), ["a chain, open", "40000", `${sum}`, `${sum}`, "0", `${40_000 - sum}`]);
    await expect_readable(page, `money, ${name}`);
    await shot(page, `money-${name}`, ".wallet");
    if (name === "light") {
      assert.deepEqual(await saved_table(bed.folder, page, "Save “Wallet” as CSV"), [["channel", "node", "asset", "rail", "state", "paid_in", "receipted", "settled", "given_back", "left"],
        [channel, market.node.npub, market.asset, "chain", "open", "40000", `${sum}`, `${sum}`, "0", `${40_000 - sum}`]]);
      const today = new Date().toISOString().slice(0, 10);
      assert.deepEqual(await saved_table(bed.folder, page, "Save “By model” as CSV"), [["day", "model", "node", "asset", "answers", "input", "cached", "output", "cost"],
        [today, market.engine.model, market.node.npub, market.asset, "3", "60", "0", "24", `${sum}`]]);
      // Names come from nodes: none of them is a formula or a column of its own.
      assert.equal(await page.evaluate(async () => (await import("/csv.js")).csv(["a", "b"], [{ a: "=HYPERLINK(1)", b: 'x,"y"\n' }, { a: "-5", b: "-5+cmd" }, { a: "@a", b: undefined }])),
        'a,b\r\n\'=HYPERLINK(1),"x,""y""\n"\r\n-5,\'-5+cmd\r\n\'@a,\r\n');
    }
    await close();
  }

  // A channel that closes says so once the wallet has asked for it.
  await market.wallet("close", channel);
  const { page, close } = await open_page(browser, { at: origin, path: "/#/spending" });
  await page.locator(".wallet").waitFor();
  assert.match(await table(page, "Channels with money behind them").first().textContent(), /a chain, closing/);
  await close();
}, { skip });
