// NIP-01, publishing: what an event is, what makes it invalid, canonical JSON, kinds and their ranges, OK.
import assert from "node:assert/strict";
import { test } from "node:test";
import { by_id, canonical, now, person, relay_under_test, sha256 } from "./lib.mjs";

const relay = relay_under_test({ sections: { limits: { created_at_future_s_max: 3600 } } });
const other = (text) => (text === "0" ? "1" : "0");
/** The JSON text of an event with one member's text replaced: `{kind: "1.0"}`. */
const text_with = (event, changes) => `{${["id", "pubkey", "created_at", "kind", "tags", "content", "sig"]
  .filter((name) => changes[name] !== null)
  .map((name) => `"${name}":${changes[name] ?? JSON.stringify(event[name])}`).join(",")}${changes.more ?? ""}}`;

/** The OK or NOTICE to ["EVENT", text]. */
async function said_to(client, text, id) {
  client.raw(`["EVENT",${text}]`);
  return client.take(([word, of]) => (word === "OK" && of === id) || word === "NOTICE");
}

/** What its author waits for an OK with: any text of at most 1,024 bytes that the event calls its id. */
function id_in(text) {
  try {
    const { id } = JSON.parse(text);
    return typeof id === "string" && id.isWellFormed() && !id.includes("\0") && Buffer.byteLength(id) <= 1024 ? id : undefined;
  } catch {
    return undefined;
  }
}

/** Whatever is wrong: OK with the id that was sent where there is one, else NOTICE. */
async function is_refused(client, text, id, why = /^invalid: /) {
  const sent = id_in(text);
  const message = await said_to(client, text, sent ?? id);
  if (sent !== undefined) assert.deepEqual(message.slice(0, 3), ["OK", sent, false], text.slice(0, 300));
  if (message[0] === "OK") assert.equal(message[2], false, `accepted: ${text.slice(0, 300)}`);
  assert.match(message.at(-1), why);
}

test("an event comes back as it was signed", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1, { content: "hello", tags: [["t", "x", "more", ""], ["alt"], ["", ""]] });
  assert.deepEqual(await client.publish(event), { accepted: true, text: "" });
  assert.deepEqual(await client.query({ ids: [event.id] }), [event]);
});

test("an honest signature is as good as a quick one", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1);
  event.sig = alice.sign_id_honestly(event.id);
  await client.accepts(event);
});

test("an event that is there is a duplicate, and accepted", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1);
  await client.accepts(event);
  for (let i = 0; i < 3; i++) {
    const { accepted, text } = await client.publish(event);
    assert.equal(accepted, true);
    assert.match(text, /^duplicate: /);
  }
  // Of another connection, and without a look at the signature, which it does not replace.
  const { accepted } = await (await relay.connect()).publish({ ...event, sig: "0".repeat(128) });
  assert.equal(typeof accepted, "boolean");
  assert.deepEqual(await client.query({ ids: [event.id] }), [event]);
});

const kWrongMembers = {
  id: ['"x"', "1", "null", "[]", '""'], pubkey: ['"x"', "1", "null", '""'], sig: ['"x"', "1", "null", '""'],
  created_at: ['"1"', "1.5", "1.0", "1e3", "-1", "-0", "null", "true", "[]", "18446744073709551616", "9223372036854775808", "01"],
  kind: ['"1"', "1.5", "1.0", "1e0", "-1", "-0", "null", "true", "65536", "4294967296", "4294967297", "99999999999999999999", "01"],
  tags: ['"x"', "{}", "null", "1", '["x"]', '[["x"],"y"]', "[[1]]", "[[null]]", "[[[]]]", '[["x",1]]', "[[]]", '[["t",{}]]', "[null]"],
  content: ["1", "null", "[]", "{}", "true"],
};
for (const [name, texts] of Object.entries(kWrongMembers)) {
  for (const text of texts) {
    test(`${name} may not be ${text}`, async () => {
      const [client, alice] = [await relay.connect(), person()];
      const event = alice.sign(1);
      // Signed as it is written, so that nothing but the form is wrong.
      if (!["id", "pubkey", "sig"].includes(name)) {
        const parts = { pubkey: JSON.stringify(alice.key), created_at: `${event.created_at}`, kind: "1", tags: "[]", content: '""', [name]: text };
        event.id = sha256(`[0,${parts.pubkey},${parts.created_at},${parts.kind},${parts.tags},${parts.content}]`);
        event.sig = alice.sign_id(event.id);
      }
      await is_refused(client, text_with(event, { [name]: text }), event.id);
      assert.deepEqual(await client.ids({ authors: [alice.key] }), []);
    });
  }
}

for (const name of ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"]) {
  test(`${name} may not be missing, nor stand twice`, async () => {
    const [client, alice] = [await relay.connect(), person()];
    const event = alice.sign(1);
    await is_refused(client, text_with(event, { [name]: null }), event.id);
    await is_refused(client, text_with(event, { more: `,"${name}":${JSON.stringify(event[name])}` }), event.id);
    const escaped = `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}`;
    await is_refused(client, text_with(event, { more: `,"${escaped}":${JSON.stringify(event[name])}` }), event.id);
    assert.deepEqual(await client.ids({ ids: [event.id] }), []);
  });
}

test("what is not signed is neither kept nor passed on", async () => {
  const [client, listener, alice] = [await relay.connect(), await relay.connect(), person()];
  const subscription = await listener.subscribe({ authors: [alice.key] });
  for (const more of [',"extra":1', ',"":null', ',"ID":"x"', ',"seen_on":["wss://x"]', ',"__proto__":{}', ',"a":[[{"b":[1.5e3,true]}]],"a":"\\u00e9"', `,"ots":"${"x".repeat(100_000)}"`]) {
    const event = alice.sign(1, { content: more });
    assert.deepEqual(await said_to(client, text_with(event, { more }), event.id), ["OK", event.id, true, ""]);
    assert.deepEqual(await listener.live(subscription), event);
    assert.deepEqual(await client.query({ ids: [event.id] }), [event]);
  }
  for (const more of [',"extra":', ',"extra":tru', ',"extra":01', ',"extra":"\\x"', ',extra:1', ',"extra":1e', `,"extra":${"[".repeat(9)}${"]".repeat(9)}`]) {
    const event = alice.sign(1, { content: more });
    await is_refused(client, text_with(event, { more }), event.id);
    assert.deepEqual(await client.ids({ ids: [event.id] }), []);
  }
});

test("a tag has as many elements as fit, each as long as fits", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const [wide, long] = [["relays", ...Array.from({ length: 20_000 }, (_, i) => `${i}`)], ["r", "x".repeat(400_000)]];
  for (const tag of [wide, long]) {
    const event = alice.sign(1, { tags: [tag] });
    await client.accepts(event);
    assert.deepEqual(await client.query({ ids: [event.id] }), [event]);
  }
  assert.equal((await client.ids({ authors: [alice.key], "#r": [long[1]] })).length, 1);
});

test("hex is lowercase, whole and of the right length", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1, { created_at: 1_700_000_000 });
  for (const name of ["id", "pubkey", "sig"]) {
    const text = event[name];
    for (const wrong of [text.toUpperCase(), text.slice(1), `${text}0`, text.slice(2), `${text}00`, `g${text.slice(1)}`, ` ${text.slice(1)}`, `0x${text.slice(2)}`, `${text.slice(0, -1)}é`]) {
      if (wrong === text) continue;
      const id = name === "id" ? wrong : event.id;
      await is_refused(client, text_with(event, { [name]: JSON.stringify(wrong) }), id);
    }
  }
  // The key in upper case, signed over by its owner: still not an event.
  const shouting = { ...event, pubkey: event.pubkey.toUpperCase() };
  shouting.id = sha256(canonical(shouting));
  shouting.sig = alice.sign_id(shouting.id);
  await is_refused(client, JSON.stringify(shouting), shouting.id);
  assert.deepEqual(await client.ids({ authors: [alice.key] }), []);
});

test("an id that is another's, of other content or of another form is refused", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1, { content: "a" });
  for (const changed of [{ content: "b" }, { kind: 2 }, { created_at: event.created_at - 1 }, { tags: [["t", "x"]] }, { pubkey: person().key },
    { id: other(event.id[0]) + event.id.slice(1) }, { id: "0".repeat(64) }, { id: "f".repeat(64) }]) {
    const forged = { ...event, ...changed };
    await client.refuses(forged, /^invalid: /);
    // Signed anew over the wrong id: the id is what is wrong.
    await client.refuses({ ...forged, sig: alice.sign_id(forged.id) }, /^invalid: /);
  }
  await client.accepts(event);
});

test("a signature that is not the author's is refused, and hides nothing", async () => {
  const [client, alice, bob] = [await relay.connect(), person(), person()];
  const event = alice.sign(1);
  const flipped = (at) => event.sig.slice(0, at) + other(event.sig[at]) + event.sig.slice(at + 1);
  for (const sig of [flipped(0), flipped(63), flipped(64), flipped(127), "0".repeat(128), "f".repeat(128), bob.sign_id(event.id), alice.sign_id(alice.sign(2).id)]) {
    await client.refuses({ ...event, sig }, /^invalid: /);
  }
  assert.deepEqual(await client.ids({ ids: [event.id] }), []);
  await client.accepts(event);
});

test("an event that is there is no proof of another signature", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1, { content: "once" });
  const wrong = { ...event, sig: alice.sign(1, { content: "another" }).sig };
  // Whether it is on the disk yet or not.
  for (const one of [event, wrong, event, wrong]) client.send("EVENT", one);
  const texts = [];
  for (let i = 0; i < 4; i++) texts.push((await client.take(["OK", event.id])).slice(2).join(" "));
  assert.deepEqual(texts.map((text) => text.replace(/: .*/, "")).sort(), ["false invalid", "false invalid", "true ", "true duplicate"]);
  await is_refused(client, JSON.stringify(wrong), event.id);
  const again = await client.publish({ ...event, sig: alice.sign_id_honestly(event.id) });
  assert.equal(again.accepted, true);
  assert.match(again.text, /^duplicate: /);
  assert.deepEqual(await client.query({ ids: [event.id] }), [event]);
});

test("a key that is no point of the curve signs nothing", async () => {
  const client = await relay.connect();
  for (const key of ["0".repeat(64), "f".repeat(64), "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34"]) {
    const event = { ...person().sign(1), pubkey: key };
    event.id = sha256(canonical(event));
    await client.refuses(event, /^invalid: /);
  }
});

// --- Canonical JSON.

const kTexts = {
  "the seven escapes": "\n\"\\\r\t\b\f", "a solidus": "/ </script>", "DEL": "a\u007fb", "a control character": "\u0001", "all control characters": Array.from({ length: 31 }, (_, i) => String.fromCharCode(i + 1)).join(""),
  "C1 controls": "\u0080\u009f", "line separators": "\u2028\u2029", "a byte order mark": "\ufeffx", "non-characters": "\ufffe\uffff", "emoji": "🦊👩‍👩‍👧", "the last character": "\u{10ffff}",
  "right to left": "\u202eabc", "combining": "e\u0301 é", "escapes as text": "\\u0041 \\n", "replacement character": "\ufffd", "zero width": "\u200b\u200d", "nothing": "", "blanks": "   ", "a long text": "ä".repeat(20_000),
};
for (const [name, text] of Object.entries(kTexts)) {
  test(`canonical: ${name}, in content and in tags`, async () => {
    const [client, alice] = [await relay.connect(), person()];
    const event = alice.sign(1, { content: text, tags: [["t", text.slice(0, 500)], ["x", "", text.slice(0, 500)]] });
    await client.accepts(event);
    assert.deepEqual(await client.query({ authors: [alice.key] }), [event]);
    if (text) assert.deepEqual(await client.ids({ authors: [alice.key], "#t": [text.slice(0, 500)] }), [event.id]);
  });
}

test("however a client escapes its text, the event is the same", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1, { content: 'aé🦊/"\n', tags: [["t", "aé"]] });
  const escape = (text) => `"${Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")}"`;
  const text = text_with(event, { content: escape(event.content), tags: `[ [ ${escape("t")} , ${escape("aé")} ] ]`, id: escape(event.id), kind: " 1 " });
  assert.deepEqual(await said_to(client, ` \n\t${text} `, event.id), ["OK", event.id, true, ""]);
  assert.deepEqual(await client.query({ ids: [event.id] }), [event]);
});

test("members may come in any order", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1, { content: "order" });
  const reversed = Object.fromEntries(Object.entries(event).reverse());
  await client.accepts(reversed);
  assert.deepEqual(await client.query({ ids: [event.id] }), [event]);
});

test("an id over text that is escaped otherwise is another event's", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const [content, wrong] of [["\u007f", '"\\u007f"'], ["é", '"\\u00e9"'], ["/", '"\\/"'], ["\u0001", '"\u0001"'], ["\n", '"\\u000a"'], ["\u001f", '"\\u001F"']]) {
    const event = alice.sign(1, { content });
    event.id = sha256(canonical(event).replace(JSON.stringify(content), wrong));
    event.sig = alice.sign_id(event.id);
    await client.refuses(event, /^invalid: /);
  }
});

test("NUL, lone surrogates and bytes that are not UTF-8 are no text", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const bad of ['"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udc00"', '"\\ud800\\ud800"', '"\\udc00\\ud800"', '"\\ud83e"', '"\\ud83ex"']) {
    for (const where of ["content", "tags"]) {
      const event = alice.sign(1, { content: bad });
      const text = where === "content" ? bad : `[["t",${bad}]]`;
      const shown = { content: '""', tags: "[]", [where]: text };
      // Over what JSON.parse of a lenient reader would make of it.
      event.id = sha256(`[0,"${alice.key}",${event.created_at},1,${shown.tags},${shown.content}]`);
      event.sig = alice.sign_id(event.id);
      await is_refused(client, text_with(event, shown), event.id);
    }
  }
  assert.deepEqual(await client.ids({ authors: [alice.key] }), []);
});

// --- Times.

test("created_at of any age is taken, far ahead of the clock is not", async () => {
  const [client, alice] = [await relay.connect(), person()];
  await client.accepts(...[0, 1, 1_000_000_000, now() - 86_400 * 3650, now() + 3_500].map((created_at) => alice.sign(1, { created_at })));
  for (const created_at of [now() + 3_700, 4_294_967_296, 2 ** 48, Number.MAX_SAFE_INTEGER]) await client.refuses(alice.sign(1, { created_at }), /^invalid: /);
  assert.equal((await client.ids({ authors: [alice.key] })).length, 5);
});

// --- Kinds.

test("the bounds of the ranges are where NIP-01 has them", async () => {
  const kept_of_two = async (kind, tags = []) => {
    const [client, alice] = [await relay.connect(), person()];
    await client.authenticate(alice, relay.url);  // direct messages are shown to nobody else
    const [older, newer] = [alice.sign(kind, { created_at: now() - 10, content: "old", tags }), alice.sign(kind, { content: "new", tags })];
    await client.publish(older);
    await client.publish(newer);
    const ids = await client.ids({ authors: [alice.key] });
    return ids.length === 2 ? "both" : ids.length === 0 ? "none" : ids[0] === newer.id ? "newest" : "oldest";
  };
  const expected = { both: [1, 2, 4, 6, 7, 44, 45, 999, 1000, 5000, 9999, 40000, 50000, 65534, 65535], newest: [0, 3, 10000, 10002, 19999, 30000, 30023, 39999], none: [20000, 21059, 25000, 29999] };
  for (const [what, kinds] of Object.entries(expected)) {
    for (const kind of kinds) assert.equal(await kept_of_two(kind), what, `kind ${kind}`);
  }
});

test("the newest of a replaceable kind stays, whichever comes first", async () => {
  const client = await relay.connect();
  for (const kind of [0, 3, 10_002, 19_999]) {
    const alice = person();
    const versions = [3, 1, 2, 5, 4].map((age) => alice.sign(kind, { created_at: now() - age, content: `${age}` }));
    const answers = [];
    for (const event of versions) answers.push(await client.publish(event));
    assert.deepEqual(await client.ids({ authors: [alice.key] }), [versions[1].id]);
    assert.equal((await client.count({ authors: [alice.key] })).count, 1);
    for (const [i, age] of [3, 1, 2, 5, 4].entries()) {
      if (age > 1 && i > 1) assert.match(answers[i].text, /^duplicate: /);
      if (i < 2) assert.deepEqual(answers[i], { accepted: true, text: "" });
    }
    assert.deepEqual(await client.ids({ ids: [versions[0].id] }), []);
  }
});

test("of two of the same second the lower id stays, whichever comes first", async () => {
  const client = await relay.connect();
  for (const [kind, tags] of [[0, []], [10_001, []], [30_001, [["d", "x"]]]]) {
    for (const lowest_first of [true, false]) {
      const alice = person();
      const events = by_id(alice, kind, { created_at: now() - 5, tags }, 5);
      for (const event of lowest_first ? events : [...events].reverse()) await client.publish(event);
      assert.deepEqual(await client.ids({ authors: [alice.key] }), [events[0].id]);
    }
  }
});

test("replaceable kinds have no d: an event with one replaces that without", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const events = [[], [["d", "a"]], [["d", "b"]]].map((tags, i) => alice.sign(10_005, { tags, created_at: now() - 10 + i }));
  await client.accepts(...events);
  assert.deepEqual(await client.ids({ authors: [alice.key] }), [events[2].id]);
});

test("authors and kinds replace their own only", async () => {
  const [client, alice, bob] = [await relay.connect(), person(), person()];
  const events = [alice.sign(0), bob.sign(0), alice.sign(10_000), alice.sign(10_001), alice.sign(30_000, { tags: [["d", "x"]] }), alice.sign(30_001, { tags: [["d", "x"]] }), bob.sign(30_000, { tags: [["d", "x"]] })];
  await client.accepts(...events);
  assert.equal((await client.ids({ authors: [alice.key, bob.key] })).length, events.length);
});

test("addressable events are told apart by the first d, byte for byte; none is the empty one", async () => {
  const client = await relay.connect();
  const same = [[[]], [[["d"]]], [[["d", ""]]], [[["e", "x"], ["d", ""]]], [[["d", "", "more"]]]].map(([tags]) => tags);
  const alice = person();
  for (const [i, tags] of same.entries()) await client.accepts(alice.sign(30_000, { tags, created_at: now() - 50 + i, content: `${i}` }));
  assert.deepEqual((await client.query({ authors: [alice.key] })).map(({ content }) => content), [`${same.length - 1}`]);

  const bob = person();
  const different = ["a", "A", "a ", " a", "aa", "é", "e\u0301", "\u0001", "a:b", ":", "30000:x:", "0".repeat(64), "0".repeat(63), "F".repeat(64), "f".repeat(64), "🦊", "a\n"];
  for (const d of different) await client.accepts(bob.sign(30_000, { tags: [["d", d]] }));
  assert.equal((await client.ids({ authors: [bob.key] })).length, different.length);
  for (const d of different) assert.deepEqual((await client.query({ authors: [bob.key], "#d": [d] })).map(({ tags }) => tags[0][1]), [d]);

  const carol = person();
  await client.accepts(carol.sign(30_000, { tags: [["d", "first"], ["d", "second"]], created_at: now() - 2 }), carol.sign(30_000, { tags: [["d", "first"]], content: "new" }),
    carol.sign(30_000, { tags: [["d", "second"]], content: "other" }));
  assert.deepEqual((await client.query({ authors: [carol.key] })).map(({ content }) => content).sort(), ["new", "other"]);
});

test("long d tags are distinct when they differ in their last byte only", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const bytes of [1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 254, 255, 256, 257, 499, 500, 511, 512, 513, 1_000, 4_095, 4_096, 4_097, 20_000, 65_535, 65_536]) {
    const [one, two] = ["a", "b"].map((last) => alice.sign(30_100, { tags: [["d", "x".repeat(bytes - 1) + last]] }));
    await client.accepts(one, two);
    for (const event of [one, two]) assert.deepEqual(await client.ids({ "#d": [event.tags[0][1]], authors: [alice.key] }), [event.id], `${bytes} bytes`);
    const newer = alice.sign(30_100, { tags: one.tags, created_at: now() + 1 });
    await client.accepts(newer);
    assert.deepEqual((await client.ids({ authors: [alice.key], "#d": [one.tags[0][1], two.tags[0][1]] })).sort(), [newer.id, two.id].sort());
  }
});

test("ephemeral events reach who listens, with the same OK, and are not stored", async () => {
  const [client, listener, alice] = [await relay.connect(), await relay.connect(), person()];
  for (const kind of [20_000, 24_133, 29_999]) {
    const unheard = await client.publish(alice.sign(kind, { content: "alone" }));
    assert.equal(unheard.accepted, false);
    assert.match(unheard.text, /^mute: /);
    const subscription = await listener.subscribe({ kinds: [kind], authors: [alice.key] });
    const event = alice.sign(kind, { content: "heard" });
    await client.accepts(event);
    assert.deepEqual(await listener.live(subscription), event);
    await subscription.close();
    assert.deepEqual(await client.ids({ ids: [event.id] }), []);
    assert.equal((await client.count({ kinds: [kind], authors: [alice.key] })).count, 0);
  }
});

test("a follow list of thousands is taken, replaced and found by each key in it", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const key_of = (i) => sha256(`follow${i}`);
  const list = (count, created_at) => alice.sign(3, { created_at, tags: Array.from({ length: count }, (_, i) => ["p", key_of(i)]) });
  const lists = [1_000, 3_000, 5_000].map((count, i) => list(count, now() - 10 + i));
  for (const event of lists) {
    await client.accepts(event);
    for (const i of [0, 1, 255, 256, event.tags.length - 1]) assert.deepEqual(await client.ids({ kinds: [3], "#p": [key_of(i)] }), [event.id]);
  }
  const small = list(1, now());
  await client.accepts(small);
  assert.deepEqual(await client.ids({ "#p": [key_of(4_999)] }), []);
  assert.deepEqual(await client.ids({ "#p": [key_of(0)] }), [small.id]);
  // And who follows as many may ask for them.
  assert.deepEqual(await client.ids({ authors: Array.from({ length: 5_000 }, (_, i) => key_of(i)) }), []);
});

test("OK answers each EVENT, in order of arrival of what is refused at once", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const events = Array.from({ length: 300 }, (_, i) => alice.sign(1, { content: `burst ${i}` }));
  for (const event of events) client.send("EVENT", event);
  for (const event of events) assert.deepEqual(await client.take(["OK", event.id]), ["OK", event.id, true, ""]);
  await client.barrier();
  assert.deepEqual(client.take_all(["OK"]), []);
  assert.equal((await client.ids({ authors: [alice.key] })).length, 300);
});

test("who sends what is no event gets OK false with the id that he sent, wherever it stands and whatever it is", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const { id, ...event } = alice.sign(1, { content: "no event" });
  const without_end = (value) => JSON.stringify(value).slice(0, -1);
  for (const [name, text] of Object.entries({
    "after a bad field": `${without_end({ ...event, kind: "1" })},"id":"${id}"}`, "after what is no JSON": `${without_end(event).replace('"kind":1', '"kind":01')},"id":"${id}"}`,
    "after a line end in a string": `${without_end(event).replace("no event", "two\nlines")},"id":"${id}"}`, "in another spelling": `${without_end({ ...event, kind: "1" })},"\\u0069d":"${id}"}`,
    "of an event that is too large": `${without_end({ ...event, content: "x".repeat(200_000) })},"id":"${id}"}`, "of one that is never closed": `${without_end(event)},"id":"${id}"`,
  })) {
    const [word, of, accepted] = await said_to(client, text, id);
    assert.deepEqual([word, of, accepted], ["OK", id, false], name);
  }
  for (const other of ["", "x", id.toUpperCase(), id.slice(1), `${id}0`, "é".repeat(512), '"],\n\u001b[31m\\', "note1xyz"]) await is_refused(client, JSON.stringify({ ...event, id: other }));
  for (const other of [`"${"x".repeat(1_025)}"`, '"\\u0000"', "7", "null", `["${id}"]`]) assert.equal((await said_to(client, `{"id":${other}}`, id))[0], "NOTICE", other);
  client.raw(`["AUTH",{"kind":"x","id":"${id}"}]`);
  assert.equal((await client.take(["OK", id]))[2], false);
});

test("EVENT is an array of two", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const event = alice.sign(1);
  for (const text of ['["EVENT"]', '["EVENT",null]', '["EVENT",[]]', '["EVENT","x"]', '["EVENT",{}]', `["EVENT",[${JSON.stringify(event)}]]`, `["event",${JSON.stringify(event)}]`,
    `["EVENT","sub",${JSON.stringify(event)}]`, `["EVENT",${JSON.stringify(event)},1]`, JSON.stringify(event), `{"EVENT":${JSON.stringify(event)}}`, `[["EVENT",${JSON.stringify(event)}]]`]) {
    client.raw(text);
    const [word, , accepted] = await client.take((message) => message[0] === "NOTICE" || message[0] === "OK");
    if (word === "OK") assert.equal(accepted, false, text);
  }
  assert.deepEqual(await client.ids({ ids: [event.id] }), []);
});
