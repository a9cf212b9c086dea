#include "client/asker.h"

#include "base/json.h"
#include "client/node_choice.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace nostril::client {

namespace {

/// A longer pause is as good as for ever.
constexpr std::uint64_t kRetryAfterMsRead = 1ULL << 40U;

bool worth_another_try(const QueryResult& result) {
  switch (result.failure) {
    case QueryFailure::NobodyListens:
    case QueryFailure::NotTaken:
    case QueryFailure::NoAnswer:
    case QueryFailure::NoChannel:
      return true;
    case QueryFailure::Refused:
      return result.error && result.error->retryable;
    default:
      return false;
  }
}

}  // namespace

/// One node that was asked.
struct Asker::Try {
  std::shared_ptr<const VerifiedOffer> offer;
  QueryId query = QueryId::None;
  std::int64_t began_at_ms = 0;  ///< loop time
  bool dropped = false;          ///< another node answers
};

struct Asker::Ask {
  AskId id = AskId::None;
  std::string model;
  std::string path;
  std::string body;
  AskCallbacks callbacks;
  std::set<PublicKey> tried;
  std::map<PublicKey, std::int64_t> not_before_ms;  ///< loop time, of nodes that asked for a pause
  std::vector<std::shared_ptr<Try>> running;
  std::shared_ptr<Try> answering;
  std::vector<Offer> earlier;  ///< that the request was sent under
  RequestId request;
  AskChoice choice;
  Digest seed;  ///< of what is left to chance
  std::optional<std::int64_t> first_sent_at_ms;
  QueryOptions options;
  int tries = 0;
  bool bytes_came = false;
  bool cancelled = false;
  bool waiting_for_offer = false;
  net::TimerId timer = net::TimerId::None;
  net::TimerId hedge_timer = net::TimerId::None;
  std::int64_t wait_ms = 0;  ///< of `timer` while waiting for an offer
  std::string last_problem;  ///< of the try before
};

Asker::Asker(OfferBook& book, InferenceClient& inference, net::Loop& loop, Rng& rng,
             const AskLimits& limits)
    : book_(book), inference_(inference), loop_(loop), rng_(rng), limits_(limits) {}

Asker::~Asker() {
  for (const auto& [id, ask] : asks_) {
    loop_.cancel(ask->timer);
    loop_.cancel(ask->hedge_timer);
  }
}

AskId Asker::ask(std::string model, std::string path, std::string body, AskCallbacks callbacks,
                 QueryOptions options, AskChoice choice) {
  const auto ask = std::make_shared<Ask>();
  ask->id = AskId{next_++};
  ask->model = std::move(model);
  ask->path = std::move(path);
  ask->body = std::move(body);
  ask->callbacks = std::move(callbacks);
  ask->options = options;
  ask->choice = std::move(choice);
  rng_.fill(ask->request.bytes);
  if (ask->choice.sticky.empty()) {
    rng_.fill(ask->seed.bytes);
  } else {
    ask->seed = sha256(ask->choice.sticky);
  }
  asks_.emplace(ask->id, ask);
  ask->waiting_for_offer = true;
  // In a later turn, so that the caller knows the id before anything is called back.
  ask->timer = loop_.after(0, [this, ask] {
    ask->timer = net::TimerId::None;
    try_next(ask);
  });
  return ask->id;
}

void Asker::on_offers_changed() {
  std::vector<std::shared_ptr<Ask>> waiting;
  for (const auto& [id, ask] : asks_) {
    if (ask->waiting_for_offer) waiting.push_back(ask);
  }
  for (const auto& ask : waiting) try_next(ask);
}

void Asker::try_next(const std::shared_ptr<Ask>& ask) {
  auto offer = choose(*ask);
  if (!offer) {
    wait_for_offer(ask);
    return;
  }
  ask->waiting_for_offer = false;
  loop_.cancel(std::exchange(ask->timer, net::TimerId::None));
  start(ask, std::move(offer), false);
}

void Asker::start(const std::shared_ptr<Ask>& ask, std::shared_ptr<const VerifiedOffer> verified,
                  bool is_hedge) {
  ++ask->tries;
  const Offer& offer = verified->offer();
  ask->tried.insert(offer.node);
  if (ask->callbacks.on_offer) ask->callbacks.on_offer(*verified);
  QueryRequest request;
  request.path = ask->path;
  request.body = ask->body;
  if (ask->callbacks.prepare && !ask->callbacks.prepare(*verified, request.path, request.body)) {
    if (!is_hedge) finish(ask, {.failure = QueryFailure::Refused, .detail = "it was not sent"});
    return;
  }
  request.body = with_model(request.body, offer.model);
  // Two nodes at a time are two requests.
  if (!is_hedge) request.request = ask->request;
  if (!is_hedge) request.earlier_offers = ask->earlier;
  if (!ask->first_sent_at_ms) ask->first_sent_at_ms = inference_.now_ms();
  request.first_sent_at_ms = ask->first_sent_at_ms;
  if (!is_hedge) ask->earlier.push_back(offer);
  request.options = ask->options;
  const auto attempt = std::make_shared<Try>();
  attempt->offer = std::move(verified);
  attempt->began_at_ms = static_cast<std::int64_t>(loop_.now_ms());
  ask->running.push_back(attempt);
  if (!is_hedge) arm_hedge(ask);
  attempt->query = inference_.start(attempt->offer, std::move(request), callbacks_of(ask, attempt));
}

QueryCallbacks Asker::callbacks_of(const std::shared_ptr<Ask>& ask,
                                   const std::shared_ptr<Try>& attempt) {
  QueryCallbacks out;
  out.on_delivered = [ask, attempt] {
    if (!attempt->dropped && ask->callbacks.on_delivered) ask->callbacks.on_delivered();
  };
  out.on_head = [this, ask, attempt](const ResponseHead& head) {
    if (attempt->dropped) return;
    on_head(ask, attempt);
    if (ask->callbacks.on_head) ask->callbacks.on_head(head);
  };
  out.on_progress = [ask, attempt](const ProgressFrame& progress) {
    if (!attempt->dropped && ask->callbacks.on_progress) ask->callbacks.on_progress(progress);
  };
  out.on_data = [ask, attempt](ByteSpan bytes) {
    if (attempt->dropped) return;
    ask->bytes_came = true;
    if (ask->callbacks.on_data) ask->callbacks.on_data(bytes);
  };
  out.on_end = [this, ask, attempt](const QueryResult& result) {
    on_query_end(ask, attempt, result);
  };
  return out;
}

void Asker::arm_hedge(const std::shared_ptr<Ask>& ask) {
  loop_.cancel(std::exchange(ask->hedge_timer, net::TimerId::None));
  if (ask->choice.hedge_ms <= 0) return;
  ask->hedge_timer =
      loop_.after(static_cast<std::uint64_t>(ask->choice.hedge_ms), [this, ask] { hedge(ask); });
}

/// One second node at a time, that was not asked yet.
void Asker::hedge(const std::shared_ptr<Ask>& ask) {
  ask->hedge_timer = net::TimerId::None;
  if (ask->answering || ask->cancelled || ask->running.size() != 1) return;
  auto offer = choose(*ask);
  if (offer && !ask->tried.contains(offer->offer().node)) start(ask, std::move(offer), true);
}

void Asker::on_head(const std::shared_ptr<Ask>& ask, const std::shared_ptr<Try>& attempt) {
  if (ask->answering == attempt) return;
  ask->answering = attempt;
  loop_.cancel(std::exchange(ask->hedge_timer, net::TimerId::None));
  const auto now_ms = static_cast<std::int64_t>(loop_.now_ms());
  const std::int64_t waited_ms =
      std::clamp<std::int64_t>(now_ms - attempt->began_at_ms, 0, 1 << 30);
  history_.answered(attempt->offer->offer().node, static_cast<std::uint32_t>(waited_ms), now_ms);
  const auto running = ask->running;  // cancelling may end them at once
  for (const auto& other : running) {
    if (other == attempt) continue;
    other->dropped = true;
    inference_.cancel(other->query, "another node answers");
  }
  if (ask->callbacks.on_answering) ask->callbacks.on_answering(*attempt->offer);
}

void Asker::wait_for_offer(const std::shared_ptr<Ask>& ask) {
  ask->waiting_for_offer = true;
  const bool others = book_.complete() && !book_.usable().empty();
  // Every relay has said all it has, and what is there was refused: waiting won't help.
  if (book_.complete() && !others && !book_.rejected().empty()) {
    give_up(ask);
    return;
  }
  const std::int64_t wait_ms = others ? limits_.model_wait_ms : limits_.offer_wait_ms;
  if (ask->timer != net::TimerId::None && ask->wait_ms <= wait_ms) return;
  loop_.cancel(ask->timer);
  ask->wait_ms = wait_ms;
  ask->timer = loop_.after(static_cast<std::uint64_t>(wait_ms), [this, ask] { give_up(ask); });
}

void Asker::give_up(const std::shared_ptr<Ask>& ask) {
  QueryResult none;
  const bool others = book_.complete() && !book_.usable().empty();
  none.failure = others ? QueryFailure::NotOffered : QueryFailure::NoAnswer;
  none.detail = why_no_offer(*ask);
  finish(ask, none);
}

std::vector<std::shared_ptr<const VerifiedOffer>> Asker::candidates(const Ask& ask) const {
  auto usable = book_.usable();
  std::erase_if(usable, [&ask](const auto& candidate) {
    const Offer& offer = candidate->offer();
    return (!ask.model.empty() && offer.model != ask.model) ||
           (ask.choice.suits && !ask.choice.suits(offer));
  });
  return usable;
}

/// How long until one of the nodes may be asked; 0 also when there is none.
std::int64_t Asker::pause_ms(const Ask& ask) const {
  std::optional<std::int64_t> shortest;
  for (const auto& candidate : candidates(ask)) {
    const std::int64_t left = pause_ms(ask, *candidate);
    shortest = std::min(shortest.value_or(left), left);
  }
  return shortest.value_or(0);
}

std::int64_t Asker::pause_ms(const Ask& ask, const VerifiedOffer& offer) const {
  const auto found = ask.not_before_ms.find(offer.offer().node);
  if (found == ask.not_before_ms.end()) return 0;
  return std::max<std::int64_t>(0, found->second - static_cast<std::int64_t>(loop_.now_ms()));
}

/// A node that was tried already only when there is no other.
std::shared_ptr<const VerifiedOffer> Asker::choose(const Ask& ask) {
  auto usable = candidates(ask);
  std::erase_if(usable, [&](const auto& candidate) { return pause_ms(ask, *candidate) > 0; });
  if (usable.empty()) return nullptr;
  const auto now_ms = static_cast<std::int64_t>(loop_.now_ms());
  std::vector<NodeCandidate> known;
  known.reserve(usable.size());
  for (const auto& verified : usable) {
    const Offer& offer = verified->offer();
    known.push_back({offer.node, ask.tried.contains(offer.node), verified->verdict().simulated,
                     reputation_ == nullptr ? 0 : reputation_->score(offer.node).total,
                     history_.failures(offer.node, now_ms), price_rank(offer),
                     history_.first_byte_ms(offer.node), load_rank(offer.load)});
  }
  return usable[order_nodes(known, ask.seed).front()];
}

/// What the node signed was right, or not. That it is slow or away is history_'s.
void Asker::note_result(const PublicKey& node, const QueryResult& result) {
  if (reputation_ == nullptr) return;
  if (result.verified()) reputation_->note_verified(node);
  if (result.failure == QueryFailure::Broken || result.failure == QueryFailure::NotPayable) {
    reputation_->note_broken(node);
  }
}

void Asker::note_failure(Ask& ask, const Try& attempt, const QueryResult& result) {
  const PublicKey& node = attempt.offer->offer().node;
  const auto now_ms = static_cast<std::int64_t>(loop_.now_ms());
  // What the relays or our own disk did is not the node's.
  const bool own = result.failure == QueryFailure::None ||
                   result.failure == QueryFailure::NotTaken ||
                   result.failure == QueryFailure::JournalFailed;
  const bool asked_wrongly =
      result.failure == QueryFailure::Refused && (!result.error || !result.error->retryable);
  if (!own && !asked_wrongly && !ask.cancelled) history_.failed(node, now_ms);
  if (result.error && result.error->retry_after_ms > 0) {
    const std::uint64_t wait_ms = std::min(result.error->retry_after_ms, kRetryAfterMsRead);
    ask.not_before_ms[node] = now_ms + static_cast<std::int64_t>(wait_ms);
  }
}

void Asker::on_query_end(const std::shared_ptr<Ask>& ask, const std::shared_ptr<Try>& attempt,
                         const QueryResult& result) {
  std::erase(ask->running, attempt);
  note_result(attempt->offer->offer().node, result);
  if (result.failure == QueryFailure::None && result.record && ask->callbacks.on_record) {
    ask->callbacks.on_record(*attempt->offer, *result.record);
  }
  if (attempt->dropped) return;
  note_failure(*ask, *attempt, result);
  // The other node may still answer.
  if (!ask->answering && !ask->running.empty() && worth_another_try(result)) return;
  const std::int64_t wait_ms = std::max(limits_.retry_ms, pause_ms(*ask));
  const bool again = !ask->bytes_came && !ask->cancelled && ask->running.empty() &&
                     ask->tries < limits_.tries_max && worth_another_try(result) &&
                     wait_ms <= std::max(limits_.retry_ms, limits_.retry_after_ms_max);
  if (!again) {
    finish(ask, result);
    return;
  }
  ask->answering = nullptr;
  ask->last_problem = result.detail;
  ask->timer = loop_.after(static_cast<std::uint64_t>(wait_ms), [this, ask] {
    ask->timer = net::TimerId::None;
    try_next(ask);
  });
}

void Asker::finish(const std::shared_ptr<Ask>& ask, const QueryResult& result) {
  loop_.cancel(ask->timer);
  loop_.cancel(ask->hedge_timer);
  asks_.erase(ask->id);
  const auto running = ask->running;
  for (const auto& other : running) {
    other->dropped = true;
    inference_.cancel(other->query, "another node has answered");
  }
  if (ask->callbacks.on_end) ask->callbacks.on_end(result);
}

void Asker::cancel(AskId id, const std::string& reason) {
  const auto found = asks_.find(id);
  if (found == asks_.end()) return;
  const auto ask = found->second;
  ask->cancelled = true;
  const auto running = ask->running;  // cancelling may end them at once
  if (!running.empty()) {
    // on_end still comes, with a record
    for (const auto& attempt : running) inference_.cancel(attempt->query, reason);
    return;
  }
  QueryResult cancelled;
  cancelled.failure = QueryFailure::NoAnswer;
  cancelled.detail = reason;
  finish(ask, cancelled);
}

std::string Asker::why_no_offer(const Ask& ask) const {
  std::string out =
      ask.model.empty() ? "no node offers a model" : "no node offers the model " + ask.model;
  const bool unsuited =
      ask.choice.suits && std::ranges::any_of(book_.usable(), [&](const auto& one) {
        return one->offer().model == ask.model && !ask.choice.suits(one->offer());
      });
  if (unsuited) out += " as the rules want it";
  if (!ask.last_problem.empty()) out += " any longer; the last try: " + ask.last_problem;
  if (!book_.complete()) {
    out += ": no relay has answered yet";
    for (const std::string& problem : inference_.relay_problems()) out += "; " + problem;
    return out;
  }
  for (const RejectedOffer& rejected : book_.rejected()) {
    out += "; an offer of " + rejected.offer.model + " was refused: " + rejected.reason;
  }
  return out;
}

std::string with_model(const std::string& body, std::string_view model) {
  const auto parsed = Json::parse(body);
  if (!parsed || !parsed->is_object()) return body;  // the node says what is wrong with it
  if (parsed->find_string("model") == model) return body;
  JsonWriter writer;
  writer.begin_object().key("model").string(model);
  for (const auto& [name, value] : parsed->members()) {
    if (name != "model") writer.key(name).value(value);
  }
  writer.end_object();
  return std::move(writer).take();
}

}  // namespace nostril::client
