// A new user on a machine of his own: programs installed, an empty home, `init`, `doctor`, the first verified answer, an
// application, and somebody else who checks the answer without a network.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { kBin, kRoot, scenario } from "./lib.mjs";

const kMs = 30_000;

/** A user with nothing but a home folder and the programs. */
class User {
  constructor(bed, name, bin = kBin) {
    this.folder = path.join(bed.folder, name);
    this.home = path.join(this.folder, ".nostril");
    this.bin = bin;
    fs.mkdirSync(this.folder);
  }

  run(words, { input = "", env = {} } = {}) {
    const result = spawnSync(path.join(this.bin, "nostril"), words, {
      input, encoding: "utf8", timeout: kMs, cwd: this.folder,
      env: { PATH: process.env.PATH, HOME: this.folder, ...env },
    });
    return { code: result.status, out: result.stdout, err: result.stderr, all: result.stdout + result.stderr };
  }
}

const mode_of = (file) => fs.statSync(file).mode & 0o777;

scenario("init asks, writes for its owner alone, checks, and never overwrites", async (bed) => {
  const relay = await bed.relay();
  const user = new User(bed, "asked");
  const answers = `http://nowhere\n${relay.url}, ws://127.0.0.1:1\n-5\n2000\nbest\nimage\n\ny\n`;
  const made = user.run(["init"], { input: answers, env: { NOSTRIL_PASSPHRASE: "swordfish" } });
  assert.equal(made.code, 0, made.all);
  assert.match(made.err, /http:\/\/nowhere: a relay is ws/);
  assert.match(made.out, /^next: nostril chat "a question"/m);
  assert.doesNotMatch(made.all, /\u001b/, "no colours and no progress away from a terminal");
  assert.equal(mode_of(user.home), 0o700);
  for (const name of ["config.toml", "policy.toml", "payment.nsec"]) assert.equal(mode_of(path.join(user.home, name)), 0o600, name);
  const config = fs.readFileSync(path.join(user.home, "config.toml"), "utf8");
  assert.match(config, /^budget = 2000$/m);
  assert.match(config, /^# most that one node may be owed/m, "commented");
  assert.match(fs.readFileSync(path.join(user.home, "policy.toml"), "utf8"), /^level_min = "image"$/m);
  assert.match(fs.readFileSync(path.join(user.home, "payment.nsec"), "utf8"), /^ncryptsec1/);

  const again = user.run(["init", "--yes", "--relay", relay.url]);
  assert.equal(again.code, 1);
  assert.match(again.err, /is there; edit it/);
  assert.equal(fs.readFileSync(path.join(user.home, "config.toml"), "utf8"), config);

  const cut = new User(bed, "cut");
  assert.equal(cut.run(["init"], { input: `${relay.url}\n` }).code, 1);
  assert.ok(!fs.existsSync(cut.home), "nothing half written");
  assert.match(cut.run(["init", "--yes"]).err, /name a relay/);
});

scenario("doctor says what is well, what is not, and what to do", async (bed) => {
  const relay = await bed.relay();
  const user = new User(bed, "user");
  const examine = (...more) => {
    const { code, out, err } = user.run(["doctor", "--json", ...more]);
    const { health, checks } = JSON.parse(out);
    assert.equal(code, { ok: 0, warning: 1, wrong: 2 }[health], err);
    for (const one of checks) assert.equal(one.health === "ok", one.remedy === undefined, one.check);
    return { health, checks, of: (name) => checks.find(({ check }) => check === name) };
  };
  const fresh = examine();
  assert.equal(fresh.health, "wrong");
  assert.match(fresh.of("settings").remedy, /nostril init/);
  assert.ok(!fs.existsSync(user.home), "it only looks");

  assert.equal(user.run(["init", "--yes", "--no-check", "--relay", relay.url, "--relay", "ws://127.0.0.1:1"]).code, 0);
  const lonely = examine();
  assert.match(lonely.of("offers").found, /no node offers anything/);
  const relays = lonely.checks.filter(({ check }) => check === "relay");
  assert.deepEqual(relays.map(({ health }) => health), ["ok", "warning"], "one works, so the other is not needed");

  const node = await bed.node({ relay });
  const distrustful = examine();
  assert.match(distrustful.of("offer").found, new RegExp(`refused: .* by ${node.npub}: .*`));
  const trusting = examine("--trust-test-root", node.root);
  assert.equal(trusting.health, "warning");
  assert.match(trusting.of("offer").found, /SIMULATED|simulated/);

  fs.chmodSync(path.join(user.home, "payment.nsec"), 0o640);
  fs.appendFileSync(path.join(user.home, "config.toml"), "");
  assert.match(examine().of("key").remedy, /chmod 600/);
  fs.appendFileSync(path.join(user.home, "config.toml"), "\nbudgets = 5\n");
  assert.match(examine().of("settings").found, /config\.toml.*budgets/);
});

scenario("from an installed program to an answer that somebody else checks", async (bed) => {
  const prefix = path.join(bed.folder, "usr");
  execFileSync("cmake", ["--install", path.dirname(kBin), "--prefix", prefix, "--component", "client"], { stdio: "ignore", cwd: kRoot });
  const relay = await bed.relay();
  const node = await bed.node({ relay });
  const user = new User(bed, "user", path.join(prefix, "bin"));
  const init = user.run(["init", "--yes", "--relay", relay.url, "--trust-test-root", node.root]);
  assert.equal(init.code, 0, init.all);
  assert.match(init.out, /^warning +offer/m, "simulated, and it says so");

  const chat = user.run(["chat", "--save", "saved", "What is a relay?"]);
  assert.equal(chat.code, 0, chat.err);
  assert.ok(chat.out.length > 10);

  // An application of the same machine: told where the gateway is, with a key of its own.
  const app = path.join(user.folder, ".config/opencode/opencode.json");
  fs.mkdirSync(path.dirname(app), { recursive: true });
  fs.writeFileSync(app, JSON.stringify({ theme: "dark" }), { mode: 0o644 });
  const shown = user.run(["apps", "add", "opencode", "--print"]);
  assert.equal(shown.code, 0, shown.all);
  assert.equal(fs.readFileSync(app, "utf8"), '{"theme":"dark"}', "only shown");
  const added = user.run(["apps", "add", "opencode"]);
  assert.equal(added.code, 0, added.all);
  assert.equal(mode_of(app), 0o600, "there is a key in it now");
  assert.equal(fs.readFileSync(`${app}.before-nostril`, "utf8"), '{"theme":"dark"}');
  assert.equal(mode_of(`${app}.before-nostril`), 0o600);
  const first = fs.readFileSync(app, "utf8");
  assert.match(user.run(["apps", "add", "opencode"]).out, /is so already/);
  assert.equal(fs.readFileSync(app, "utf8"), first, "with the same key");
  assert.match(user.run(["apps", "list"]).out, /^opencode +added .*opencode\.json$/m);
  const { options, models } = JSON.parse(first).provider.nostril;
  assert.deepEqual(Object.keys(models), [node.model]);
  const gateway = bed.client(["gateway", "--listen", "127.0.0.1:0"], { HOME: user.folder });
  const [, url] = await gateway.line(/^listening on (http:\/\/\S+)$/m);
  const ask = (key) => fetch(`${url}/chat/completions`, {
    method: "POST", headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: node.model, messages: [{ role: "user", content: "hello" }], max_tokens: 8 }),
  });
  const answered = await ask(options.apiKey);
  assert.equal(answered.status, 200, await answered.clone().text());
  assert.match(answered.headers.get("x-nostril-record"), /^[0-9a-f]{64}$/);
  assert.equal((await ask("nk-guessed")).status, 401);
  assert.equal(user.run(["apps", "remove", "opencode"]).code, 0);
  assert.deepEqual(JSON.parse(fs.readFileSync(app, "utf8")).theme, "dark");
  assert.doesNotMatch(fs.readFileSync(app, "utf8"), /nk-/);

  // With comments in it, a file is left alone.
  const zed = path.join(user.folder, ".config/zed/settings.json");
  fs.mkdirSync(path.dirname(zed));
  fs.writeFileSync(zed, "{\n  // mine\n}\n");
  const refused = user.run(["apps", "add", "zed"]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /is left as it is/);
  assert.match(refused.out, /"openai_compatible"/);
  assert.equal(fs.readFileSync(zed, "utf8"), "{\n  // mine\n}\n");
  assert.doesNotMatch(user.run(["keys", "list"]).out, /app-/, "no key without its application");

  const stranger = new User(bed, "stranger", path.join(prefix, "bin"));
  const answer = path.join(user.folder, "saved/answer.json");
  const right = stranger.run(["verify", "--answer", answer]);
  assert.equal(right.code, 0, right.all);
  fs.writeFileSync(path.join(stranger.folder, "changed.json"), fs.readFileSync(answer, "utf8").replace("What is", "Who is"));
  assert.equal(stranger.run(["verify", "--answer", "changed.json"]).code, 1);
  assert.ok(!fs.existsSync(stranger.home), "checking needs no home");
});
