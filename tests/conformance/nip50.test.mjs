// NIP-50: the words of a search restrict a filter, best matches come first.
import assert from "node:assert/strict";
import { test } from "node:test";
import { information_at, kNameless, now, person, relay_under_test, with_relay } from "./lib.mjs";

// Without logins nothing is hidden, and so every hint of NIP-67 is given.
const relay = relay_under_test({ sections: { ...kNameless.sections, net: { eose_hints: true } } });
const ids_of = (...events) => events.map(({ id }) => id);

test("finds events that have all words, whatever their case, accents and order", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const [first, second] = [alice.sign(1, { content: "Zebras in the Café of Łódź" }), alice.sign(1, { content: "nothing but zebras", created_at: now() - 5 })];
  await client.accepts(first, second);
  const found = (search, more = {}) => client.ids({ authors: [alice.key], search, ...more });
  assert.deepEqual((await found("zebras")).sort(), ids_of(first, second).sort());
  assert.deepEqual(await found("CAFE zebras"), ids_of(first));
  assert.deepEqual(await found("zebras -cafe"), ids_of(second));
  assert.deepEqual(await found('"nothing but"'), ids_of(second));
  assert.deepEqual(await found('"but nothing"'), []);
  assert.deepEqual(await found("zebra"), []);
  assert.deepEqual(await found("zebras cafe", { kinds: [30_023] }), []);
  assert.deepEqual(await found("zebras", { until: second.created_at }), ids_of(second));
  assert.deepEqual(await client.ids({ authors: [person().key], search: "zebras" }), []);
});

test("the best come first, and the limit is of those", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const article = alice.sign(30_023, { content: "about other things", tags: [["d", "a"], ["title", "Quokkas"]], created_at: now() - 9 });
  const note = alice.sign(1, { content: "quokkas, and quokkas", created_at: now() - 8 });
  const long = alice.sign(1, { content: `quokkas ${"among many other words ".repeat(9)}`, created_at: now() });
  await client.accepts(long, note, article);
  assert.deepEqual(await client.ids({ search: "quokkas" }), ids_of(article, note, long));
  assert.deepEqual(await client.ids({ search: "quokkas", limit: 2 }), ids_of(article, note));
  const { eose } = await client.subscribe({ search: "quokkas", limit: 2 });
  assert.deepEqual(eose[2], ["more"]);
  assert.deepEqual((await client.subscribe({ search: "quokkas" })).eose[2], ["finish"]);
});

test("profiles are found by what people see of them", async () => {
  const [client, alice] = [await relay.connect(), person()];
  await client.accepts(alice.sign(0, { content: JSON.stringify({ name: "Wombat Ltd", about: "diggers", picture: "https://x.example/wallaby.png" }) }));
  assert.equal((await client.ids({ kinds: [0], search: "wombat" })).length, 1);
  assert.equal((await client.ids({ search: "diggers" })).length, 1);
  assert.deepEqual(await client.ids({ search: "wallaby" }), []);
});

test("new events that match come as they are published, others do not", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const subscription = await client.subscribe({ authors: [alice.key], search: "numbats" });
  const [other, event] = [alice.sign(1, { content: "no such animal" }), alice.sign(1, { content: "Numbats!" })];
  await client.accepts(other, event);
  assert.deepEqual(await client.live(subscription), event);
  await client.barrier();
  assert.deepEqual(client.take_all(["EVENT", subscription.id]), []);
});

test("COUNT, deletion, replacement and expiry go with it", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const gone = alice.sign(1, { content: "bilbies" });
  const soon = alice.sign(1, { content: "bilbies", tags: [["expiration", `${now() + 2}`]] });
  await client.accepts(gone, soon, alice.sign(0, { content: '{"name":"bilbies"}', created_at: now() - 5 }));
  await client.accepts(alice.sign(0, { content: '{"name":"else"}' }));
  assert.equal((await client.count({ search: "bilbies" })).count, 2);
  await client.accepts(alice.sign(5, { tags: [["e", gone.id]] }));
  assert.deepEqual(await client.ids({ search: "bilbies" }), [soon.id]);
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  assert.deepEqual(await client.ids({ search: "bilbies" }), []);
});

test("unknown extensions are ignored; what is no search is a plain filter; bad ones are refused", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const [plain, warned] = [alice.sign(1, { content: "dunnarts" }), alice.sign(1, { content: "dunnarts", tags: [["content-warning", "mice"]], created_at: now() - 3 })];
  await client.accepts(plain, warned);
  assert.equal((await client.ids({ authors: [alice.key], search: "dunnarts language:en include:spam" })).length, 2);
  assert.deepEqual(await client.ids({ authors: [alice.key], search: "dunnarts nsfw:false" }), [plain.id]);
  assert.equal((await client.ids({ authors: [alice.key], search: "" })).length, 2);
  assert.deepEqual(await client.ids({ authors: [alice.key], search: "!?" }), []);
  for (const search of [7, null, ["x"], "x".repeat(1_025)]) assert.match(await client.refused({ search }), /^invalid: /);
});

test("it is said in the information, and refused where it is switched off", async () => {
  assert.ok((await information_at(relay.http)).supported_nips.includes(50));
  await with_relay({ sections: { search: { enabled: false } } }, async (plain) => {
    assert.ok(!(await information_at(plain.http)).supported_nips.includes(50));
    assert.match(await (await plain.connect()).refused({ search: "zebras" }), /^error: /);
  });
});
