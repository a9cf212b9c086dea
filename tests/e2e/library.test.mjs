// The libraries as applications have them: examples/ in C++ and C, built against an installed prefix (ctest
// library/install), and the package client/js. Each asks, checks, pays and keeps.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { CommandVerifier, FileStorage, nostrilFetch, readRecord } from "../../client/js/dist/node.js";
import { kBin, Program, read_json, scenario, tag, WebSocket, within, words_of } from "./lib.mjs";

const kMs = 40_000;
const kQuestion = "What is a relay?";
const kExamples = process.env.NOSTRIL_EXAMPLES ?? path.join(kBin, "../library/examples");

/** An example's program, started by the bed. */
function example(bed, name, args) {
  const program = new Program(name, path.join(kExamples, name), args);
  bed.programs.push(program);
  bed.on_stop(() => program.stop());
  return program;
}

const in_folder = (bed, name) => path.join(bed.folder, name);

/** client/js, with the command's word on evidence. */
async function ask_js(bed, { relay, node }) {
  const verifier = new CommandVerifier({ command: path.join(kBin, "nostril"), args: bed.client_options({ relay, node, home: "judge" }) });
  const fetch = nostrilFetch({
    relays: [relay.url], WebSocket, verifier, allowSimulated: true, storage: new FileStorage(in_folder(bed, "js")), onWarning: () => {},
  });
  try {
    const response = await within(kMs, "client/js answers", fetch("http://any/v1/chat/completions", {
      method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: node.model, messages: [{ role: "user", content: kQuestion }], temperature: 0, stream: true }),
    }));
    const text = await within(kMs, "client/js' answer ends", response.text());
    assert.equal(response.status, 200, text);
    assert.match(text, /^data: \[DONE\]$/m);
    const record = JSON.parse(/^: nostril-record (\{.*\})$/m.exec(text)[1]);
    const kept = (await (await fetch.client()).wallet.records()).map(readRecord);
    assert.equal(kept.length, 1);
    return { words: words_of(text), said: record, record: kept[0] };
  } finally {
    await fetch.close();
  }
}

scenario("C++, C and TypeScript get verified answers of one node, and each kept answer proves itself to the others", async (bed) => {
  const relay = await bed.relay();
  const node = await bed.node({ relay });
  const files = { cpp: in_folder(bed, "cpp.json"), c: in_folder(bed, "c.json") };
  const cpp = example(bed, "ask", ["--home", in_folder(bed, "cpp"), "--relay", relay.url, "--trust-test-root", node.root, "--save", files.cpp, kQuestion]);
  const c = example(bed, "ask_c", [in_folder(bed, "c"), relay.url, node.root, kQuestion, files.c]);
  const [by_cpp, by_c, by_js] = await Promise.all([cpp.end(kMs), c.end(kMs), ask_js(bed, { relay, node })]);
  assert.equal(by_cpp.code, 0, by_cpp.err);
  assert.equal(by_c.code, 0, by_c.err);
  for (const { err } of [by_cpp, by_c]) {
    assert.match(err, new RegExp(`${node.model} of ${node.npub}, SIMULATED`));
    assert.match(err, /verified, recorded and paid/);
  }

  // One node signed three records, each for a payer of its own; at temperature 0 it says the same to all.
  const saved = [files.cpp, files.c].map((file) => read_json(file));
  for (const { record, receipt, request, response, offer, attestation } of saved) {
    assert.equal(tag(record, "status"), "ok");
    assert.equal(record.pubkey, by_js.record.node);
    assert.equal(tag(receipt, "amount"), tag(record, "spent"));
    assert.equal(JSON.parse(request).stream, true);
    assert.equal(offer.id, tag(record, "offer"));
    assert.equal(tag(attestation, "d"), tag(record, "attestation"));
    assert.equal(words_of(response).trim(), by_js.words.trim());
  }
  assert.equal(by_cpp.out.trim(), by_js.words.trim());
  assert.equal(by_c.out.trim(), by_js.words.trim());
  assert.equal(new Set([...saved.map(({ record }) => tag(record, "channel")), by_js.record.channel]).size, 3);

  // A file is judged alike by the C++ library, by the C library (in ask_c, before it was written) and by the command.
  assert.match(by_c.err, /ok +the receipt pays this record's total/);
  assert.match(by_c.err, /ACCEPTED \(SIMULATED/);
  await Promise.all(Object.values(files).map(async (file) => {
    const good = await example(bed, "verify", [file, node.root]).end(kMs);
    assert.equal(good.code, 3, good.out + good.err);
    assert.match(good.out, /ok +the evidence is what the policy takes/);
    const untrusted = await example(bed, "verify", [file]).end(kMs);
    assert.equal(untrusted.code, 1, "nobody named the test root");
    const command = await bed.client(["verify", "--answer", file, "--trust-test-root", node.root]).end(kMs);
    assert.equal(command.code, 3, command.out + command.err);
    const wrong = `${file}.wrong`;
    const answer = read_json(file);
    fs.writeFileSync(wrong, JSON.stringify({ ...answer, response: answer.response.replace("data", "dota") }));
    const refused = await example(bed, "verify", [wrong, node.root]).end(kMs);
    assert.equal(refused.code, 1);
    assert.match(refused.out, /WRONG +the response is what the node sent/);
  }));
});

scenario("no example sends anything to a node whose evidence its user does not take", async (bed) => {
  const relay = await bed.relay();
  const tap = await bed.websocket_tap(relay);
  const node = await bed.node({ relay });
  const refused = await Promise.all([
    example(bed, "ask", ["--home", in_folder(bed, "cpp"), "--relay", tap.url, kQuestion]).end(kMs),
    example(bed, "ask_c", [in_folder(bed, "c"), tap.url, "-", kQuestion]).end(kMs),
  ]);
  for (const { code, out, err } of refused) {
    assert.equal(code, 1, err);
    assert.equal(out.trim(), "");
    assert.match(err, /no-answer: .*an offer of \S+ was refused: REFUSED \(SIMULATED EVIDENCE/);
  }
  assert.ok(tap.messages.every(({ from, text }) => from === "relay" || !text.startsWith('["EVENT"')), "an event left");
  assert.ok(node.npub);

  const unusable = await example(bed, "ask_c", [in_folder(bed, "c"), "http://127.0.0.1:1", "-", kQuestion]).end(kMs);
  assert.equal(unusable.code, 1);
  assert.match(unusable.err, /open: unusable: http:\/\/127.0.0.1:1: not a ws:/);
});

scenario("an event is signed, published and read back", async (bed) => {
  const relay = await bed.relay();
  const { code, out, err } = await example(bed, "event", [in_folder(bed, "home"), relay.url, "hello relay"]).end(kMs);
  assert.equal(code, 0, err);
  assert.match(out, /^note1[0-9a-z]+ hello relay\n$/);
});
