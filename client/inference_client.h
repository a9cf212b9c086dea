#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/frame_inbox.h"
#include "client/fraud_watch.h"
#include "client/node_payer.h"
#include "client/offer_book.h"
#include "client/pickup_store.h"
#include "client/query_failure.h"
#include "client/relay_pool.h"
#include "client/wallet.h"
#include "events/client_session.h"
#include "net/loop.h"
#include "schnorr/verify.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client {

enum class QueryId : std::uint64_t { None = 0 };

struct QueryOptions {
  /// The node goes on without us, and the answer can be picked up later (pickup.h).
  bool durable = false;
  /// Frames of one size at a fixed rate (spec/05-session.md, Features); slower, and dearer for
  /// relays.
  bool quiet = false;
  /// The request was sent long ago: a node that does not know it any more refuses it, and makes and
  /// charges no second answer.
  bool again = false;
};

/// One HTTP request to be answered by an engine behind a node.
struct QueryRequest {
  std::string method = "POST";
  std::string path;
  std::string body;
  std::optional<RequestId> request;  ///< the same again after a failure: charged once
  /// Under which the same request was sent before: its record may name one of them.
  std::vector<Offer> earlier_offers = {};
  /// When it was sent first, on the client's monotonic clock; nothing: now.
  std::optional<std::int64_t> first_sent_at_ms = {};
  QueryOptions options = {};
  /// For a path that the node answers itself, for nothing: no channel is named, no receipt signed.
  bool unpaid = false;
};

/// How a query ended. With a record: its signature, author, hashes, offer and request were checked.
struct QueryResult {
  QueryFailure failure = QueryFailure::None;
  std::string detail = {};               ///< a sentence for the user
  std::optional<ErrorFrame> error = {};  ///< the node's own words
  std::optional<ResponseRecord> record = {};
  std::optional<Event> record_event = {};
  std::optional<Event> receipt = {};  ///< none when nothing is owed

  /// The engine's whole answer, recorded and paid.
  [[nodiscard]] bool verified() const {
    return failure == QueryFailure::None && record && record->status == RecordStatus::Ok;
  }
};

struct QueryCallbacks {
  /// The node has taken the request, its whole body.
  std::function<void()> on_delivered;
  std::function<void(const ResponseHead& head)> on_head;
  /// Exact response bytes, in order. The node keeps a window of unread ones: taken when it returns.
  std::function<void(ByteSpan bytes)> on_data;
  std::function<void(const ProgressFrame& progress)> on_progress;
  /// Once, last. The query is gone then.
  std::function<void(const QueryResult& result)> on_end;
};

/// Asks nodes that have proven themselves and pays what their records prove. One session a query.
/// Threads: the loop's only. Destroying it drops running queries without a call.
class InferenceClient {
 public:
  InferenceClient(RelayPool& pool, Wallet& wallet, net::Loop& loop, Clock& clock, Rng& rng);
  ~InferenceClient();

  /// Where durable requests are kept until their answer is here; without it they are not. Outlives
  /// this object.
  void keep_pending_in(PickupStore& store) { pending_ = &store; }

  /// Records are compared as they come; one that contradicts itself or another is not paid, and
  /// `found` gets the proof. `watch` outlives this object.
  void watch_for_fraud(FraudWatch& watch, std::function<void(const ProvenFraud&)> found) {
    watch_ = &watch;
    found_fraud_ = std::move(found);
  }

  /// Pays nodes that are paid after the fact; without it the user does. Outlives every query.
  void pay_with(NodePayer& payer) { payer_ = &payer; }

  InferenceClient(const InferenceClient&) = delete;
  InferenceClient& operator=(const InferenceClient&) = delete;

  /// Subscribes, and seals and sends the request once a relay is ready to bring the answer.
  QueryId start(std::shared_ptr<const VerifiedOffer> offer, QueryRequest request,
                QueryCallbacks callbacks);
  /// Stops the engine; on_end still comes, with the record of what was used.
  void cancel(QueryId id, std::string reason);

  /// Why relays are not connected, for a message to the user.
  [[nodiscard]] std::vector<std::string> relay_problems() const { return pool_.problems(); }

  /// The clock of QueryRequest::first_sent_at_ms.
  [[nodiscard]] std::int64_t now_ms() const { return clock_.monotonic_ms(); }

  [[nodiscard]] std::size_t running() const { return queries_.size(); }

 private:
  class Query;
  void remove(QueryId id);
  void on_connection_change(const std::string& relay, bool connected);

  RelayPool& pool_;
  Wallet& wallet_;
  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  Verifier verifier_;
  FrameInbox inbox_;
  PickupStore* pending_ = nullptr;
  FraudWatch* watch_ = nullptr;
  std::function<void(const ProvenFraud&)> found_fraud_;
  NodePayer* payer_ = nullptr;
  std::uint64_t next_ = 1;
  std::map<QueryId, std::shared_ptr<Query>> queries_;
};

}  // namespace nostril::client
