// A well-behaved client, in a thread of its own so that only the relay can keep it waiting. It publishes, hears its event live and
// finds it stored, one after the other. On "report" it says how long each took since the last report; and, where it is told the
// relay's process, how much processor time that spent meanwhile: on the request and on everybody who came before it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, person } from "../conformance/lib.mjs";

const who = person();
let [times_ms, works_ms, is_over] = [[], [], false];
const { pid, rest_ms = 2 } = workerData;
// Of all its threads, by the scheduler's own count.
const threads = pid ? fs.readdirSync(`/proc/${pid}/task`).map((id) => fs.openSync(`/proc/${pid}/task/${id}/schedstat`)) : [];
const bytes = Buffer.alloc(64);
const work_ms = () => threads.reduce((sum, fd) => sum + Number.parseInt(bytes.toString("latin1", 0, fs.readSync(fd, bytes, 0, 64, 0)), 10), 0) / 1e6;
parentPort.on("message", (word) => {
  if (word === "end") is_over = true;
  parentPort.postMessage({ times_ms, works_ms });
  [times_ms, works_ms] = [[], []];
});

try {
  // The helpers of its engine (compiler, garbage collector) are as urgent as their process: it waited milliseconds for them.
  if (workerData.is_first) execFileSync("chrt", ["-rp", "2", fs.readlinkSync("/proc/thread-self").split("/").pop()], { stdio: "ignore" });
  const [client, listener] = [await Client.connect(workerData.url), await Client.connect(workerData.url)];
  const subscription = await listener.subscribe({ authors: [who.key], limit: 0 });
  while (!is_over) {
    const event = who.sign(1, { content: randomBytes(8).toString("hex") });
    const [worked, began] = [work_ms(), performance.now()];
    client.send("EVENT", event);
    assert.equal((await listener.live(subscription)).id, event.id);
    const [, , accepted, text] = await client.take(["OK", event.id]);
    assert.equal(accepted, true, text);
    assert.deepEqual(await client.ids({ ids: [event.id] }), [event.id]);
    times_ms.push(performance.now() - began);
    works_ms.push(work_ms() - worked);
    await sleep(rest_ms);
  }
  assert.deepEqual([...client.flaws, ...listener.flaws], []);
  client.close();
  listener.close();
  parentPort.close();
} catch (error) {
  parentPort.postMessage({ failure: error.stack });
  parentPort.close();
}
