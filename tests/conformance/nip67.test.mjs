// NIP-67: EOSE says whether all was sent, where the operator has switched it on: two of the eight client libraries of tests/clients
// take no EOSE of three elements.
import assert from "node:assert/strict";
import { test } from "node:test";
import { information_at, kNameless, now, person, relay_under_test, with_relay } from "./lib.mjs";

const sections = { net: { eose_hints: true }, limits: { limit_max: 20, limit_default: 10 } };
const relay = relay_under_test({ sections: { ...kNameless.sections, ...sections } });

test("finish and more are what a client would find out", async () => {
  assert.ok((await information_at(relay.http)).supported_nips.includes(67));
  const [client, alice] = [await relay.connect(), person()];
  await client.accepts(...Array.from({ length: 25 }, (_, i) => alice.sign(i < 5 ? 7 : 1, { created_at: now() - i })));
  const hint = async (...filters) => {
    const subscription = await client.subscribe(...filters);
    await subscription.close();
    return subscription.eose[2];
  };
  const of = { authors: [alice.key] };
  assert.deepEqual(await hint({ ...of, kinds: [7] }), ["finish"]);
  assert.deepEqual(await hint({ ...of, kinds: [7], limit: 5 }), ["finish"], "exactly as many as the limit");
  assert.deepEqual(await hint({ ...of, kinds: [7], limit: 4 }), ["more"]);
  assert.deepEqual(await hint(of), ["more"], "the relay's own limit where none is named");
  assert.deepEqual(await hint({ ...of, limit: 500 }), ["more"], "the relay's limit is below the client's");
  assert.deepEqual(await hint({ ...of, kinds: [1], limit: 500 }), ["finish"], "20 of 20");
  assert.deepEqual(await hint({ ids: ["0".repeat(64)] }), ["finish"]);
  assert.equal(await hint({ ...of, limit: 0 }), undefined, "nothing was looked at");
});

// What is left may be a message that the client may not see: where kinds could be private, "more" is not said.
test("a hint does not promise what is hidden", async () => {
  await with_relay({ sections }, async (own) => {
    const [client, alice] = [await own.connect(), person()];
    await client.accepts(...Array.from({ length: 3 }, (_, i) => alice.sign(1, { created_at: now() - i })), alice.sign(1059, { tags: [["p", alice.key]], created_at: now() - 9 }));
    const hint = async (more) => (await client.subscribe({ authors: [alice.key], ...more })).eose[2];
    assert.deepEqual(await hint({ kinds: [1], limit: 2 }), ["more"]);
    assert.equal(await hint({ limit: 3 }), undefined);
    assert.deepEqual(await hint({ limit: 4 }), ["finish"]);
  });
});

test("where it is off, EOSE has two elements and 67 is not listed", async () => {
  await with_relay({}, async (plain) => {
    assert.ok(!(await information_at(plain.http)).supported_nips.includes(67));
    assert.equal((await (await plain.connect()).subscribe({ limit: 1 })).eose.length, 2);
  });
});

test("paging by what is said ends with every event", async () => {
  const [client, alice] = [await relay.connect(), person()];
  const events = Array.from({ length: 57 }, (_, i) => alice.sign(1, { created_at: now() - i * 3 }));
  await client.accepts(...events);
  const found = new Set();
  for (let until = now() + 10, rounds = 0; ; rounds++) {
    assert.ok(rounds < 9);
    const subscription = await client.subscribe({ authors: [alice.key], until, limit: 10 });
    await subscription.close();
    for (const event of subscription.events) found.add(event.id);
    if (subscription.eose[2].includes("finish")) break;
    until = subscription.events.at(-1).created_at - 1;
  }
  assert.equal(found.size, events.length);
});
