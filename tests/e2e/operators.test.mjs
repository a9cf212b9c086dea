// docs/operators.md: its blocks marked `test` are run, its names and messages are looked for where they come from.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";
import test from "node:test";
import { kBin, kRoot, Program, until, within } from "./lib.mjs";
import { free_port, notes, operator_scenario, publish_and_read, there } from "./operator_lib.mjs";

const kPage = fs.readFileSync(path.join(kRoot, "docs/operators.md"), "utf8");
const kRelay = path.join(kBin, "nostril-relay");

/** The page's blocks, in order: {language, mark, text}. */
const kBlocks = [...kPage.matchAll(/^```(\w+)(?: (test.*))?\n([^]*?)^```$/gm)].map(([, language, mark, text]) => ({ language, mark, text }));
const blocks = (language, mark = "test") => {
  const found = kBlocks.filter((block) => block.language === language && block.mark === mark).map(({ text }) => text);
  assert.ok(found.length > 0, `a block ${language} ${mark}`);
  return found;
};

/** Runs a block of the page as an operator's shell would. */
function shell(folder, mark, values = {}) {
  const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", blocks("sh", mark)[0]],
    { cwd: folder, encoding: "utf8", timeout: 60_000, env: { ...process.env, PATH: `${kBin}:${process.env.PATH}`, ...values } });
  assert.equal(status, 0, `${mark}: ${stdout}${stderr}`);
  return stdout + stderr;
}

/** A configuration file for the relay of this bed, which commands are given too. */
function config_of(bed) {
  const config = path.join(bed.folder, "relay.toml");
  fs.writeFileSync(config, `listen = "127.0.0.1:0"\ndata = ${JSON.stringify(path.join(bed.folder, "data"))}\n`);
  return config;
}

async function start(bed, config, ...more) {
  const program = new Program("relay", kRelay, ["run", "--config", config, ...more]);
  bed.programs.push(program);
  bed.on_stop(() => program.stop());
  const [, url] = await program.line(/^listening on (wss?:\S+)$/m);
  return { program, url };
}

function certificate(folder) {
  const [certificate, key] = ["fullchain.pem", "privkey.pem"].map((name) => path.join(folder, name));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
    "-subj", "/CN=relay.example.org", "-addext", "subjectAltName=DNS:relay.example.org,IP:127.0.0.1", "-keyout", key, "-out", certificate], { stdio: "pipe" });
  return { certificate, key };
}

test("the page's shell blocks are shell, its settings the relay's, its sysctls the kernel's", (t) => {
  const folder = fs.mkdtempSync("/tmp/nostril-operators-");
  t.after(() => fs.rmSync(folder, { recursive: true }));
  for (const { language, text } of kBlocks) {
    if (language !== "sh") continue;
    const { status, stderr } = spawnSync("bash", ["-n"], { input: text, encoding: "utf8" });
    assert.equal(status, 0, `${text}: ${stderr}`);
  }
  for (const text of blocks("toml")) {
    const file = path.join(folder, "relay.toml");
    fs.writeFileSync(file, text);
    // Whatever the page sets is what the relay then has.
    const printed = execFileSync(kRelay, ["--config", file, "--print-config"], { encoding: "utf8" });
    for (const [, line] of text.matchAll(/^(\w+ = (?:"[^"]*"|[\w.]+))/gm)) assert.ok(printed.includes(`${line}\n`) || printed.includes(`${line} `), line);
  }
  const written = blocks("sysctl").join("").trim().split("\n").map((line) => line.split(" = ")[0]);
  for (const name of written) {
    // A namespace of its own may lack some of net/.
    const there_here = fs.existsSync(path.join("/proc/sys", name.replaceAll(".", "/")));
    if (!there_here && name.startsWith("net.")) t.diagnostic(`${name}: not in this namespace`);
    else assert.ok(there_here, name);
  }
});

test("what the page says that the program says, it says", () => {
  const sources = ["relay", "net", "base"].flatMap((folder) =>
    fs.readdirSync(path.join(kRoot, folder), { recursive: true }).filter((name) => /\.(cpp|h)$/.test(name))
      .map((name) => fs.readFileSync(path.join(kRoot, folder, name), "utf8")));
  // Texts that are broken over lines are one; what is filled in stands for itself.
  const text = sources.join("\n").replace(/"\s*\n\s*"/g, "").replaceAll("\\\"", "\"");
  const others = [/Permission denied$/, /^No space left on device$/, /^Unable to open random device$/];  // the system's, libwebsockets'
  const [, table] = /^## 12\.[^]*?\n\|---\|---\|\n((?:\|.*\n)+)/m.exec(kPage);
  const rows = table.trim().split("\n");
  assert.ok(rows.length > 15);
  for (const row of rows) {
    const [, said] = row.split(" | ", 1)[0].split("| ");
    for (const [, quoted] of said.matchAll(/`([^`]+)`/g)) {
      if (others.some((pattern) => pattern.test(quoted))) continue;
      for (const part of quoted.split("…")) {
        const words = part.replace(/^[: ]+|[: ]+$/g, "").replace(/_total$/, "");
        assert.ok(text.includes(words), `"${words}" of ${row}`);
      }
    }
  }
});

operator_scenario("a backup of a running relay, restored, has each event; a store that came by import serves", ["zstd"].filter((tool) => !there(tool)), async (bed) => {
  const config = config_of(bed);
  const relay = await start(bed, config);
  const events = notes(200);
  await publish_and_read(relay.url, events);
  shell(bed.folder, "test backup", { config });
  const said = shell(bed.folder, "test restore", { config });
  assert.match(said, /^200 lines: 200 stored, 0 duplicates, 0 malformed, 0 wrong signatures, 0 not kept$/m);
  assert.match(said, / 0 problems$/m);
  assert.match(said, /^events 200$/m);
  // Both serve: what is published again is there already, what is asked for comes.
  for (const name of ["restored", "copy"]) {
    const again = await start(bed, config, "--data", path.join(bed.folder, name));
    await publish_and_read(again.url, events);
    const metrics = await (await fetch(`${again.url.replace("ws:", "http:")}/metrics`)).text();
    assert.match(metrics, /^nostril_relay_store_events 200$/m);
  }
  // From another relay, while this one runs: a line that is no event and a forged one are left out.
  const more = notes(20);
  const forged = { ...more[0], content: "other words" };
  fs.writeFileSync(path.join(bed.folder, "events.jsonl"), [...more, "nonsense", forged].map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join("\n") + "\n");
  assert.match(shell(bed.folder, "test import", { config }), /^22 lines: 20 stored, 0 duplicates, [12] malformed/m);
  await publish_and_read(relay.url, more);
});

operator_scenario("what is to be watched is measured", [], async (bed) => {
  const relay = await start(bed, config_of(bed));
  const metrics = await (await fetch(`${relay.url.replace("ws:", "http:")}/metrics`)).text();
  const rules = blocks("yaml").join("");
  const named = [...rules.matchAll(/nostril_relay_\w+(?:\{[^}]*\})?/g)].map(([name]) => name);
  assert.ok(named.length >= 5);
  for (const name of named) assert.ok(metrics.includes(`\n${name} `), name);
});

operator_scenario("health: of a relay with TLS its certificate's name, date and file count, too", ["openssl"].filter((tool) => !there(tool)), async (bed) => {
  const { certificate: chain, key } = certificate(bed.folder);
  const port = await free_port();
  const config = path.join(bed.folder, "relay.toml");
  const write = (changes = {}) => fs.writeFileSync(config, Object.entries({ listen: `127.0.0.1:${port}`, data: path.join(bed.folder, "data"),
    url: "wss://relay.example.org", tls_certificate: chain, tls_key: key, ...changes }).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`).join(""));
  const health = async () => {
    const { code, err } = await new Program("health", kRelay, ["health", "--config", config]).end(20_000);
    assert.equal(code === 0, err === "", "it says why");
    return err;
  };
  write();
  assert.match(await health(), /cannot connect/);
  const relay = await start(bed, config);
  assert.equal(await health(), "");
  write({ url: "wss://other.example.org" });
  assert.match(await health(), /other\.example\.org/);
  write({ url: "" });
  assert.match(await health(), /of the name in `url`: set it/);
  // A renewed certificate that the relay does not serve yet.
  fs.mkdirSync(path.join(bed.folder, "renewed"));
  const renewed = certificate(path.join(bed.folder, "renewed"));
  write({ tls_certificate: renewed.certificate, tls_key: renewed.key });
  assert.match(await health(), /certificate/);
  await relay.program.stop();
  // Something else answers there.
  const stranger = http.createServer((_, answer) => answer.end("hello")).listen(port, "127.0.0.1");
  bed.on_stop(() => stranger.close());
  await new Promise((resolve) => stranger.once("listening", resolve));
  write({ tls_certificate: "", tls_key: "" });
  assert.match(await health(), /what answers there is no relay/);
  stranger.closeAllConnections();
});

/** The proxies, as the page has them, but for names, ports and certificates of this machine. */
const kProxies = {
  nginx: {
    write(folder, text) {
      const file = path.join(folder, "nginx.conf");
      fs.writeFileSync(file, `daemon off;\nmaster_process off;\npid ${folder}/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join("\n")}\n${
        text.replace(/^ *listen \[::\].*\n/m, "")}}\n`);
      return ["nginx", ["-e", "stderr", "-c", file, "-p", folder]];
    },
  },
  caddy: {
    write(folder, text, { port, chain, key }) {
      const file = path.join(folder, "Caddyfile");
      fs.writeFileSync(file, `{\n  admin off\n  auto_https off\n  storage file_system ${folder}/caddy\n}\n${
        text.replace("relay.example.org {", `https://127.0.0.1:${port} {\n  tls ${chain} ${key}`)}`);
      return ["caddy", ["run", "--adapter", "caddyfile", "--config", file]];
    },
  },
  haproxy: {
    write(folder, text, { chain, key }) {
      const file = path.join(folder, "haproxy.cfg");
      fs.writeFileSync(path.join(folder, "both.pem"), fs.readFileSync(chain, "utf8") + fs.readFileSync(key, "utf8"));
      fs.writeFileSync(file, text.replace("/etc/haproxy/relay.example.org.pem", path.join(folder, "both.pem")));
      return ["haproxy", ["-db", "-f", file]];
    },
  },
};

for (const [name, proxy] of Object.entries(kProxies)) {
  const missing = [name, "openssl"].filter((tool) => !there(tool));
  operator_scenario(`a relay behind ${name}`, missing, async (bed) => {
    const relay = await start(bed, config_of(bed));
    const { certificate: chain, key } = certificate(bed.folder);
    const port = await free_port();
    const text = blocks(name)[0].replaceAll("127.0.0.1:7447", new URL(relay.url).host).replace(/(listen |bind :)443/, `$1${name === "haproxy" ? "" : "127.0.0.1:"}${port}`)
      .replace(/\/etc\/letsencrypt\S*fullchain\.pem/, chain).replace(/\/etc\/letsencrypt\S*privkey\.pem/, key);
    const [program, args] = proxy.write(bed.folder, text, { port, chain, key });
    const run = new Program(name, program, args, { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, HOME: bed.folder });
    bed.programs.push(run);
    bed.on_stop(() => run.stop());
    const ca = fs.readFileSync(chain);
    const get = (target, headers = {}) => within(10_000, target, new Promise((resolve, reject) => {
      https.get({ host: "127.0.0.1", port, path: target, ca, agent: false, headers }, (answer) => {
        let body = "";
        answer.on("data", (bytes) => { body += bytes; }).on("end", () => resolve({ status: answer.statusCode, body }));
      }).on("error", reject);
    }));
    await until(20_000, `${name} listens`, async () => {
      if (run.result) throw new Error(`${name} ended: ${run.err}`);
      return get("/").then(() => true, () => false);
    });
    await publish_and_read(`wss://127.0.0.1:${port}`, notes(50), { ca });
    const document = await get("/", { Accept: "application/nostr+json" });
    assert.equal(document.status, 200);
    assert.ok(JSON.parse(document.body).supported_nips.includes(1));
    assert.equal((await get("/metrics")).status, 404, "not for everybody");
  });
}
