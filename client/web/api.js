// The gateway, at the address that this page came from; nothing else is ever asked.

const kKeyName = "nostril-key";

export const key = {
  get: () => localStorage.getItem(kKeyName) ?? "",
  set: (value) => (value ? localStorage.setItem(kKeyName, value) : localStorage.removeItem(kKeyName)),
};

/** What went wrong, and what the reader may do about it. */
export class ApiFailure extends Error {
  constructor(status, type, message) {
    super(message);
    this.status = status;
    this.type = type;
  }

  get advice() { return advice_for(this.status, this.type); }
}

const kAdviceByType = {
  insufficient_quota: "The key's budget is used up. Raise it with “nostril keys”, or use another key.",
  model_not_found: "Pick another model, or look under Nodes why the offers of this one are refused.",
  verification_failed: "Nothing was paid for what could not be verified. The node may be at fault: try again, and another node is asked.",
  unpaid: "The node wants more credit than your budget allows. Raise --budget of the gateway.",
  overloaded: "All nodes of this model are busy. Try again in a moment.",
};

function advice_for(status, type) {
  if (kAdviceByType[type]) return kAdviceByType[type];
  if (status === 0) return "Is “nostril gateway” still running? Start it again, then retry.";
  if (status === 401) return "Enter one of the gateway's keys below; “nostril keys add NAME” makes one.";
  if (status === 402) return "The budget is used up. Raise --budget of the gateway, or the key's.";
  if (status === 403) return "Open this page under the address that the gateway printed.";
  if (status === 404) return kAdviceByType.model_not_found;
  if (status === 424) return kAdviceByType.verification_failed;
  if (status === 400 || status === 413 || status === 422) return "Shorten or change the question, then send it again.";
  if (status === 429 || status === 503) return "No node can take it now. Wait a moment, or pick another model.";
  return "Try again. If it stays so, look at the gateway's own output.";
}

const headers = (more = {}) => (key.get() ? { ...more, Authorization: `Bearer ${key.get()}` } : more);

async function failure_of(response) {
  const body = await response.json().catch(() => ({}));
  const error = body.error ?? {};
  return new ApiFailure(response.status, error.type ?? "", error.message ?? `the gateway answered ${response.status}`);
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiFailure(0, "", "The gateway does not answer.");
  }
  if (!response.ok) throw await failure_of(response);
  return response;
}

async function read(path) {
  const response = await request(path, { headers: headers() });
  return response.json();
}

export const nodes = () => read("/nostril/v1/nodes");
export const spending = () => read("/nostril/v1/spending");
export const verdict = (offer) => read(`/nostril/v1/verdict?offer=${encodeURIComponent(offer)}`);

const kRecord = ": nostril-record ";
/** What a gateway adds to the usage chunk, for programs that read no comments. */
const kAdded = /,"nostril":\{[^{}]*\}(?=\}\s*$)/;

/**
 * Asks, and reads the stream. on_text, on_thought: next words. Resolves with {proof, request, response}: the gateway's proof,
 * and the exact bodies that the record's hashes are of. Rejects with ApiFailure; with AbortError when `signal` says so.
 */
export async function ask(body, { signal, on_text, on_thought }) {
  const sent = JSON.stringify(body);
  const answer = await request("/v1/chat/completions", {
    method: "POST", body: sent, signal, headers: headers({ "Content-Type": "application/json" }),
  });
  const reader = answer.body.pipeThrough(new TextDecoderStream("utf-8", { ignoreBOM: true })).getReader();
  const out = { proof: undefined, request: sent, response: "" };
  let rest = "";
  let after_proof = false;
  const take = (line) => {
    if (line.startsWith(kRecord)) {
      out.proof = JSON.parse(line.slice(kRecord.length));
      after_proof = true;
      return;
    }
    if (after_proof && line.trim() === "") { after_proof = false; return; }
    after_proof = false;
    out.response += line.startsWith("data: {") ? line.replace(kAdded, "") : line;
    const text = line.trim();
    if (!text.startsWith("data:") || text === "data: [DONE]") return;
    const chunk = JSON.parse(text.slice(5));
    if (chunk.error) throw new ApiFailure(200, chunk.error.type ?? "", chunk.error.message ?? "the answer broke off");
    const delta = chunk.choices?.[0]?.delta ?? {};
    const thought = delta.reasoning_content ?? delta.reasoning;
    if (thought) on_thought(thought);
    if (delta.content) on_text(delta.content);
  };
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiFailure(0, "", "The connection to the gateway broke off.");
    }
    if (piece.done) break;
    const lines = (rest + piece.value).split(/(?<=\n)/);
    rest = lines.at(-1).endsWith("\n") ? "" : lines.pop();
    lines.forEach(take);
  }
  if (rest) take(rest);
  if (!out.proof) throw new ApiFailure(200, "verification_failed", "The answer ended without a signed record.");
  return out;
}
