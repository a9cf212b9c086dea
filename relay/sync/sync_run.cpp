#include "relay/sync/sync_run.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>
#include <variant>

namespace nostril::relay {

namespace {

constexpr std::int64_t kPauseMs = 1'000;

bool wants_down(SyncDirection direction) {
  return direction != SyncDirection::Up;
}

bool wants_up(SyncDirection direction) {
  return direction != SyncDirection::Down;
}

// What relays say to a command that they don't know; each in its own words.
bool says_unknown(std::string_view notice) {
  std::string lower(notice);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::array<std::string_view, 8> kWords = {
      "neg", "unknown", "unsupported", "unrecognized", "invalid", "bad ", "parse", "not supported"};
  return std::ranges::any_of(
      kWords, [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

}  // namespace

std::optional<SyncDirection> sync_direction_from(std::string_view text) {
  if (text == "down") return SyncDirection::Down;
  if (text == "up") return SyncDirection::Up;
  if (text == "both") return SyncDirection::Both;
  return std::nullopt;
}

SyncRun::SyncRun(SyncHost& host, const Clock& clock, negentropy::Set set, SyncOptions options)
    : host_(host),
      clock_(clock),
      set_(std::move(set)),
      options_(std::move(options)),
      asker_(set_, options_.frame_bytes_max) {}

void SyncRun::start() {
  const Bytes question = asker_.first();
  counts_.bytes_out += question.size();
  is_comparing_ = true;
  progress();
  host_.send(negentropy_open_text(options_.subscription, options_.filter, question));
}

bool SyncRun::on_message(RelayMessage& message) {
  if (end_) return false;
  return std::visit([this](auto& one) { return on(one); }, message);
}

std::size_t SyncRun::left() const {
  std::size_t count = to_fetch_.size() + to_send_.size() + unanswered_.size();
  for (const auto& [name, ids] : batches_) count += ids.size();
  return count;
}

// --- Comparing.

bool SyncRun::on(relay_message::NegentropyMessage& message) {
  if (message.subscription != options_.subscription || !is_comparing_) return false;
  is_understood_ = true;
  progress();
  counts_.bytes_in += message.message.size();
  negentropy::Differences found;
  const auto question = asker_.next(message.message, found);
  if (!question) {
    const std::string why = fmt::format("its answer: {}", negentropy::to_string(question.error()));
    // A single byte: the version that it speaks.
    const bool is_other = question.error() == negentropy::Error::BadVersion;
    finish(is_other ? SyncEnd::NoNegentropy : SyncEnd::Refused, why);
    return true;
  }
  ++counts_.rounds;
  add(found);
  if (end_) return true;
  if (question->empty()) {
    is_comparing_ = false;
    host_.send(negentropy_close_text(options_.subscription));
  } else if (counts_.rounds >= options_.rounds_max) {
    finish(SyncEnd::Refused, fmt::format("no end after {} rounds", counts_.rounds));
    return true;
  } else {
    counts_.bytes_out += question->size();
    host_.send(negentropy_message_text(options_.subscription, *question));
  }
  advance();
  return true;
}

void SyncRun::add(const negentropy::Differences& found) {
  for (const EventId& id : found.have) {
    if (!named_.insert(id).second) continue;
    ++counts_.have;
    if (wants_up(options_.direction)) to_send_.push_back(id);
  }
  for (const EventId& id : found.need) {
    if (!named_.insert(id).second) continue;
    if (++counts_.need > options_.events_max) {
      finish(SyncEnd::Refused, fmt::format("it names more than {} events", options_.events_max));
      return;
    }
    if (wants_down(options_.direction)) to_fetch_.push_back(id);
  }
}

bool SyncRun::on(relay_message::NegentropyError& message) {
  if (message.subscription != options_.subscription) return false;
  if (is_comparing_) finish(SyncEnd::Refused, std::move(message.reason));
  return true;
}

bool SyncRun::on(relay_message::Notice& message) {
  if (!is_comparing_ || is_understood_) return false;
  reason_ = message.message;
  if (says_unknown(message.message)) finish(SyncEnd::NoNegentropy, std::move(message.message));
  return true;
}

bool SyncRun::on(relay_message::Closed& message) {
  if (message.subscription == options_.subscription) {
    if (is_comparing_) {
      finish(is_understood_ ? SyncEnd::Refused : SyncEnd::NoNegentropy, std::move(message.message));
    }
    return true;
  }
  const auto batch = batches_.find(message.subscription);
  if (batch == batches_.end()) return false;
  reason_ = std::move(message.message);
  progress();
  finish_batch(batch);
  return true;
}

// --- Fetching.

void SyncRun::fetch() {
  while (!to_fetch_.empty() && batches_.size() < options_.batches_max && host_.has_room()) {
    Filter filter;
    filter.ids.emplace();
    while (!to_fetch_.empty() && filter.ids->size() < options_.batch_events) {
      filter.ids->push_back(to_fetch_.front());
      to_fetch_.pop_front();
    }
    filter.normalize();
    const std::string name = fmt::format("{}-{}", options_.subscription, next_batch_++);
    batches_.emplace(name, Ids(filter.ids->begin(), filter.ids->end()));
    host_.send(request_text(name, {filter}));
  }
}

bool SyncRun::on(relay_message::EventFound& message) {
  const auto batch = batches_.find(message.subscription);
  if (batch == batches_.end()) return false;
  if (batch->second.erase(message.event.event().id) == 0) return true;  // nobody asked for it
  progress();
  ++counts_.received;
  host_.take(std::move(message.event));
  return true;
}

bool SyncRun::on(relay_message::EndOfStored& message) {
  const auto batch = batches_.find(message.subscription);
  if (batch == batches_.end()) return false;
  progress();
  host_.send(close_text(message.subscription));
  finish_batch(batch);
  return true;
}

void SyncRun::finish_batch(std::map<std::string, Ids, std::less<>>::iterator batch) {
  counts_.missing += batch->second.size();
  batches_.erase(batch);
  advance();
}

// --- Sending.

void SyncRun::send_events() {
  if (clock_.monotonic_ms() < send_after_ms_) return;
  while (!to_send_.empty() && unanswered_.size() < options_.unanswered_max && host_.has_room()) {
    const EventId id = to_send_.front();
    to_send_.pop_front();
    const auto json = host_.event_json(id);
    if (!json) {
      ++counts_.withheld;
      continue;
    }
    unanswered_.insert(id);
    host_.send("[\"EVENT\"," + *json + "]");
  }
}

bool SyncRun::on(relay_message::Ok& message) {
  if (unanswered_.erase(message.id) == 0) return false;
  if (message.accepted || message.message.starts_with("duplicate:")) {
    ++counts_.accepted;
    progress();
  } else if (message.message.starts_with("rate-limited:")) {
    // Not progress: a side that never takes anything ends in a time-out.
    to_send_.push_front(message.id);
    send_after_ms_ = clock_.monotonic_ms() + kPauseMs;
    reason_ = std::move(message.message);
  } else {
    ++counts_.refused;
    reason_ = std::move(message.message);
    progress();
  }
  advance();
  return true;
}

// --- All of it.

void SyncRun::advance() {
  if (end_) return;
  fetch();
  send_events();
  if (!is_comparing_ && left() == 0) finish(SyncEnd::Done, std::move(reason_));
}

void SyncRun::tick() {
  advance();
  if (end_) return;
  // While this side is what there is to wait for.
  if (!is_comparing_ && batches_.empty() && unanswered_.empty() && !host_.has_room()) progress();
  if (clock_.monotonic_ms() - progress_ms_ < options_.answer_ms_max) return;
  const bool said_something = is_comparing_ && !is_understood_ && !reason_.empty();
  finish(said_something ? SyncEnd::NoNegentropy : SyncEnd::TimedOut, std::move(reason_));
}

void SyncRun::progress() {
  progress_ms_ = clock_.monotonic_ms();
}

void SyncRun::finish(SyncEnd end, std::string reason) {
  CHECK(!end_);
  end_ = end;
  reason_ = std::move(reason);
}

}  // namespace nostril::relay
