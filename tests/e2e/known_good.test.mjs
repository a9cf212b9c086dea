// A node's evidence as a sceptic looks at it: from the relay alone, under a policy, with auditors'
// lists that arrive, vouch, and deny.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { scenario } from "./lib.mjs";

const kMs = 20_000;

scenario("evidence is judged from the relay, and an auditor's denial reaches every command", async (bed) => {
  const relay = await bed.relay();
  const node = await bed.node({ relay });
  const run = async (args) => {
    const { code, out, err } = await bed.client(args).end(kMs);
    return { code, out, err };
  };
  const client = bed.client_options({ relay, node });
  const strict = bed.client_options({ relay, node, home: "strict", trust: false });

  // Simulated evidence: refused by default, and told from the real thing when it was asked for.
  const offer = ["--node", node.npub];
  const refused = await run(["verify", "offer", ...strict, ...offer, "--json"]);
  assert.equal(refused.code, 1, refused.out + refused.err);
  assert.ok(JSON.parse(refused.out).failed.some(({ check }) => check === "simulated"));
  const page = path.join(bed.folder, "verdict.html");
  const taken = await run(["verify", "offer", ...client, ...offer, "--json", "--html", page]);
  assert.equal(taken.code, 3, taken.out + taken.err);
  const verdict = JSON.parse(taken.out);
  assert.equal(verdict.simulated, true);
  assert.match(fs.readFileSync(page, "utf8"), /ACCEPTED \(SIMULATED EVIDENCE - not a TEE\)/);

  // An auditor looks at the node, vouches for it, and publishes.
  const key = path.join(bed.folder, "auditor.nsec");
  assert.equal((await run(["key", "new", key])).code, 0);
  const [auditor] = /npub1\w+/.exec((await run(["key", "show", key])).out);
  assert.equal((await run(["verify", "offer", ...client, "--node", auditor])).code, 2, "it offers nothing");
  const policy = path.join(bed.folder, "policy.toml");
  fs.writeFileSync(policy, `[lists]\ntrusted = ["${auditor}"]\n`);
  const made = await run(["known-good", "make", "--name", "nodes", "--key", key, "--reason", "seen by us", "--machine",
    ...offer, "--relay", relay.url, "--trust-test-root", node.root, "--home", path.join(bed.folder, "auditor")]);
  assert.equal(made.code, 0, made.err);
  const list = JSON.parse(made.out);
  const entry = (subject) => list.tags.find(([word, found]) => word === "allow" && found === subject);
  assert.ok(entry("image")[2].startsWith(`mrtd=${verdict.claims.mrtd},rtmr0=`));
  assert.equal(entry("machine")[2], `ppid=${verdict.claims.ppid}`);
  const file = path.join(bed.folder, "list.json");
  fs.writeFileSync(file, made.out);
  assert.equal((await run(["known-good", "check", file, "--policy", policy])).code, 0);
  const publish = async (tags) => {
    const options = tags.flatMap(([name, ...values]) => ["-t", `${name}=${values.join(",")}`]);
    return run(["event", "--key", key, "-k", "31473", "--relay", relay.url, ...options]);
  };
  const image = ["allow", "image", `mrtd=${verdict.claims.mrtd}`, "seen by us"];
  const end = ["expiration", `${Math.floor(Date.now() / 1000) + 3600}`];
  assert.equal((await publish([["d", "nodes"], ["v", "1"], image, end])).code, 0);
  const vouched = await run(["verify", "offer", ...client, "--policy", policy, ...offer, "--explain"]);
  assert.equal(vouched.code, 3, vouched.out + vouched.err);
  assert.match(vouched.out, new RegExp(`ok +measurements: .*known to ${auditor}`));

  // Another list denies the machine: every command refuses, by that name.
  const denied = await publish([["d", "machines"], ["v", "1"], ["deny", "machine", `ppid=${verdict.claims.ppid}`, "its key was sold"], end]);
  assert.equal(denied.code, 0, denied.err);
  const out = await run(["verify", "offer", ...client, "--policy", policy, ...offer, "--json"]);
  assert.equal(out.code, 1, out.out + out.err);
  const [failure] = JSON.parse(out.out).failed;
  assert.equal(failure.check, "denied");
  assert.match(failure.found, new RegExp(`denied by ${auditor}: its key was sold`));
  const chat = await run(["chat", ...client, "--policy", policy, "hello"]);
  assert.notEqual(chat.code, 0);
  assert.match(chat.err, /denied/);
  // Who does not name the auditor does not care.
  assert.equal((await run(["verify", "offer", ...client, ...offer])).code, 3);
});
