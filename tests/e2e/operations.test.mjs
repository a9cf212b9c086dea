// A node in its operator's hands: its configuration changed while it serves.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { scenario } from "./lib.mjs";

const kMs = 30_000;

scenario("SIGHUP takes over what can change, names what needs a restart, and a broken file changes nothing", async (bed) => {
  const relay = await bed.relay();
  const node = await bed.node({ relay, settings: { log_level: "warning" } });
  const config = path.join(bed.folder, "node.toml");
  const good = fs.readFileSync(config, "utf8");
  const reload = (text, pattern) => {
    fs.writeFileSync(config, text);
    node.program.child.kill("SIGHUP");
    return node.program.said(pattern);
  };
  await reload(`relay = []\n${good}`, /the configuration stays as it is: .*node\.toml:1: nobody reads relay; nearest: relays/);
  await reload(`${good}[offer]\ncredit = 0\n`, /the configuration stays as it is: offer\.credit/);
  await reload(`${good}[offer]\nasset = "sat"\noutput_price = 7\n`, /configuration read again: offer\.output_price$/m);
  await node.program.said(/these keys keep their old values until a restart: offer\.asset$/m);
  assert.equal((await bed.chat({ relay, node, question: "hello" }).end(kMs)).code, 0);
});

scenario("a second node on the same folder or a port that is taken ends, and says why", async (bed) => {
  const relay = await bed.relay();
  const data = path.join(bed.folder, "node");
  const listeners = (port, metrics) => ({ https: { listen: `127.0.0.1:${port}` }, metrics: { listen: `127.0.0.1:${metrics}` } });
  const first = await bed.node({ relay, data, sections: listeners(0, 0) });
  const [, port] = await first.program.line(/^serving https:\/\/127\.0\.0\.1:(\d+)\//m);
  const [, metrics] = await first.program.said(/metrics at http:\/\/127\.0\.0\.1:(\d+)/);
  const refused = async (options, pattern) => {
    const { code, err } = await bed.node_program({ relay, ...options }).program.end(kMs);
    assert.match(err, pattern);
    assert.equal(code, 1);
  };
  await refused({ data }, /another nostril-node runs on this folder/);
  const other = path.join(bed.folder, "other");
  await refused({ data: other, sections: listeners(port, 0) }, new RegExp(`cannot listen on 127\\.0\\.0\\.1 port ${port}: another program does`));
  await refused({ data: other, sections: listeners(0, metrics) }, new RegExp(`cannot listen on 127\\.0\\.0\\.1 port ${metrics}: another program does`));
  await first.program.stop();
  await bed.node({ relay, data, sections: listeners(port, metrics) });
});

/** Every file below a folder. */
const files_of = (folder) => fs.readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));

scenario("metrics count an answer, and no byte of its prompt is in them, in logs, or on a disk", async (bed) => {
  const relay = await bed.relay();
  const engine = await bed.http_tap(await bed.engine());
  const data = path.join(bed.folder, "node");
  const node = await bed.node({ relay, data, engine_url: engine.url, sections: { metrics: { listen: "127.0.0.1:0" } } });
  const [, metrics_url] = await node.program.said(/metrics at (http:\/\/127\.0\.0\.1:\d+\/metrics)/);
  const metrics = async () => (await fetch(metrics_url)).text();
  const value = (text, name) => Number(new RegExp(`^nostril_node_${name.replace(/[{}]/g, "\\$&")} (\\d+)$`, "m").exec(text)?.[1]);

  assert.equal(value(await metrics(), 'records_total{status="ok"}'), 0);
  const secret = "Xylophagous-Quokka-7741";
  const ask = (question) => bed.chat({ relay, node, question }).end(kMs);
  const chat = await ask(`${secret} tell me about foxes`);
  assert.equal(chat.code, 0, chat.err);
  // One of several frames, which the engine refuses.
  assert.equal((await ask(`please tell me about foxes, ${secret}. `.repeat(200))).code, 1);

  const text = await metrics();
  assert.equal(value(text, 'records_total{status="ok"}'), 1);
  assert.equal(value(text, 'records_total{status="error"}'), 1);
  assert.ok(value(text, 'receipts_total{verdict="accepted"}') >= 1, text);
  assert.ok(value(text, 'tokens_total{kind="output"}') > 0, text);
  assert.ok(value(text, "journal_commits_total") >= 2, text);
  assert.equal(value(text, "relays_connected"), 1);
  assert.equal(value(text, 'refusals_total{reason="busy"}'), 0, text);
  assert.match(text, /^nostril_node_evidence_age_seconds\{engine="http:[^"]*",model="nostril-demo"\} \d+$/m);
  assert.match(text, /^nostril_node_queue_limit\{engine="[^"]*"\} [1-9]/m);
  assert.doesNotMatch(text, /[0-9a-f]{64}|npub1/, "no key of anybody");
  assert.equal((await fetch(new URL("/healthz", metrics_url))).status, 200);
  assert.equal((await fetch(new URL("/", metrics_url))).status, 404);

  // The engine did get it, so looking for it can find it.
  assert.ok(engine.completions().some(({ request }) => Buffer.concat(request).includes(secret)));
  await node.program.stop();
  await relay.program.stop();
  const places = [node.program, relay.program].flatMap(({ name, out, err }) => [[`${name}'s output`, out], [`${name}'s log`, Buffer.from(err)]]);
  const files = [...files_of(data), ...files_of(relay.data)];
  assert.ok(files.some((file) => file.endsWith("data.mdb")), "there is a journal to look into");
  for (const file of files) places.push([file, fs.readFileSync(file)]);
  places.push(["the metrics", Buffer.from(text)]);
  const words = [secret, "tell me about foxes"];
  for (const [place, bytes] of places) {
    for (const word of words) {
      assert.ok(!bytes.includes(word), `${place} holds the prompt`);
      assert.ok(!bytes.includes(Buffer.from(word).toString("hex")), `${place} holds the prompt in hex`);
    }
  }
});
