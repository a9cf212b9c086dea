// What the gateway's page shows of nodes' reputation, in Chromium: one that was proven a fraud, one that friends flagged and a
// provider ranked low, one that is praised. Real relay, nodes, engine and gateway.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { nip19 } from "nostr-tools";
import { chromium } from "playwright-core";
import { kBin, scenario, until } from "../e2e/lib.mjs";
import { expect_readable, kPageMs as kMs, launch, open_page, shot, skip } from "./page_checks.mjs";

const price = (output) => ({ offer: { output_price: output, input_price: output } });

async function new_key(bed, name) {
  const file = path.join(bed.folder, `${name}.nsec`);
  const { code, out, err } = await bed.client(["key", "new", file]).end(kMs);
  assert.equal(code, 0, err);
  return { file, npub: /npub1\S+/.exec(out + err)[0] };
}

scenario("a node's score, where it comes from, and proven fraud", async (bed) => {
  const relay = await bed.relay();
  const at = (name) => ({ relay, data: path.join(bed.folder, name) });
  const [praised, blamed] = await Promise.all(["praised", "blamed"].map((name, i) => bed.node({ ...at(name), sections: price(3_000_000 - i * 500_000) })));
  const liar = await bed.node({ ...at("liar"), sections: price(1_000_000), program_file: path.join(kBin, "lying-node"), env: { NOSTRIL_LIE: "price" } });
  const options = (home, nodes = [praised, blamed, liar]) => ["--home", path.join(bed.folder, home), "--relay", relay.url, ...nodes.flatMap(({ root }) => ["--trust-test-root", root])];
  const run = async (...args) => {
    const { code, out, err } = await bed.client(args).end(kMs);
    assert.equal(code, 0, `${args[0]} ${args[1]}: ${err}`);
    return out;
  };

  // A friend was answered by both, and says what he thinks; a provider ranks them.
  const [friend, provider] = await Promise.all(["friend", "provider"].map((name) => new_key(bed, name)));
  for (const node of [praised, blamed]) await run("chat", ...options("friend", [node]), "Hello");
  await run("reputation", "approve", ...options("friend"), "--key", friend.file, praised.npub);
  await run("reputation", "flag", ...options("friend"), "--key", friend.file, "--reason", "slow", blamed.npub);
  for (const [node, rank] of [[praised, 90], [blamed, 20]]) {
    await run("event", "--kind", "30382", "--key", provider.file, "--relay", relay.url, "--tag", `d=${nip19.decode(node.npub).data}`, "--tag", `rank=${rank}`);
  }
  fs.mkdirSync(path.join(bed.folder, "user"), { mode: 0o700 });
  fs.writeFileSync(path.join(bed.folder, "user", "config.toml"), `[reputation]\nfollows = ["${friend.npub}"]\nproviders = ["${provider.npub}"]\n`);
  const program = bed.client(["gateway", ...options("user"), "--listen", "127.0.0.1:0"]);
  const [, url] = await program.line(/^listening on (http:\/\/\S+)$/m);
  const origin = new URL(url).origin;
  const nodes = async () => new Map((await (await fetch(`${origin}/nostril/v1/nodes`)).json()).offers.map((offer) => [offer.node, offer]));
  await until(kMs, "all that is said of the nodes", async () => {
    const known = await nodes();
    return known.get(praised.npub)?.reputation.score === 25 && known.get(blamed.npub)?.reputation.score === -25 && known.has(liar.npub);
  });
  assert.deepEqual((await nodes()).get(praised.npub).reputation, { score: 25, own: 0, follows: 5, providers: 20, approvals: 1, flags: 0 });
  const body = JSON.stringify({ model: "nostril-demo", max_tokens: 8, messages: [{ role: "user", content: "Hello" }] });
  const ask = () => fetch(`${url}/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body });
  assert.notEqual((await ask()).status, 200, "the cheapest is asked first, and lies");
  assert.equal((await ask()).status, 200);

  const browser = await chromium.launch(launch);
  bed.on_stop(() => browser.close());
  for (const [name, look] of Object.entries({ light: { colorScheme: "light" }, dark: { colorScheme: "dark" }, phone: { colorScheme: "light", width: 390, height: 844, isMobile: true, hasTouch: true } })) {
    const { page, close } = await open_page(browser, { at: origin, path: "/#/nodes", ...look });
    const row = (node) => page.locator(".nodes tbody tr", { has: page.locator(`[title="${node.npub}"]`) });
    await row(praised).waitFor();
    assert.match(await row(praised).locator(".reputation").textContent(), /^\+26\+1 own\+5 follows: 1 for\+20 providers$/);
    assert.match(await row(blamed).locator(".reputation").textContent(), /^−25−10 follows: 1 against−15 providers$/);
    assert.equal(await row(blamed).locator(".reputation .badge.bad").count(), 1);
    const fraud = page.locator(".refused li", { has: page.locator(`[title="${liar.npub}"]`) });
    assert.match(await fraud.textContent(), /Refused.*Proven fraud.*proven fraud: /s);
    assert.equal(await page.locator(".nodes tbody tr").count(), 2, "the liar is among the refused only");
    if (name !== "phone") {
      await page.getByRole("button", { name: "Reputation" }).click();
      assert.match(await page.locator(".nodes tbody tr").first().textContent(), /\+26/);
      assert.equal(await page.locator("th[aria-sort=descending]").textContent(), "Reputation");
    }
    await expect_readable(page, `reputation, ${name}`);
    await shot(page, `reputation-${name}`);
    await close();
  }
}, { skip });
