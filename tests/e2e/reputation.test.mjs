// Nodes that lie in each way that the protocol can detect (lying_node.cpp), beside two honest ones. Each lie is caught by
// an ordinary client or by a prober, named, published as a proof that anybody can check, and avoided.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { kBin, scenario, until } from "./lib.mjs";

const kMs = 30_000;
const kChat = { messages: [{ role: "user", content: "Tell me a story about a fox." }], max_tokens: 16, temperature: 1 };
/** The liar is the cheapest, so that everybody would ask it first. */
const price = (output) => ({ offer: { output_price: output, input_price: output, auditable: true } });

/** A relay, two honest nodes, and one that tells this lie. */
async function three_nodes(bed, lie) {
  const relay = await bed.relay();
  const at = (name) => ({ relay, data: path.join(bed.folder, name) });
  const honest = await Promise.all(["first", "second"].map((name) => bed.node({ ...at(name), sections: price(2_000_000) })));
  const liar = await bed.node({ ...at("liar"), sections: price(1_000_000), program_file: path.join(kBin, "lying-node"),
    env: { NOSTRIL_LIE: lie } });
  return { relay, honest, liar };
}

const options_of = (bed, { relay, honest, liar }, home) =>
  ["--home", path.join(bed.folder, home), "--relay", relay.url, ...[liar, ...honest].flatMap(({ root }) => ["--trust-test-root", root])];

async function start_gateway(bed, nodes, home, config = "") {
  const folder = path.join(bed.folder, home);
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  fs.writeFileSync(path.join(folder, "config.toml"), config);
  const program = bed.client(["gateway", ...options_of(bed, nodes, home), "--listen", "127.0.0.1:0"]);
  const [, url] = await program.line(/^listening on (http:\/\/\S+)$/m);
  const { data } = await until(kMs, "models", async () => {
    const models = await (await fetch(`${url}/models`)).json();
    return models.data?.length > 0 ? models : undefined;
  });
  const ask = async () => {
    const response = await fetch(`${url}/chat/completions`,
      { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...kChat, model: data[0].id }) });
    return { status: response.status, text: await response.text() };
  };
  return { program, url, ask };
}

/** What a client of its own thinks of each node: {npub: {score, fraud, state}}. */
async function thoughts_of(bed, nodes, home) {
  const { code, out, err } = await bed.client(["reputation", "show", "--json", ...options_of(bed, nodes, home)]).end(kMs);
  assert.equal(code, 0, err);
  return new Map(JSON.parse(out).nodes.map((node) => [node.node, node]));
}

/** The proofs on the relay, as signed events. */
async function published(bed, { relay }) {
  const { code, out, err } = await bed.client(["req", "--relay", relay.url, "--kind", "1984"]).end(kMs);
  assert.equal(code, 0, err);
  return out.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** The proof by itself, in a home that knows nobody and no root. */
async function check(bed, file) {
  const { code, out } = await bed.client(["reputation", "check", "--json", file, "--home", path.join(bed.folder, "nobody")]).end(kMs);
  return { code, verdict: JSON.parse(out) };
}

/** One proof is on the relay; it names the liar and this kind, holds by itself, and no longer once a byte is another. */
async function expect_proof(bed, nodes, kind) {
  const proofs = await until(kMs, "a published proof", async () => {
    const found = await published(bed, nodes);
    return found.length > 0 ? found : undefined;
  });
  assert.equal(proofs.length, 1);
  const file = path.join(bed.folder, "proof.json");
  fs.writeFileSync(file, JSON.stringify(proofs[0]));
  const { code, verdict } = await check(bed, file);
  assert.equal(code, 0, JSON.stringify(verdict));
  assert.deepEqual({ proven: verdict.proven, node: verdict.node, kind: verdict.kind }, { proven: true, node: nodes.liar.npub, kind });
  fs.writeFileSync(file, JSON.stringify({ ...proofs[0], content: proofs[0].content.replace("1", "2") }));
  const tampered = await bed.client(["reputation", "check", file, "--home", path.join(bed.folder, "nobody")]).end(kMs);
  assert.equal(tampered.code, 2);
  // It is the node's own word, brought by a key that signs nothing else.
  assert.ok(JSON.parse(proofs[0].content).every(({ pubkey }) => pubkey !== proofs[0].pubkey));
}

/** Somebody who was never lied to hears of it, and asks honest nodes from the first request on. */
async function expect_avoided(bed, nodes) {
  const known = await thoughts_of(bed, nodes, "stranger");
  assert.match(known.get(nodes.liar.npub).fraud, /\S/);
  assert.equal(known.get(nodes.liar.npub).score, -100);
  for (const { npub } of nodes.honest) assert.equal(known.get(npub).fraud, undefined);
  const asked = await bed.client(["chat", ...options_of(bed, nodes, "stranger"), "Tell me a story about a fox."]).end(kMs);
  assert.equal(asked.code, 0, asked.err);
  const answered = [...asked.err.matchAll(/^node +(npub1\S+)$/gm)].map(([, npub]) => npub);
  assert.ok(answered.length > 0 && answered.every((npub) => nodes.honest.some((node) => node.npub === npub)), asked.err);
}

for (const lie of ["price", "cost"]) {
  scenario(`a node that lies about ${lie} loses its users with the first answer`, async (bed) => {
    const nodes = await three_nodes(bed, lie);
    const gateway = await start_gateway(bed, nodes, "user", "[reputation]\npublish_proofs = true\n");
    const first = await gateway.ask();
    assert.notEqual(first.status, 200, first.text);
    assert.match(first.text, /proven fraud/);
    for (let i = 0; i < 3; ++i) assert.equal((await gateway.ask()).status, 200);
    await expect_proof(bed, nodes, lie);
    await expect_avoided(bed, nodes);
    await gateway.program.stop();
    // After a restart, and without any relay's help, the home still knows.
    const kept = fs.readdirSync(path.join(bed.folder, "user", "reputation", "proofs"));
    assert.equal(kept.length, 1);
    assert.equal((await check(bed, path.join(bed.folder, "user", "reputation", "proofs", kept[0]))).code, 0);
  });
}

scenario("a node that begins its channel anew is caught by the second answer; nothing of it is told unless the user says so", async (bed) => {
  const nodes = await three_nodes(bed, "rollback");
  const gateway = await start_gateway(bed, nodes, "user");
  assert.equal((await gateway.ask()).status, 200);
  const second = await gateway.ask();
  assert.match(second.text, /proven fraud/);
  for (let i = 0; i < 3; ++i) assert.equal((await gateway.ask()).status, 200);
  await gateway.program.stop();
  assert.deepEqual(await published(bed, nodes), []);
  const [kept] = fs.readdirSync(path.join(bed.folder, "user", "reputation", "proofs"));
  const file = path.join(bed.folder, "user", "reputation", "proofs", kept);
  assert.equal((await check(bed, file)).verdict.kind, "rollback");
});

for (const lie of ["weights", "tee", "quote"]) {
  scenario(`a node whose evidence is wrong (${lie}) gets no request, and is named by the first who looks`, async (bed) => {
    const nodes = await three_nodes(bed, lie);
    const gateway = await start_gateway(bed, nodes, "user");
    for (let i = 0; i < 3; ++i) assert.equal((await gateway.ask()).status, 200);
    await expect_proof(bed, nodes, "evidence");
    await expect_avoided(bed, nodes);
  });
}

scenario("a prober catches a node that gives one request two answers, and approves the honest ones", async (bed) => {
  const nodes = await three_nodes(bed, "two-answers");
  const key = path.join(bed.folder, "prober.nsec");
  const made = await bed.client(["key", "new", key]).end(kMs);
  assert.equal(made.code, 0, made.err);
  const [prober] = /npub1\S+/.exec(made.out + made.err);
  const probed = await bed.client(["probe", "--all", "--json", "--key", key, ...options_of(bed, nodes, "prober")]).end(60_000);
  assert.equal(probed.code, 1, probed.err);
  const results = new Map(JSON.parse(probed.out).map((node) => [node.node, node]));
  assert.equal(results.get(nodes.liar.npub).result, "fraud", probed.out);
  assert.match(results.get(nodes.liar.npub).detail, /two answers/);
  for (const { npub } of nodes.honest) {
    assert.equal(results.get(npub).result, "well", probed.out);
    assert.equal(results.get(npub).repeated, "the same");
  }
  // The second honest node repeated the first one's answer by seed and sampling, and the other way round.
  assert.ok(nodes.honest.every(({ npub }) => results.get(npub).same >= 1), probed.out);
  await expect_proof(bed, nodes, "two-answers");
  await expect_avoided(bed, nodes);
  // Who follows the prober counts its word; who does not, does not.
  fs.mkdirSync(path.join(bed.folder, "follower"), { recursive: true, mode: 0o700 });
  fs.writeFileSync(path.join(bed.folder, "follower", "config.toml"), `[reputation]\nfollows = ["${prober}"]\n`);
  const followed = await thoughts_of(bed, nodes, "follower");
  const others = await thoughts_of(bed, nodes, "stranger");
  for (const { npub } of nodes.honest) {
    assert.equal(followed.get(npub).score, 5);
    assert.equal(followed.get(npub).approvals, 1);
    assert.equal(others.get(npub).score, 0);
  }
  // What proves nothing lowers no score, and is counted: honest evidence called a fraud.
  const stored = async (kind) => (await bed.client(["req", "--relay", nodes.relay.url, "--kind", kind]).end(kMs)).out
    .trim().split("\n").map((line) => JSON.parse(line));
  const liar = JSON.parse((await published(bed, nodes)).find(({ tags }) => tags.some(([name, value]) => name === "l" && value === "fraud/two-answers")).content)[0].pubkey;
  const offer = (await stored("31470")).find(({ pubkey }) => pubkey !== liar);
  const attestation = (await stored("31471")).find(({ pubkey }) => pubkey === offer.pubkey);
  const slander = await bed.client(["event", "--kind", "1984", "--key", key, "--relay", nodes.relay.url, "--tag", "v=1", "--tag", "L=nostril",
    "--tag", "l=fraud/evidence,nostril", "--tag", `p=${offer.pubkey},other`, "--content", JSON.stringify([offer, attestation])]).end(kMs);
  assert.equal(slander.code, 0, slander.err);
  const { out } = await bed.client(["reputation", "show", "--json", ...options_of(bed, nodes, "somebody")]).end(kMs);
  const { nodes: seen, proofs_taken, proofs_refused } = JSON.parse(out);
  assert.deepEqual([proofs_taken, proofs_refused], [1, 1]);
  assert.ok(seen.filter(({ node }) => node !== nodes.liar.npub).every(({ score, state }) => score === 0 && state === "usable"), out);
});
