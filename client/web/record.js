// What a node signed about an answer, and what is checked of it here, apart from the gateway's own checks.
import { is_genuine, sha256_hex } from "./bip340.js";

const kRecordKind = 1471;
const kReceiptKind = 1472;

const tag = (event, name, index = 1) => event?.tags.find((entry) => entry[0] === name)?.[index];

/** The record's fields that the page shows. */
export function read_record(event) {
  return {
    id: event.id, node: event.pubkey, at: event.created_at, model: tag(event, "model"), offer: tag(event, "offer"),
    request_hash: tag(event, "request-hash"), response_hash: tag(event, "response-hash"),
    engine: `${tag(event, "engine") ?? ""} ${tag(event, "engine", 2) ?? ""}`.trim(), sampling: tag(event, "sampling"),
    input: Number(tag(event, "usage")), cached: Number(tag(event, "usage", 2)), output: Number(tag(event, "usage", 3)), ms: Number(tag(event, "usage", 4)),
    channel: tag(event, "channel"), n: Number(tag(event, "channel", 2)), cost: tag(event, "cost"), asset: tag(event, "cost", 2), spent: tag(event, "spent"),
    status: tag(event, "status"), finish: tag(event, "status", 2),
    first_ms: Number(tag(event, "time", 2)) - Number(tag(event, "time")), whole_ms: Number(tag(event, "time", 3)) - Number(tag(event, "time")),
  };
}

/** [{name, good, found, wanted}] of a saved answer {record, receipt, request, response}. */
export async function check_answer({ record, receipt, request, response }) {
  const fields = read_record(record);
  const out = [];
  const check = (name, found, wanted, good = found === wanted) => out.push({ name, good, found: String(found), wanted: String(wanted) });
  check("The record is signed by the node", await is_genuine(record) ? "id and signature right" : "forged", "id and signature right");
  check("It is a response record", record.kind, kRecordKind);
  check("The request is the one that was answered", await sha256_hex(request), fields.request_hash);
  check("The answer is what the node sent, byte for byte", await sha256_hex(response), fields.response_hash);
  check("The answer is whole", fields.status, "ok");
  if (receipt) {
    check("The receipt is signed", await is_genuine(receipt) ? "id and signature right" : "forged", "id and signature right");
    check("It is a balance receipt of this channel", `${receipt.kind} ${tag(receipt, "d")}`, `${kReceiptKind} ${fields.channel}`);
    check("It pays what the record states, no more", tag(receipt, "amount"), fields.spent);
  }
  return out;
}

/** The file that `nostril verify --answer` reads. */
export const answer_file = ({ record, receipt, request, response }) => `${JSON.stringify({ record, ...(receipt ? { receipt } : {}), request, response }, null, 1)}\n`;
