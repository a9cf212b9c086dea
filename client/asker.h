#pragma once

#include "client/inference_client.h"
#include "client/node_history.h"
#include "client/offer_book.h"
#include "client/reputation_book.h"
#include "net/loop.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace nostril::client {

enum class AskId : std::uint64_t { None = 0 };

struct AskCallbacks {
  /// A node has taken the request, its whole body.
  std::function<void()> on_delivered;
  /// A node was chosen; its evidence has passed. Nothing has been sent yet. Again for each retry.
  std::function<void(const VerifiedOffer& offer)> on_offer;
  /// After on_offer: may change path and body for this node. False: nothing is sent, the request
  /// ends as Refused.
  std::function<bool(const VerifiedOffer& offer, std::string& path, std::string& body)> prepare;
  /// Before on_head: of the nodes that were asked, this one answers.
  std::function<void(const VerifiedOffer& offer)> on_answering;
  std::function<void(const ResponseHead& head)> on_head;
  std::function<void(ByteSpan bytes)> on_data;
  std::function<void(const ProgressFrame& progress)> on_progress;
  /// What a node has stated at the end of its part, and was found right, stored and paid; also of
  /// one whose answer is not used.
  std::function<void(const VerifiedOffer& offer, const ResponseRecord& record)> on_record;
  /// Once; only on_record may still come.
  std::function<void(const QueryResult& result)> on_end;
};

/// How a node is chosen for one request.
struct AskChoice {
  /// Requests of one name prefer one node among equals, for its prompt cache; empty: by chance.
  std::string sticky = {};
  /// When no byte has come after this, a second node is asked as well, and who answers first is
  /// heard; the other is cancelled, and paid for what it did. 0: never.
  std::int64_t hedge_ms = 0;
  /// Offers that the user takes for this request; empty: all that are usable.
  std::function<bool(const Offer& offer)> suits = {};
};

struct AskLimits {
  int tries_max = 3;                    ///< nodes tried, or one node tried again
  std::int64_t offer_wait_ms = 10'000;  ///< for a usable offer, when there is none of any model
  /// For an offer of the model, when others are offered: a slower relay may still bring it.
  std::int64_t model_wait_ms = 2'000;
  std::int64_t retry_ms = 500;  ///< pause before the next try
  /// A node that asks for a pause (`retry_after_ms`) is not asked again before; when it wants more
  /// than this and there is no other node, its refusal is the answer.
  std::int64_t retry_after_ms_max = 10'000;
};

/// Finds a node for a model and asks it, in the order of node_choice.h; another node, or the same
/// one again under the same request id, as long as no byte of an answer has come.
/// Threads: the loop's only. Destroying it drops what is under way without a call.
class Asker {
 public:
  Asker(OfferBook& book, InferenceClient& inference, net::Loop& loop, Rng& rng,
        const AskLimits& limits = {});
  ~Asker();
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  /// An empty `model` takes any; the body then gets the offer's. `body` must be a JSON object.
  AskId ask(std::string model, std::string path, std::string body, AskCallbacks callbacks,
            QueryOptions options = {}, AskChoice choice = {});
  void cancel(AskId id, const std::string& reason);

  /// Nodes are chosen by its scores as well, and it hears what came of them. Outlives this object.
  void use_reputation(ReputationBook& reputation) { reputation_ = &reputation; }

  /// To be called when the offer book changed.
  void on_offers_changed();

 private:
  struct Ask;
  struct Try;
  void wait_for_offer(const std::shared_ptr<Ask>& ask);
  void try_next(const std::shared_ptr<Ask>& ask);
  void start(const std::shared_ptr<Ask>& ask, std::shared_ptr<const VerifiedOffer> verified,
             bool is_hedge);
  [[nodiscard]] QueryCallbacks callbacks_of(const std::shared_ptr<Ask>& ask,
                                            const std::shared_ptr<Try>& attempt);
  void arm_hedge(const std::shared_ptr<Ask>& ask);
  void hedge(const std::shared_ptr<Ask>& ask);
  void on_head(const std::shared_ptr<Ask>& ask, const std::shared_ptr<Try>& attempt);
  [[nodiscard]] std::shared_ptr<const VerifiedOffer> choose(const Ask& ask);
  [[nodiscard]] std::vector<std::shared_ptr<const VerifiedOffer>> candidates(const Ask& ask) const;
  [[nodiscard]] std::int64_t pause_ms(const Ask& ask) const;
  [[nodiscard]] std::int64_t pause_ms(const Ask& ask, const VerifiedOffer& offer) const;
  void on_query_end(const std::shared_ptr<Ask>& ask, const std::shared_ptr<Try>& attempt,
                    const QueryResult& result);
  void note_result(const PublicKey& node, const QueryResult& result);
  void note_failure(Ask& ask, const Try& attempt, const QueryResult& result);
  void give_up(const std::shared_ptr<Ask>& ask);
  void finish(const std::shared_ptr<Ask>& ask, const QueryResult& result);
  [[nodiscard]] std::string why_no_offer(const Ask& ask) const;

  OfferBook& book_;
  InferenceClient& inference_;
  net::Loop& loop_;
  Rng& rng_;
  const AskLimits limits_;
  std::uint64_t next_ = 1;
  std::map<AskId, std::shared_ptr<Ask>> asks_;
  NodeHistory history_;
  ReputationBook* reputation_ = nullptr;
};

/// `body` with its "model" member set to `model`; the other members keep their place and text.
[[nodiscard]] std::string with_model(const std::string& body, std::string_view model);

}  // namespace nostril::client
