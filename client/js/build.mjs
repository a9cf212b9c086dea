// Emits dist/: ES modules with types (tsc, strict), and one minified file for pages (esbuild). Compiles the README's example,
// too, so that it can't go stale. Prints what a page loads.
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, stop } from "esbuild-wasm";

const root = path.dirname(fileURLToPath(import.meta.url));
const at = (...parts) => path.join(root, ...parts);
const tsc = (project) => new Promise((resolve, reject) => {
  const options = { cwd: root };
  execFile(process.execPath, [at("node_modules/typescript/bin/tsc"), "-p", project], options, (error, out) => (error ? reject(new Error(out || error.message)) : resolve()));
});

fs.rmSync(at("dist"), { recursive: true, force: true });
await tsc("tsconfig.json");

const [, example] = /```ts\n([\s\S]*?)```/.exec(fs.readFileSync(at("README.md"), "utf8"));
fs.mkdirSync(at("dist/example"));
fs.writeFileSync(at("dist/example/example.mts"), example);
fs.copyFileSync(at("foreign_shapes.d.ts"), at("dist/example/foreign_shapes.d.ts"));
await Promise.all([tsc("tsconfig.example.json"), build({
  entryPoints: [at("dist/index.js")], outfile: at("dist/nostril.min.js"), absWorkingDir: root,
  bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "warning",
})]);
await stop();
const bytes = fs.readFileSync(at("dist/nostril.min.js"));
console.log(`nostril.min.js: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} in gzip`);
