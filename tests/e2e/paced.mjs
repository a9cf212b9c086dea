// Streamed answers of the scripted engine (scripted_engine.mjs), asked for and checked byte for byte.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import http from "node:http";

export const now_ms = () => performance.timeOrigin + performance.now();

/** Our own words in the stream, which the engine did not send. */
const kRecordLine = /^: nostril-record (.*)\n\n/m;
const kProof = /,"nostril":\{[^{}]*\}(?=\}\n)/;  // at the end of the chunk with the usage

/** One streamed answer: its exact bytes without our record, when each token came, whether it is whole. */
export function ask(agent, base, model, asked) {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: JSON.stringify(asked) }], stream: true,
    max_tokens: 4096, stream_options: { include_usage: true } });
  return new Promise((resolve, reject) => {
    const start = now_ms();
    const times_ms = [];
    const parts = [];
    const request = http.request(`${base}/chat/completions`, { method: "POST", agent, headers: { "content-type": "application/json" } },
      (answer) => {
        answer.on("data", (bytes) => {
          const at = now_ms();
          parts.push(bytes);
          for (let i = bytes.indexOf('"delta":{"content":'); i >= 0; i = bytes.indexOf('"delta":{"content":', i + 1)) times_ms.push(at);
        });
        answer.on("error", reject);
        answer.on("end", () => {
          const text = Buffer.concat(parts).toString();
          const engine_bytes = Buffer.from(text.replace(kRecordLine, "").replace(kProof, ""));
          resolve({ id: asked.id, start, end: now_ms(), times_ms, status: answer.statusCode,
            record: JSON.parse(kRecordLine.exec(text)?.[1] ?? "{}").record,
            sha256: createHash("sha256").update(engine_bytes).digest("hex"), tail: engine_bytes.toString().trimEnd().slice(-200) });
        });
      });
    request.on("error", reject);
    request.end(body);
  });
}

/** When the engine sent each token of this answer; fails unless every byte arrived. */
export async function checked(engine, answer, tokens) {
  const sent = await (await fetch(`${engine.url}/answer?id=${answer.id}`)).json();
  const is_right = answer.status === 200 && sent?.whole && answer.sha256 === sent.sha256 && answer.times_ms.length === tokens;
  assert.ok(is_right, `${answer.id}: status ${answer.status}, ${answer.times_ms.length} of ${sent?.times_ms.length} tokens; ended with ${answer.tail}`);
  return sent.times_ms;
}
