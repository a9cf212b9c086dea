// NIP-86: each call is a POST to the relay's own address, signed for it alone (NIP-98).
import { sha256_hex } from "/admin/bip340.js";

export class Refused extends Error {
  constructor(status, message, again_in_s) {
    super(message);
    this.status = status;
    this.again_in_s = again_in_s;
  }
}

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** call(method, ...params) for this signer. */
export function caller(signer) {
  return async function call(method, ...params) {
    const body = JSON.stringify({ method, params });
    const url = `${location.origin}/`;
    const event = await signer.sign({
      kind: 27235, created_at: Math.floor(Date.now() / 1000), content: "",
      // Two equal calls in one second are two events.
      tags: [["u", url], ["method", "POST"], ["payload", await sha256_hex(body)], ["nonce", crypto.randomUUID()]],
    });
    let response;
    try {
      response = await fetch(url, {
        method: "POST", body, cache: "no-store", credentials: "omit", redirect: "error",
        headers: { "Content-Type": "application/nostr+json+rpc", Authorization: `Nostr ${base64(JSON.stringify(event))}` },
      });
    } catch {
      throw new Refused(0, "The relay does not answer.", 2);
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok || answer.error) {
      throw new Refused(response.status, answer.error ?? `The relay answered ${response.status}.`, Number(response.headers.get("Retry-After")));
    }
    return answer.result;
  };
}
