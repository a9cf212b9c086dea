// Builds the package client/js: strict types, the README's example, the file for pages. The tests that import it run after this.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { it } from "node:test";
import { gzipSync } from "node:zlib";
import { kRoot } from "../e2e/lib.mjs";

const kPage = 150_000;  // bytes that a page may load
const kPackage = path.join(kRoot, "client/js");

it("the package builds, and is light enough for a page", { timeout: 200_000 }, async () => {
  assert.ok(fs.existsSync(path.join(kPackage, "node_modules")), "client/js/node_modules is not there: run ./scripts/setup");
  execFileSync(process.execPath, [path.join(kPackage, "build.mjs")], { stdio: "inherit", timeout: 180_000 });
  const bundle = fs.readFileSync(path.join(kPackage, "dist/nostril.min.js"));
  assert.ok(bundle.length <= kPage, `${bundle.length} bytes`);
  assert.ok(!/\brequire\(|["']node:/.test(bundle.toString()), "nothing of Node in a page");
  const [, stated] = /(\d+) KB \((\d+) KB in gzip\)/.exec(fs.readFileSync(path.join(kPackage, "README.md"), "utf8"));
  assert.ok(Math.abs(bundle.length / 1000 - Number(stated)) < 3, `README.md states ${stated} KB of ${bundle.length} bytes`);
  assert.ok(gzipSync(bundle).length < bundle.length / 2);
  const exported = await import(path.join(kPackage, "dist/index.js"));
  for (const name of ["nostrilFetch", "Nostril", "GatewayVerifier", "verifyOffer", "ClientSession", "PayerChannel"]) assert.equal(typeof exported[name], "function", name);
});

it("what it depends on is pinned, in one version with its tests", () => {
  const read = (folder) => JSON.parse(fs.readFileSync(path.join(kRoot, folder, "package.json"), "utf8"));
  const { peerDependencies, devDependencies } = read("client/js");
  for (const [name, version] of Object.entries({ ...peerDependencies, ...devDependencies })) assert.match(version, /^\d+\.\d+\.\d+$/, name);
  const { dependencies } = read("tests/interop");
  for (const name of ["nostr-tools", "ws"]) assert.equal(peerDependencies[name], dependencies[name], name);
});
