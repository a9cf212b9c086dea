#include "client/asker.h"

#include "base/json.h"
#include "settlement/price.h"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <utility>

namespace nostril::client {

namespace {

/// A longer pause is as good as for ever.
constexpr std::uint64_t kRetryAfterMsRead = 1ULL << 40U;

/// What a million tokens in and a million out would cost: good enough to rank by.
Uint128 rank(const Offer& offer) {
  const settlement::PriceTable prices = settlement::PriceTable::of(offer);
  return prices.amount(PriceUnit::Input).value() + prices.amount(PriceUnit::Output).value() +
         prices.amount(PriceUnit::Request).value();
}

bool worth_another_try(const QueryResult& result) {
  switch (result.failure) {
    case QueryFailure::NobodyListens:
    case QueryFailure::NotTaken:
    case QueryFailure::NoAnswer:
      return true;
    case QueryFailure::Refused:
      return result.error && result.error->retryable;
    default:
      return false;
  }
}

}  // namespace

struct Asker::Ask {
  AskId id = AskId::None;
  std::string model;
  std::string path;
  std::string body;
  AskCallbacks callbacks;
  std::set<PublicKey> tried;
  std::map<PublicKey, std::int64_t> not_before_ms;  ///< loop time, of nodes that asked for a pause
  std::shared_ptr<const VerifiedOffer> offer;
  std::vector<Offer> earlier;  ///< that the request was sent under
  QueryId query = QueryId::None;
  RequestId request;
  std::optional<std::int64_t> first_sent_at_ms;
  QueryOptions options;
  int tries = 0;
  bool bytes_came = false;
  bool waiting_for_offer = false;
  net::TimerId timer = net::TimerId::None;
  std::int64_t wait_ms = 0;  ///< of `timer` while waiting for an offer
  std::string last_problem;  ///< of the try before
};

Asker::Asker(OfferBook& book, InferenceClient& inference, net::Loop& loop, Rng& rng,
             const AskLimits& limits)
    : book_(book), inference_(inference), loop_(loop), rng_(rng), limits_(limits) {}

Asker::~Asker() {
  for (const auto& [id, ask] : asks_) loop_.cancel(ask->timer);
}

AskId Asker::ask(std::string model, std::string path, std::string body, AskCallbacks callbacks,
                 QueryOptions options) {
  const auto ask = std::make_shared<Ask>();
  ask->id = AskId{next_++};
  ask->model = std::move(model);
  ask->path = std::move(path);
  ask->body = std::move(body);
  ask->callbacks = std::move(callbacks);
  ask->options = options;
  rng_.fill(ask->request.bytes);
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
  ask->offer = choose(*ask);
  if (!ask->offer) {
    wait_for_offer(ask);
    return;
  }
  ask->waiting_for_offer = false;
  loop_.cancel(std::exchange(ask->timer, net::TimerId::None));
  ++ask->tries;
  const Offer& offer = ask->offer->offer();
  ask->tried.insert(offer.node);
  if (ask->callbacks.on_offer) ask->callbacks.on_offer(*ask->offer);
  QueryRequest request;
  request.path = ask->path;
  request.body = with_model(ask->body, offer.model);
  request.request = ask->request;
  request.earlier_offers = ask->earlier;
  if (!ask->first_sent_at_ms) ask->first_sent_at_ms = inference_.now_ms();
  request.first_sent_at_ms = ask->first_sent_at_ms;
  ask->earlier.push_back(ask->offer->offer());
  request.options = ask->options;
  QueryCallbacks callbacks;
  callbacks.on_delivered = ask->callbacks.on_delivered;
  callbacks.on_head = ask->callbacks.on_head;
  callbacks.on_progress = ask->callbacks.on_progress;
  callbacks.on_data = [ask](ByteSpan bytes) {
    ask->bytes_came = true;
    if (ask->callbacks.on_data) ask->callbacks.on_data(bytes);
  };
  callbacks.on_end = [this, ask](const QueryResult& result) { on_query_end(ask, result); };
  ask->query = inference_.start(ask->offer, std::move(request), std::move(callbacks));
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
    return !ask.model.empty() && candidate->offer().model != ask.model;
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

/// The cheapest, of equals the least busy; a node that was tried already only when there is no
/// other.
std::shared_ptr<const VerifiedOffer> Asker::choose(const Ask& ask) {
  auto usable = candidates(ask);
  std::erase_if(usable, [&](const auto& candidate) { return pause_ms(ask, *candidate) > 0; });
  if (usable.empty()) return nullptr;
  const auto order = [&ask](const auto& candidate) {
    const Offer& offer = candidate->offer();
    return std::tuple(ask.tried.contains(offer.node), rank(offer), load_rank(offer.load));
  };
  const auto best = order(*std::ranges::min_element(usable, {}, order));
  std::erase_if(usable, [&](const auto& candidate) { return order(candidate) != best; });
  std::array<std::uint8_t, 4> random{};
  rng_.fill(random);
  const std::uint32_t word = random[0] | static_cast<std::uint32_t>(random[1]) << 8U;
  return usable[word % usable.size()];
}

void Asker::on_query_end(const std::shared_ptr<Ask>& ask, const QueryResult& result) {
  if (result.error && result.error->retry_after_ms > 0) {
    const std::uint64_t wait_ms = std::min(result.error->retry_after_ms, kRetryAfterMsRead);
    ask->not_before_ms[ask->offer->offer().node] =
        static_cast<std::int64_t>(loop_.now_ms() + wait_ms);
  }
  const std::int64_t wait_ms = std::max(limits_.retry_ms, pause_ms(*ask));
  const bool again = !ask->bytes_came && ask->tries < limits_.tries_max &&
                     worth_another_try(result) &&
                     wait_ms <= std::max(limits_.retry_ms, limits_.retry_after_ms_max);
  if (!again) {
    finish(ask, result);
    return;
  }
  ask->query = QueryId::None;
  ask->last_problem = result.detail;
  ask->timer = loop_.after(static_cast<std::uint64_t>(wait_ms), [this, ask] {
    ask->timer = net::TimerId::None;
    try_next(ask);
  });
}

void Asker::finish(const std::shared_ptr<Ask>& ask, const QueryResult& result) {
  loop_.cancel(ask->timer);
  asks_.erase(ask->id);
  if (ask->callbacks.on_end) ask->callbacks.on_end(result);
}

void Asker::cancel(AskId id, const std::string& reason) {
  const auto found = asks_.find(id);
  if (found == asks_.end()) return;
  const auto ask = found->second;
  if (ask->query != QueryId::None) {
    inference_.cancel(ask->query, reason);  // on_end still comes, with a record
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
