// Verdicts of a `nostril gateway` on this machine: GET /nostril/v1/offers. Prompts don't go through it; its policy, roots and
// auditors decide which nodes get them.
import { isRecord } from "./event.js";
import type { Attestation, Offer } from "./offer.js";
import { must } from "./tags.js";
import { readVerdict, type Verdict, type Verifier } from "./verdict.js";

const kAnswerCharsMax = 8 << 20;
const kOffersMax = 20_000;
const kFreshMs = 250; ///< one answer is enough for offers that come together
const kAnswerMsMax = 5_000;

/** The JSON of the gateway's route and of `nostril offers --json`. Offers that it can't read are left out; throws RefusedError
 * when it is something else altogether. */
export function readVerdicts(text: string): Verdict[] {
  must(text.length <= kAnswerCharsMax, "verdicts: too large");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const offers = isRecord(value) ? value["offers"] : undefined;
  must(Array.isArray(offers) && offers.length <= kOffersMax, "verdicts: no list of offers");
  const verdicts: Verdict[] = [];
  for (const item of offers as unknown[]) {
    if (!isRecord(item) || item["statement"] === undefined || item["evidence"] === undefined) continue; // evidence not there yet
    const { offer, statement, evidence, accepted, simulated, level, summary } = item;
    verdicts.push(readVerdict({ offer, statement, evidence, accepted, simulated, level, summary, holdsUntil: item["holds_until"] }));
  }
  return verdicts;
}

/** The newest answer, asked for again when it is older than kFreshMs. */
export class VerdictList implements Verifier {
  readonly #ask: () => Promise<string>;
  #askedAtMs = -Infinity;
  #answer: Promise<Verdict[]> = Promise.resolve([]);

  /** `ask` gives the text that readVerdicts() takes. */
  constructor(ask: () => Promise<string>) { this.#ask = ask; }

  async verify(offer: Offer, attestation: Attestation): Promise<Verdict | undefined> {
    const nowMs = performance.now();
    if (nowMs - this.#askedAtMs >= kFreshMs) {
      this.#askedAtMs = nowMs;
      this.#answer = this.#ask().then(readVerdicts);
    }
    const verdicts = await this.#answer;
    return verdicts.find((verdict) => verdict.offer === offer.id && verdict.evidence === attestation.evidenceDigest);
  }
}

export class GatewayVerifier extends VerdictList {
  /** `gateway`: "http://127.0.0.1:8788". Its word is believed, so it is to be this machine's: plain HTTP only to loopback. */
  constructor(gateway: string, fetcher: typeof fetch = (input, init) => fetch(input, init)) {
    const url = new URL("/nostril/v1/offers", gateway);
    const isLoopback = ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback)) throw new Error("verdicts come over HTTPS or from this machine");
    super(async () => {
      const response = await fetcher(url, { signal: AbortSignal.timeout(kAnswerMsMax), redirect: "error", cache: "no-store" });
      if (!response.ok) throw new Error(`the gateway answers ${response.status}`);
      return response.text();
    });
  }
}
