// Reconciliations of a session (NIP-77): what relay/session.h declares about them.
#include "relay/negentropy_session.h"

#include "events/messages.h"
#include "relay/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::int64_t kCreditChunk = 4'096;

}  // namespace

bool NegentropyWork::collect(const negentropy::Item& item, Credits& items) {
  if (collected.size() >= limits.events_max) {
    state = State::TooBig;
    return false;
  }
  if (collected.size() % kCreditChunk == 0) {
    if (!items.try_take(kCreditChunk)) {
      state = State::Full;
      return false;
    }
    credit.add(items, kCreditChunk);
  }
  collected.push_back(item);
  return true;
}

// They came newest first.
void NegentropyWork::finish_set() {
  std::ranges::reverse(collected);
  collected.shrink_to_fit();
  set = negentropy::Set(std::exchange(collected, {}));
}

std::string NegentropyWork::answer() {
  const auto answered = negentropy::answer(set, std::exchange(message, {}), limits.frame_bytes_max);
  if (!answered) {
    state = State::BadMessage;
    error = answered.error();
    return {};
  }
  state = State::Answered;
  return negentropy_message_text(subscription, *answered);
}

void Session::on(client_message::NegentropyOpen&& message) {
  context_.metrics.negentropies.add();
  if (const auto open = find_negentropy(message.subscription); open != negentropies_.end()) {
    remove_negentropy(open);
  }
  if (!account_.take_request()) {
    refuse_negentropy(message.subscription,
                      "rate-limited: too many requests from your address, slow down");
    on_overrun();
    return;
  }
  std::vector<Filter> filters;
  filters.push_back(std::move(message.filter));
  if (const auto refusal = negentropy_refusal_of(filters)) {
    refuse_negentropy(message.subscription, *refusal);
    return;
  }
  const NegentropyLimits& limits = context_.limits.negentropy;
  auto query = std::make_shared<Query>();
  query->owner.connection = connection_;
  query->reader = reader_for(filters);
  query->values = values_of(filters);
  query->filters = std::move(filters);
  // One more than may be: then it is known to be too big.
  query->options = {context_.clock.unix_s(), limits.events_max + 1};
  query->negentropy = std::make_unique<NegentropyWork>();
  query->negentropy->subscription = message.subscription;
  query->negentropy->limits = limits;
  query->negentropy->message = std::move(message.message);
  filter_values_ += query->values;
  context_.metrics.negentropies_opened.add();
  negentropies_.push_back(
      {std::move(message.subscription), query, context_.clock.monotonic_ms(), true});
  runnable_.push_back(std::move(query));
  advance();
}

std::optional<std::string> Session::negentropy_refusal_of(
    const std::vector<Filter>& filters) const {
  const NegentropyLimits& limits = context_.limits.negentropy;
  if (limits.events_max == 0) return "blocked: this relay does not reconcile";
  if (auto refusal = refusal_of(filters, 0, 0)) return refusal;
  if (std::ranges::any_of(filters, &Filter::is_search)) {
    return "blocked: what a search finds is not a set that two relays share";
  }
  if (negentropies_.size() < limits.open_max) return std::nullopt;
  return fmt::format("blocked: {} reconciliations are open on this connection, close one",
                     negentropies_.size());
}

void Session::on(client_message::NegentropyMessage&& message) {
  const auto open = find_negentropy(message.subscription);
  if (open == negentropies_.end()) {
    refuse_negentropy(message.subscription, "closed: no such reconciliation is open");
  } else if (open->is_waiting) {
    remove_negentropy(open);
    refuse_negentropy(message.subscription, "invalid: a message before the answer to the last one");
  } else {
    open->is_waiting = true;
    open->query->negentropy->message = std::move(message.message);
    runnable_.push_back(open->query);
    advance();
  }
}

void Session::on(client_message::NegentropyClose&& message) {
  const auto open = find_negentropy(message.subscription);
  if (open != negentropies_.end()) remove_negentropy(open);
}

bool Session::take_negentropy(QueryStep&& step) {
  const auto open = std::ranges::find(negentropies_, step.query, &OpenNegentropy::query);
  if (open == negentropies_.end()) return false;  // closed meanwhile
  const NegentropyWork& work = *step.query->negentropy;
  if (!step.failed && work.state == NegentropyWork::State::Collecting) return true;
  if (!step.failed && work.state == NegentropyWork::State::Answered) {
    context_.metrics.negentropy_answers.add();
    open->is_waiting = false;
    open->used_ms = context_.clock.monotonic_ms();
    send(step.text);
    return false;
  }
  const std::string id = open->id;
  remove_negentropy(open);
  if (step.failed) {
    refuse_negentropy(id, "error: the store can't be read");
  } else if (work.state == NegentropyWork::State::TooBig) {
    refuse_negentropy(id, "blocked: this query is too big");
  } else if (work.state == NegentropyWork::State::Full) {
    refuse_negentropy(id, "blocked: too much is being compared just now, try again later");
  } else {
    refuse_negentropy(id, fmt::format("invalid: {}", negentropy::to_string(work.error)));
  }
  return false;
}

void Session::close_idle_negentropies() {
  const std::int64_t used_by_ms =
      context_.clock.monotonic_ms() - context_.limits.negentropy.idle_ms_max;
  while (true) {
    const auto idle = std::ranges::find_if(negentropies_, [&](const OpenNegentropy& open) {
      return !open.is_waiting && open.used_ms < used_by_ms;
    });
    if (idle == negentropies_.end()) return;
    const std::string id = idle->id;
    remove_negentropy(idle);
    refuse_negentropy(id, "closed: no message came for too long");
  }
}

void Session::refuse_negentropy(std::string_view id, std::string_view reason) {
  context_.metrics.negentropies_refused.add();
  send(negentropy_error_text(id, reason));
}

std::vector<OpenNegentropy>::iterator Session::find_negentropy(std::string_view id) {
  return std::ranges::find_if(negentropies_, [&](const auto& open) { return open.id == id; });
}

void Session::remove_negentropy(std::vector<OpenNegentropy>::iterator at) {
  cancel(at->query);
  filter_values_ -= at->query->values;
  context_.metrics.negentropies_closed.add();
  negentropies_.erase(at);
}

}  // namespace nostril::relay
