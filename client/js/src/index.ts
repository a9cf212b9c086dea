// Private, verified inference over Nostr events. Start with nostrilFetch() or Nostril.open(); README.md.
export { nostrilFetch, type NostrilFetch } from "./fetch.js";
export { kSimulatedWarning, Nostril, type NostrilOptions } from "./client.js";
export { Ask, type AskCallbacks, type AskRequest } from "./ask.js";
export { isVerified, type QueryCallbacks, type QueryFailure, type QueryResult } from "./query.js";
export { GatewayVerifier, readVerdicts, VerdictList } from "./gateway_verifier.js";
export { kLevels, NotJudgedError, readVerdict, VerifiedOffer, verifyOffer, type Level, type TrustOptions, type Verdict, type Verifier } from "./verdict.js";
export { expectedStatementDigest, readAttestation, readOffer, type Attestation, type Offer, type Prices, type PriceUnit } from "./offer.js";
export { kStatuses, readRecord, samplingSuits, type RecordStatus, type ResponseRecord, type Usage } from "./record.js";
export { channelId, charge, PayerChannel, PaymentRefusedError, readReceipt, usageMax, type ChannelSnapshot, type ChannelTerms, type ExpectedAnswer,
  type Receipt } from "./channel.js";
export { ClientSession, type Moment, type SessionFailure, type SessionNote, type SessionRequest } from "./session.js";
export { OfferBook, type RejectedOffer } from "./offer_book.js";
export { RelayPool, type PoolOptions, type PublishResult, type SubscriptionCallbacks, type WebSocketClass } from "./relay_pool.js";
export { Wallet } from "./wallet.js";
export { IndexedDbStorage, MemoryStorage, type Storage } from "./storage.js";
export { SecretKeySigner, type Signer } from "./signer.js";
export { isGenuine, readEvent, verified, type Event, type EventDraft } from "./event.js";
export { type ErrorCode, type ErrorFrame, type ProgressFrame, type ResponseHead } from "./frames.js";
export { RefusedError } from "./tags.js";
