// Evidence of an offer whose age is bounded by a witness that neither node nor client is.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { scenario, until } from "./lib.mjs";

const kMs = 20_000;
const kAgeS = 12;

scenario("offers are taken over a witness' beacon, refused over a stale one, and taken again", async (bed) => {
  const relay = await bed.relay();
  const run = async (args) => {
    const { code, out, err } = await bed.client(args).end(kMs);
    return { code, out, err };
  };
  const key = path.join(bed.folder, "witness.nsec");
  assert.equal((await run(["key", "new", key])).code, 0);
  const [witness] = /npub1\w+/.exec((await run(["key", "show", key])).out);
  const policy = path.join(bed.folder, "policy.toml");
  fs.writeFileSync(policy, `[freshness]\nrequire_beacon = true\nbeacons = ["${witness}"]\nbeacon_age_s_max = ${kAgeS}\n`);

  const node = await bed.node({ relay, sections: { freshness: { beacons: [witness], refresh_s: 5, beacon_age_s_max: kAgeS } } });
  const client = bed.client_options({ relay, node });
  const judge = async () => {
    const { code, out, err } = await run(["verify", "offer", ...client, "--policy", policy, "--node", node.npub, "--json"]);
    assert.ok(code === 1 || code === 3, out + err);
    return { code, failed: JSON.parse(out).failed };
  };

  // No beacon yet: offered, and refused by who requires one.
  const early = await judge();
  assert.equal(early.code, 1);
  assert.deepEqual(early.failed.map(({ check }) => check), ["freshness"]);
  assert.equal((await run(["verify", "offer", ...client, "--node", node.npub])).code, 3, "others take it");

  const beacon = bed.client(["beacon", "run", "--key", key, "--relay", relay.url, "--period", "1"]);
  await beacon.line(new RegExp(`^a beacon by ${witness} each 1 s$`, "m"));
  await until(kMs, "evidence over a beacon", async () => (await judge()).code === 3);
  const answer = await run(["chat", ...client, "--policy", policy, "hello"]);
  assert.equal(answer.code, 0, answer.err);

  // The witness stops: the node goes on and says so; the evidence grows stale.
  await beacon.stop();
  await node.program.said(/no beacon for more than 12 s: the offers go on/);
  const stale = await judge();
  assert.equal(stale.code, 1);
  assert.deepEqual(stale.failed.map(({ check }) => check), ["freshness"]);
  assert.equal((await run(["verify", "offer", ...client, "--node", node.npub])).code, 3);

  // One more, by hand.
  const once = await run(["beacon", "once", "--key", key, "--relay", relay.url]);
  assert.equal(once.code, 0, once.err);
  const event = JSON.parse(once.out);
  assert.equal(event.kind, 1474);
  await until(kMs, "evidence over the last beacon", async () => (await judge()).code === 3);
});
