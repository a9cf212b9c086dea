#pragma once

#include "attestation/vendor_documents.h"
#include "client/relay_pool.h"
#include "schnorr/types.h"

#include <cstddef>
#include <functional>
#include <map>
#include <set>

namespace nostril::client {

/// Vendors' documents (31474) that attestations name, asked for by their digests on the pool's
/// relays, whoever signed the events. What has another digest is not taken. Threads: the loop's
/// only.
class DocumentBook {
 public:
  static constexpr std::size_t kAskedMax = 256;         ///< at a time, in one filter
  static constexpr std::size_t kBytesMax = 32U << 20U;  ///< of all together

  explicit DocumentBook(RelayPool& pool) : pool_(pool) {}

  ~DocumentBook();
  DocumentBook(const DocumentBook&) = delete;
  DocumentBook& operator=(const DocumentBook&) = delete;

  /// Called when one has come.
  void on_document(std::function<void(const Digest&)> callback) { came_ = std::move(callback); }

  /// Called when a relay has sent what it stores of them.
  void on_stored_end(std::function<void()> callback) { ended_ = std::move(callback); }

  /// These are wanted from now on: others are forgotten, and those that are not here are asked for.
  void want(const std::set<Digest>& documents);

  /// Valid till the next turn of the loop; nullptr: not here.
  [[nodiscard]] const Bytes* find(const Digest& digest) const;

  /// None is missing, or a relay has sent what it stores of those that are.
  [[nodiscard]] bool complete() const { return asked_.empty() || stored_end_; }

 private:
  void ask();
  void on_event(const Event& event);

  RelayPool& pool_;
  std::function<void(const Digest&)> came_;
  std::function<void()> ended_;
  SubscriptionId subscription_ = SubscriptionId::None;
  std::set<Digest> asked_;
  bool stored_end_ = false;
  std::map<Digest, Bytes> documents_;
  std::size_t bytes_ = 0;
};

}  // namespace nostril::client
