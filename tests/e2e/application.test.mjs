// Which application a node's machine booted, as a client's policy names it: by compose hash, by
// application id, by image; shown by every command that judges.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { scenario } from "./lib.mjs";

const kMs = 20_000;

scenario("a policy names the application that a node must run, and another is refused", async (bed) => {
  const compose = path.join(bed.folder, "app-compose.json");
  const image = `example.invalid/node@sha256:${"1".repeat(64)}`;
  fs.writeFileSync(compose, JSON.stringify({ docker_compose_file: `services:\n  node:\n    image: ${image}\n` }));
  const hash = createHash("sha256").update(fs.readFileSync(compose)).digest("hex");
  const relay = await bed.relay();
  const node = await bed.node({ relay, sections: { tee: { simulated_compose: compose } } });
  const options = bed.client_options({ relay, node });
  const under = async (name, text) => {
    const file = path.join(bed.folder, `${name}.toml`);
    fs.writeFileSync(file, text);
    const offer = ["verify", "offer", ...options, "--node", node.npub, "--policy", file];
    const { code, out, err } = await bed.client([...offer, "--json"]).end(kMs);
    return { code, said: code === 2 ? err : JSON.parse(out) };
  };

  const any = await under("any", "");
  assert.equal(any.code, 3, JSON.stringify(any.said));
  assert.equal(any.said.claims.compose_hash, hash);
  assert.deepEqual(any.said.claims.image_digests, ["1".repeat(64)]);
  const mrtd = any.said.claims.mrtd;

  const taken = {
    compose: `[software]\ncompose = ["${hash}"]\n`,
    app_ids: `[software]\napp_ids = ["${hash.slice(0, 40)}"]\n`,
    images: `[tdx]\nimages = ["mrtd=${mrtd}"]\n`,
  };
  for (const [name, text] of Object.entries(taken)) {
    assert.equal((await under(name, text)).code, 3, name);
  }
  const flip = (hex) => (hex[0] === "0" ? "1" : "0") + hex.slice(1);
  const refused = {
    compose: [`[software]\ncompose = ["${flip(hash)}"]\n`, "compose"],
    app_ids: [`[software]\napp_ids = ["${flip(hash.slice(0, 40))}"]\n`, "app_id"],
    images: [`[tdx]\nimages = ["mrtd=${flip(mrtd)}"]\n`, "measurements"],
  };
  for (const [name, [text, check]] of Object.entries(refused)) {
    const { code, said } = await under(name, text);
    assert.equal(code, 1, name);
    assert.deepEqual(said.failed.map((failure) => failure.check), [check], name);
  }

  const shown = await bed.client(["offers", ...options, "--explain"]).end(kMs);
  assert.equal(shown.code, 0, shown.err);
  assert.match(shown.out, /ok +event_replay: the quote's registers/);
  assert.ok(shown.out.includes(`compose_hash`) && shown.out.includes(hash));
  const chat = await bed.client(["chat", ...options, "--policy", path.join(bed.folder, "compose.toml"), "hello"]).end(kMs);
  assert.notEqual(chat.code, 0);
  assert.match(chat.err, /compose/);
});
