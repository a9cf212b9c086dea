#pragma once

#include "attestation/vendor_documents.h"
#include "base/clock.h"
#include "client/relay_pool.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

namespace nostril::client {

/// Digests of documents by who names them.
using NamedBy = std::map<PublicKey, std::set<Digest>>;

/// At most `most` of those that `skip` does not take out: each author's first before anybody's
/// second, the authors in an order that follows from `salt`, which they don't know. Who names more
/// waits longer, and nobody else does. Pure.
[[nodiscard]] std::set<Digest> fair_choice(const NamedBy& named,
                                           const std::function<bool(const Digest&)>& skip,
                                           std::size_t most, const Digest& salt);

/// Vendors' documents (31474) that attestations name, asked for by their digests on the pool's
/// relays, whoever signed the events. What has another digest is not taken. More than one question
/// holds are asked for in rounds, fairly: names of documents that don't exist cost their author
/// places, and others a moment. Threads: the loop's only.
class DocumentBook {
 public:
  static constexpr std::size_t kAskedMax = 256;         ///< at a time, in one filter
  static constexpr std::size_t kBytesMax = 32U << 20U;  ///< of all together
  /// Relays that are slower than this don't hold up the next question of a round.
  static constexpr std::int64_t kAnswerMsMax = 5'000;

  DocumentBook(RelayPool& pool, Clock& clock);

  ~DocumentBook();
  DocumentBook(const DocumentBook&) = delete;
  DocumentBook& operator=(const DocumentBook&) = delete;

  /// Called when one has come.
  void on_document(std::function<void(const Digest&)> callback) { came_ = std::move(callback); }

  /// Called when a relay has sent what it stores of them.
  void on_stored_end(std::function<void()> callback) { ended_ = std::move(callback); }

  /// These are wanted from now on: others are forgotten, and those that are not here are asked for.
  void want(NamedBy named);

  /// Valid till the next turn of the loop; nullptr: not here.
  [[nodiscard]] const Bytes* find(const Digest& digest) const;

  /// None is missing, or a relay has sent what it stores of each that is.
  [[nodiscard]] bool complete() const {
    return asked_.empty() || (!ended_relays_.empty() && last_of_round_);
  }

 private:
  void ask(std::set<Digest> documents);
  void ask_next();
  void on_stored_end_of(const std::string& relay);
  [[nodiscard]] bool answered() const;
  void on_event(const Event& event);

  RelayPool& pool_;
  Clock& clock_;
  Digest salt_;  ///< of the order of authors
  std::function<void(const Digest&)> came_;
  std::function<void()> ended_;
  SubscriptionId subscription_ = SubscriptionId::None;
  std::set<Digest> wanted_;
  NamedBy named_;
  std::set<Digest> asked_;
  std::set<Digest> asked_before_;  ///< in this round, when one question does not hold all
  bool last_of_round_ = true;
  std::set<std::string> ended_relays_;  ///< that have sent what they store of `asked_`
  std::int64_t asked_at_ms_ = 0;
  std::map<Digest, Bytes> documents_;
  std::size_t bytes_ = 0;
};

}  // namespace nostril::client
