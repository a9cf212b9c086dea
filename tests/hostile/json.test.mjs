// JSON in seven places: the whole message, an event, a filter, a tag's value, a content, a member that no event has, a subscription id. What is not JSON is taken
// nowhere, what is JSON is taken where it means something, and each message gets one answer.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { kRoot } from "../e2e/lib.mjs";
import { json_cases } from "./json_cases.mjs";
import { beside_a_bystander, frame, Raw, now, person, relay_under_test, sha256 } from "./lib.mjs";

const relay = relay_under_test();
const kSuite = path.join(process.env.NOSTRIL_SHARED ?? path.join(kRoot, "../shared"), "corpus/JSONTestSuite.tar.zst");
const author = person();

/** The value, or undefined where JSON.parse, which is strict, finds none or the bytes are no UTF-8. */
function value_of(bytes) {
  try {
    return { value: JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) };
  } catch {
    return undefined;
  }
}
const is_empty_object = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length === 0;
/** What NIP-01 calls a string here: text that can be sent on. */
const is_text = (value) => typeof value === "string" && value.isWellFormed() && !value.includes("\0");
/** For the id; what is no text is refused whatever its id. */
const text_or_nothing = (parsed) => (typeof parsed?.value === "string" ? parsed.value : "");

function event_around({ tags = "[]", content = '""' }, parsed) {
  const event = { pubkey: author.key, created_at: now(), kind: 1, tags: [], content: "", ...parsed };
  const id = sha256(JSON.stringify([0, event.pubkey, event.created_at, event.kind, event.tags, event.content]));
  const head = `["EVENT",{"id":"${id}","pubkey":"${event.pubkey}","created_at":${event.created_at},"kind":1,"sig":"${author.sign_id(id)}",`;
  return { id, pieces: [head, '"tags":', tags, ',"content":', content, "}]"] };
}
const join = (pieces) => Buffer.concat(pieces.map((piece) => Buffer.from(piece)));

/** Where JSON may stand: the message around it, and whether the answer is right. `parsed` is undefined for what is not JSON. */
const kPlaces = {
  message: (text) => ({ message: text, is_right: ([word]) => word === "NOTICE" }),
  event: (text) => ({ message: join(['["EVENT",', text, "]"]), is_right: ([word, , accepted]) => word === "NOTICE" || (word === "OK" && accepted === false) }),
  filter: (text, parsed) => ({
    message: join(['["COUNT","q",', text, "]"]),
    is_right: ([word]) => (parsed && is_empty_object(parsed.value) ? word === "COUNT" : word === "CLOSED" || word === "NOTICE"),
  }),
  "tag value": (text, parsed) => {
    const { id, pieces } = event_around({ tags: join(['[["t",', text, "]]"]) }, { tags: [["t", text_or_nothing(parsed)]] });
    return { message: join(pieces), is_right: ([word, of, accepted]) => (parsed && is_text(parsed.value) ? word === "OK" && of === id && accepted : word === "NOTICE" || accepted === false) };
  },
  content: (text, parsed) => {
    const { id, pieces } = event_around({ content: text }, { content: text_or_nothing(parsed) });
    return { message: join(pieces), is_right: ([word, of, accepted]) => (parsed && is_text(parsed.value) ? word === "OK" && of === id && accepted : word === "NOTICE" || accepted === false) };
  },
  // Read past, and checked for it: what is too deep or too large to be read may be refused.
  "other member": (text, parsed) => {
    const { id, pieces } = event_around({}, {});
    return { message: join([pieces[0], '"other":', text, ",", ...pieces.slice(1)]), is_right: ([word, of, accepted]) => (parsed ? word === "OK" && of === id : word === "NOTICE" || accepted === false) };
  },
  "subscription id": (text, parsed) => ({
    message: join(['["COUNT",', text, ',{"ids":[]}]']),
    is_right: ([word, id]) => (parsed && is_text(parsed.value) && parsed.value.length >= 1 && parsed.value.length <= 64 ? word === "COUNT" && id === parsed.value : word === "CLOSED" || word === "NOTICE"),
  }),
};

/** Sends each case, compares, and makes a new connection where bytes that are no UTF-8 have ended the old one. */
async function run(cases, place) {
  let raw = await Raw.websocket(relay);
  const wrong = [];
  for (const [name, text] of cases) {
    const parsed = value_of(text);
    assert.ok(name[0] === "i" || (name[0] === "y") === (parsed !== undefined), `${name}: the case is wrong`);
    const { message, is_right } = kPlaces[place](text, parsed);
    const before = raw.frames.length;
    raw.send(frame(message));
    await raw.message(() => raw.frames.length > before);
    if (raw.code !== undefined || raw.ended) {
      if ((await raw.end()) !== 1007 || is_utf8(message)) wrong.push(`${name}: closed with ${raw.code}`);
      raw = await Raw.websocket(relay);
      continue;
    }
    const answer = JSON.parse(raw.frames.at(-1).payload);
    if (!is_right(answer)) wrong.push(`${name} ${JSON.stringify(text.toString().slice(0, 60))}: ${JSON.stringify(answer).slice(0, 200)}`);
  }
  await raw.serves();
  raw.destroy();
  assert.deepEqual(wrong, []);
}

function is_utf8(bytes) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

for (const place of Object.keys(kPlaces)) test(`our cases as ${place}`, () => run([...json_cases()], place));

test("the public suite in all places", { skip: fs.existsSync(kSuite) ? false : `${kSuite} is not there` }, async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "nostril-json-"));
  try {
    execFileSync("tar", ["--zstd", "-xf", kSuite, "-C", folder]);
    const cases = fs.readdirSync(path.join(folder, "test_parsing")).map((name) => [name, fs.readFileSync(path.join(folder, "test_parsing", name))]);
    assert.ok(cases.length > 300);
    for (const place of Object.keys(kPlaces)) await run(cases, place);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test("each case is counted", async () => {
  const malformed = Object.entries(await relay.metrics()).filter(([name]) => name.startsWith("messages_malformed_total"));
  assert.ok(malformed.reduce((sum, [, count]) => sum + count, 0) > 1_000);
});

test("deep nesting without end does not disturb anybody", async (t) => {
  const deep = [Buffer.from("[".repeat(500_000)), join(['["REQ","x",', '{"a":'.repeat(90_000)]), join(['["EVENT",{"tags":', "[".repeat(400_000)]), join(['["EVENT",{"content":', "[".repeat(250_000), "]".repeat(250_000), "}]"])];
  await beside_a_bystander(t, relay, async () => {
    const raw = await Raw.websocket(relay);
    for (let i = 0; i < 120; i++) {
      const before = raw.frames.length;
      raw.send(frame(deep[i % deep.length]));
      await raw.message(() => raw.frames.length > before);
    }
    raw.destroy();
  });
});
