// Prints "STAMP FILE" for each of the sources named on the command line. A stamp is a hash of what
// clang-tidy's verdict on a source is about: its text, that of the header of its name, the rules and
// the compiler's flags. Other headers it includes are not in it: a word changed in one that most
// sources include would send all of them to be looked at again, for hours (--all does that).
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const kRules = [".clang-tidy", "CMakePresets.json", "cmake/Options.cmake"];

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "..");
const texts = new Map();
const hash = (...parts) => parts.reduce((h, part) => h.update(`${part.length} `).update(part), createHash("sha256")).digest("hex");

function text_hash(file) {
  if (!texts.has(file)) texts.set(file, hash(fs.readFileSync(path.join(root, file), "utf8")));
  return texts.get(file);
}

function stamp(source) {
  const header = source.replace(/\.cpp$/, ".h");
  const folder_rules = path.join(path.dirname(source), ".clang-tidy");  // of this folder alone
  const own = [source, header, folder_rules].filter((file) => fs.existsSync(path.join(root, file)));
  return hash(...[...kRules, ...own].map((file) => `${file} ${text_hash(file)}`));
}

for (const source of process.argv.slice(2)) console.log(`${stamp(source)} ${source}`);
