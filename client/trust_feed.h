#pragma once

#include "base/clock.h"
#include "client/known_good_book.h"
#include "client/offer_book.h"
#include "client/relay_pool.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>

namespace nostril::client {

/// Keeps the lists and beacons of a client's trust as the policy's auditors and beacon keys sign
/// them: from files, from `folder` (what earlier runs saw), and from the relays, now and later.
/// Asks nothing when the policy names neither.
/// Threads: the loop's only. `trust` must outlive it; nobody else may change its lists.
class TrustFeed {
 public:
  static constexpr std::size_t kBeaconsMax = 1024;  ///< newest

  /// Throws std::runtime_error when a file that the policy names does not count.
  TrustFeed(RelayPool& pool, TrustSettings& trust, Clock& clock, std::filesystem::path folder);
  ~TrustFeed();
  TrustFeed(const TrustFeed&) = delete;
  TrustFeed& operator=(const TrustFeed&) = delete;

  /// Called after the trust has changed.
  void on_change(std::function<void()> callback) { changed_ = std::move(callback); }

  /// Nothing was asked, or a relay has sent all that it stores.
  [[nodiscard]] bool complete() const {
    return subscription_ == SubscriptionId::None || stored_ends_ > 0;
  }

  [[nodiscard]] const KnownGoodBook& book() const { return book_; }

 private:
  void on_list(const VerifiedEvent& event);
  void on_beacon(const Event& event);
  void subscribe();

  RelayPool& pool_;
  TrustSettings& trust_;
  Clock& clock_;
  std::filesystem::path folder_;
  KnownGoodBook book_;
  SubscriptionId subscription_ = SubscriptionId::None;
  std::function<void()> changed_;
  std::size_t stored_ends_ = 0;
};

}  // namespace nostril::client
