#!/usr/bin/env node
// The demo engine: an OpenAI-compatible server over llama.cpp, for one model on one loopback address.
// Prints one line on stdout once it serves; everything else goes to stderr. Exits 0 on SIGTERM and SIGINT.
import { parseArgs } from "node:util";
import { TextGenerator } from "./generator.mjs";
import { create_engine_server } from "./server.mjs";

const kUsage = `usage: node engine.mjs --model FILE.gguf --listen 127.0.0.1:PORT [options]
  --model FILE           a GGUF file; its base name becomes the model id
  --listen HOST:PORT     loopback only, as there is no key; port 0 picks a free one
  --context-tokens N     upper bound of the context (default 4096, never above the model's own)
  --threads N            default 1: more threads slow a tiny model a hundredfold
  --queue N              requests that may wait while one runs (default 16, then HTTP 503)
  --body-bytes N         largest request body (default 1048576)
  --slow-ms N            for tests only: wait N ms before each token (default 0)`;

const kLoopbackHosts = new Set(["127.0.0.1", "::1", "localhost"]);
const kShutdownMsMax = 2000;

function integer_option(name, text, min, max) {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) throw new Error(`--${name} must be a number from ${min} to ${max}`);
  return value;
}

function parse_listen(text) {
  const match = /^(?:\[([0-9a-f:]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (!match) throw new Error("--listen must be HOST:PORT");
  const host = match[1] ?? match[2];
  if (!kLoopbackHosts.has(host)) throw new Error("--listen must name a loopback address: there is no key");
  return { host, port: integer_option("listen port", match[3], 0, 65535) };
}

function read_options(argv) {
  const string = (fallback) => ({ type: "string", default: fallback });
  const { values } = parseArgs({
    args: argv,
    options: {
      model: { type: "string" },
      listen: { type: "string" },
      "context-tokens": string("4096"),
      threads: string("1"),
      queue: string("16"),
      "body-bytes": string("1048576"),
      "slow-ms": string("0"),
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return null;
  if (!values.model || !values.listen) throw new Error("--model and --listen are needed");
  const integer = (name, min, max) => integer_option(name, values[name], min, max);
  return {
    model_path: values.model,
    listen: parse_listen(values.listen),
    context_tokens_max: integer("context-tokens", 64, 1 << 20),
    threads: integer("threads", 1, 256),
    queue_max: integer("queue", 0, 1024),
    body_bytes_max: integer("body-bytes", 1024, 1 << 26),
    slow_ms: integer("slow-ms", 0, 60_000),
  };
}

function listen(server, { host, port }) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      const { address, port: bound_port, family } = server.address();
      resolve(`http://${family === "IPv6" ? `[${address}]` : address}:${bound_port}`);
    });
  });
}

/** Stops the running generation before the native code is unloaded; gives up waiting after kShutdownMsMax. */
function exit_on_signal(engine, generator) {
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(0), kShutdownMsMax).unref();
    await engine.close();
    await generator.dispose();
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);
}

async function main() {
  const options = read_options(process.argv.slice(2));
  if (!options) return console.log(kUsage);
  const exit_while_loading = () => process.exit(0);
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, exit_while_loading);
  const generator = await TextGenerator.load(options);
  const engine = create_engine_server(generator, options);
  const url = await listen(engine.server, options.listen);
  for (const signal of ["SIGTERM", "SIGINT"]) process.off(signal, exit_while_loading);
  exit_on_signal(engine, generator);
  console.log(`listening on ${url} model ${generator.model_id}`);
}

main().catch((error) => {
  console.error(`engine: ${error.message}`);
  if (error.code?.startsWith?.("ERR_PARSE_ARGS") || error.message.startsWith("--")) console.error(kUsage);
  process.exit(1);
});
