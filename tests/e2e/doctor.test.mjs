// `nostril-node doctor` beside a real relay and engine: what an operator reads before and after.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { scenario } from "./lib.mjs";

const kMs = 30_000;

scenario("doctor looks at everything that the node needs, and its status says how it stands", async (bed) => {
  const relay = await bed.relay();
  const engine = await bed.engine();
  const data = path.join(bed.folder, "node");
  const config = path.join(bed.folder, "doctor.toml");
  const write = (lines) => fs.writeFileSync(config,
    `relays = ["${relay.url}"]\ndata = "${data}"\nevidence = "simulated"\n${lines}[engine]\nurl = "${engine.url}"\n`);
  const doctor = async (...more) => {
    const { code, out, err } = await bed.node_command(["doctor", "--config", config, ...more]).end(kMs);
    return { code, out, err };
  };
  const examine = async () => {
    const { code, out, err } = await doctor("--json");
    const { health, checks } = JSON.parse(out);
    assert.equal(code, { ok: 0, warning: 1, wrong: 2 }[health], err);
    return { health, checks, of: (name) => checks.find(({ check }) => check === name) };
  };

  write("");
  const first = await examine();
  assert.equal(first.health, "warning", JSON.stringify(first.checks));
  assert.deepEqual(first.checks.map(({ check }) => check),
    ["settings", "tee", "evidence", "gpu", "engine", "relay", "clock", "https", "data", "disk", "journal"]);
  for (const name of ["settings", "engine", "relay", "data", "disk", "journal"]) {
    assert.equal(first.of(name).health, "ok", JSON.stringify(first.of(name)));
  }
  assert.match(first.of("tee").found, /SIMULATED/);
  assert.match(first.of("relay").found, /a frame of the largest size came back in \d+ ms, nostril-relay/);
  assert.match(first.of("engine").found, /nostril-demo \S+, models: nostril-demo; 0 run, 0 wait/);
  for (const one of first.checks) assert.equal(one.health === "ok", one.remedy === undefined, one.check);
  assert.ok(!fs.existsSync(data), "it only looks");

  const table = await doctor();
  assert.equal(table.code, 1);
  assert.doesNotMatch(table.out + table.err, /\u001b/, "no colours and no progress away from a terminal");
  assert.match(table.out, /^warning +tee +evidence is SIMULATED.*\n +-> /m);

  // Beside a node that runs and has served.
  const node = await bed.node({ relay, data, engine_url: engine.url });
  assert.equal((await bed.chat({ relay, node, question: "hello" }).end(kMs)).code, 0);
  assert.match((await examine()).of("journal").found, /^1 channels; receipts of [1-9]\d* msat, 0 owed$/);

  // What is wrong is told apart from what is not.
  fs.chmodSync(data, 0o755);
  await engine.program.stop();
  const broken = await examine();
  assert.equal(broken.health, "wrong");
  assert.match(broken.of("data").remedy, /chmod 700/);
  assert.equal(broken.of("engine").health, "wrong");
  assert.equal(broken.of("relay").health, "ok");

  write("relay = []\n");
  const misspelt = await examine();
  assert.equal(misspelt.health, "wrong");
  assert.match(misspelt.of("settings").found, /doctor\.toml.*relay.*relays/);
});
