// A well-behaved client, in a thread of its own so that only the relay can keep it waiting. It publishes, hears its event live and
// finds it stored, one after the other. On "report" it says how long each took since the last report.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, person } from "../conformance/lib.mjs";

const kRestMs = 2;
const who = person();
let [times_ms, is_over] = [[], false];
parentPort.on("message", (word) => {
  if (word === "end") is_over = true;
  parentPort.postMessage({ times_ms });
  times_ms = [];
});

try {
  const [client, listener] = [await Client.connect(workerData.url), await Client.connect(workerData.url)];
  const subscription = await listener.subscribe({ authors: [who.key], limit: 0 });
  while (!is_over) {
    const event = who.sign(1, { content: randomBytes(8).toString("hex") });
    const began = performance.now();
    client.send("EVENT", event);
    assert.equal((await listener.live(subscription)).id, event.id);
    const [, , accepted, text] = await client.take(["OK", event.id]);
    assert.equal(accepted, true, text);
    assert.deepEqual(await client.ids({ ids: [event.id] }), [event.id]);
    times_ms.push(performance.now() - began);
    await sleep(kRestMs);
  }
  assert.deepEqual([...client.flaws, ...listener.flaws], []);
  client.close();
  listener.close();
  parentPort.close();
} catch (error) {
  parentPort.postMessage({ failure: error.stack });
  parentPort.close();
}
