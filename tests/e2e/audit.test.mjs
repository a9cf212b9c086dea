// Answers that can be repeated: what a record says is enough for another machine with the weights.
import assert from "node:assert/strict";
import path from "node:path";
import { scenario, tag } from "./lib.mjs";

const kMs = 30_000;
const kAuditable = { offer: { auditable: true } };
const kHot = { messages: [{ role: "user", content: "Tell me a story about a fox." }], temperature: 2, top_p: 1, max_tokens: 40 };

async function ask(gateway, body) {
  const response = await fetch(`${gateway.url}/chat/completions`,
    { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text).choices[0].message.content;
}

scenario("another node with the same weights repeats an answer byte for byte", async (bed) => {
  const relays = [await bed.relay({ data: path.join(bed.folder, "relay1") }), await bed.relay({ data: path.join(bed.folder, "relay2") })];
  const nodes = await Promise.all(relays.map((relay, at) =>
    bed.node({ relay, data: path.join(bed.folder, `node${at}`), sections: kAuditable })));
  const at = (index) => ({ relay: relays[index], node: nodes[index], home: `user${index}` });

  // A hot question without a seed: the node draws one, and its record says which.
  const first = await bed.gateway(at(0));
  const { data: [{ id: model }] } = await (await fetch(`${first.url}/models`)).json();
  const words = await ask(first, { ...kHot, model });
  // These two seeds are known to part: the seed decides, and nothing of the machine does.
  const parted = [await ask(first, { ...kHot, model, seed: 1 }), await ask(first, { ...kHot, model, seed: 2 })];
  assert.notEqual(parted[0], parted[1]);
  await first.program.stop();
  const kept = await bed.client(["receipts", "--home", path.join(bed.folder, "user0"), "--json"]).end(kMs);
  const records = kept.out.trim().split("\n").map((line) => JSON.parse(line)).filter(({ kind }) => kind === 1471);
  const record = records.find((event) => tag(event, "channel", 2) === "1");
  const sampling = JSON.parse(tag(record, "sampling"));
  assert.deepEqual(Object.keys(sampling), ["seed", "temperature", "top_p"]);
  assert.match(tag(record, "engine", 2), /^llama\.cpp-\S+$/);
  assert.equal(tag(record, "weights").length, 64);

  // Another machine with the weights: the request and the record's sampling.
  const second = await bed.gateway(at(1));
  assert.equal(await ask(second, { ...kHot, model, ...sampling }), words);
  assert.equal(await ask(second, { ...kHot, model, seed: 1 }), parted[0]);
  assert.equal(await ask(second, { ...kHot, model, seed: 2 }), parted[1]);

  // A saved answer shows to anybody that its record is of the request.
  const save = path.join(bed.folder, "answer");
  const asked = await bed.chat({ ...at(1), home: "user2", question: "Tell me a story about a fox.", save }).end(kMs);
  assert.equal(asked.code, 0, asked.err);
  assert.match(asked.err, /^sampling \{"seed":\d+,"temperature":0\} on nostril-demo llama\.cpp-\S+$/m);
});
