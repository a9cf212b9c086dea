#pragma once

#include "client/inference_client.h"
#include "client/offer_book.h"
#include "client/pickup_store.h"
#include "client/relay_pool.h"
#include "client/wallet.h"
#include "events/stored_answer.h"
#include "net/loop.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace nostril::client {

/// How a pick-up ended.
struct PickedUp {
  ResponseHead head;
  std::string body;
  QueryResult result;             ///< as of a query; verified() holds for it
  bool stored = false;            ///< the body came from relays; else from the node
  bool receipt_delivered = true;  ///< false: the node was not reached to be paid
};

struct PickupTimes {
  std::uint64_t stored_ms_max = 5'000;  ///< for relays to send what they store
  std::uint64_t offer_ms_max = 5'000;   ///< for an offer of the node, to ask it
};

/// Fetches one pending answer: stored frames from relays, whether the node is there or not; then
/// from the node, by the same request again, what relays have not. A receipt goes the second way,
/// too. The caller takes the answer out of its PickupStore when it is verified and paid.
/// Threads: the loop's only. Destroying it drops what is under way without a call.
class Pickup : public std::enable_shared_from_this<Pickup> {
 public:
  Pickup(RelayPool& pool, Wallet& wallet, OfferBook& offers, InferenceClient& inference,
         net::Loop& loop, Clock& clock, PendingAnswer pending,
         std::function<void(const PickedUp&)> done, const PickupTimes& times = {});
  ~Pickup();
  Pickup(const Pickup&) = delete;
  Pickup& operator=(const Pickup&) = delete;

  /// Once, after it is owned by a shared_ptr.
  void start();

 private:
  void on_stored_end();
  void on_frame(const Event& event);
  void on_answer(const FinishedAnswer& answer);
  void ask_node();
  void look_for_offer(std::int64_t until_ms);
  void send_again(std::shared_ptr<const VerifiedOffer> offer);
  void on_node_answered(const QueryResult& result);
  void end();

  RelayPool& pool_;
  Wallet& wallet_;
  OfferBook& offers_;
  InferenceClient& inference_;
  net::Loop& loop_;
  Clock& clock_;
  Verifier verifier_;
  const PendingAnswer pending_;
  std::function<void(const PickedUp&)> done_;
  const PickupTimes times_;
  std::optional<StoredAnswerReader> reader_;
  SubscriptionId subscription_ = SubscriptionId::None;
  net::TimerId timer_ = net::TimerId::None;
  QueryId query_ = QueryId::None;
  std::size_t relays_heard_ = 0;
  bool asking_ = false;
  bool ended_ = false;
  PickedUp out_;
};

}  // namespace nostril::client
