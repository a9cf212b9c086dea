// What operators install: the relay's Debian package, made here of this build and installed into a root of its own, its unit,
// and the files of its image. Nothing outside the test's folder is touched.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { has_sanitizer, kBin, kRoot, Program } from "./lib.mjs";
import { free_port, operator_scenario, publish_and_read, there } from "./operator_lib.mjs";

const kUnit = "nostril-relay.service";
const kMissing = ["cpack", "dpkg", "dpkg-deb", "dpkg-shlibdeps"].filter((tool) => !there(tool));
// What a sanitizer calls and opens is not the relay's.
const kPlain = has_sanitizer("nostril-relay") ? ["a build without sanitizers"] : [];
const kAsRoot = process.getuid() === 0 ? [] : ["fakeroot"];
const kPath = `${process.env.PATH}:/usr/sbin:/sbin`;

const run = (program, ...args) => execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, PATH: kPath } });

/** The package of the relay alone. */
function make_package(folder) {
  execFileSync("cpack", ["-G", "DEB", "-D", "CPACK_COMPONENTS_ALL=relay", "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip", "-B", folder],
    { cwd: path.dirname(kBin), stdio: "pipe", env: { ...process.env, SOURCE_DATE_EPOCH: "1790000000" } });
  const [name, ...others] = fs.readdirSync(folder).filter((file) => file.endsWith(".deb"));
  assert.deepEqual(others, [], "one component, one package");
  return path.join(folder, name);
}

/** A root with dpkg's own files only, and dpkg for it. Maintainer scripts run outside of it and are told where it is. */
function make_root(folder) {
  for (const name of ["info", "updates", "triggers"]) fs.mkdirSync(path.join(folder, "var/lib/dpkg", name), { recursive: true });
  fs.mkdirSync(path.join(folder, "etc"));
  fs.writeFileSync(path.join(folder, "var/lib/dpkg/status"), "");
  return (...args) => run(...kAsRoot, ...(["dpkg", `--root=${folder}`, "--force-script-chrootless", "--force-depends",
    "--force-not-root", "--force-bad-path", ...args]));
}

operator_scenario("the relay's package holds the relay and nothing else, and says what it needs", kMissing, async (bed) => {
  const file = make_package(bed.folder);
  const field = (name) => run("dpkg-deb", "-f", file, name).trim();
  assert.equal(field("Package"), "nostril-relay");
  const needs = field("Depends");
  // Loaded by name: dpkg-shlibdeps does not see it, and without it the relay does not start.
  for (const one of ["libwebsockets-evlib-uv", "libwebsockets17", "libc6 (>=", "liblmdb0", "systemd | systemd-standalone-sysusers"]) {
    assert.ok(needs.includes(one), `${one} in ${needs}`);
  }
  assert.ok(!/nostril/.test(needs), "installable alone");
  const lines = run("dpkg-deb", "-c", file).trim().split("\n").map((line) => line.split(/\s+/));
  assert.deepEqual([...new Set(lines.map((line) => line[1]))], ["root/root"]);
  assert.deepEqual(lines.filter((line) => !line[0].startsWith("d")).map((line) => `${line[0]} ${line[5].slice(1)}`).sort(), [
    "-rw-r--r-- /etc/nostril/relay.toml",
    `-rw-r--r-- /lib/systemd/system/${kUnit}`,
    "-rw-r--r-- /usr/lib/sysusers.d/nostril-relay.conf",
    "-rw-r--r-- /usr/share/bash-completion/completions/nostril-relay",
    "-rw-r--r-- /usr/share/doc/nostril-relay/changelog.Debian.gz",
    "-rw-r--r-- /usr/share/doc/nostril-relay/copyright",
    ...["admin", "limits", "operators", "plugins", "protection", "sync"].map((name) => `-rw-r--r-- /usr/share/doc/nostril-relay/${name}.md`),
    "-rw-r--r-- /usr/share/fish/vendor_completions.d/nostril-relay.fish",
    "-rw-r--r-- /usr/share/man/man1/nostril-relay.1.gz",
    "-rw-r--r-- /usr/share/zsh/vendor-completions/_nostril-relay",
    "-rwxr-xr-x /usr/bin/nostril-relay",
  ].sort());
  const again = make_package(path.join(bed.folder, "again"));
  assert.ok(fs.readFileSync(file).equals(fs.readFileSync(again)), "the same build gives the same package");
});

operator_scenario("installed it has a user, a unit and a configuration that serves; an upgrade keeps what its operator wrote, and a purge his events", [...kMissing, ...["systemd-sysusers", "deb-systemd-helper", ...kAsRoot].filter((tool) => !there(tool))], async (bed) => {
  const file = make_package(path.join(bed.folder, "first"));
  const root = path.join(bed.folder, "root");
  const dpkg = make_root(root);
  const at = (...parts) => path.join(root, ...parts);
  dpkg("-i", file);
  assert.match(fs.readFileSync(at("etc/passwd"), "utf8"), /^nostril-relay:x:\d+:\d+:[^:]*:\/var\/lib\/nostril-relay:\/usr\/sbin\/nologin$/m);
  const wanted = at("etc/systemd/system/multi-user.target.wants", kUnit);
  assert.equal(fs.readlinkSync(wanted), `/lib/systemd/system/${kUnit}`);
  assert.equal(fs.statSync(at("var/lib/nostril-relay")).mode & 0o7777, 0o750);
  assert.match(fs.readFileSync(at("etc/nostril/relay.toml"), "utf8"), /^data = "\/var\/lib\/nostril-relay"$/m);
  assert.match(run("sh", "-c", `gzip -dc ${at("usr/share/man/man1/nostril-relay.1.gz")}`), /^\.TH NOSTRIL\\-RELAY 1/m);

  // The installed program with the installed configuration; but for the folder, which is below a root that is none here.
  const relay = new Program("relay", at("usr/bin/nostril-relay"),
    ["run", "--config", at("etc/nostril/relay.toml"), "--data", at("var/lib/nostril-relay"), "--listen", "127.0.0.1:0"]);
  bed.on_stop(() => relay.stop());
  const [, url] = await relay.line(/^listening on (ws:\S+)$/m);
  await publish_and_read(url);
  await relay.stop();

  fs.appendFileSync(at("etc/nostril/relay.toml"), "# mine\n");
  fs.unlinkSync(wanted);  // systemctl disable
  dpkg("-i", file);
  assert.match(fs.readFileSync(at("etc/nostril/relay.toml"), "utf8"), /^# mine$/m);
  assert.ok(!fs.existsSync(wanted), "disabled stays disabled");
  dpkg("-r", "nostril-relay");
  assert.ok(fs.existsSync(at("etc/nostril/relay.toml")) && !fs.existsSync(at("usr/bin/nostril-relay")));
  assert.match(dpkg("-P", "nostril-relay"), /\/var\/lib\/nostril-relay stays/);
  assert.ok(!fs.existsSync(at("etc/nostril/relay.toml")));
  assert.ok(fs.existsSync(at("var/lib/nostril-relay/data.mdb")), "events are the operator's to remove");
});

/** A unit's settings: names in order, each with its values. */
function settings_of(unit) {
  const out = new Map();
  for (const [, key, value] of fs.readFileSync(path.join(kRoot, "packaging", unit), "utf8").matchAll(/^(\w+)=(.*)$/gm)) {
    out.set(key, [...(out.get(key) ?? []), value]);
  }
  return out;
}

operator_scenario("systemd has nothing to say against the unit, and little is open to it", ["systemd-analyze"].filter((tool) => !there(tool)), async (bed) => {
  const manual = path.join(bed.folder, "man/man1");
  fs.mkdirSync(manual, { recursive: true });
  fs.writeFileSync(path.join(manual, "nostril-relay.1"), run(path.join(kBin, "nostril-relay"), "man"));
  const file = path.join(bed.folder, kUnit);
  fs.writeFileSync(file, fs.readFileSync(path.join(kRoot, "packaging", kUnit), "utf8")
    .replace("/usr/bin/nostril-relay", path.join(kBin, "nostril-relay")).replace(/ file:\S+/, ""));
  const { status, stderr } = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8", env: { ...process.env, MANPATH: path.dirname(manual) } });
  const about = stderr.split("\n").filter((line) => line.includes("nostril-relay") && !line.includes("Command 'man"));
  assert.deepEqual(about, [], `status ${status}`);
  const judged = spawnSync("systemd-analyze", ["security", "--offline=true", "--threshold=20", file], { encoding: "utf8" });
  assert.equal(judged.status, 0, judged.stdout.split("\n").slice(-3).join("\n"));
});

operator_scenario("all that a relay calls is allowed by its unit: system calls, families of addresses, no memory that is written and run", [...kPlain, ...["strace", "systemd-analyze"].filter((tool) => !there(tool))], async (bed) => {
  const settings = settings_of(kUnit);
  const calls_in = (names) => {
    const out = new Set();
    const waiting = [...names];
    for (let name = waiting.pop(); name; name = waiting.pop()) {
      if (!name.startsWith("@")) { out.add(name); continue; }
      for (const line of run("systemd-analyze", "syscall-filter", name).split("\n")) {
        if (/^ {4}[@a-z0-9_-]+$/.test(line)) waiting.push(line.trim());
      }
    }
    return out;
  };
  const allowed = new Set();
  for (const value of settings.get("SystemCallFilter")) {
    const named = calls_in(value.replace(/^~/, "").split(" "));
    for (const name of named) value.startsWith("~") ? allowed.delete(name) : allowed.add(name);
  }
  assert.deepEqual(["sendmsg", "fdatasync", "mount", "setuid"].filter((name) => allowed.has(name)), ["sendmsg", "fdatasync"]);

  const trace = path.join(bed.folder, "trace");
  const relay = new Program("relay", "strace", ["-f", "-qq", "-o", trace, path.join(kBin, "nostril-relay"), "run",
    "--data", path.join(bed.folder, "data"), "--listen", "127.0.0.1:0"]);
  bed.on_stop(() => relay.stop());
  const [, url] = await relay.line(/^listening on (ws:\S+)$/m);
  await publish_and_read(url);
  // strace passes no signal on: the relay itself is asked.
  const pid = Number(fs.readFileSync(trace, "utf8").split(" ", 1)[0]);
  process.kill(pid, "SIGTERM");
  assert.equal((await relay.end(30_000)).code, 0);

  const text = fs.readFileSync(trace, "utf8");
  const called = new Set([...text.matchAll(/^\d+ +([a-z0-9_]+)\(/gm)].map(([, name]) => name));
  assert.ok(called.has("fdatasync") && called.has("accept4"), "the relay did its work under strace");
  assert.deepEqual([...called].filter((name) => !allowed.has(name)), []);
  const families = new Set([...text.matchAll(/ socket\((AF_\w+)/g)].map(([, name]) => name));
  const open = settings.get("RestrictAddressFamilies")[0].split(" ");
  assert.deepEqual([...families].filter((name) => !open.includes(name)), []);
  assert.doesNotMatch(text, /(mmap|mprotect)\([^)]*PROT_WRITE\|PROT_EXEC/);
  // ProcSubset=pid leaves of /proc what is of processes.
  const proc = [...text.matchAll(/"(\/proc\/[^"]*)"/g)].map(([, name]) => name).filter((name) => !/^\/proc\/(self|\d+)\//.test(name));
  assert.deepEqual([...new Set(proc)], []);
});

operator_scenario("the image's files are all that the relay needs, as nobody, and its health is asked from inside", [...kPlain, ...(process.getuid() === 0 ? [] : ["chroot, which is root's"])], async (bed) => {
  const [installed, image] = ["installed", "image"].map((name) => path.join(bed.folder, name));
  execFileSync("cmake", ["--install", path.dirname(kBin), "--prefix", "/usr", "--strip", "--component", "relay"],
    { stdio: "pipe", env: { ...process.env, DESTDIR: installed } });
  run(path.join(kRoot, "packaging/image-root"), installed, image);
  assert.ok(!fs.existsSync(path.join(image, "bin/sh")) && !fs.existsSync(path.join(image, "usr/bin/sh")));
  // What a container's engine adds, and what the Dockerfile does.
  fs.mkdirSync(path.join(image, "dev"));
  run("mknod", "-m", "666", path.join(image, "dev/urandom"), "c", "1", "9");
  fs.chownSync(path.join(image, "var/lib/nostril-relay"), 65532, 65532);
  const config = path.join(image, "etc/nostril/relay.toml");
  assert.match(fs.readFileSync(config, "utf8"), /^listen = "0\.0\.0\.0:7447"$/m);
  const port = await free_port();
  fs.writeFileSync(config, fs.readFileSync(config, "utf8").replace("0.0.0.0:7447", `0.0.0.0:${port}`));
  const inside = (...args) => ["chroot", ["--userspec=65532:65532", image, "/usr/bin/nostril-relay", ...args, "--config", "/etc/nostril/relay.toml"]];
  const health = () => spawnSync(...inside("health"), { encoding: "utf8", timeout: 20_000 });
  assert.equal(health().status, 1, "nobody serves yet");
  const relay = new Program("relay", ...inside("run"));
  bed.on_stop(() => relay.stop());
  await relay.line(/^listening on ws:/m);
  await publish_and_read(`ws://127.0.0.1:${port}`);
  const { status, stderr } = health();
  assert.equal(status, 0, stderr);
  assert.equal((await relay.kill("SIGTERM")).code, 0);
  assert.match(health().stderr, /cannot connect/);
});
