// One question from a person's command to a verified answer; what the files prove; what nobody but
// the node sees.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { engine_of, read, read_json, scenario, tag, within, words_of } from "./lib.mjs";

const kQuestion = "What is a relay?";
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Every file below a folder, in one buffer. */
function bytes_below(folder) {
  const files = fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Buffer.concat(files.map((entry) => fs.readFileSync(path.join(entry.parentPath ?? entry.path, entry.name))));
}

scenario("an answer is the engine's byte for byte, recorded, paid and verifiable offline", async (bed) => {
  const relay = await bed.relay();
  const engine = await bed.engine();
  const tap = await bed.http_tap(engine);
  const node = await bed.node({ relay, engine_url: tap.url });
  const save = path.join(bed.folder, "saved");
  const { code, out, err } = await bed.chat({ relay, node, question: kQuestion, save }).end(30_000);
  assert.equal(code, 0, err);
  assert.match(err, /SIMULATED/);

  const [call, ...others] = tap.completions();
  assert.equal(others.length, 0, "the engine is asked once");
  const response = read(save, "response.txt");
  assert.deepEqual(response, Buffer.concat(call.response));
  assert.ok(words_of(response).length > 10);
  assert.equal(out.trimEnd(), words_of(response).trimEnd());

  const record = read_json(save, "record.json");
  assert.equal(tag(record, "response-hash"), sha256(response));
  assert.equal(tag(record, "request-hash"), sha256(read(save, "request.json")));
  assert.equal(tag(record, "status"), "ok");
  const usage = JSON.parse(response.toString().split("\n").filter((line) => line.includes('"usage":{')).at(-1).slice(6)).usage;
  assert.equal(tag(record, "usage"), `${usage.prompt_tokens}`);
  assert.equal(tag(record, "usage", 3), `${usage.completion_tokens}`);
  assert.equal(tag(read_json(save, "receipt.json"), "amount"), tag(record, "spent"));

  const files = { record: "record.json", request: "request.json", response: "response.txt", receipt: "receipt.json" };
  const verify = (folder) => bed.client(["verify", path.join(folder, files.record),
    ...["request", "response", "receipt"].flatMap((name) => [`--${name}`, path.join(folder, files[name])])]).end(10_000);
  const good = await verify(save);
  assert.equal(good.code, 0, good.out + good.err);
  assert.doesNotMatch(good.out, /WRONG/);
  for (const [name, file] of Object.entries(files)) {
    const spoilt = path.join(bed.folder, `spoilt-${name}`);
    fs.cpSync(save, spoilt, { recursive: true });
    const bytes = read(save, file);
    bytes[Math.floor(bytes.length / 2)] ^= 1;
    fs.writeFileSync(path.join(spoilt, file), bytes);
    assert.equal((await verify(spoilt)).code, 1, `a flipped byte in the ${name}`);
  }

  const home = path.join(bed.folder, "user");
  const listed = await bed.client(["receipts", "--home", home]).end(10_000);
  assert.equal(listed.code, 0);
  assert.match(listed.out, new RegExp(read_json(save, "receipt.json").id));
  assert.match(listed.out, new RegExp(node.npub));
  const events = (await bed.client(["receipts", "--home", home, "--json"]).end(10_000)).out.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(events, [record, read_json(save, "receipt.json")]);
});

scenario("the node starts the demo engine by itself, and its words arrive as it says them directly", async (bed) => {
  const relay = await bed.relay();
  const node = await bed.node({ relay });
  const save = path.join(bed.folder, "saved");
  const { code, out, err } = await bed.chat({ relay, node, question: kQuestion, save }).end(30_000);
  assert.equal(code, 0, err);
  const engine = await engine_of(node);
  const direct = await fetch(`${engine.url}/v1/chat/completions`, {
    method: "POST", headers: { "content-type": "application/json" }, body: read(save, "request.json"),
  });
  assert.equal(out.trimEnd(), words_of(await direct.text()).trimEnd());
  const stopped = await node.program.kill("SIGTERM");
  assert.equal(stopped.code, 0);
  await assert.rejects(fetch(`${engine.url}/health`), "the engine stops with its node");
});

scenario("simulated evidence is refused without the test root, and nothing is sent", async (bed) => {
  const relay = await bed.relay();
  const engine = await bed.engine();
  const node = await bed.node({ relay, engine_url: engine.url });
  const tap = await bed.websocket_tap(relay);
  const { code, out, err } = await bed.chat({ relay: tap, node, question: kQuestion, trust: false }).end(30_000);
  assert.equal(code, 1);
  assert.equal(out, "");
  assert.match(err, /simulated/i);
  const sent = tap.messages.filter((message) => message.from === "client").map((message) => JSON.parse(message.text));
  assert.ok(sent.some(([type]) => type === "REQ"), "the tap sees what the client sends");
  assert.deepEqual(sent.filter(([type]) => type === "EVENT"), []);
});

scenario("nobody between client and node sees a prompt or an answer", async (bed) => {
  const relay = await bed.relay();
  const engine = await bed.engine();
  const engine_tap = await bed.http_tap(engine);
  const tap = await bed.websocket_tap(relay);
  const node = await bed.node({ relay: tap, engine_url: engine_tap.url });
  const secret = "zebra-quartz-7f3a91 hidden";
  const { code, out, err } = await bed.chat({ relay: tap, node, question: `${secret} ${kQuestion}` }).end(30_000);
  assert.equal(code, 0, err);
  // The secret did travel, and the places searched do hold what passes there in the clear.
  assert.ok(Buffer.concat(engine_tap.completions()[0].request).includes(secret));
  const frames = tap.messages.map((message) => message.text).join("\n");
  assert.ok(tap.messages.some((message) => message.from === "relay" && message.text.includes('"kind":21472')));
  assert.ok(frames.includes(engine.model));

  await relay.program.stop();
  const stored = bytes_below(relay.data);
  assert.ok(stored.includes(engine.model), "the offer is in the relay's store");
  const places = { frames: Buffer.from(frames), stored, "relay's output": Buffer.from(relay.program.out + relay.program.err),
    "node's output": Buffer.from(node.program.out + node.program.err), "node's journal": bytes_below(node.data) };
  const answer = out.trim().slice(0, 24);
  assert.ok(answer.length >= 10);
  for (const [place, bytes] of Object.entries(places)) {
    for (const text of [secret, secret.split(" ")[0], Buffer.from(secret).toString("base64").slice(0, 16), Buffer.from(secret).toString("hex")]) {
      assert.ok(!bytes.includes(text), `the prompt is in the ${place}`);
    }
    if (place !== "node's journal") assert.ok(!bytes.includes(answer), `the answer is in the ${place}`);
  }
});

scenario("a node with simulated SNP evidence is used by who asked for that, and refused by everybody else", async (bed) => {
  const relay = await bed.relay();
  const engine = await bed.engine();
  const node = await bed.node({ relay, engine_url: engine.url, sections: { tee: { simulated_platform: "snp" } } });
  const asked = await bed.chat({ relay, node, question: kQuestion }).end(30_000);
  assert.equal(asked.code, 0, asked.err);
  assert.match(asked.err, /SIMULATED/);
  const explained = await bed.client(["offers", ...bed.client_options({ relay, node }), "--explain"]).end(20_000);
  assert.match(explained.out, /report_signature/);
  const refused = await bed.chat({ relay, node, question: kQuestion, trust: false, home: "stranger" }).end(60_000);
  assert.notEqual(refused.code, 0);
  assert.match(refused.out + refused.err, /vek_chain|simulated/);
});

scenario("an offer's weights are the files in the operator's folder, as both programs compute them", async (bed) => {
  const relay = await bed.relay();
  const engine = await bed.engine();
  const folder = path.join(bed.folder, "model");
  fs.mkdirSync(path.join(folder, "sub"), { recursive: true });
  const weights = path.join(folder, "sub/weights.bin");
  fs.writeFileSync(weights, Buffer.alloc(3_000_000, 7));
  fs.writeFileSync(path.join(folder, "tokenizer.json"), "{}");
  const node = await bed.node({ relay, engine_url: engine.url, sections: { engine: { weights_folder: folder } } });
  const asked = await bed.chat({ relay, node, question: kQuestion }).end(30_000);
  assert.equal(asked.code, 0, asked.err);

  const text = path.join(bed.folder, "manifest.txt");
  const cache = path.join(bed.folder, "cache");
  const made = await bed.node_command(["manifest", "make", folder, "-o", text, "--cache", cache]).end(10_000);
  assert.equal(made.code, 0, made.err);
  const [, digest] = /^digest ([0-9a-f]{64})$/m.exec(made.err);
  const offers = await bed.client(["req", "--relay", relay.url, "-k", "31470"]).end(10_000);
  assert.equal(tag(JSON.parse(offers.out.split("\n")[0]), "weights"), digest);

  const verify = () => bed.client(["verify", "manifest", "--manifest", text, "--digest", digest, "--file", weights]).end(10_000);
  const check = () => bed.node_command(["manifest", "check", folder, "--manifest", text]).end(10_000);
  const right = await verify();
  assert.equal(right.code, 0, right.out + right.err);
  assert.equal((await check()).code, 0);
  const leaf = path.join(bed.folder, "leaf.bin");
  const proof = path.join(bed.folder, "proof.txt");
  const proven = await bed.node_command(["manifest", "prove", folder, "--name", "sub/weights.bin", "--leaf", "2", "-o", proof, "--page", leaf]).end(10_000);
  assert.equal(proven.code, 0, proven.err);
  const one = () => bed.client(["verify", "manifest", "--manifest", text, "--digest", digest, "--proof", proof, "--file", leaf]).end(10_000);
  assert.equal((await one()).code, 0);
  fs.appendFileSync(leaf, "x");
  assert.equal((await one()).code, 1, "a leaf with a byte more");
  fs.writeFileSync(weights, Buffer.alloc(3_000_000, 8));
  assert.equal((await verify()).code, 1);
  const changed = await check();
  assert.equal(changed.code, 1);
  assert.match(changed.out, /^changed sub\/weights.bin$/m);
});

scenario("the text of a dm-verity device is made from what veritysetup says, and checked", async (bed) => {
  const root = "ab".repeat(32);
  const salt = "cd".repeat(32);
  const make = (...args) => bed.node_command(["manifest", "verity", ...args]).end(10_000);
  const made = await make("--root", root, "--salt", salt, "--data-blocks", "1000");
  assert.equal(made.code, 0, made.err);
  const wanted = `nostril-verity 1\nroot ${root}\nsalt ${salt}\nalgorithm sha256\ndata 4096 1000\nhash 4096\n`;
  assert.equal(made.out, wanted);
  const tag_hash = createHash("sha256").update("nostril/verity/1").digest();
  const digest = createHash("sha256").update(tag_hash).update(tag_hash).update(wanted).digest("hex");
  assert.match(made.err, new RegExp(`^digest ${digest}$`, "m"));

  const text = path.join(bed.folder, "verity.txt");
  const unsalted = await make("--root", root, "--data-blocks", "7", "--data-block", "512", "--hash-block", "1024", "-o", text);
  assert.equal(unsalted.code, 0, unsalted.err);
  assert.equal(fs.readFileSync(text, "utf8"), `nostril-verity 1\nroot ${root}\nsalt -\nalgorithm sha256\ndata 512 7\nhash 1024\n`);
  const [, named] = /^digest ([0-9a-f]{64})$/m.exec(unsalted.err);
  const verify = (hex) => bed.client(["verify", "manifest", "--manifest", text, "--digest", hex]).end(10_000);
  assert.equal((await verify(named)).code, 0);
  assert.equal((await verify(digest)).code, 1, "of another device");

  for (const [args, reason] of [
    [["--root", "ab"], /--root: 64 hex digits/], [["--root", root.toUpperCase()], /--root: 64 hex digits/],
    [["--root", root, "--salt", "x", "--data-blocks", "1"], /--salt: hex/], [["--root", root], /--data-blocks/],
    [["--root", root, "--data-blocks", "1", "--data-block", "1000"], /no such device/],
    [["--root", root, "--data-blocks", "9223372036854775807"], /no such device/],
    // A folder that is on no such device.
    [[bed.folder], /\S/]]) {
    const refused = await make(...args);
    assert.notEqual(refused.code, 0, args.join(" "));
    assert.equal(refused.out, "", "no text of what is not sound");
    assert.match(refused.err, reason, args.join(" "));
  }
});

scenario("verify tells what is wrong from what can't be used", async (bed) => {
  const run = (...args) => bed.client(["verify", ...args]).end(10_000);
  const missing = path.join(bed.folder, "not-there.json");
  for (const args of [[missing], [bed.folder], [missing, "--offer", missing]]) {
    const { code, err } = await run(...args);
    assert.equal(code, 2, err);
    assert.match(err, /can't be read/);
  }
  const none = await run();
  assert.equal(none.code, 2);
  assert.match(none.err, /record's file or --answer, or one of intel, snp, gpu, offer, report, nras, manifest, policy/);
  const junk = path.join(bed.folder, "junk.json");
  fs.writeFileSync(junk, "{}");
  assert.equal((await run(junk)).code, 1, "there, and no record");
});
