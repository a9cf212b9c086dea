// Verdicts on evidence, and the one door to a VerifiedOffer. This package judges no quotes itself: a Verifier does, the
// gateway or the `nostril` command, on this machine. Everything here fails closed: no verdict, a verdict on something else,
// one that has ended, or one on simulated evidence without the explicit option is a refusal.
import { isHex } from "./bytes.js";
import { isRecord } from "./event.js";
import { expectedStatementDigest, type Attestation, type Offer } from "./offer.js";
import { must, RefusedError } from "./tags.js";

export const kLevels = ["none", "declared", "image", "weights", "auditable"] as const;
export type Level = (typeof kLevels)[number];

export interface Verdict {
  readonly accepted: boolean;
  /** No TEE stands behind it: the evidence chains to a test root. */
  readonly simulated: boolean;
  readonly level: Level;
  /** Unix seconds: the last one at which the same evidence gives this verdict. */
  readonly holdsUntil: number;
  /** What was judged: offer's event id, statement digest, SHA-256 of the attestation's content. Hex. */
  readonly offer: string;
  readonly statement: string;
  readonly evidence: string;
  /** One line for a person. */
  readonly summary: string;
}

/** No verdict: as good as a refusal, but one may come. */
export class NotJudgedError extends RefusedError {
  override name = "NotJudgedError";
}

/** Who judges evidence: CommandVerifier (node.ts), GatewayVerifier (gateway.ts), or your own. */
export interface Verifier {
  /** Undefined: not judged (yet), which refuses as well. */
  verify(offer: Offer, attestation: Attestation): Promise<Verdict | undefined>;
}

/** Strictly of what a verifier says; throws RefusedError. */
export function readVerdict(value: unknown): Verdict {
  must(isRecord(value), "verdict: not an object");
  const { accepted, simulated, level, holdsUntil, offer, statement, evidence, summary } = value;
  must(typeof accepted === "boolean" && typeof simulated === "boolean", "verdict: accepted and simulated must be true or false");
  const known = kLevels.find((word) => word === level);
  must(known, "verdict: bad level");
  must(typeof holdsUntil === "number" && Number.isFinite(holdsUntil), "verdict: bad end");
  must(isHex(offer, 32) && isHex(statement, 32) && isHex(evidence, 32), "verdict: it must name offer, statement and evidence");
  must(typeof summary === "string", "verdict: no summary");
  return { accepted, simulated, level: known, holdsUntil, offer, statement, evidence, summary: summary.slice(0, 4096) };
}

export interface TrustOptions {
  /** Takes evidence without a TEE, for tests and demonstrations. The verifier must take it, too. */
  readonly allowSimulated?: boolean | undefined;
  /** Least level that is taken; "declared" if not given. */
  readonly minLevel?: Level | undefined;
}

const kMake = Symbol("made by verifyOffer");

/** An offer whose evidence a verifier has accepted. Only verifyOffer() makes one, and sessions take nothing else, so nothing
 * can be sealed to a node that did not prove itself. */
export class VerifiedOffer {
  readonly #genuine = true;
  readonly offer: Offer;
  readonly verdict: Verdict;

  constructor(token: typeof kMake, offer: Offer, verdict: Verdict) {
    if (token !== kMake) throw new RefusedError("only verifyOffer() makes a VerifiedOffer");
    this.offer = Object.freeze(offer);
    this.verdict = Object.freeze(verdict);
  }

  static isOne(value: unknown): value is VerifiedOffer {
    return typeof value === "object" && value !== null && #genuine in value;
  }

  usableAt(nowS: number): boolean {
    return this.offer.expiresAt > nowS && this.offer.keyExpiresAt > nowS && this.verdict.holdsUntil >= nowS;
  }

  /** Of the verdict, for a header or a screen. */
  get label(): string { return this.verdict.level + (this.verdict.simulated ? "; simulated" : ""); }
}

/** Asks the verifier, and believes a verdict only on exactly this offer and evidence. Throws RefusedError. */
export async function verifyOffer(offer: Offer, attestation: Attestation, verifier: Verifier, options: TrustOptions, nowS: () => number): Promise<VerifiedOffer> {
  must(attestation.node === offer.node && attestation.digest === offer.attestation, "the attestation is another one than the offer's");
  must(expectedStatementDigest(offer, attestation) === offer.attestation, "the offer and its attestation name different keys, times or weights");
  const said = await verifier.verify(offer, attestation);
  if (!said) throw new NotJudgedError("its evidence was not judged");
  const verdict = readVerdict(said);
  must(verdict.offer === offer.id && verdict.statement === offer.attestation && verdict.evidence === attestation.evidenceDigest,
    "the verdict is on another offer or other evidence");
  must(verdict.accepted, `its evidence was refused: ${verdict.summary}`);
  must(!verdict.simulated || options.allowSimulated === true, "its evidence is SIMULATED, which was not asked for");
  must(kLevels.indexOf(verdict.level) >= kLevels.indexOf(options.minLevel ?? "declared"), `it proves only level ${verdict.level}`);
  const made = new VerifiedOffer(kMake, offer, verdict);
  must(made.usableAt(nowS()), "the offer or the verdict has ended");
  return made;
}
