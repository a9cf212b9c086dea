#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/journal.h"
#include "client/lightning_payer.h"
#include "client/node_payer.h"
#include "net/loop.h"
#include "settlement/lightning/payment.h"

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client {

/// Pays nodes that are paid after the fact, by itself, within a policy: what the home's receipts
/// owe them and nothing more, when half of what a node trusts is used up, or when it refuses to go
/// on. Payments are made as commands make them (lightning_payer.h): a crash pays nothing twice.
/// After a payment that failed it waits a while before the next.
/// Threads: the loop's only. Destroying it calls nothing back.
class AutoPay final : public NodePayer {
 public:
  static constexpr std::int64_t kRestMs = 10'000;

  struct Settings {
    settlement::lightning::PayPolicy policy;
    std::filesystem::path home;
    std::filesystem::path nwc_file;
    std::string ca_file;
  };

  /// `client` asks the nodes' desks; it outlives this object. The wallet's line is read when the
  /// first payment is due.
  AutoPay(Settings settings, PublicKey signer, InferenceClient& client, Journal& journal,
          net::Loop& loop, Clock& clock, Rng& rng);
  ~AutoPay() override;
  AutoPay(const AutoPay&) = delete;
  AutoPay& operator=(const AutoPay&) = delete;

  void on_receipt(const SharedOffer& offer, const ChannelId& channel, Amount spent) override;
  void make_room(const SharedOffer& offer, RoomDone done) override;

  /// Nothing is being paid, or waits for it.
  [[nodiscard]] bool idle() const { return queue_.empty(); }

 private:
  struct Job {
    SharedOffer offer;
    std::vector<RoomDone> waiting;
  };

  [[nodiscard]] static bool pays(const Offer& offer);
  Job& queue(const SharedOffer& offer);
  void next();
  /// The channel with that node that owes most, or in which a payment is not decided.
  [[nodiscard]] std::optional<settlement::ChannelTerms> debtor(const Offer& offer,
                                                               const LightningBook& book) const;
  [[nodiscard]] settlement::lightning::Msat debt_to(const Offer& offer) const;
  [[nodiscard]] Result<settlement::lightning::Msat, std::string> amount(
      const Offer& offer, const ChannelId& channel, const LightningBook& book) const;
  void end(const Result<void, std::string>& result);
  [[nodiscard]] Result<LightningPayer*, std::string> payer();

  const Settings settings_;
  const PublicKey signer_;
  InferenceClient& client_;
  Journal& journal_;
  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  std::unique_ptr<LightningPayer> payer_;
  std::deque<Job> queue_;  ///< the first is being paid
  bool running_ = false;

  struct Rest {
    std::int64_t until_ms = 0;
    std::string problem;
  };

  std::map<PublicKey, Rest> resting_;  ///< nodes to which a payment failed
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nostril::client
