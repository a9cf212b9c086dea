#include "relay/session.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/rng.h"
#include "events/kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

namespace nostril::relay {

namespace {

// A signature check each, on the loop's own thread.
constexpr unsigned kAuthenticationsMax = 64;
constexpr std::size_t kKeysMax = 32;
// A tag value in a filter counts as one value for as many bytes.
constexpr std::size_t kBytesAValue = 100;
// Refusals in a row for being too fast, until the client is not read for a while.
constexpr unsigned kOverrunsMax = 16;
constexpr std::int64_t kOverrunRestMs = 1'000;
// What a wrong signature counts, which is dear to find, and a small fragment, which is not.
constexpr double kForgeryFaults = 8;
constexpr double kFragmentFaults = 1.0 / 16;
constexpr std::int64_t kFaultRestMsMax = 1'000;

std::string_view failure_of(const QueryStep& step) {
  return step.is_behind ? "error: what was stored last can't be read now, the relay's disk is full "
                          "or slow; try again later"
                        : "error: the store can't be read";
}

}  // namespace

std::size_t values_of(const std::vector<Filter>& filters) {
  std::size_t count = 0;
  for (const Filter& filter : filters) {
    count += 1;
    if (filter.ids) count += filter.ids->size();
    if (filter.authors) count += filter.authors->size();
    if (filter.kinds) count += filter.kinds->size();
    for (const auto& tag : filter.tags) {
      for (const auto& value : tag.values) count += 1 + value.size() / kBytesAValue;
    }
    if (filter.search) count += filter.search->words().size();
  }
  return count;
}

Session::Session(net::ConnectionId connection, const SessionContext& context, ClientAccount account)
    : connection_(connection),
      context_(context),
      reader_(context.nobody),
      account_(std::move(account)) {}

Session::~Session() {
  while (!subscriptions_.empty()) remove(std::prev(subscriptions_.end()));
  while (!counts_.empty()) cancel_count(counts_.begin()->first);
  while (!negentropies_.empty()) remove_negentropy(std::prev(negentropies_.end()));
}

void Session::open() {
  if (!context_.authentication.is_offered()) return;
  SystemRng().fill(challenge_);
  has_challenge_ = true;
  send(auth_challenge_text(encode_hex(challenge_)));
}

void Session::on_text(std::string_view text) {
  if (is_stopping_) return;
  rest(account_.on_message(text.size()));
  auto message = parse_client_message(text, context_.limits.message);
  if (!message) {
    on_error(message.error());
    return;
  }
  std::visit([this](auto&& one) { on(std::forward<decltype(one)>(one)); }, std::move(*message));
}

void Session::on_binary() {
  context_.metrics.unsupported.add();
  send(notice_text("invalid: binary messages mean nothing here"));
  on_fault(1);
}

// A Ping costs what a small message does.
void Session::on_control(std::size_t bytes) {
  if (!is_stopping_) rest(account_.on_message(bytes));
}

void Session::on_small_fragments(std::size_t count) {
  if (!is_stopping_) on_fault(static_cast<double>(count) * kFragmentFaults);
}

void Session::on_error(const MessageError& error) {
  context_.metrics.count(error.error);
  on_fault(1);
  const std::string text = fmt::format("invalid: {}", to_string(error.error));
  if (error.event_id) {
    context_.metrics.events_not_accepted.add();
    send(ok_text(*error.event_id, false, text));
  } else if (error.subscription) {
    refuse(*error.subscription, text);
  } else if (error.negentropy) {
    if (const auto open = find_negentropy(*error.negentropy); open != negentropies_.end()) {
      remove_negentropy(open);
    }
    refuse_negentropy(*error.negentropy, text);
  } else {
    send(notice_text(text));
  }
}

// --- Publishing.

void Session::on(client_message::Publish&& message) {
  context_.metrics.events_received.add();
  const Event& event = message.event.event();
  if (context_.membership != nullptr && Membership::is_request(event.kind)) {
    ask_membership(std::move(message.event));
    return;
  }
  auto refusal =
      context_.admission.refuse(event, context_.clock.unix_s(), reader_->has(event.pubkey));
  if (!refusal && context_.authentication.rules().is_needed_to_write && !is_authenticated() &&
      !Admission::is_open_to_all(event.kind)) {
    refusal = Refusal::AuthRequired;
  }
  if (!refusal) refusal = rate_refusal_of(event);
  if (!refusal && context_.guard != nullptr && !Admission::is_open_to_all(event.kind)) {
    refusal = context_.guard->refuse(event);
  }
  if (refusal) {
    context_.metrics.count(*refusal);
    answer(event.id, false, words_of(*refusal));
    return;
  }
  publish(std::move(message.event));
}

// Such a request names no relay: who is not here himself may be somebody who has seen it elsewhere.
void Session::ask_membership(UnverifiedEvent&& request) {
  const EventId id = request.event().id;
  const PublicKey author = request.event().pubkey;
  if (const auto refusal = rate_refusal_of(request.event())) {
    context_.metrics.count(*refusal);
    answer(id, false, words_of(*refusal));
  } else if (!reader_->has(author)) {
    answer(id, false,
           is_authenticated() ? "restricted: a key joins and leaves by itself"
                              : "auth-required: a key joins and leaves by itself");
  } else if (!context_.host.ask_membership(std::move(request), connection_)) {
    answer(id, false, "error: too many requests wait, try again");
  } else {
    ++publishes_under_way_;
    update_reading();
  }
}

// Where nobody can authenticate, "auth-required" would be a promise; and who has done so with
// another key would do it for ever.
std::string_view Session::words_of(Refusal refusal) const {
  if (refusal != Refusal::Protected) return message_of(refusal);
  if (!context_.authentication.is_offered()) {
    return "blocked: protected events need authentication, which this relay does not offer";
  }
  if (is_authenticated()) {
    return "restricted: this event is taken from its author only, and the keys shown are others";
  }
  return message_of(refusal);
}

bool Session::take_rate_token() {
  const SessionLimits& limits = context_.limits;
  return own_rate_.try_take({limits.events_a_second_max, limits.events_burst_max},
                            context_.clock.monotonic_ms());
}

// An event's author pays once the signature has passed; the keys that the client has shown, now.
std::optional<Refusal> Session::rate_refusal_of(const Event& event) {
  std::optional<Refusal> refusal;
  if (!take_rate_token()) refusal = Refusal::RateLimited;
  if (!refusal && !account_.take_event()) refusal = Refusal::AddressRateLimited;
  if (!refusal && context_.guard != nullptr) {
    for (const PublicKey& key : reader_->keys()) {
      if (key == event.pubkey || context_.guard->keys.take(key)) continue;
      refusal = Refusal::KeyRateLimited;
      break;
    }
  }
  if (refusal) {
    on_overrun();
  } else {
    overruns_ = 0;
  }
  return refusal;
}

const std::shared_ptr<const EventSource>& Session::source() {
  if (source_ == nullptr) {
    EventSource source;
    if (const auto& address = account_.address()) {
      source.type = address->is_v4() ? EventSourceType::Ip4 : EventSourceType::Ip6;
      source.info = address->ip_string();
    }
    if (is_authenticated()) source.authed = reader_->keys().front();
    source_ = std::make_shared<const EventSource>(std::move(source));
  }
  return source_;
}

void Session::publish(UnverifiedEvent event) {
  const EventId id = event.event().id;
  const Offer offer = context_.host.offer(event, connection_);
  if (const auto* settled = std::get_if<Settled>(&offer)) {
    context_.metrics.duplicates_early.add();
    answer(id, is_accepted(settled->result), ok_message(settled->result));
  } else if (std::holds_alternative<Forged>(offer)) {
    answer(id, false, kWrongSignature);
    on_fault(kForgeryFaults);
  } else if (const auto* queued = std::get_if<Queued>(&offer)) {
    if (queued->is_copy) context_.metrics.duplicates_early.add();
    ++publishes_under_way_;
  } else {
    refused_event_ = std::make_unique<UnverifiedEvent>(std::move(event));
    context_.host.retry_later(connection_);
  }
  update_reading();
}

void Session::answer(const EventId& id, bool accepted, std::string_view message) {
  (accepted ? context_.metrics.events_accepted : context_.metrics.events_not_accepted).add();
  send(ok_text(encode_hex(id), accepted, message));
}

void Session::on_answer(const EventId& id, bool accepted, std::string_view message) {
  CHECK(publishes_under_way_ > 0);
  --publishes_under_way_;
  answer(id, accepted, message);
  if (!accepted && message == kWrongSignature) on_fault(kForgeryFaults);
  update_reading();
}

// --- Authentication (NIP-42).

void Session::on(client_message::Auth&& message) {
  const EventId id = message.event.event().id;
  const auto key = authenticate(std::move(message.event));
  if (!key) {
    context_.metrics.authentications_refused.add();
    send(ok_text(encode_hex(id), false, context_.authentication.text_of(key.error())));
    on_fault(key.error() == AuthError::WrongSignature ? kForgeryFaults : 1);
    return;
  }
  context_.metrics.authentications.add();
  if (!reader_->has(*key)) {
    std::vector<PublicKey> keys(reader_->keys().begin(), reader_->keys().end());
    keys.push_back(*key);
    reader_ = std::make_shared<const Reader>(context_.authentication, std::move(keys));
    source_ = nullptr;
  }
  send(ok_text(encode_hex(id), true, ""));
}

Result<PublicKey, AuthError> Session::authenticate(UnverifiedEvent&& event) {
  if (authentications_ >= kAuthenticationsMax) return failure(AuthError::TooManyTries);
  ++authentications_;
  if (reader_->keys().size() >= kKeysMax) return failure(AuthError::TooManyKeys);
  return context_.authentication.key_of(std::move(event), encode_hex(challenge_),
                                        context_.clock.unix_s());
}

std::optional<std::string_view> Session::auth_refusal_of(const std::vector<Filter>& filters) const {
  if (is_authenticated()) return std::nullopt;
  if (context_.authentication.rules().is_needed_to_read) {
    return "auth-required: this relay answers authenticated clients only";
  }
  if (context_.authentication.sought_by(filters) == Sought::PrivateOnly) {
    return "auth-required: events of these kinds are shown to their author and receivers only";
  }
  return std::nullopt;
}

std::shared_ptr<const Reader> Session::reader_for(const std::vector<Filter>& filters) const {
  return context_.authentication.sought_by(filters) == Sought::Public ? nullptr : reader_;
}

// --- Subscriptions.

void Session::on(client_message::Request&& message) {
  context_.metrics.requests.add();
  const auto found = find(message.subscription);
  const bool is_new = found == subscriptions_.end();
  if (!takes_request(message.subscription)) return;  // its refusal has closed what was open
  const auto refusal = refusal_of(message.filters, is_new ? 0 : 1, is_new ? 0 : (*found)->values);
  // Also when the new one is refused: the client believes it replaced.
  if (!is_new) remove(found);
  if (refusal) {
    refuse(message.subscription, *refusal);
  } else {
    open(std::move(message));
  }
}

std::optional<std::string> Session::refusal_of(const std::vector<Filter>& filters,
                                               std::size_t replaced,
                                               std::size_t replaced_values) const {
  if (const auto refusal = auth_refusal_of(filters)) return std::string(*refusal);
  const SessionLimits& limits = context_.limits;
  if (!limits.search && std::ranges::any_of(filters, &Filter::is_search)) {
    return "error: this relay offers no search (NIP-50)";
  }
  const std::size_t open = subscriptions_.size() + counts_.size() + negentropies_.size();
  if (open - replaced >= limits.subscriptions_max) {
    return fmt::format("rate-limited: {} subscriptions are open on this connection, close one",
                       open);
  }
  if (filter_values_ - replaced_values + values_of(filters) > limits.filter_values_max) {
    return fmt::format("rate-limited: the filters of a connection may name {} values together",
                       limits.filter_values_max);
  }
  return std::nullopt;
}

void Session::open(client_message::Request&& request) {
  auto subscription = std::make_unique<Subscription>();
  subscription->id = std::move(request.subscription);
  subscription->prefix = event_prefix(subscription->id);
  subscription->session = this;
  subscription->number = next_number_++;
  subscription->filters = std::move(request.filters);
  subscription->values = values_of(subscription->filters);

  auto query = std::make_shared<Query>();
  query->owner.connection = connection_;
  query->subscription_number = subscription->number;
  query->prefix = subscription->prefix;
  query->filters = subscription->filters;
  query->values = subscription->values;
  query->reader = reader_for(query->filters);
  for (Filter& filter : query->filters) {
    if (!filter.limit) filter.limit = context_.limits.limit_default;
  }
  query->options = {context_.clock.unix_s(), context_.limits.limit_max, context_.limits.eose_hints};
  subscription->query = query;

  if (context_.membership != nullptr) {
    const auto invite = context_.membership->invite_for(
        reader_->keys(), query->filters, context_.admission.lists(), context_.clock.unix_s());
    if (invite) send(subscription->prefix + to_json(*invite) + "]");
  }
  filter_values_ += subscription->values;
  context_.index.add(*subscription);
  context_.metrics.subscriptions_opened.add();
  subscriptions_.push_back(std::move(subscription));
  start(std::move(query));
}

// The loop's own steps come first: most queries end there, and two threads need not be woken.
void Session::start(std::shared_ptr<Query> query) {
  bool goes_on = true;
  while (goes_on && peer_keeps_up()) {
    auto step = context_.host.step_now(query);
    if (!step) break;
    goes_on = take_step(std::move(*step));
  }
  if (goes_on) runnable_.push_back(std::move(query));
  advance();
}

bool Session::peer_keeps_up() const {
  return context_.host.pending_bytes(connection_) <= context_.limits.stored_pending_bytes_max;
}

void Session::on(client_message::Close&& message) {
  context_.metrics.closes.add();
  const auto found = find(message.subscription);
  if (found != subscriptions_.end()) remove(found);
  cancel_count(message.subscription);
}

// NIP-45. Counts what a REQ with these filters would show if the relay had no limit of its own; and
// by how many authors, as far as that is defined.
void Session::on(client_message::Count&& message) {
  context_.metrics.counts.add();
  cancel_count(message.subscription);
  if (!takes_request(message.subscription)) return;
  if (const auto refusal = refusal_of(message.filters, 0, 0)) {
    refuse(message.subscription, *refusal);
    return;
  }
  auto query = std::make_shared<Query>();
  query->owner.connection = connection_;
  query->is_count = true;
  query->authors = HyperLogLog::of(message.filters);
  query->reader = reader_for(message.filters);
  query->subscription = message.subscription;
  query->filters = std::move(message.filters);
  query->options = {context_.clock.unix_s(), UINT64_MAX};
  query->values = values_of(query->filters);
  filter_values_ += query->values;
  counts_.emplace(std::move(message.subscription), query);
  start(std::move(query));
}

bool Session::takes_request(std::string_view subscription) {
  if (account_.take_request()) {
    overruns_ = 0;
    return true;
  }
  refuse(subscription, "rate-limited: too many requests from your address, slow down");
  on_overrun();
  return false;
}

void Session::refuse(std::string_view subscription, std::string_view message) {
  context_.metrics.requests_refused.add();
  // Whatever the client is told to be closed is: also when a malformed REQ or a COUNT had its id.
  if (const auto open = find(subscription); open != subscriptions_.end()) remove(open);
  send(closed_text(subscription, message));
}

Session::Subscriptions::const_iterator Session::find(std::string_view id) const {
  return std::ranges::find_if(subscriptions_, [&](const auto& one) { return one->id == id; });
}

void Session::remove(Subscriptions::const_iterator at) {
  Subscription& subscription = **at;
  if (subscription.query) cancel(subscription.query);
  filter_values_ -= subscription.values;
  context_.index.remove(subscription);
  context_.metrics.subscriptions_closed.add();
  subscriptions_.erase(at);
}

void Session::cancel(const std::shared_ptr<Query>& query) {
  query->cancelled.store(true, std::memory_order_relaxed);
  std::erase(runnable_, query);
}

void Session::cancel_count(std::string_view id) {
  const auto found = counts_.find(id);
  if (found == counts_.end()) return;
  cancel(found->second);
  filter_values_ -= found->second->values;
  counts_.erase(found);
}

// --- The stored part.

// Starts the next step, if the peer has read enough of the earlier ones.
void Session::advance() {
  step_is_refused_ = false;
  if (!step_is_out_ && !runnable_.empty() && peer_keeps_up()) {
    std::shared_ptr<Query> query = runnable_.front();
    step_share_ = account_.take_query_step();
    if (step_share_ && context_.host.start_step(query)) {
      runnable_.erase(runnable_.begin());
      if (runnable_.empty()) runnable_.shrink_to_fit();
      step_is_out_ = true;
    } else {
      step_share_.reset();
      step_is_refused_ = true;
      context_.host.retry_later(connection_);
    }
  }
  update_reading();
}

void Session::on_step(QueryStep&& step) {
  step_is_out_ = false;
  step_share_.reset();
  std::shared_ptr<Query> query = step.query;
  if (take_step(std::move(step))) runnable_.push_back(std::move(query));
  advance();
}

bool Session::take_step(QueryStep&& step) {
  if (step.query->is_count) return take_count(std::move(step));
  if (step.query->negentropy) return take_negentropy(std::move(step));
  const auto number = step.query->subscription_number;
  const auto found =
      std::ranges::find_if(subscriptions_, [&](const auto& one) { return one->number == number; });
  if (found == subscriptions_.end()) return false;  // closed meanwhile
  Subscription& subscription = **found;
  send_rows(subscription, step);
  if (step.failed) {
    end(found, failure_of(step));
  } else if (subscription.is_overrun) {
    end(found, "error: too many new events while the stored ones were sent; ask again");
  } else if (step.done) {
    finish_stored(subscription, step);
  } else if (const auto overrun = overrun_of(*step.query)) {
    context_.metrics.queries_cut.add();
    end(found, *overrun);
  } else {
    return true;
  }
  return false;
}

// What was found has been sent; the client can go on where it ends.
std::optional<std::string> Session::overrun_of(const Query& query) const {
  const SessionLimits& limits = context_.limits;
  const bool is_over = (limits.query_visits_max > 0 && query.visits >= limits.query_visits_max) ||
                       (limits.query_ms_max > 0 && query.worked_us >= limits.query_ms_max * 1'000);
  if (!is_over) return std::nullopt;
  return fmt::format(
      "error: this looked at {} entries and is not done; narrow it (authors, kinds, since), or go "
      "on from the last event with until",
      query.visits);
}

bool Session::take_count(QueryStep&& step) {
  const std::string id = step.query->subscription;
  const auto found = counts_.find(id);
  if (found == counts_.end() || found->second != step.query) return false;  // cancelled
  const std::uint64_t visits_max = context_.limits.count_visits_max;
  if (!step.done && step.query->visits < visits_max) return true;
  cancel_count(id);
  if (step.failed) {
    refuse(id, failure_of(step));
  } else if (!step.done) {
    refuse(id,
           fmt::format("error: to count this takes a look at more than {} entries", visits_max));
  } else {
    const auto& authors = step.query->authors;
    send(counted_text(id, step.query->count, authors ? authors->registers() : ByteSpan()));
  }
  return false;
}

void Session::end(Subscriptions::const_iterator at, std::string_view message) {
  const std::string id = (*at)->id;
  remove(at);
  refuse(id, message);
}

void Session::send_rows(Subscription& subscription, const QueryStep& step) {
  std::size_t begin = 0;
  for (const QueryStep::Row& row : step.rows) {
    send(std::string_view(step.text).substr(begin, row.end - begin));
    begin = row.end;
    subscription.sent.push_back(row.event);
  }
  context_.metrics.stored_sent.add(step.rows.size());
}

void Session::finish_stored(Subscription& subscription, const QueryStep& step) {
  send(eose_text(subscription.id, step.rest));
  context_.metrics.queries_done.add();
  subscription.query.reset();
  subscription.last_commit_seen = step.commits_announced + 1;
  for (const auto& event : std::exchange(subscription.held, {})) {
    if (!was_sent(subscription, event->event->id)) send_event(subscription, event);
  }
}

// Most subscriptions are closed before anybody asks.
bool Session::was_sent(Subscription& subscription, const EventId& id) {
  if (!subscription.is_sent_sorted) std::ranges::sort(subscription.sent);
  subscription.is_sent_sorted = true;
  return std::ranges::binary_search(subscription.sent, fingerprint_of(id));
}

// --- The live part.

void Session::deliver(Subscription& subscription,
                      const std::shared_ptr<const CommittedEvent>& event, std::uint64_t commit) {
  if (!reader_->may_see(event->event.event())) return;
  if (subscription.query) {
    if (subscription.is_overrun) return;
    if (subscription.held.size() < context_.limits.held_events_max) {
      subscription.held.push_back(event);
      return;
    }
    // Not removed here: the index is being searched. The next step tells the client.
    subscription.is_overrun = true;
    subscription.held = {};
    return;
  }
  if (!subscription.sent.empty()) {
    if (commit > subscription.last_commit_seen) {
      subscription.sent = {};
    } else if (was_sent(subscription, event->event->id)) {
      return;
    }
  }
  send_event(subscription, event);
}

void Session::send_event(const Subscription& subscription,
                         const std::shared_ptr<const CommittedEvent>& event) {
  context_.metrics.live_sent.add();
  context_.host.send_event(connection_, subscription.prefix, event->json());
}

void Session::deliver(const Subscription& subscription, const Ephemeral& event) {
  if (!reader_->may_see(event.event.event())) return;
  context_.metrics.ephemeral_sent.add();
  context_.host.send_event(connection_, subscription.prefix, event.json());
}

void Session::forget_sent() {
  for (auto& subscription : subscriptions_) {
    if (!subscription->query) subscription->sent = {};
  }
}

// --- Pressure.

void Session::retry() {
  if (refused_event_) {
    const auto event = std::exchange(refused_event_, nullptr);
    publish(std::move(*event));
  }
  advance();
}

void Session::update_reading() {
  const bool must_pause = is_stopping_ || is_resting_ || refused_event_ != nullptr ||
                          step_is_refused_ ||
                          publishes_under_way_ >= context_.limits.publishes_under_way_max;
  if (must_pause == is_paused_) return;
  is_paused_ = must_pause;
  if (must_pause) {
    context_.metrics.reading_paused.add();
    context_.host.pause_reading(connection_);
  } else {
    context_.host.resume_reading(connection_);
  }
}

// A client that goes on in spite of refusals is read slowly rather than sent away: it would come
// back at once.
void Session::on_overrun() {
  if (++overruns_ < kOverrunsMax) return;
  overruns_ = 0;
  rest(kOverrunRestMs);
}

// Nothing of it is refused otherwise than before: but who makes the relay work for nothing waits,
// and not those beside him.
void Session::on_fault(double count) {
  const std::int64_t debt_ms =
      faults_.spend(context_.limits.faults, context_.clock.monotonic_ms(), count);
  rest(std::min(debt_ms, kFaultRestMsMax));
}

void Session::rest(std::int64_t ms) {
  if (ms <= 0 || is_resting_) return;
  is_resting_ = true;
  context_.metrics.rests.add();
  context_.host.rest(connection_, ms);
  update_reading();
}

void Session::on_rested() {
  is_resting_ = false;
  update_reading();
}

void Session::settings_changed() {
  reader_ = std::make_shared<const Reader>(
      context_.authentication,
      std::vector<PublicKey>(reader_->keys().begin(), reader_->keys().end()));
  if (!has_challenge_) open();
  update_reading();
}

void Session::stop_reading() {
  is_stopping_ = true;
  update_reading();
}

}  // namespace nostril::relay
