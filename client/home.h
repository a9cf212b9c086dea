#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/asker.h"
#include "client/auto_pay.h"
#include "client/client_settings.h"
#include "client/fraud_watch.h"
#include "client/inference_client.h"
#include "client/journal.h"
#include "client/offer_book.h"
#include "client/pickup.h"
#include "client/relay_pool.h"
#include "client/reputation_book.h"
#include "client/reputation_feed.h"
#include "client/trust_feed.h"
#include "client/wallet.h"
#include "net/loop.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client {

/// Trust as the settings say; throws std::runtime_error when the root file is no test root, or the
/// policy is none.
[[nodiscard]] TrustSettings trust_from(const ClientSettings& settings);

/// Everything that asking a node takes, wired together, on one loop. Start-up throws
/// std::runtime_error with a line for the user.
class ClientHome {
 public:
  ClientHome(const ClientSettings& settings, net::Loop& loop, Clock& clock, Rng& rng);

  [[nodiscard]] RelayPool& pool() { return pool_; }

  /// Offers, lists, beacons and reputations: a relay has sent all that it stores.
  [[nodiscard]] bool complete() const {
    return feed_->complete() && offers_->complete() && words_->complete();
  }

  [[nodiscard]] OfferBook& offers() { return *offers_; }

  [[nodiscard]] const ReputationBook& reputation() const { return reputation_; }

  [[nodiscard]] ReputationFeed& reputation_feed() { return *words_; }

  [[nodiscard]] Asker& asker() { return *asker_; }

  [[nodiscard]] InferenceClient& inference() { return *inference_; }

  [[nodiscard]] Journal& journal() { return *journal_; }

  /// Most that one node may be owed in one asset.
  [[nodiscard]] Amount budget() const { return wallet_->budget(); }

  [[nodiscard]] PickupStore& pending() { return pending_; }

  /// Runs the loop until what is being paid by itself (auto_pay.h) is decided, ten seconds at
  /// most: for programs that end. What is not is ended by the next one.
  void finish_paying();

  /// Not started yet.
  [[nodiscard]] std::shared_ptr<Pickup> pick_up(PendingAnswer answer,
                                                std::function<void(const PickedUp&)> done);

  /// Also called when offers change, after the asker.
  void on_offers_changed(std::function<void()> callback) { changed_ = std::move(callback); }

 private:
  net::Loop& loop_;
  Clock& clock_;
  TrustSettings trust_;
  RelayPool pool_;
  PickupStore pending_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Wallet> wallet_;
  std::unique_ptr<TrustFeed> feed_;
  std::unique_ptr<OfferBook> offers_;
  ReputationBook reputation_;
  FraudWatch watch_;
  std::unique_ptr<ReputationFeed> words_;
  std::unique_ptr<InferenceClient> inference_;
  std::unique_ptr<AutoPay> auto_pay_;  ///< none: the user pays
  std::unique_ptr<Asker> asker_;
  std::function<void()> changed_;
};

/// Whose receipts pay; made when the home has none. Throws std::runtime_error.
[[nodiscard]] Keypair payment_key(const std::filesystem::path& home, Rng& rng);

/// The home's journal alone, for commands that only read it.
[[nodiscard]] std::unique_ptr<Journal> open_home_journal(const std::filesystem::path& home,
                                                         net::Loop& loop);

}  // namespace nostril::client
