// A write policy: notes (kind 1) with links are taken from authenticated clients only.
import { createInterface } from 'node:readline';
for await (const line of createInterface({ input: process.stdin })) {
  const { type, event, authed } = JSON.parse(line);
  if (type !== 'new') continue;
  const answer = { id: event.id, action: 'accept' };
  if (event.kind === 1 && /https?:/.test(event.content) && !authed)
    Object.assign(answer, { action: 'reject', msg: 'restricted: links need authentication' });
  console.log(JSON.stringify(answer));
}
