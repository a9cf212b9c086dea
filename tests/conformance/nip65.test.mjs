// NIP-65: relay lists are taken from anybody, also where others may not write.
import assert from "node:assert/strict";
import { test } from "node:test";
import { information_at, now, person, with_relay } from "./lib.mjs";

test("a relay list of anybody, replaced like any other", async () => {
  const [friend, stranger] = [person(), person()];
  await with_relay({ sections: { policy: { allowed_authors: [friend.key] } } }, async (relay) => {
    assert.ok((await information_at(relay.http)).supported_nips.includes(65));
    const client = await relay.connect();
    await client.refuses(stranger.sign(1), /^restricted: /);
    const [before, after] = [stranger.sign(10_002, { tags: [["r", "wss://a.example"]], created_at: now() - 9 }), stranger.sign(10_002, { tags: [["r", "wss://b.example", "read"]] })];
    await client.accepts(before, after);
    assert.deepEqual(await client.ids({ authors: [stranger.key] }), [after.id]);
  });
});

test("where it does not hold it is not said", async () => {
  for (const policy of [{ blocked_kinds: ["10002"] }, { allowed_authors: [person().key], open_kinds: [] }]) {
    await with_relay({ sections: { policy } }, async (relay) => assert.ok(!(await information_at(relay.http)).supported_nips.includes(65)));
  }
});
