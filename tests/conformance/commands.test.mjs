// The operator's commands: what they take, what they say of what is wrong, and with which status they end.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { kBin } from "../e2e/lib.mjs";
import { now, person } from "./lib.mjs";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "nostril-commands-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const run = (args, input = "") => spawnSync(path.join(kBin, "nostril-relay"), args, { input, encoding: "utf8", cwd: folder, timeout: 60_000 });
const jsonl = (events) => events.map((event) => `${JSON.stringify(event)}\n`).join("");

function check_of(toml) {
  fs.writeFileSync(path.join(folder, "relay.toml"), toml);
  return run(["config", "check", "--config", "relay.toml"]);
}

test("a value that is no good is named with its file and line, whatever is wrong with it", () => {
  const wrong = {
    'listen = "nowhere"': "listen: ",
    'listen = "127.0.0.1:70000"': "listen: port: ",
    'listen = "example.org:7447"': "listen: ",
    'url = "https://relay.example"': "url: ",
    'log_level = "loud"': "log_level: ",
    'log_format = "xml"': "log_format: ",
    'info.pubkey = "npub1x"': "info.pubkey: ",
    'policy.blocked_kinds = ["x"]': "policy.blocked_kinds: ",
    'policy.blocked_authors = ["x"]': "policy.blocked_authors: ",
    'admin.keys = ["x"]': "admin.keys: ",
    'proxy.trusted = ["x"]': "proxy.trusted: ",
    'content.tags_max = ["x"]': "content.tags_max: ",
    'membership.enabled = true\nproxy.trusted = ["192.0.2.1"]': "membership.enabled needs ",
    "limits.subscriptions_max = 0": "subscriptions_max must be ",
    "limits.nonsense = 0": "nobody reads limits.nonsense",
  };
  for (const [line, says] of Object.entries(wrong)) {
    const { status, stderr } = check_of(`# a comment\n\n${line}\n`);
    assert.deepEqual([status, stderr.split("\n").length], [1, 2], `${line}: ${stderr}`);
    assert.ok(stderr.startsWith(`error: relay.toml:3: ${says}`), `${line}: ${stderr}`);
    if (!line.startsWith("limits.")) assert.equal(run(["run", "--config", "relay.toml"]).stderr, stderr);
  }
  // Of arrays of tables each is counted, from 0; what is not set has the line of its table.
  const tables = {
    '[[plugins]]\ncommand = []\n': "2: plugins[0].command: must name a program",
    '[[plugins]]\ntimeout_ms = 10\n': "1: plugins[0].command: must name a program",
    '[[plugins]]\ncommand = ["a"]\n\n[[plugins]]\ncommand = ["b"]\non_failure = "x"\n': '6: plugins[1].on_failure: "x" must be "refuse" or "accept"',
    '[[mirror]]\nurl = "http://x"\n': '2: mirror[0].url: "http://x" must be ws:// or wss://',
    '[[mirror]]\ndirection = "up"\n': '1: mirror[0].url: "" must be ws:// or wss://',
    '[[mirror]]\nurl = "ws://x"\n[[mirror]]\nurl = "ws://y"\n\ndirection = "in"\n': '6: mirror[1].direction: "in" must be down, up or both',
    '[[mirror]]\nurl = "ws://x"\nfilter = "[]"\n': "3: mirror[0].filter: not an object",
    '[[mirror]]\nurl = "ws://x"\nkey = "absent"\n': "3: mirror[0].key: absent",
    '[[mirror]]\nurl = 7\n': "2: url must be a text in quotes",
  };
  for (const [text, says] of Object.entries(tables)) {
    const { status, stderr } = check_of(text);
    assert.equal(status, 1, text);
    assert.ok(stderr.startsWith(`error: relay.toml:${says}`), `${text}: ${stderr}`);
  }
  assert.equal(check_of('listen = "127.0.0.1:0"\nlog_level = "off"\n').status, 0);
});

test("import counts what it leaves out, and says which lines", () => {
  const alice = person();
  const good = Array.from({ length: 30 }, (_, i) => alice.sign(1, { content: `${i}`, created_at: now() - 100 + i }));
  const forged = { ...good[0], sig: good[1].sig };
  const text = `{not json\n\n${jsonl([good[0]])}${jsonl([forged])}{}\n${jsonl(good.slice(1))}["EVENT"]\n${jsonl([alice.sign(20_001), alice.sign(1, { tags: [["expiration", "5"]] })])}`;
  const { status, stderr } = run(["import", "--data", "store"], text);
  assert.equal(status, 0);
  for (const line of ["line 1: not JSON", "line 4: bad signature", "line 5: a field is missing", "line 35: not an object"]) assert.match(stderr, new RegExp(`^import: ${line}$`, "m"));
  assert.match(stderr, /^36 lines: 30 stored, 0 duplicates, 3 malformed, 1 wrong signatures, 2 not kept$/m);
});

test("export gives what a filter names, oldest first", () => {
  const [alice, bob] = [person(), person()];
  const of_alice = Array.from({ length: 2_500 }, (_, i) => alice.sign(1, { content: `${i}`, created_at: now() - 5_000 + i }));
  const of_bob = [bob.sign(7, { created_at: now() - 9_000 }), bob.sign(1, { created_at: now() - 10, tags: [["expiration", `${now() + 1}`]] }), bob.sign(1, { created_at: now() - 5 })];
  assert.equal(run(["import", "--data", "two"], jsonl([...of_bob, ...of_alice].reverse())).status, 0);
  const exported = (filter) => run(["export", "--data", "two", "--filter", JSON.stringify(filter)]);
  assert.equal(exported({ authors: [alice.key] }).stdout, jsonl(of_alice));
  assert.equal(exported({ authors: [alice.key], limit: 3 }).stdout, jsonl(of_alice.slice(-3)));
  assert.equal(exported({ kinds: [7] }).stdout, jsonl([of_bob[0]]));
  assert.match(exported({ kinds: [7] }).stderr, /^1 events$/m);
  assert.equal(exported({ ids: ["0".repeat(64)] }).stdout, "");
  while (now() <= Number(of_bob[1].tags[0][1])) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  assert.equal(exported({ authors: [bob.key] }).stdout, jsonl([of_bob[0], of_bob[2]]), "without what has expired");
  for (const [filter, says] of [["{", "--filter: not JSON"], ['{"x":1}', "--filter: unknown field"]]) {
    const { status, stdout, stderr } = run(["export", "--data", "two", "--filter", filter]);
    assert.deepEqual([status, stdout], [1, ""]);
    assert.match(stderr, new RegExp(says));
  }
});

test("a damaged store is named as such, by status 1 and one line, wherever the damage is", () => {
  const alice = person();
  const events = Array.from({ length: 1_500 }, (_, i) => alice.sign(1, { content: `${i} `.repeat(i % 60), tags: [["t", `${i % 9}`]], created_at: now() - i }));
  assert.equal(run(["import", "--data", "whole"], jsonl(events)).status, 0);
  const whole = fs.readFileSync(path.join(folder, "whole/data.mdb"));
  fs.mkdirSync(path.join(folder, "hurt"));
  const hurt = (bytes) => fs.writeFileSync(path.join(folder, "hurt/data.mdb"), bytes);
  const ended = (command) => {
    const { status, signal, stderr } = run([command, "--data", "hurt"], "");
    assert.deepEqual([signal, status], [null, 1], `${command}: ${stderr}`);
    return stderr;
  };
  for (const part of [0.1, 0.5, 0.9]) {
    hurt(whole.subarray(0, Math.floor(part * whole.length)));
    for (const command of ["check", "export"]) assert.match(ended(command), /^error: .*(cut off|damaged)/m);
    assert.match(run(["run", "--data", "hurt", "--listen", "127.0.0.1:0"]).stderr, /^error: /m);
  }
  let found = 0;
  for (let page = 2; page * 4096 < whole.length; page += 7) {
    const bytes = Buffer.from(whole);
    bytes.fill(0, page * 4096, (page + 1) * 4096);
    hurt(bytes);
    const { status, signal } = run(["check", "--data", "hurt"]);
    assert.equal(signal, null, `page ${page}`);
    if (status !== 0) found++;  // a page may be a free one
  }
  assert.ok(found > 0);
  // A signature stands for itself: nothing but its author's key says whether it is right.
  const at = whole.indexOf(Buffer.from(events[700].sig, "hex"));
  assert.ok(at > 0);
  hurt(Buffer.concat([whole.subarray(0, at), Buffer.from([whole[at] ^ 1]), whole.subarray(at + 1)]));
  assert.equal(run(["check", "--data", "hurt"]).status, 0);
  const { status, stdout } = run(["check", "--signatures", "--data", "hurt"]);
  assert.equal(status, 1);
  assert.match(stdout, new RegExp(`^event ${events[700].id}: wrong signature\n1500 records, .* 1 problems\n$`, "s"));
  assert.equal(run(["check", "--signatures", "--data", "whole"]).status, 0);
  for (const [bytes, says] of [[Buffer.alloc(0), "its data.mdb is empty"], [Buffer.from("rubbish"), "error: "]]) {
    hurt(bytes);
    assert.ok(ended("stats").includes(says));
  }
  fs.rmSync(path.join(folder, "hurt/data.mdb"));
  assert.ok(ended("stats").includes("there is no data.mdb in it"));
});
