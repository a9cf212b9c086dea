// The soak in its short form: each fault once. For hours of it: ./scripts/soak MINUTES.
import assert from "node:assert/strict";
import { test } from "node:test";
import { person } from "../conformance/lib.mjs";
import { Soak } from "./soak.mjs";

test("nothing acknowledged is lost, whatever happens to the relay", { timeout: 200_000 }, async (t) => {
  const seed = Number(process.env.NOSTRIL_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const soak = new Soak({ seed, say: (text) => t.diagnostic(text) });
  t.diagnostic(`NOSTRIL_SEED=${seed}`);
  try {
    await soak.run({ ms: 20_000 });
    t.diagnostic(`${soak.seconds.toFixed(0)} s: ${JSON.stringify(soak.counts)}; map ${soak.map.map((bytes) => bytes >> 20).join(" -> ")} MiB`);
  } catch (error) {
    soak.relay.show_logs();
    throw error;
  } finally {
    await soak.stop();
  }
});

test("the check finds what is lost, what is back and what is old", async () => {
  const [who, at] = [person(), Math.floor(Date.now() / 1000) - 100];
  const note = who.sign(1, { created_at: at });
  const version = (age) => who.sign(30_078, { tags: [["d", "x"]], created_at: at - age, content: `${age}` });
  const stranger = person().sign(5, { tags: [["e", note.id]], created_at: at });  // deletes nothing
  const claims = { "are lost": [[], note], "is back": [[note, stranger], stranger], "an older version": [[version(5)], version(0)] };
  for (const [what, [published, claimed]] of Object.entries(claims)) {
    const soak = new Soak({ seed: 1 });
    try {
      await soak.start();
      const client = await soak.relay.connect();
      await client.accepts(...published);
      await soak.check();
      soak.claim(claimed);
      await assert.rejects(soak.check(), new RegExp(what));
    } finally {
      await soak.stop();
    }
  }
});
