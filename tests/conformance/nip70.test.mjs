// NIP-70: protected events come from their author only; reposts may not carry them further.
import assert from "node:assert/strict";
import { test } from "node:test";
import { kNameless, person, relay_under_test, with_relay } from "./lib.mjs";

const kUrl = "wss://relay.example/";
const relay = relay_under_test({ settings: { url: kUrl } });
const guarded = (author, more = {}) => author.sign(1, { tags: [["t", "x"], ["-"]], content: "members only", ...more });

test("refused until its author has shown the key, and from all others", async () => {
  const [client, alice, mallory] = [await relay.connect(), person(), person()];
  const event = guarded(alice);
  await client.refuses(event, /^auth-required: /);
  await client.authenticate(mallory, kUrl);
  await client.refuses(event, /^restricted: /);
  await client.authenticate(alice, kUrl);
  await client.accepts(event);
  const other = await relay.connect();
  assert.deepEqual(await other.ids({ ids: [event.id] }), [event.id]);
});

test("of every kind, also ephemeral ones", async () => {
  const [client, alice] = [await relay.connect(), person()];
  for (const kind of [0, 1, 3, 5, 6, 1059, 20_001, 30_023]) await client.refuses(alice.sign(kind, { tags: [["-"], ["d", "x"]] }), /^auth-required: /);
});

test("a relay that knows nobody takes none", async () => {
  await with_relay(kNameless, async (plain) => {
    await (await plain.connect()).refuses(guarded(person()), /^(blocked|restricted|invalid|auth-required): /);
    assert.ok(!(await plain.information()).supported_nips.includes(42));
  });
});

test("a repost that embeds one is refused, whoever sends it", async () => {
  const [client, alice, bob] = [await relay.connect(), person(), person()];
  const event = guarded(alice);
  await client.authenticate(alice, kUrl);
  await client.authenticate(bob, kUrl);
  const article = alice.sign(30_023, { tags: [["d", "x"], ["-"]] });
  for (const author of [alice, bob]) {
    for (const [kind, content] of [[6, JSON.stringify(event)], [16, JSON.stringify(article)], [16, JSON.stringify(event)], [6, ` ${JSON.stringify(event, null, 2)}\n`], [6, JSON.stringify({ ...event, extra: { deep: [[[1]]] } })],
      [6, JSON.stringify(event).replace('"-"', '"\\u002d"')], [6, JSON.stringify({ tags: [["-"]] })]]) {
      await client.refuses(author.sign(kind, { content, tags: [["e", event.id], ["p", alice.key]] }), /^(blocked|invalid|restricted): /);
    }
  }
  assert.ok((await relay.metric('events_refused_total{reason="embeds_protected"}')) >= 14);
});

test("a repost that names one, or embeds another, is taken", async () => {
  const [client, alice, bob] = [await relay.connect(), person(), person()];
  const [event, open] = [guarded(alice), alice.sign(1, { content: '[["-"]]', tags: [["t", "-"], ["x", "-"]] })];
  await client.accepts(open, ...[["", 6], [JSON.stringify(open), 6], [JSON.stringify(open), 16], ["not json {", 6], ["[]", 6], ["null", 16], ['{"tags":5}', 6], ['{"tags":[5,[],[5]]}', 6], ["[".repeat(5_000), 6]]
    .map(([content, kind]) => bob.sign(kind, { content, tags: [["e", event.id], ["p", alice.key]] })));
  // A note about a protected event is no repost.
  await client.accepts(bob.sign(1, { content: JSON.stringify(event) }));
});
