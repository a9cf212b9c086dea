// The part cluster of ./scripts/bench: three nats-servers and up to three relays of this build, each on a machine that is a network
// namespace (tests/cluster), all of them on the cores of this one. Runs by itself, in namespaces of its own; prints one table a line,
// as JSON. What costs is CPU by process and thread, so that figures of a crowded machine still mean something.
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { person } from "../tests/conformance/lib.mjs";
import { until, WebSocket } from "../tests/e2e/lib.mjs";
import { Cluster } from "../tests/cluster/lib.mjs";
import { enter } from "../tests/cluster/world.mjs";
import { cpu_ns, median } from "./measure.mjs";

const { values: options } = parseArgs({ options: { quick: { type: "boolean" }, only: { type: "string" } } });
const why_not = await enter(import.meta.url);
if (why_not) {
  console.error(`bench cluster: ${why_not}`);
  process.exit(1);
}

const kPlan = options.quick
  ? { ingest_events: 1_000, hops: 50, hop_ms: 10, joined_events: 2_000 }
  : { ingest_events: 12_000, hops: 500, hop_ms: 10, joined_events: 100_000 };
const [kConnections, kInFlight, kContentChars] = [16, 32, 400];
const kWaitMs = 300_000;
const [kNote, kEphemeral] = [1, 20_001];
/** What works at an event, by the names of a relay's threads; all else is "rest". */
const kStages = { loop: "sockets", verifier: "verify", writer: "store", cluster: "cluster", bus: "NATS" };

const authors = Array.from({ length: 200 }, () => person());
let next_event = 0;

function notes(count) {
  return Array.from({ length: count }, () => {
    const number = next_event++;
    return authors[number % authors.length].sign(kNote, { content: `${number} `.padEnd(kContentChars, "lorem ipsum dolor sit amet "), tags: [["t", `t${number % 50}`], ["p", authors[(number * 7) % authors.length].key]] });
  });
}

// --- CPU.

/** {stage: ns} of a relay's threads. */
function stages_of(pid) {
  const out = {};
  for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
    try {
      const name = fs.readFileSync(`/proc/${pid}/task/${task}/comm`, "utf8").trim();
      const stage = kStages[name.replace("stream verifier", "verifier")] ?? "rest";
      out[stage] = (out[stage] ?? 0) + Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
    } catch (error) {
      if (error.code !== "ENOENT" && error.code !== "ESRCH") throw error;
    }
  }
  return out;
}

/** What relays and servers use from now on: a function that says it, in ns. */
function meter(relays, servers) {
  const read = () => ({ relays: relays.map(({ relay }) => stages_of(relay.pid)), servers: servers.reduce((sum, { server }) => sum + cpu_ns(server.pid), 0) });
  const before = read();
  return () => {
    const after = read();
    const stages = {};
    after.relays.forEach((relay, i) => {
      for (const [stage, ns] of Object.entries(relay)) stages[stage] = (stages[stage] ?? 0) + ns - (before.relays[i][stage] ?? 0);
    });
    return { stages, servers: after.servers - before.servers };
  };
}

// --- Publishing.

function open(url) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    socket.once("open", () => resolve(socket)).once("error", reject);
  });
}

/** Publishes `frames` of one relay over some connections, flat out; throws when one is refused. */
async function publish(url, frames) {
  const sockets = await Promise.all(Array.from({ length: kConnections }, () => open(url)));
  let [next, answered] = [0, 0];
  await new Promise((resolve, reject) => {
    const send = (socket) => { if (next < frames.length) socket.send(frames[next++]); };
    for (const socket of sockets) {
      socket.on("message", (data) => {
        const [word, , accepted, text] = JSON.parse(data.toString());
        if (word !== "OK") return;
        if (!accepted) reject(new Error(`refused: ${text}`));
        answered += 1;
        if (answered === frames.length) resolve();
        else send(socket);
      });
      socket.on("close", () => reject(new Error("the connection ended")));
      for (let i = 0; i < kInFlight; i++) send(socket);
    }
  }).finally(() => { for (const socket of sockets) socket.removeAllListeners("close").terminate(); });
}

async function publish_everywhere(relays, count) {
  const frames = notes(count).map((event) => JSON.stringify(["EVENT", event]));
  const began = performance.now();
  const usage = meter(relays, relays[0].cluster.members.filter(({ server }) => server));
  await Promise.all(relays.map(({ url }, i) => publish(url, frames.filter((_, j) => j % relays.length === i))));
  const seconds = (performance.now() - began) / 1000;
  return { seconds, usage };
}

/** All load comes from one address. */
const kUnlimited = { clients: { events_a_second_max: 0, messages_a_second_max: 0, bytes_a_second_max: 0 } };

/** Cluster of three servers and `count` relays; 0: one relay, and no cluster. */
async function with_relays(count, body) {
  const cluster = new Cluster({ is_secure: true, bytes_max: 4 * 2 ** 30 });  // as docs/cluster.md has it
  try {
    const relays = cluster.members.slice(0, Math.max(1, count));
    if (count > 0) await cluster.start_servers();
    await Promise.all(relays.map((member) => member.start_relay({ sections: kUnlimited, is_alone: count === 0 })));
    return await body(relays, cluster);
  } catch (error) {
    cluster.show_logs();
    throw error;
  } finally {
    await cluster.close();
  }
}

const us = (ns, count) => (ns === undefined ? "" : `${(ns / 1000 / count).toFixed(1)} us`);
const ms = (value) => (value === undefined ? "" : `${value.toFixed(2)} ms`);
const name_of = (count) => (count === 0 ? "no cluster" : count === 1 ? "1 relay" : `${count} relays`);
const at = (values, part) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];

async function ingest() {
  const [rows, results] = [[], []];
  for (const count of [0, 1, 2, 3]) {
    await with_relays(count, async (relays, cluster) => {
      await publish_everywhere(relays, Math.min(500, kPlan.ingest_events));  // warm
      let lag_max = 0;
      let watching = count > 0;
      const watch = (async () => {
        while (watching) {
          for (const member of relays) lag_max = Math.max(lag_max, (await member.cluster_metric("lag")) ?? 0);
          await sleep(200);
        }
      })();
      const { seconds, usage } = await publish_everywhere(relays, kPlan.ingest_events);
      const told = performance.now();
      if (count > 0) await cluster.settled(kWaitMs);
      const behind_ms = performance.now() - told;
      watching = false;
      await watch;
      const { stages, servers } = usage();
      const each = kPlan.ingest_events;
      const relays_ns = Object.values(stages).reduce((sum, ns) => sum + ns, 0);
      results.push({ question: "ingest", relays: count, events: each, per_s: each / seconds, lag_max, behind_ms, stages_us: Object.fromEntries(Object.entries(stages).map(([stage, ns]) => [stage, ns / 1000 / each])), servers_us: servers / 1000 / each });
      rows.push([name_of(count), `${relays.length} x ${kConnections} x ${kInFlight}`, us(relays_ns, each), ...Object.values(kStages).map((stage) => us(stages[stage], each)), us(stages.rest, each),
        count > 0 ? us(servers, each) : "", `${Math.round(each / seconds)}/s`, count > 0 ? `${lag_max}` : "", count > 0 ? ms(behind_ms) : ""]);
    });
  }
  return { title: `ingest: ${kPlan.ingest_events} events flat out over all relays; CPU an event, of all relays and of all three servers together; lag in events`,
    columns: ["relays", "load", "relays' CPU", ...Object.values(kStages), "rest", "3 nats-servers", "rate", "lag max", "last OK to all have it"], rows, results };
}

/** Latencies in ms, from sending to hearing: {ok, heard: [of each listener]}. */
async function hops(relays, kind) {
  const key = person().key;
  const who = person();
  const sent = new Map();
  const heard = relays.map(() => []);
  const ok = [];
  const listeners = await Promise.all(relays.map(async ({ url }, i) => {
    const socket = await open(url);
    await new Promise((resolve) => {
      socket.on("message", (data) => {
        const now = performance.now();
        const message = JSON.parse(data.toString());
        if (message[0] === "EOSE") resolve();
        if (message[0] === "EVENT") heard[i].push(now - sent.get(message[2].id));
      });
      socket.send(JSON.stringify(["REQ", "x", { kinds: [kind], "#p": [key], limit: 0 }]));
    });
    return socket;
  }));
  const publisher = await open(relays[0].url);
  publisher.on("message", (data) => {
    const [word, id, accepted, text] = JSON.parse(data.toString());
    if (word === "OK" && !accepted) throw new Error(`refused: ${text}`);
    if (word === "OK") ok.push(performance.now() - sent.get(id));
  });
  await sleep(500);  // the other relays have heard of who listens
  for (let i = 0; i < kPlan.hops; i++) {
    const event = who.sign(kind, { content: `${i}`, tags: [["p", key]] });
    const text = JSON.stringify(["EVENT", event]);
    sent.set(event.id, performance.now());
    publisher.send(text);
    await sleep(kPlan.hop_ms);
  }
  await until(10_000, "all were heard", () => heard.every((each) => each.length === kPlan.hops) && ok.length === kPlan.hops);
  for (const socket of [publisher, ...listeners]) socket.terminate();
  return { ok, heard };
}

async function hop() {
  const [rows, results] = [[], []];
  const alone = {};
  for (const count of [0, 3]) {
    await with_relays(count, async (relays) => {
      for (const [name, kind] of [["ephemeral", kEphemeral], ["stored", kNote]]) {
        await hops(relays, kind);  // warm
        const { ok, heard } = await hops(relays, kind);
        alone[name] ??= median(heard[0]);
        const others = heard.slice(1).flat();
        const far = others.length > 0 ? median(others) : undefined;
        results.push({ question: `hop ${name}`, relays: count, ok_p50_ms: median(ok), ok_p99_ms: at(ok, 0.99), near_p50_ms: median(heard[0]), near_p99_ms: at(heard[0], 0.99), far_p50_ms: far, far_p99_ms: far && at(others, 0.99), added_p50_ms: far && far - alone[name] });
        rows.push([name_of(count), name, ms(median(ok)), ms(at(ok, 0.99)), ms(median(heard[0])), ms(at(heard[0], 0.99)), ms(far), far ? ms(at(others, 0.99)) : "", far ? ms(far - alone[name]) : ""]);
      }
    });
  }
  return { title: `hop: ${kPlan.hops} events, one each ${kPlan.hop_ms} ms; from sending to the OK, to a listener at the same relay, to listeners at the others; added: over a relay without a cluster`,
    columns: ["relays", "event", "OK p50", "p99", "same relay p50", "p99", "other relay p50", "p99", "added p50"], rows, results };
}

async function join() {
  const [rows, results] = [[], []];
  const ways = [["from the stream", { join: "stream" }], ["from the stream, signatures checked", { join: "stream", verify_stream: true }], ["by snapshot", { join: "snapshot" }]];
  await with_relays(2, async (relays, cluster) => {
    for (let done = 0; done < kPlan.joined_events; done += 10_000) await publish_everywhere(relays, Math.min(10_000, kPlan.joined_events - done));
    await cluster.settled(kWaitMs);
    const newcomer = cluster.members[2];
    for (const [name, section] of ways) {
      fs.rmSync(newcomer.data, { recursive: true, force: true });
      const others = relays.map(({ relay }) => cpu_ns(relay.pid));
      await newcomer.start_relay({ sections: { ...kUnlimited, cluster: section }, serving: false });
      const began = performance.now();
      await newcomer.serves(kWaitMs);
      const seconds = (performance.now() - began) / 1000;
      const stages = stages_of(newcomer.relay.pid);
      const own_ns = Object.values(stages).reduce((sum, ns) => sum + ns, 0);
      const others_ns = relays.reduce((sum, { relay }, i) => sum + cpu_ns(relay.pid) - others[i], 0);
      const count = kPlan.joined_events;
      const stored = newcomer.exported().length;
      if (stored < count) throw new Error(`${name}: ${stored} events, not ${count}`);
      results.push({ question: `join ${name}`, events: count, seconds, own_us: own_ns / 1000 / count, others_us: others_ns / 1000 / count });
      rows.push([name, count.toLocaleString("en"), `${seconds.toFixed(1)} s`, `${Math.round(count / seconds).toLocaleString("en")}/s`, us(own_ns, count), `${Math.round(count / (own_ns / 1e9)).toLocaleString("en")}/s`,
        ...Object.values(kStages).map((stage) => us(stages[stage], count)), us(others_ns, count)]);
      await newcomer.stop_relay();
    }
  });
  return { title: "join: an empty relay until it serves; CPU an event, a core's rate by that CPU",
    columns: ["way", "events", "seconds", "rate", "CPU", "a core", ...Object.values(kStages), "other relays"], rows, results };
}

const kModes = { ingest, hop, join };
const only = options.only?.split(",") ?? Object.keys(kModes);
for (const mode of only) console.log(JSON.stringify(await kModes[mode]()));
process.exit(0);
