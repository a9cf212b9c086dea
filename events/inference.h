#pragma once

#include "base/result.h"
#include "events/amount.h"
#include "events/event.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Our inference kinds as types: build makes the unsigned event, parse is its strict inverse.
/// Layouts: spec/02-kinds.md, 03-offer.md, 06-record.md, 07-receipt.md.
///
/// Parsing: a known tag that may stand once and stands twice, misses, or is out of its bounds
/// refuses the event; unknown tags are ignored. parse_*() trusts neither id nor signature: give it
/// the event of a VerifiedEvent. build_*() CHECKs that what it writes would parse.
/// Threads: pure functions, any.
namespace nostril {

using RequestId = FixedBytes<struct RequestIdTag, 16>;  ///< chosen by the client, random
using ChannelId = FixedBytes<struct ChannelIdTag, 32>;  ///< settlement/channel.h

enum class InferenceError : std::uint8_t {
  WrongKind,
  WrongVersion,
  MissingTag,
  DoubleTag,
  BadTag,  ///< wrong number of elements, hex, decimal, size or value
  TooMany,
  BadContent,
};
std::string_view to_string(InferenceError error);

/// Bounds of what a tag may hold; a reader refuses more, a writer never makes more.
struct InferenceLimits {
  static constexpr std::size_t kModelBytesMax = 128;
  static constexpr std::size_t kProfileBytesMax = 32;
  static constexpr std::size_t kAssetBytesMax = 96;
  static constexpr std::size_t kNameBytesMax = 64;  ///< engine, version, TEE kind, feature, status
  static constexpr std::size_t kUrlBytesMax = 256;
  static constexpr std::size_t kFeaturesMax = 32;
  static constexpr std::size_t kRelaysMax = 16;
  static constexpr std::size_t kPricesMax = 6;  ///< one a unit
  static constexpr std::size_t kTeeKindsMax = 8;
  static constexpr std::size_t kRailsMax = 8;
  static constexpr std::size_t kSamplingBytesMax = 1024;
  static constexpr std::size_t kEvidenceBytesMax = 96U << 10;
  static constexpr std::uint64_t kTokensMax = std::uint64_t{1} << 40;
  static constexpr std::uint64_t kLoadCountMax = 1'000'000;
  static constexpr std::uint64_t kLoadWaitMsMax = 3'600'000;
};

// ---- Prices -------------------------------------------------------------------------------------

/// Stored in offers and records as text; the numbers are ours alone.
enum class PriceUnit : std::uint8_t { Input, Cached, Output, Second, Request, Session };
inline constexpr std::size_t kPriceUnitCount = 6;
std::string_view to_string(PriceUnit unit);
std::optional<PriceUnit> parse_price_unit(std::string_view text);

/// Tokens are priced per 1,000,000; seconds, requests and sessions per 1. Fixed by the unit, so
/// that two readers can't divide differently.
constexpr std::uint64_t price_per(PriceUnit unit) {
  return unit <= PriceUnit::Output ? 1'000'000U : 1U;
}

/// ["price", unit, amount, per, asset]
struct PriceTag {
  PriceUnit unit = PriceUnit::Input;
  Amount amount;

  bool operator==(const PriceTag&) const = default;
};

/// What a request used so far. `cached` is the part of `input` that came from a prefix cache.
struct Usage {
  std::uint64_t input = 0;
  std::uint64_t cached = 0;
  std::uint64_t output = 0;

  bool operator==(const Usage&) const = default;
};

// ---- Load ---------------------------------------------------------------------------------------

/// How busy a node is with a model, in its own words: good for choosing among equals, no promise.
/// ["load", running, places, waiting, wait in ms]
struct LoadTag {
  std::uint64_t running = 0;  ///< requests inside the engine
  std::uint64_t places = 1;   ///< that may be inside at a time, as the node has learned; at least 1
  std::uint64_t waiting = 0;  ///< requests in its line
  std::uint64_t wait_ms = 0;  ///< expected by a request that came now and went last

  bool operator==(const LoadTag&) const = default;
};

/// Coarse, so that small differences neither draw all clients to one node nor make new offers: 0 to
/// 3, places are free, by quarters taken; from 4 on requests wait, one more for each doubling of
/// the wait from 500 ms. Who says nothing counts as half taken.
[[nodiscard]] std::uint32_t load_rank(const std::optional<LoadTag>& load);

// ---- Rails --------------------------------------------------------------------------------------

/// Where an offer's channels are backed: ["rail","evm",contract,payee], addresses as 0x and 40
/// lowercase hex digits. Chain and token are the asset's (spec/12-contract.md). Rails of other
/// names are ignored.
struct EvmRail {
  EthereumAddress contract;
  EthereumAddress payee;

  bool operator==(const EvmRail&) const = default;
};

/// Deposits over Lightning: ["rail","ln",network,step,most], network as invoices spell it (bc, tb,
/// tbs, bcrt), amounts in msat, which is then the asset. spec/13-lightning.md.
struct LightningRail {
  std::string network;
  Amount step;  ///< owed by receipts before a deposit is asked for; 0: paid in advance
  Amount most;  ///< of one deposit

  bool operator==(const LightningRail&) const = default;
};

inline constexpr std::string_view kLightningAsset = "msat";

// ---- 31470 offer --------------------------------------------------------------------------------

struct Offer {
  // From the event itself; build_offer() reads node and created_at, ignores id.
  EventId id;
  PublicKey node;
  std::int64_t created_at = 0;

  std::string model;         ///< as the engine names it, e.g. "qwen3-32b"
  std::string profile;       ///< variant of serving it, e.g. "default"; d = model + "@" + profile
  PublicKey encryption_key;  ///< N: opens the first frame
  std::int64_t encryption_key_expires_at = 0;  ///< seconds since 1970; no first frame after it
  Digest attestation;                          ///< statement digest = d of the node's 31471
  std::optional<Digest> weights;               ///< model manifest digest, when stated
  std::string asset;                           ///< of all prices and of credit
  std::vector<PriceTag> prices;                ///< one a unit at most; empty: free
  Amount credit;                               ///< unreceipted spending that the node bears
  std::optional<EvmRail> rail;                 ///< none: no contract backs a channel
  std::optional<LightningRail> lightning;      ///< never with `rail`
  std::uint64_t context_tokens = 0;
  std::uint64_t output_tokens_max = 0;
  std::vector<std::string> features;  ///< "tools", "json_schema", "seed", …
  std::string engine;
  std::string engine_version;
  std::string tee;                  ///< "tdx", "tdx+8xgh100", "sev-snp", "simulated", …
  std::vector<std::string> relays;  ///< where the node listens for first frames; at least one
  std::optional<std::string> url;   ///< direct path, https://
  std::optional<LoadTag> load;      ///< when the offer was signed
  std::optional<PublicKey> operator_key;
  std::int64_t expires_at = 0;  ///< NIP-40

  bool operator==(const Offer&) const = default;
};

[[nodiscard]] EventDraft build_offer(const Offer& offer);
[[nodiscard]] Result<Offer, InferenceError> parse_offer(const Event& event);

// ---- 31471 attestation --------------------------------------------------------------------------

/// The statement's fields as tags, so that a reader rebuilds it and compares its digest with `d`
/// before looking at the evidence (attestation/statement.h); the evidence is opaque text here.
struct AttestationEvent {
  EventId id;
  PublicKey node;
  std::int64_t created_at = 0;

  Digest digest;  ///< d
  PublicKey encryption_key;
  std::int64_t encryption_key_expires_at = 0;
  Digest tls_spki;  ///< zero: none
  Digest gpu_evidence;
  Digest model_manifest;  ///< zero: not stated
  Digest nonce;
  std::string tee;
  std::int64_t expires_at = 0;
  std::string evidence;  ///< content: attestation/pack.h

  bool operator==(const AttestationEvent&) const = default;
};

[[nodiscard]] EventDraft build_attestation(const AttestationEvent& attestation);
[[nodiscard]] Result<AttestationEvent, InferenceError> parse_attestation(const Event& event);

// ---- 21470 model request, 21471 offer reply -----------------------------------------------------

/// Broadcast under a throw-away key. Never holds any part of a prompt.
struct ModelRequest {
  EventId id;
  PublicKey requester;
  std::int64_t created_at = 0;

  std::string model;
  std::vector<std::string> tees;      ///< acceptable TEE kinds; empty: any
  std::string asset;                  ///< of prices_max; empty when that is empty
  std::vector<PriceTag> prices_max;   ///< each the most that is paid for its unit
  std::uint32_t level = 0;            ///< least verification level, 0 to 4 (spec/06-record.md)
  std::optional<std::string> region;  ///< geohash prefix
  Digest nonce;                       ///< to be inside fresh evidence

  bool operator==(const ModelRequest&) const = default;
};

[[nodiscard]] EventDraft build_model_request(const ModelRequest& request);
[[nodiscard]] Result<ModelRequest, InferenceError> parse_model_request(const Event& event);

struct OfferReply {
  EventId id;
  PublicKey node;
  std::int64_t created_at = 0;

  EventId request;          ///< e: the 21470
  PublicKey requester;      ///< p
  EventId offer;            ///< the 31470 whose price and keys hold
  Digest attestation;       ///< digest of a statement with the request's nonce
  std::uint64_t queue = 0;  ///< requests waiting before this one
  std::optional<LoadTag> load;

  bool operator==(const OfferReply&) const = default;
};

[[nodiscard]] EventDraft build_offer_reply(const OfferReply& reply);
[[nodiscard]] Result<OfferReply, InferenceError> parse_offer_reply(const Event& event);

// ---- 1471 response record -----------------------------------------------------------------------

enum class RecordStatus : std::uint8_t {
  Ok,
  Partial,     ///< statement in the middle of an answer: a receipt is wanted before it goes on
  Cancelled,   ///< by the client
  ClientLost,  ///< no ack for 15 s
  Unpaid,      ///< stopped because no receipt came
  Error,       ///< refused or failed by the engine
  EngineDied,
};
inline constexpr std::size_t kRecordStatusCount = 7;
std::string_view to_string(RecordStatus status);
std::optional<RecordStatus> parse_record_status(std::string_view text);

/// What a node signs about one answer; the usage statement that a receipt pays.
struct ResponseRecord {
  EventId id;
  PublicKey node;
  std::int64_t created_at = 0;

  RequestId request;
  Digest request_hash;   ///< SHA-256 of the exact request body bytes
  Digest response_hash;  ///< SHA-256 of the exact response body bytes delivered (so far)
  EventId offer;
  Digest attestation;
  std::string model;
  std::optional<Digest> weights;
  std::string engine;
  std::string engine_version;
  std::string sampling;  ///< JSON object text of the parameters that applied, "" when not recorded
  Usage usage;           ///< of the whole request so far
  std::uint64_t milliseconds = 0;  ///< engine time so far: what PriceUnit::Second bills

  ChannelId channel;
  std::uint64_t n = 0;              ///< number of this statement in the channel, from 1
  std::optional<EventId> previous;  ///< statement n - 1; absent for the first only
  std::string asset;
  Amount cost;                  ///< spent minus the previous statement's spent
  Amount spent;                 ///< cumulative over the channel: ceil(micro / 10^6)
  std::uint32_t remainder = 0;  ///< micro mod 10^6

  RecordStatus status = RecordStatus::Ok;
  std::string finish;               ///< engine's finish_reason, "" when there is none
  std::int64_t accepted_at_ms = 0;  ///< Unix milliseconds
  std::int64_t first_at_ms = 0;     ///< first response byte; 0: none
  std::int64_t ended_at_ms = 0;

  bool operator==(const ResponseRecord&) const = default;
};

[[nodiscard]] EventDraft build_record(const ResponseRecord& record);
[[nodiscard]] Result<ResponseRecord, InferenceError> parse_record(const Event& event);

// ---- 1472 balance receipt -----------------------------------------------------------------------

/// Exactly ["d",channel],["amount",c],["x",H_n] in this order, no other tag, content "": the event
/// is itself the proof that a contract checks, so it has one form only (settlement/channel.h).
struct BalanceReceipt {
  EventId id;
  PublicKey signer;
  std::int64_t created_at = 0;  ///< informative; 10 digits: 10^9 to 2^32 - 1

  ChannelId channel;
  Amount amount;  ///< cumulative, above zero
  Digest running_hash;

  bool operator==(const BalanceReceipt&) const = default;
};

[[nodiscard]] EventDraft build_receipt(const BalanceReceipt& receipt);
[[nodiscard]] Result<BalanceReceipt, InferenceError> parse_receipt(const Event& event);

}  // namespace nostril
