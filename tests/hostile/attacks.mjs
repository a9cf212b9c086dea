// What one client, or a few, can do to keep a relay busy, each as long as its process lives: `node attacks.mjs NAME ws://…`. Says
// "ready" when what it needs is made, and begins at the first byte of its standard input. No attack breaks a connection's limits by
// itself: these are the dear things that are allowed. fairness.mjs measures who suffers.
import { randomBytes } from "node:crypto";
import net from "node:net";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";
import { id_of, person, sha256 } from "../conformance/lib.mjs";
import { frame, handshake, kOpcode } from "./lib.mjs";

const text = (message) => frame(JSON.stringify(message), { mask: Buffer.alloc(4) });
const repeat = (count, make) => Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));
const hostile = person();

/** A socket that is upgraded and then written to as fast as it takes it: `chunk()` is asked again and again. */
function flood(port, chunk, { headers = {}, reads = true } = {}) {
  const socket = net.connect({ host: "127.0.0.1", port });
  let is_open = true;
  socket.on("close", () => { is_open = false; setTimeout(() => flood(port, chunk, { headers, reads }), 5); }).on("error", () => {});
  socket.once("connect", () => socket.write(handshake({ headers })));
  socket.once("data", () => {
    if (!reads) socket.pause();
    const write = () => {
      while (is_open) {
        const bytes = chunk();
        if (bytes === undefined) return;
        if (!socket.write(bytes)) {
          socket.once("drain", write);
          return;
        }
      }
    };
    write();
  });
  socket.on("data", () => {});
}

const many = (count, start) => { for (let i = 0; i < count; i++) start(i); };
const in_turn = (chunks) => {
  let at = 0;
  return () => chunks[at++ % chunks.length];
};
const deflated = (plain) => zlib.deflateRawSync(plain, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
// Four blocks that hold the tables of their codes and no byte of text (tests/net/support.h).
const kEmptyDeflateBlocks = Buffer.from("04c081000000000090ff6b100007020000000040feaf41001c080000000000f9bf060170200000000000e4ff1a", "hex");
const forge = (event, i) => ({ ...event, sig: sha256(`${i}`) + sha256(event.id) });
const authors = Array.from({ length: 4_000 }, (_, i) => sha256(`author${i}`));

/** name: () => what begins it on a port. Made before, so that the attack is not the attacker's own work. */
export const kAttacks = {
  pings: () => {
    const chunk = repeat(500, () => frame("p".repeat(125), { opcode: kOpcode.ping }));
    return (port) => many(4, () => flood(port, () => chunk));
  },
  rubbish: () => {
    const chunk = repeat(500, (i) => frame(["x", "[]", '["REQ"]', '["EVENT",{}]', '["REQ","a",{"kinds":["x"]}]', '["CLOSE","zzz"]', '["AUTH",{}]', "{"][i % 8]));
    return (port) => many(4, () => flood(port, () => chunk));
  },
  "large rubbish": () => {
    const half = `["EVENT",{"content":"${"\\u00e9".repeat(70_000)}","tags":[${'["t","x"],'.repeat(5_000)}`;
    const chunk = frame(half);
    return (port) => many(4, () => flood(port, () => chunk));
  },
  "deflate bombs": () => {
    const headers = { "Sec-WebSocket-Extensions": "permessage-deflate; client_no_context_takeover; server_no_context_takeover" };
    const chunk = repeat(20, () => frame(deflated(Buffer.alloc(500_000, "[")), { rsv: 4 }));
    return (port) => many(4, () => flood(port, () => chunk, { headers }));
  },
  "deflate tables": () => {
    const headers = { "Sec-WebSocket-Extensions": "permessage-deflate; client_no_context_takeover; server_no_context_takeover" };
    const half = Buffer.concat([repeat(11_000, () => kEmptyDeflateBlocks), deflated("[]")]);
    const chunk = frame(half, { rsv: 4 });
    return (port) => many(4, () => flood(port, () => chunk, { headers }));
  },
  "REQ and CLOSE": () => {
    const chunk = repeat(200, (i) => Buffer.concat([text(["REQ", `r${i % 10}`, { limit: 20 }]), text(["CLOSE", `r${i % 10}`])]));
    return (port) => many(4, () => flood(port, () => chunk));
  },
  "wide filters": () => {
    const chunk = repeat(4, (i) => Buffer.concat([text(["REQ", `r${i}`, { authors, limit: 5_000 }]), text(["CLOSE", `r${i}`])]));
    return (port) => many(4, () => flood(port, () => chunk));
  },
  "many subscriptions": () => {
    const chunk = repeat(64, (i) => text(["REQ", `s${i}`, { authors: authors.slice(i * 50, i * 50 + 50), kinds: [1, 7, 30_023], limit: 1 }]));
    return (port) => many(4, () => flood(port, () => chunk));
  },
  counts: () => {
    const chunk = repeat(20, (i) => text(["COUNT", `c${i}`, { since: i }]));
    return (port) => many(4, () => flood(port, () => chunk));
  },
  scrapers: () => {
    const chunk = repeat(10, (i) => text(["REQ", `s${i}`, { limit: 5_000 }]));
    return (port) => many(20, () => flood(port, () => chunk));
  },
  "deaf scrapers": () => {
    const asks = repeat(20, (i) => text(["REQ", `s${i}`, { limit: 5_000 }]));
    return (port) => many(20, () => {
      let is_asked = false;
      flood(port, () => (is_asked ? undefined : ((is_asked = true), asks)), { reads: false });
    });
  },
  "forged events": () => {
    const event = hostile.sign(7, {});
    const chunk = repeat(200, (i) => {
      const one = { ...event, content: `${i}` };
      one.id = id_of(one);
      return text(["EVENT", forge(one, i)]);
    });
    return (port) => many(8, () => flood(port, () => chunk));
  },
  "forged AUTH": () => {
    const chunk = repeat(60, (i) => text(["AUTH", forge(hostile.sign(22_242, { tags: [["relay", "ws://x/"], ["challenge", `${i}`]] }), i)]));
    return (port) => many(4, () => flood(port, () => chunk));
  },
  "genuine events": () => {
    const chunks = Array.from({ length: 40 }, (_, i) => repeat(50, (j) => text(["EVENT", hostile.sign(1, { content: `${i} ${j} ${process.pid}` })])));
    return (port) => many(4, () => flood(port, in_turn(chunks)));
  },
  "largest events": () => {
    const chunks = Array.from({ length: 40 }, (_, i) => text(["EVENT", hostile.sign(20_778, { content: `${i}`.padEnd(100_000, "y"), tags: [["t", "z".repeat(60_000)], ["t", `${i}`.padEnd(60_000, "z")]] })]));
    return (port) => many(8, () => flood(port, in_turn(chunks)));
  },
  "one-byte fragments": () => {
    const chunk = repeat(2_000, (i) => frame("x", { opcode: i % 100 === 0 ? kOpcode.text : kOpcode.continuation, fin: i % 100 === 99 }));
    return (port) => many(4, () => flood(port, () => chunk));
  },
  reconciliations: () => {
    const chunk = repeat(8, (i) => Buffer.concat([text(["NEG-OPEN", `n${i}`, {}, `61${"00000200"}${randomBytes(0).toString("hex")}`]), text(["NEG-CLOSE", `n${i}`])]));
    return (port) => many(4, () => flood(port, () => chunk));
  },
  handshakes: () => (port) => {
    const again = () => {
      const socket = net.connect({ host: "127.0.0.1", port });
      socket.on("error", () => {}).on("close", () => setImmediate(again));
      socket.once("connect", () => socket.write(handshake()));
      socket.once("data", () => socket.destroy());
    };
    many(16, again);
  },
  "HTTP requests": () => {
    const chunk = Buffer.from("GET / HTTP/1.1\r\nHost: x\r\nAccept: application/nostr+json\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50));
    return (port) => many(4, () => {
      const socket = net.connect({ host: "127.0.0.1", port });
      const write = () => { while (socket.write(chunk)); };
      socket.on("error", () => {}).on("data", () => {}).on("drain", write).once("connect", write);
    });
  },
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , name, url] = process.argv;
  const begin = kAttacks[name]();
  process.stdin.once("data", () => begin(Number(new URL(url).port))).on("end", () => process.exit(0));
  process.stdout.write("ready\n");
}
