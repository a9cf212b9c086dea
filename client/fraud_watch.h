#pragma once

#include "attestation/trust_roots.h"
#include "client/fraud_proof.h"
#include "events/event.h"
#include "events/inference.h"
#include "events/reputation.h"
#include "schnorr/verify.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace nostril::client {

/// A proof that was checked, and what it proves.
struct ProvenFraud {
  FraudProof proof;
  std::string reason;
};

/// Compares each record that nodes sign for us with the offer that priced it and with the records
/// before it, and makes the proof when they contradict each other. What it gives has passed
/// check_fraud_proof(). Keeps what has come while it lives. Threads: one.
class FraudWatch {
 public:
  static constexpr std::size_t kOffersMax = 1'024;    ///< newest; 2 KiB each
  static constexpr std::size_t kRequestsMax = 4'096;  ///< newest whole answers; 2 KiB each
  static constexpr std::size_t kChannelsMax = 256;    ///< the one that has slept longest goes
  static constexpr std::size_t kStatementsMax = 64;   ///< newest, of a channel; 2 KiB each

  explicit FraudWatch(attestation::TrustRoots roots) : roots_(std::move(roots)) {}

  /// A request is sent under it.
  void on_offer(const VerifiedEvent& offer);

  /// A record whose signature and author were checked. Again is no matter.
  [[nodiscard]] std::optional<ProvenFraud> on_record(const Event& event);

  /// An offer that the verifier refuses, with the attestation that it names.
  [[nodiscard]] std::optional<ProvenFraud> on_refused(const VerifiedEvent& offer,
                                                      const VerifiedEvent& attestation);

 private:
  struct Statement {
    Event event;
    ResponseRecord record;
  };

  struct Channel {
    std::map<std::uint64_t, Statement> statements;  ///< by number
    std::uint64_t used = 0;
  };

  [[nodiscard]] std::optional<ProvenFraud> try_proof(FraudProof proof);
  [[nodiscard]] std::optional<ProvenFraud> compare_answers(const Statement& statement);
  [[nodiscard]] std::optional<ProvenFraud> compare_statements(const Channel& channel,
                                                              const Statement& statement);
  [[nodiscard]] std::optional<ProvenFraud> compare_price(const Channel& channel,
                                                         const Statement& statement);
  Channel& channel_of(const ResponseRecord& record);
  void keep(Channel& channel, const Statement& statement);

  const attestation::TrustRoots roots_;
  Verifier verifier_;
  std::uint64_t turn_ = 0;
  std::map<EventId, Event> offers_;
  std::deque<EventId> offers_by_age_;
  std::map<std::pair<PublicKey, RequestId>, Event> answers_;
  std::deque<std::pair<PublicKey, RequestId>> answers_by_age_;
  std::map<std::pair<PublicKey, ChannelId>, Channel> channels_;
};

}  // namespace nostril::client
