// NATS as a test sees it: the server's configuration, and a client of a hundred lines for questions that only an outsider may ask
// (who leads the stream, what is in it). The relay's own client is relay/cluster/bus.h.
import assert from "node:assert/strict";
import net from "node:net";
import tls from "node:tls";

const kWaitMs = 5_000;
export const kClientPort = 4222;
const kRoutePort = 6222;

/** One account for the relays, as docs/cluster.md has it, and a user for the test, who may do anything in it. */
export const kUsers = { relay: { user: "relay", password: "relay-secret" }, tester: { user: "tester", password: "tester-secret" } };

/** Where the relays' subjects begin: name of the cluster. */
export const kPrefix = "test";

/** What docs/cluster.md gives the relays, and no more. */
export const relay_permissions = (prefix) => ({
  publish: [`${prefix}.>`, ...["INFO", "CREATE", "UPDATE"].map((verb) => `$JS.API.STREAM.${verb}.${prefix}`), `$JS.API.CONSUMER.CREATE.${prefix}`, `$JS.FC.${prefix}.>`],
  subscribe: [`${prefix}.>`],
});

const user_lines = () => {
  const { publish, subscribe } = relay_permissions(kPrefix);
  return `accounts {
  RELAYS: { jetstream: enabled, users: [
    { user: "${kUsers.relay.user}", password: "${kUsers.relay.password}", permissions: { publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)} } },
    { user: "${kUsers.tester.user}", password: "${kUsers.tester.password}" } ] }
  SYS: { users: [ { user: "sys", password: "sys-secret" } ] }
}
system_account: SYS`;
};

/** The configuration of the server on `machine`, one of `machines`. `secure`: {certificate, key, ca} of every line; `users`: lines in place of kUsers. */
export function server_config({ machine, machines, folder, secure, users, bytes_max }) {
  const tls_of = (more) => (secure ? `tls { cert_file: "${secure.certificate}", key_file: "${secure.key}", ca_file: "${secure.ca}", verify: true, timeout: 5 ${more} }` : "");
  const routes = machines.filter((other) => other !== machine).map((other) => `"nats://${other.address}:${kRoutePort}"`);
  return `
server_name: ${machine.name}
listen: "0.0.0.0:${kClientPort}"
${tls_of("")}
ping_interval: "2s"
ping_max: 2
write_deadline: "5s"
jetstream { store_dir: "${folder}", max_memory_store: 16MB, max_file_store: ${bytes_max} }
cluster {
  name: trial
  listen: "${machine.address}:${kRoutePort}"
  routes: [${routes.join(", ")}]
  ${tls_of("")}
}
${users ?? user_lines()}
`;
}

export class NatsClient {
  #socket;
  #rest = Buffer.alloc(0);
  #handlers = new Map();
  #next = 1;
  closed = undefined;

  /** `secure`: {certificate, key, ca} as PEM text. */
  static connect({ host, port = kClientPort, user = kUsers.tester.user, password = kUsers.tester.password, secure, ms = kWaitMs }) {
    const client = new NatsClient();
    return new Promise((resolve, reject) => {
      const fail = (error) => { client.close(); reject(error); };
      const timer = setTimeout(() => fail(new Error(`no NATS server at ${host}:${port} in ${ms} ms`)), ms);
      const plain = net.connect({ host, port, noDelay: true });
      plain.on("error", fail);
      const use = (socket) => {
        client.#socket = socket;
        socket.on("data", (bytes) => client.#take(bytes));
        socket.on("error", (error) => { client.closed ??= error; }).on("close", () => { client.closed ??= new Error("closed"); });
        client.#write(`CONNECT ${JSON.stringify({ verbose: false, pedantic: true, headers: true, no_responders: true, user, pass: password, protocol: 1 })}\r\nPING\r\n`);
        client.on_pong = () => { clearTimeout(timer); resolve(client); };
        client.on_error = (text) => { clearTimeout(timer); fail(new Error(text)); };
      };
      plain.once("data", (bytes) => {  // INFO comes in the clear
        plain.removeListener("error", fail);
        assert.match(bytes.toString(), /^INFO /);
        if (!secure) return use(plain);
        const socket = tls.connect({ socket: plain, cert: secure.certificate, key: secure.key, ca: secure.ca, servername: "", checkServerIdentity: (_, certificate) => tls.checkServerIdentity(host, certificate) });
        return socket.once("secureConnect", () => use(socket)).once("error", fail);
      });
    });
  }

  #write(text) { if (!this.closed) this.#socket.write(text); }

  #take(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const end = this.#rest.indexOf("\r\n");
      if (end < 0) return;
      const words = this.#rest.subarray(0, end).toString().split(" ");
      const verb = words[0].toUpperCase();
      let next = end + 2;
      if (verb === "MSG" || verb === "HMSG") {
        const length = Number(words.at(-1));
        if (this.#rest.length < next + length + 2) return;
        const head_bytes = verb === "HMSG" ? Number(words.at(-2)) : 0;
        const all = this.#rest.subarray(next, next + length);
        const reply = words.length > (verb === "HMSG" ? 5 : 4) ? words[3] : undefined;
        this.#handlers.get(words[2])?.({ subject: words[1], reply, head: all.subarray(0, head_bytes).toString(), body: Buffer.from(all.subarray(head_bytes)) });
        next += length + 2;
      } else if (verb === "PING") this.#write("PONG\r\n");
      else if (verb === "PONG") this.on_pong?.();
      else if (verb === "-ERR") this.on_error?.(words.slice(1).join(" "));
      this.#rest = this.#rest.subarray(next);
    }
  }

  /** A number that unsubscribe() takes. */
  subscribe(subject, on_message) {
    const id = `${this.#next++}`;
    this.#handlers.set(id, on_message);
    this.#write(`SUB ${subject} ${id}\r\n`);
    return id;
  }

  unsubscribe(id) {
    this.#handlers.delete(id);
    this.#write(`UNSUB ${id}\r\n`);
  }

  publish(subject, body = "", { reply = "", id } = {}) {
    const bytes = Buffer.from(body);
    const head = id ? `NATS/1.0\r\nNats-Msg-Id: ${id}\r\n\r\n` : "";
    const start = head ? `HPUB ${subject} ${reply} ${head.length} ${head.length + bytes.length}\r\n${head}` : `PUB ${subject} ${reply} ${bytes.length}\r\n`;
    this.#write(Buffer.concat([Buffer.from(start), bytes, Buffer.from("\r\n")]));
  }

  /** The first answer's {head, body}; fails after `ms`, and at once when nobody listens. */
  request(subject, body, { ms = kWaitMs, id } = {}) {
    return new Promise((resolve, reject) => {
      const reply = `_INBOX.${Math.random().toString(36).slice(2)}`;
      const end = () => { clearTimeout(timer); this.unsubscribe(subscription); };
      const timer = setTimeout(() => { end(); reject(new Error(`${subject}: no answer in ${ms} ms`)); }, ms);
      const subscription = this.subscribe(reply, (message) => {
        end();
        if (message.head.startsWith("NATS/1.0 503")) reject(new Error(`${subject}: nobody listens`));
        else resolve(message);
      });
      this.publish(subject, body, { reply, id });
    });
  }

  async json(subject, value, options) {
    const answer = JSON.parse((await this.request(subject, value === undefined ? "" : JSON.stringify(value), options)).body.toString());
    if (answer.error) throw new Error(`${subject}: ${answer.error.description}`);
    return answer;
  }

  stream(name = kPrefix, options) { return this.json(`$JS.API.STREAM.INFO.${name}`, undefined, options); }

  close() {
    this.closed ??= new Error("closed by us");
    this.#socket?.destroy();
  }
}
