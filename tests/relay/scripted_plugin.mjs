// A write-policy plugin that does what the event's content says. Its argument: a word that is shown.
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

const held = [];
const answer = (id, action, msg) => writeSync(1, JSON.stringify({ id, action, msg }) + '\n');
const reject = (id, msg) => answer(id, 'reject', msg);

for await (const line of createInterface({ input: process.stdin })) {
  const { type, event, receivedAt, sourceType, sourceInfo, authed } = JSON.parse(line);
  const { id, content } = event;
  if (type !== 'new' || typeof receivedAt !== 'number') process.exit(2);
  switch (content.split(' ')[0]) {
    case 'reject': reject(id, 'blocked: no'); break;
    case 'plain': reject(id, 'no\n\u001b[31m'); break;
    case 'mute': answer(id, 'reject'); break;
    case 'shadow': answer(id, 'shadowReject', 'not shown'); break;
    case 'silent': break;
    case 'garbage': writeSync(1, 'what?\n{"id":5}\n[]\n'); answer(id, 'accept'); break;
    case 'twice': answer(id, 'accept'); reject(id, 'blocked: changed my mind'); break;
    case 'confused': answer(id, 'perhaps'); break;
    case 'die': process.exit(1); break;
    case 'long': writeSync(1, 'x'.repeat(100_000)); break;
    case 'hang': for (;;);
    case 'pid': reject(id, `blocked: ${process.pid}`); break;
    case 'word': reject(id, `blocked: ${process.argv[2]}`); break;
    case 'source': reject(id, `blocked: ${sourceType} ${sourceInfo} ${authed ?? 'nobody'}`); break;
    case 'say': writeSync(2, 'x'.repeat(5_000) + '\n' + 'line\u001b[31m\n'.repeat(1_000)); answer(id, 'accept'); break;
    case 'hold': held.push(id); break;
    case 'flush': held.push(id); held.reverse().forEach((one) => answer(one, 'accept')); held.length = 0; break;
    default: answer(id, 'accept');
  }
}
