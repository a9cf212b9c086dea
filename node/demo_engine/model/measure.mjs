// How much of what it was taught the model says: asks a running engine, greedily.
// usage: node measure.mjs http://127.0.0.1:PORT FRESH_CHATS.jsonl
//   exact:       chats of the generator under another seed; the last answer must be equal to the letter
//   rephrasings: questions that the generator never makes; the answer must hold the expected words
import { readFileSync } from "node:fs";

async function ask(url, messages) {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages, temperature: 0 }),
  });
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`);
  return (await response.json()).choices[0].message.content;
}

function report(label, wrong, count) {
  for (const { question, answer } of wrong) console.log(`  ${label}: ${question} -> ${answer}`);
  console.log(`${label}: ${count - wrong.length} of ${count}`);
}

async function measure_fresh(url, path) {
  const chats = readFileSync(path, "utf8").trim().split("\n").map((line) => JSON.parse(line));
  const wrong = [];
  for (const chat of chats) {
    const messages = chat.map(([role, content]) => ({ role, content }));
    const expected = messages.pop().content;
    const answer = await ask(url, messages);
    if (answer !== expected) wrong.push({ question: messages.at(-1).content, answer });
  }
  report("exact", wrong, chats.length);
}

async function measure_rephrasings(url) {
  const rephrasings = JSON.parse(readFileSync(new URL("rephrasings.json", import.meta.url), "utf8"));
  const wrong = [];
  for (const [question, expected] of rephrasings) {
    const answer = await ask(url, [{ role: "user", content: question }]);
    if (!answer.includes(expected)) wrong.push({ question, answer });
  }
  report("rephrasings", wrong, rephrasings.length);
}

const [url, fresh_path] = process.argv.slice(2);
await measure_fresh(url, fresh_path);
await measure_rephrasings(url);
