// Who signs receipts (and NIP-42 answers). The package needs no more than this of a key: a NIP-07 extension, a NIP-46 signer
// or a hardware key can stand behind it.
import { finalizeEvent, generateSecretKey, getPublicKey } from "nostr-tools/pure";
import { verified, type Event, type EventDraft } from "./event.js";

export interface Signer {
  readonly publicKey: string;
  sign(draft: EventDraft): Promise<Event>;
}

/** A key in memory. It is in a private member, so no log or JSON text shows it. */
export class SecretKeySigner implements Signer {
  readonly #secret: Uint8Array;
  readonly publicKey: string;

  constructor(secret: Uint8Array = generateSecretKey()) {
    this.#secret = secret.slice();
    this.publicKey = getPublicKey(this.#secret);
  }

  async sign(draft: EventDraft): Promise<Event> {
    const { id, pubkey, created_at, kind, tags, content, sig } = finalizeEvent({ ...draft }, this.#secret);
    return { id, pubkey, created_at, kind, tags, content, sig };
  }
}

/** Signs, and believes no signer that it signed what was asked for. */
export async function signChecked(signer: Signer, draft: EventDraft): Promise<Event> {
  const event = verified(await signer.sign(draft));
  const same = event && event.pubkey === signer.publicKey && event.kind === draft.kind && event.content === draft.content &&
    event.created_at === draft.created_at && JSON.stringify(event.tags) === JSON.stringify(draft.tags);
  if (!same) throw new Error("the signer gave another event than it was asked for");
  return event;
}
