// docs/cluster.md as an operator would follow it: certificates by its commands, servers and relays by its files, on three machines
// with its addresses; TLS on every line.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Client, metrics_at, person } from "../conformance/lib.mjs";
import { Bed, kBin, kRoot, Program, until, within } from "../e2e/lib.mjs";
import { kSettleMs } from "./lib.mjs";
import { NatsClient } from "./nats.mjs";
import { enter, Machine } from "./world.mjs";

const skip = await enter(import.meta.url) ?? false;
const text = fs.readFileSync(path.join(kRoot, "docs/cluster.md"), "utf8");

/** The block of the page that is marked so. */
function block(name) {
  const found = text.split("```").filter((part) => part.split("\n")[0].endsWith(` test ${name}`));
  assert.equal(found.length, 1, `blocks "test ${name}"`);
  return found[0].slice(found[0].indexOf("\n") + 1);
}

/**
 * Section 5, on a fourth machine: clients are spread over the relays, and each is one to their limits; whoever was on a relay that
 * drains, hangs or is killed comes back through the same address and goes on, and nothing that was acknowledged to him is gone.
 */
async function through_a_balancer({ bed, run, relays, keys }) {
  const machine = new Machine(4);
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=relay.example.org",
    "-addext", `subjectAltName=IP:${machine.client_address}`, "-keyout", path.join(keys, "site.key"), "-out", path.join(keys, "site.pem")], { stdio: "pipe" });
  const ca = fs.readFileSync(path.join(keys, "site.pem"));
  fs.writeFileSync(path.join(keys, "both.pem"), Buffer.concat([ca, fs.readFileSync(path.join(keys, "site.key"))]));
  const file = path.join(bed.folder, "haproxy.cfg");
  fs.writeFileSync(file, block("haproxy.cfg").replace("/etc/haproxy/relay.example.org.pem", path.join(keys, "both.pem")));
  const balancer = run(machine, "haproxy", "haproxy", ["-db", "-f", file]);
  const url = `wss://${machine.client_address}/`;
  const connect = () => until(kSettleMs, "a client comes in through the balancer", async () => {
    if (balancer.result) throw new Error(`haproxy ended: ${balancer.err}`);
    return Client.connect(url, { ca, handshakeTimeout: 5_000 }).catch(() => undefined);
  });
  const connections = ({ machine: { address } }) => metrics_at(`http://${address}:7447`).then(({ websockets }) => websockets, () => undefined);

  // One after the other: each relay has two of six.
  const spread = async () => {
    const clients = [];
    for (let i = 0; i < 6; i++) clients.push(await connect());
    return clients;
  };
  let clients = await spread();
  assert.deepEqual(await Promise.all(relays.map(connections)), [2, 2, 2]);
  const addresses = execFileSync(...machine.command("curl", ["-s", "-k", "-o", "/dev/null", "-w", "%{http_code}", `https://${machine.client_address}/metrics`])).toString();
  assert.equal(addresses, "404", "not for everybody");

  const acknowledged = [];
  /** Everyone publishes; who was cut off meanwhile comes back and sends it again. */
  const publish = async () => {
    for (const [i, client] of clients.entries()) {
      const event = person().sign(1, { content: `${acknowledged.length}` });
      await until(kSettleMs, "it is acknowledged", async () => {
        if (clients[i].closed) clients[i] = await connect();
        return clients[i].publish(event).then(({ accepted }) => accepted, () => false);
      });
      acknowledged.push(event);
      if (client !== clients[i]) client.close?.();
    }
  };
  const back = (count) => until(kSettleMs, `${count} clients are back`, async () => {
    for (const [i, client] of clients.entries()) if (client.closed) clients[i] = await connect();
    return clients.every(({ closed }) => !closed) && (await Promise.all(clients.map((client) => client.barrier().then(() => true, () => false)))).every(Boolean);
  });
  await publish();

  // It drains: no new client comes to it, whatever the balancer thinks; it ends its connections, and itself.
  const command = (...args) => execFileSync(...relays[0].machine.command(path.join(kBin, "nostril-relay"), ["cluster", ...args, "--config", relays[0].config]));
  command("drain", "relay-2", "--no-wait");
  const newcomers = await Promise.all(Array.from({ length: 9 }, () => Client.connect(url, { ca, handshakeTimeout: 10_000 })));  // at the first try
  await Promise.all(newcomers.map((client) => client.barrier()));
  assert.equal((await relays[1].relay.end(kSettleMs)).code, 0);
  assert.ok(newcomers.every(({ closed }) => !closed), "a newcomer was on the relay that leaves");
  for (const client of newcomers) client.close();
  await back(6);
  await publish();
  await relays[1].restart();
  for (const client of clients) client.close();
  await until(kSettleMs, "nobody is there", async () => (await Promise.all(relays.map(connections))).every((count) => count === 0));
  clients = await until(kSettleMs, "the balancer takes it again", async () => {
    const now = await spread();
    if (await connections(relays[1]) > 0) return now;
    for (const client of now) client.close();
    return undefined;
  });

  // It hangs: its clients are let go by the balancer.
  const stuck = clients.length;
  relays[2].relay.child.kill("SIGSTOP");
  await until(kSettleMs, "the clients of the relay that hangs are let go", () => clients.some(({ closed }) => closed));
  await back(stuck);
  await publish();
  relays[2].relay.child.kill("SIGCONT");

  // It is killed.
  await relays[0].relay.kill("SIGKILL");
  await back(6);
  await publish();
  await relays[0].restart();
  for (const client of clients) client.close();

  for (const { machine: { address } } of relays) {
    const client = await Client.connect(`ws://${address}:7447/`);
    const ids = acknowledged.map(({ id }) => id);
    await until(kSettleMs, "every relay has what was acknowledged", async () => (await client.ids({ ids, limit: ids.length })).length === ids.length);
    client.close();
  }
  await balancer.stop();
}

test("three machines from nothing, by the page", { skip, timeout: 230_000 }, async (t) => {
  const bed = new Bed();
  const run = (machine, name, file, args) => {
    const program = new Program(name, ...machine.command(file, args));
    bed.programs.push(program);
    bed.on_stop(() => program.stop());
    return program;
  };
  try {
    const machines = [1, 2, 3].map((index) => new Machine(index));
    const keys = path.join(bed.folder, "keys");
    fs.mkdirSync(keys);
    execFileSync("sh", ["-e", "-c", block("certificates")], { cwd: keys, stdio: "pipe" });
    const read = (name) => fs.readFileSync(path.join(keys, name), "utf8").trim();

    const servers = machines.map((machine, i) => {
      const number = i + 1;
      const others = [1, 2, 3].filter((other) => other !== number);
      const store = path.join(bed.folder, `nats-${number}`);
      let lines = block("nats-server.conf").replaceAll("relay-1", `relay-${number}`).replaceAll('"10.77.0.1:', `"10.77.0.${number}:`)
        .replace('routes: ["nats://10.77.0.2:6222", "nats://10.77.0.3:6222"]', `routes: [${others.map((other) => `"nats://10.77.0.${other}:6222"`).join(", ")}]`);
      assert.match(lines, new RegExp(`listen: "10\\.77\\.0\\.${number}:6222"`));
      lines = lines.replaceAll("/etc/nats/", `${keys}/`).replaceAll("/var/lib/nats", store).replaceAll("PASSWORD", read("password"));
      const file = path.join(bed.folder, `nats-${number}.conf`);
      fs.writeFileSync(file, lines);
      return run(machine, `nats-server ${number}`, "nats-server", ["-c", file]);
    });
    await Promise.all(servers.map((server) => server.said(/Server is ready/)));
    const curl = machines[0].command("curl", ["-s", "http://127.0.0.1:8222/healthz"]);
    await until(kSettleMs, "the servers are well", () => execFileSync(...curl).toString().includes('"ok"'));

    // Its clients are on the machines' own network here.
    const serving = ({ machine }, i) => until(kSettleMs, `relay ${i + 1} serves`, () => {
      try {
        return execFileSync(...machine.command("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", `http://${machine.address}:7447/health`])).toString() === "200";
      } catch {
        return false;
      }
    });
    const relays = await Promise.all(machines.map(async (machine, i) => {
      const number = i + 1;
      const data = path.join(bed.folder, `relay-${number}`);
      const lines = (block("relay.toml") + block("proxy")).replaceAll("relay-1", `relay-${number}`).replace('"10.77.0.1:7447"', `"10.77.0.${number}:7447"`)
        .replaceAll("/etc/nostril/cluster/", `${keys}/`).replace("/var/lib/nostril-relay", data);
      const config = path.join(bed.folder, `relay-${number}.toml`);
      fs.writeFileSync(config, lines);
      const one = { config, machine, data };
      const begin = async () => {
        one.relay = run(machine, `relay ${number}`, path.join(kBin, "nostril-relay"), ["run", "--config", config]);
        await one.relay.line(/^listening on /m);
      };
      one.restart = async () => { await begin(); await serving(one, i); };
      await begin();
      return one;
    }));
    await Promise.all(relays.map(serving));
    const status = machines[0].command(path.join(kBin, "nostril-relay"), ["cluster", "status", "--config", relays[0].config]);
    const told = execFileSync(...status).toString();
    for (const name of ["relay-1", "relay-2", "relay-3"]) assert.match(told, new RegExp(name), told);

    // The world has an address on that network too, for its client.
    execFileSync("ip", ["addr", "add", "10.77.0.254/24", "dev", "hub"]);
    const events = Array.from({ length: 20 }, (_, i) => person().sign(1, { content: `${i}` }));
    const clients = await Promise.all(machines.map(({ address }) => Client.connect(`ws://${address}:7447/`)));
    await clients[0].accepts(...events);
    for (const client of clients) {
      await until(kSettleMs, "they have come", async () => (await client.ids({ ids: events.map(({ id }) => id), limit: 20 })).length === 20);
      client.close();
    }
    // Nobody comes in without a certificate, or in the clear, whatever he knows.
    await assert.rejects(within(10_000, "an answer", NatsClient.connect({ host: machines[0].address, user: "relay", password: read("password") })));

    if (spawnSync("sh", ["-c", "command -v haproxy"]).status === 0) await through_a_balancer({ bed, run, relays, keys });
    else t.diagnostic("haproxy is not installed: section 5 was not tried");

    for (const { relay } of relays) {
      await relay.stop();
      assert.equal(relay.result.code, 0, relay.err.slice(-2_000));
    }
    const exported = relays.map(({ data }) => execFileSync(path.join(kBin, "nostril-relay"), ["export", "--data", data], { stdio: ["ignore", "pipe", "ignore"] }).toString().split("\n").sort().join());
    assert.ok(exported.every((lines) => lines === exported[0]), "they hold the same");
  } catch (error) {
    bed.show_logs();
    throw error;
  } finally {
    await bed.close();
  }
});
