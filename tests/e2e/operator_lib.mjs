// What the tests of packages and of docs/operators.md share: scenarios that say which tool they lack, and a relay's client.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import net from "node:net";
import { WebSocket, scenario, within } from "./lib.mjs";

const require = createRequire(new URL("../interop/package.json", import.meta.url));
const { finalizeEvent, generateSecretKey } = require("nostr-tools/pure");

export const there = (tool) => spawnSync("sh", ["-c", `PATH=$PATH:/usr/sbin:/sbin; command -v ${tool}`]).status === 0;

/** A scenario that is passed over, and says so, where `missing` names something. */
export function operator_scenario(name, missing, body, options = {}) {
  return scenario(name, body, { ...options, skip: missing.length > 0 ? `not here: ${missing.join(", ")}` : false });
}

/** A port of this machine that nobody has now: for a program that must be told one. */
export async function free_port() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** `count` notes of a new author. */
export function notes(count) {
  const key = generateSecretKey();
  return Array.from({ length: count }, (_, i) =>
    finalizeEvent({ kind: 1, created_at: 1_700_000_000 + i, tags: [], content: `note ${i}` }, key));
}

/** Publishes the events over one connection, and reads them back by their ids. `options`: of the WebSocket, its ca. */
export async function publish_and_read(url, events = notes(3), options = {}) {
  const socket = new WebSocket(url, { handshakeTimeout: 10_000, ...options });
  const messages = [];
  const over = new Promise((resolve, reject) => {
    socket.on("error", reject).on("close", () => reject(new Error(`${url} closed the connection`)));
    socket.on("open", () => { for (const event of events) socket.send(JSON.stringify(["EVENT", event])); });
    socket.on("message", (bytes) => {
      const message = JSON.parse(bytes.toString());
      messages.push(message);
      const oks = messages.filter(([type]) => type === "OK");
      if (message[0] === "OK" && oks.length === events.length) {
        socket.send(JSON.stringify(["REQ", "s", { ids: events.map((event) => event.id) }]));
      }
      if (message[0] === "EOSE") resolve();
    });
  });
  try {
    await within(20_000, `${url} takes and gives`, over);
  } finally {
    socket.terminate();
  }
  const refused = messages.filter(([type, , taken]) => type === "OK" && !taken);
  assert.deepEqual(refused, []);
  const read = messages.filter(([type]) => type === "EVENT").map(([, , event]) => event.id);
  assert.deepEqual(read.sort(), events.map((event) => event.id).sort());
}
