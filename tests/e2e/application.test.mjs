// Which application a node's machine booted, as a client's policy names it: by compose hash, by
// application id, by image; shown by every command that judges.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { scenario, tag } from "./lib.mjs";

const kMs = 20_000;
const kImage = "1".repeat(64);

const compose_text = (more = {}) =>
  JSON.stringify({ docker_compose_file: `services:\n  node:\n    image: example.invalid/node@sha256:${kImage}\n`, ...more });

scenario("a policy names the application that a node must run, and another is refused", async (bed) => {
  const compose = path.join(bed.folder, "app-compose.json");
  fs.writeFileSync(compose, compose_text());
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
  assert.deepEqual(any.said.claims.image_digests, [kImage]);
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

scenario("a board's evidence names vendors' documents, and a saved answer is judged with them or refused by name", async (bed) => {
  const compose = path.join(bed.folder, "app-compose.json");
  fs.writeFileSync(compose, compose_text({ note: randomBytes(9_000).toString("base64") }));
  const relay = await bed.relay();
  const node = await bed.node({ relay, sections: { tee: { simulated_compose: compose, simulated_gpus: 8 } } });
  const save = path.join(bed.folder, "saved");
  const gpu_root = ["--trust-test-root", path.join(node.data, "sim-gpu-root.der")];
  const chat = await bed.client(["chat", ...bed.client_options({ relay, node }), ...gpu_root, "--save", save, "What is a relay?"]).end(60_000);
  assert.equal(chat.code, 0, chat.err);

  /** The relay's events of a kind, each in a file. */
  const stored = async (kind) => (await bed.client(["req", "--relay", relay.url, "--kind", `${kind}`]).end(kMs)).out.trim()
    .split("\n").map((text, number) => {
      const file = path.join(bed.folder, `${kind}-${number}.json`);
      fs.writeFileSync(file, text);
      return { file, digest: tag(JSON.parse(text), "d") };
    });
  const [offer] = await stored(31470);
  const [attestation] = await stored(31471);
  const documents = await stored(31474);
  assert.ok(documents.length >= 2, `${documents.length} documents`);
  const verify = (given) => bed.client(["verify", path.join(save, "record.json"), "--offer", offer.file,
    "--attestation", attestation.file, "--trust-test-root", node.root, ...gpu_root,
    ...given.flatMap(({ file }) => ["--document", file])]).end(kMs);
  const whole = await verify(documents);
  assert.equal(whole.code, 3, whole.out + whole.err);
  for (const [number, missing] of documents.entries()) {
    const { code, out } = await verify(documents.filter((_, other) => other !== number));
    assert.equal(code, 1, `without ${missing.digest}`);
    assert.ok(out.includes(missing.digest), out);
  }
});
