// What the three programs tell shells and man(1), tried in the real ones.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";

const bin = process.env.NOSTRIL_BIN_DIR;
const programs = ["nostril", "nostril-node", "nostril-relay"];

const run = (program, ...words) =>
  execFileSync(path.join(bin, program), words, { encoding: "utf8", timeout: 20_000 });
const there = (tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status === 0;

// What the shell would offer at the end of a line, one word a line.
const offered = {
  bash(program, line) {
    const words = line.split(" ");
    const script = `${run(program, "completion", "bash")}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")})
COMP_CWORD=${words.length - 1}
_${program.replaceAll("-", "_")}
printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync("bash", ["--norc", "-c", script], { encoding: "utf8", timeout: 20_000 });
  },
  // The function itself, with what it calls to offer words replaced by what prints them.
  zsh(program, line) {
    const words = line.split(" ");
    const script = `compdef() { : }
_describe() { print -rl -- \${\${(P)2}%%:*} }
compadd() { shift; print -rl -- "$@" }
_files() { : }
${run(program, "completion", "zsh")}
words=(${words.map((word) => `'${word}'`).join(" ")})
CURRENT=${words.length}
_${program.replaceAll("-", "_")}`;
    const out = execFileSync("zsh", ["-f", "-c", script], { encoding: "utf8", timeout: 20_000 });
    const begun = words.at(-1);  // zsh itself leaves out what does not begin so
    return out.split("\n").filter((word) => word.startsWith(begun)).join("\n");
  },
  fish(program, line) {
    const script = `${run(program, "completion", "fish")}\ncomplete -C ${JSON.stringify(line)}`;
    return execFileSync("fish", ["--no-config", "-c", script], { encoding: "utf8", timeout: 20_000 })
      .replace(/\t.*$/gm, "");
  },
};

for (const [shell, offer] of Object.entries(offered)) {
  test(`${shell} completes commands, options and values`, { skip: there(shell) ? false : `no ${shell} here` }, () => {
    const words = (program, line) => offer(program, line).split("\n").filter((word) => word !== "").sort();
    assert.deepEqual(words("nostril", "nostril kno"), ["known-good"]);
    assert.deepEqual(words("nostril", "nostril key "), ["decode", "decrypt", "encrypt", "export", "import", "new", "show"]);
    assert.deepEqual(words("nostril", "nostril chat --dur"), ["--durable"]);
    assert.deepEqual(words("nostril", "nostril completion "), ["bash", "fish", "zsh"]);
    // A value is no command, even when it looks like one.
    assert.deepEqual(words("nostril", "nostril --log key key deco"), ["decode"]);
    assert.deepEqual(words("nostril-relay", "nostril-relay dict tr"), ["train"]);
    assert.deepEqual(words("nostril-node", "nostril-node manifest ver"), ["verity"]);
    assert.ok(words("nostril-node", "nostril-node ").includes("doctor"));
  });
}

test("each script is accepted by its shell", (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "nostril-pages-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  for (const program of programs) {
    for (const shell of Object.keys(offered)) {
      if (!there(shell)) continue;
      const file = path.join(folder, `${program}.${shell}`);
      fs.writeFileSync(file, run(program, "completion", shell));
      const { status, stderr } = spawnSync(shell, ["-n", file]);
      assert.equal(status, 0, `${program} ${shell}: ${stderr}`);
    }
  }
});

test("groff has nothing to say against the manual pages", { skip: there("groff") ? false : "no groff here" }, () => {
  for (const program of programs) {
    const page = run(program, "man");
    const { status, stdout, stderr } = spawnSync("groff", ["-man", "-ww", "-Tutf8"], { input: page, encoding: "utf8" });
    assert.equal(status, 0);
    assert.equal(stderr, "", program);
    const text = stdout.replace(/.\x08/g, "").replace(/\x1b\[[0-9;]*m/g, "");
    for (const command of run(program, "--help").matchAll(/^ {2}([a-z][a-z-]+) /gm)) {
      assert.match(text, new RegExp(`${program} ${command[1]}`), `${program} ${command[1]}`);
    }
  }
});

test("a wrong command line ends with 2 and says why; what each status means is in --help and the manual", () => {
  for (const program of programs) {
    for (const words of [[], ["--nonsense"], ["nonsense"], ["completion"], ["completion", "csh"], [program === "nostril" ? "key" : program === "nostril-node" ? "manifest" : "cluster"]]) {
      const { status, stdout, stderr } = spawnSync(path.join(bin, program), words, { encoding: "utf8" });
      assert.equal(status, 2, `${program} ${words.join(" ")}`);
      assert.equal(stdout, "");
      assert.match(stderr, /--help/, `${program} ${words.join(" ")}`);
    }
    for (const page of ["--help", "man"]) assert.match(run(program, page), /2 the command line is wrong/, `${program} ${page}`);
  }
});
