// Prints "STAMP FILE" for each of the sources named on the command line. A stamp is a hash of all that
// clang-tidy's verdict on a source depends on: its text, what it includes of this project, the rules
// and the compiler's flags. System headers are those of Debian 12.
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const kRules = [".clang-tidy", "CMakePresets.json", "cmake/Options.cmake"];
const kInclude = /^[ \t]*#[ \t]*include[ \t]+"([^"]+)"/gm;

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "..");
const texts = new Map();
const hash = (...parts) => parts.reduce((h, part) => h.update(`${part.length} `).update(part), createHash("sha256")).digest("hex");

/** A file's hash and the files of the project that it includes itself. */
function read(file) {
  if (!texts.has(file)) {
    const text = fs.readFileSync(path.join(root, file), "utf8");
    const included = [...text.matchAll(kInclude)]
      .flatMap(([, name]) => [name, path.join(path.dirname(file), name)].filter((one) => fs.existsSync(path.join(root, one))).slice(0, 1));
    texts.set(file, { hash: hash(text), included });
  }
  return texts.get(file);
}

function stamp(source) {
  const reached = new Set([source]);
  const folder_rules = path.join(path.dirname(source), ".clang-tidy");  // of this folder alone
  if (fs.existsSync(path.join(root, folder_rules))) reached.add(folder_rules);
  for (const file of reached) for (const next of read(file).included) reached.add(next);
  return hash(...kRules.map((file) => read(file).hash), source, ...[...reached].sort().map((file) => `${file} ${read(file).hash}`));
}

for (const source of process.argv.slice(2)) console.log(`${stamp(source)} ${source}`);
