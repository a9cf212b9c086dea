// docs/cluster.md as an operator would follow it: certificates by its commands, servers and relays by its files, on three machines
// with its addresses; TLS on every line.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Client, person } from "../conformance/lib.mjs";
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

test("three machines from nothing, by the page", { skip, timeout: 150_000 }, async () => {
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

    const relays = await Promise.all(machines.map(async (machine, i) => {
      const number = i + 1;
      const data = path.join(bed.folder, `relay-${number}`);
      const lines = block("relay.toml").replaceAll("relay-1", `relay-${number}`).replace('"10.77.0.1:7447"', `"10.77.0.${number}:7447"`)
        .replaceAll("/etc/nostril/cluster/", `${keys}/`).replace("/var/lib/nostril-relay", data);
      const config = path.join(bed.folder, `relay-${number}.toml`);
      fs.writeFileSync(config, lines);
      const relay = run(machine, `relay ${number}`, path.join(kBin, "nostril-relay"), ["run", "--config", config]);
      await relay.line(/^listening on /m);
      return { relay, config, machine, data };
    }));
    // Its clients are on the machines' own network here.
    const serving = ({ machine }, i) => until(kSettleMs, `relay ${i + 1} serves`, () => {
      try {
        return execFileSync(...machine.command("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", `http://${machine.address}:7447/health`])).toString() === "200";
      } catch {
        return false;
      }
    });
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
