#pragma once

#include "base/result.h"
#include "events/event.h"
#include "events/inference.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What is said of nodes: approvals (1985, NIP-32), flags (1984, NIP-56) and proofs of fraud (1984
/// again), which need nobody's word. Page and exact bytes: spec/14-reputation.md. parse is build's
/// strict inverse and trusts neither id nor signature of the event that it is given: give it the
/// event of a VerifiedEvent. Of the events inside the content it checks the ids, not the
/// signatures: who counts them verifies them (client/fraud_proof.h). Threads: pure functions, any.
namespace nostril {

inline constexpr std::string_view kReputationNamespace = "nostril";

struct ReputationLimits {
  static constexpr std::size_t kEventsMax = 4;  ///< inside one content
  static constexpr std::size_t kNoteBytesMax = 200;
  static constexpr std::uint64_t kMeasuredMsMax = 3'600'000;
  /// Of a content as JSON spells it: with tags and keys below 128 KiB, which relays take.
  static constexpr std::size_t kPartBytesMax = 96U << 10;
  static constexpr std::size_t kPartsMax = 6;  ///< any two events of 128 KiB fit
  static constexpr std::size_t kProofBytesMax = kPartsMax * kPartBytesMax;
};

// ---- Opinions -----------------------------------------------------------------------------------

/// Why a node is flagged. Stored as text; the numbers are ours alone.
enum class FlagReason : std::uint8_t {
  Down,  ///< did not answer, or broke off
  Slow,
  WrongModel,  ///< the answer is not what the model gives (repeated by others with its weights)
  BadAnswer,   ///< not what was asked for
  Overcharge,  ///< by usage that nobody else can judge
  Censor,
};
inline constexpr std::size_t kFlagReasonCount = 6;
std::string_view to_string(FlagReason reason);
std::optional<FlagReason> parse_flag_reason(std::string_view text);

/// What an answer took, as its reader measured it: ["measured", first byte, whole] in ms.
struct Measured {
  std::uint64_t first_byte_ms = 0;
  std::uint64_t whole_ms = 0;

  bool operator==(const Measured&) const = default;
};

/// Somebody's word of a node, tied to a record that the node signed.
struct Opinion {
  // From the event itself; build reads created_at, ignores id and author.
  EventId id;
  PublicKey author;
  std::int64_t created_at = 0;

  PublicKey node;
  std::optional<FlagReason> flag;  ///< none: an approval
  std::optional<Measured> measured;
  std::string note;  ///< for people; never part of a prompt
  Event record;      ///< kind 1471, by the node
};

[[nodiscard]] EventDraft build_opinion(const Opinion& opinion);
[[nodiscard]] Result<Opinion, InferenceError> parse_opinion(const Event& event);

// ---- Proofs of fraud ----------------------------------------------------------------------------

/// What a proof says that the node did. Stored as text; the numbers are ours alone.
enum class FraudKind : std::uint8_t {
  TwoAnswers,  ///< records of two whole answers for one request id
  Price,       ///< charged more than the usage costs at the offer's prices
  Cost,        ///< sums that are not those of usage and prices
  Evidence,    ///< an offer whose evidence contradicts it
  Rollback,    ///< two statements of one channel that can't be of one history
};
inline constexpr std::size_t kFraudKindCount = 5;
std::string_view to_string(FraudKind kind);
std::optional<FraudKind> parse_fraud_kind(std::string_view text);

/// The signed events that prove it, all of the node, in the order of spec/14-reputation.md:
///   two-answers, rollback   record, record
///   price, cost             offer, record, and of those before it the one that it names as
///                           previous, and the newest known one of the same request
///   evidence                offer, attestation
/// Whether they prove anything: client/fraud_proof.h.
struct FraudProof {
  FraudKind kind = FraudKind::TwoAnswers;
  PublicKey node;
  std::vector<Event> events;
};

/// One event, or the parts of a proof that is too large for one, in order; to be signed by one key.
/// Empty when even kPartsMax do not hold it: the proof can only be kept.
[[nodiscard]] std::vector<EventDraft> build_fraud_proof(const FraudProof& proof,
                                                        std::int64_t created_at);
/// Of a proof in one event.
[[nodiscard]] Result<FraudProof, InferenceError> parse_fraud_proof(const Event& event);

/// A piece of a proof's content: ["part", number from 1, how many, SHA-256 of the whole in hex].
struct FraudPart {
  PublicKey author;
  FraudKind kind = FraudKind::TwoAnswers;
  PublicKey node;
  std::uint64_t number = 0;
  std::uint64_t count = 0;  ///< 2 to kPartsMax
  Digest whole;
  std::string content;

  bool operator==(const FraudPart&) const = default;
};

/// The event is one of several by its tags; it need not parse.
[[nodiscard]] bool is_fraud_part(const Event& event);
[[nodiscard]] Result<FraudPart, InferenceError> parse_fraud_part(const Event& event);
/// All parts of one proof, in order.
[[nodiscard]] Result<FraudProof, InferenceError> join_fraud_parts(std::span<const FraudPart> parts);

/// The event is a proof of fraud by its tags; it need not parse.
[[nodiscard]] bool claims_fraud(const Event& event);

// ---- Scores -------------------------------------------------------------------------------------

/// NIP-85: a provider's word of a key, ["d", key]["rank", 0 to 100].
struct TrustedAssertion {
  PublicKey provider;
  std::int64_t created_at = 0;
  PublicKey subject;
  std::uint32_t rank = 0;

  bool operator==(const TrustedAssertion&) const = default;
};

[[nodiscard]] Result<TrustedAssertion, InferenceError> parse_assertion(const Event& event);

/// NIP-85: the keys that a user's list of providers (kind 10040) names for ranks of keys,
/// ["30382:rank", key, relay]; what is no key is left out, and so is the encrypted part.
[[nodiscard]] std::vector<PublicKey> parse_providers(const Event& event, std::size_t count_max);

/// The keys that a follow list (NIP-02, kind 3) names; what is no key is left out.
[[nodiscard]] std::vector<PublicKey> parse_follows(const Event& event, std::size_t count_max);

}  // namespace nostril
