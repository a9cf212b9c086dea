#include "relay/cluster/repair.h"

#include "base/log.h"
#include "base/text_buffer.h"
#include "base/thread_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>

namespace nostril::relay {

namespace {

constexpr std::chrono::milliseconds kTick{200};
constexpr std::int64_t kAnswerWaitMs = 5'000;
constexpr std::int64_t kAgainMs = 1'000;       // until what was published again should be here
constexpr std::int64_t kLookAgainMs = 10'000;  // at a window that is still being filled
constexpr std::int64_t kStandsMs = 5'000;
constexpr std::int64_t kAskAgainMs = 30'000;    // for the same event
constexpr std::int64_t kAskAgainMsMin = 5'000;  // when all that was in the stream has been applied
constexpr std::int64_t kNever = INT64_MAX;      // as the time of a question that is not to be asked
constexpr std::size_t kRememberedMax = 65'536;

// In `of` and not in `known`.
std::vector<EventId> more(const std::vector<EventId>& of, const AppliedIds::Set& known) {
  std::vector<EventId> out;
  std::ranges::copy_if(of, std::back_inserter(out), [&known](const EventId& id) {
    return !id.is_zero() && !known.contains(id);
  });
  return out;
}

}  // namespace

Repair::Repair(RepairParts parts) : parts_(std::move(parts)) {}

Repair::~Repair() {
  stop();
}

void Repair::start() {
  inbox_ = parts_.bus.new_inbox();
  const auto take = [this](BusMessage&& message) { (void)queue_.push(std::move(message)); };
  const auto& subjects = parts_.subjects;
  for (const auto& subject :
       {subjects.repair(), subjects.repair(subjects.relay()), inbox_ + ".*"}) {
    subscriptions_.push_back(parts_.bus.subscribe(subject, take));
  }
  thread_ = std::thread([this] {
    name_this_thread("repair");
    run();
  });
}

void Repair::stop() {
  for (const auto& subscription : std::exchange(subscriptions_, {})) {
    parts_.bus.unsubscribe(subscription);
  }
  queue_.close();
  if (thread_.joinable()) thread_.join();
}

void Repair::run() {
  while (const auto messages = queue_.wait_all_for(kTick)) {
    for (const BusMessage& message : *messages) take(message);
    each_tick();
  }
}

void Repair::take(const BusMessage& message) {
  const ByteSpan body = as_bytes(message.body);
  if (message.subject.starts_with(inbox_)) {
    if (!asked_ || number_of(message.subject) != questions_) return;  // it comes too late
    const auto answer = parse_repair_answer(body);
    if (!answer) return malformed_.add();
    return take_answer(*answer);
  }
  if (message.subject != parts_.subjects.repair()) return take_request(message);
  const auto report = parse_digest_report(body);
  if (!report) return malformed_.add();
  take_report(*report);
}

void Repair::each_tick() {
  const std::int64_t now_ms = parts_.clock.monotonic_ms();
  const auto position = parts_.position();
  if (!position) {
    waiting_.clear();
    asked_.reset();
    return;
  }
  if (std::exchange(stood_at_, position->sequence) != position->sequence) stood_since_ms_ = now_ms;
  if (now_ms >= report_due_ms_) {
    report_due_ms_ = now_ms + kReportEveryMs;
    send_report(*position);
  }
  // Who does not answer reports the same again, if it is still there.
  if (asked_ && now_ms >= asked_->deadline_ms) asked_.reset();
  // Without a leader what is published again would be lost.
  if (parts_.bus.state() != BusState::Ready) return;
  if (asked_ || waiting_.empty() || now_ms < next_ms_) return;
  Asked next;
  next.difference = std::move(waiting_.front());
  asked_ = std::move(next);
  waiting_.pop_front();
  ask(IdsRequest{asked_->difference.report.range});
}

// --- What this relay says of itself.

void Repair::send_report(const StreamPosition& position) {
  if (position.sequence == 0) return;
  DigestReport report{parts_.subjects.relay(), position.of, {}};
  const auto add = [&](const StreamRange& range) {
    if (const auto digest = parts_.applied.digest(range)) report.ranges.push_back({range, *digest});
  };
  const StreamRange now = AppliedIds::window_of(position.sequence);
  add({now.first, position.sequence});
  const auto add_older = [&](std::uint64_t windows_back) {
    const std::uint64_t back = windows_back * AppliedIds::kWindow;
    if (back >= now.first) return false;
    add({now.first - back, now.last - back});
    return true;
  };
  for (std::uint64_t i = 1; i < kRecentWindows; ++i) (void)add_older(i);
  if (const auto late = parts_.applied.late()) {
    for (std::uint64_t at = late->first; at <= late->last;
         at = AppliedIds::window_of(at).last + 1) {
      add({at, std::min(late->last, AppliedIds::window_of(at).last)});
    }
  }
  for (std::uint64_t i = kRecentWindows; i < kDigestsMax - AppliedIds::kLateWindows; ++i) {
    const bool is_there = add_older(kRecentWindows + older_);
    older_ = is_there && kRecentWindows + older_ + 1 < AppliedIds::kWindows ? older_ + 1 : 0;
    if (!is_there) break;
  }
  if (report.ranges.empty()) return;
  (void)parts_.bus.send(parts_.subjects.repair(), as_text(encode(report)));
}

void Repair::take_request(const BusMessage& message) {
  if (message.reply.empty()) return;
  const auto request = parse_repair_request(as_bytes(message.body));
  if (!request) return malformed_.add();
  RepairAnswer answer;
  if (const auto* ids = std::get_if<IdsRequest>(&*request)) {
    answer = IdsAnswer{parts_.applied.ids(ids->range).value_or(std::vector<EventId>())};
  } else {
    answer = publish_again(std::get<AgainRequest>(*request).ids);
  }
  (void)parts_.bus.send(message.reply, as_text(encode(answer)));
}

AgainAnswer Repair::publish_again(const std::vector<EventId>& ids) {
  AgainAnswer out;
  (void)parts_.in_tables.wait();
  for (const EventId& id : ids) {
    const bool is_there =
        AppliedIds::is_decision(id) ? publish_decision_again(id) : publish_event_again(id);
    ++(is_there ? out.published : out.gone);
  }
  events_given_.add(out.published);
  if (out.published > 0) {
    log(LogLevel::Warning,
        "cluster: {} events or decisions that another relay was not told of by its server, or that "
        "the stream has lost, are published again; {} are not here any more",
        out.published, out.gone);
  }
  return out;
}

// With the message id that it had the stream would know it, and drop it. What is not sent because
// the connection is lost counts as sent: it will be asked for again.
bool Repair::publish_event_again(const EventId& id) {
  TextBuffer json;
  {
    ReadTxn txn = parts_.store.read();
    const auto record = parts_.store.find(txn, id);
    if (!record || !append_json(json, *record)) return false;
  }
  (void)parts_.bus.publish(parts_.subjects.event(), "", json.text(), 0);
  return true;
}

bool Repair::publish_decision_again(const EventId& id) {
  const auto again = parts_.decisions.again(AppliedIds::message_id(id));
  if (!again) return false;
  (void)parts_.bus.publish(parts_.subjects.moderation(),
                           fmt::format("{}.{}", again->id, new_message_id(rng_)), to_json(*again),
                           0);
  return true;
}

// --- What others say.

void Repair::take_report(const DigestReport& report) {
  const auto position = parts_.position();
  if (!position || position->of != report.stream || report.relay == parts_.subjects.relay()) return;
  for (const RangeReport& one : report.ranges) {
    if (waiting_.size() >= kDifferencesMax || !is_other(one, *position)) continue;
    if (!is_new(report.relay, one)) continue;
    differences_.add();
    waiting_.push_back({report.relay, one});
  }
}

// What lies ahead of a relay that stands may be numbered otherwise there, and be known here.
bool Repair::is_other(const RangeReport& report, const StreamPosition& position) {
  if (report.range.first >= AppliedIds::kLateFirst) return true;  // each relay has its own
  if (report.range.last > position.sequence) {
    return parts_.clock.monotonic_ms() - stood_since_ms_ > kStandsMs;
  }
  const auto own = parts_.applied.digest(report.range);
  return own && *own != report.digest;
}

// Not again for a while, and never what was settled.
bool Repair::is_new(const std::string& relay, const RangeReport& report) {
  const auto looks = looks_.find({relay, report});
  if (looks != looks_.end() && looks->second >= kTriesMax) return false;
  const std::int64_t now_ms = parts_.clock.monotonic_ms();
  if (looked_ms_.size() > kRememberedMax) looked_ms_.clear();
  const auto [at, is_first] = looked_ms_.try_emplace({relay, report.range.first}, now_ms);
  if (!is_first && now_ms - at->second < kLookAgainMs) return false;
  at->second = now_ms;
  return true;
}

// --- What is different.

void Repair::ask(const RepairRequest& request) {
  asked_->is_for_ids = std::holds_alternative<IdsRequest>(request);
  asked_->deadline_ms = parts_.clock.monotonic_ms() + kAnswerWaitMs;
  (void)parts_.bus.send(parts_.subjects.repair(asked_->difference.relay), as_text(encode(request)),
                        fmt::format("{}.{}", inbox_, ++questions_));
}

void Repair::take_answer(const RepairAnswer& answer) {
  if (const auto* ids = std::get_if<IdsAnswer>(&answer)) {
    if (asked_->is_for_ids) take_ids(ids->ids);
  } else if (!asked_->is_for_ids) {
    take_again(std::get<AgainAnswer>(answer));
  }
}

void Repair::take_ids(const std::vector<EventId>& theirs) {
  const StreamRange range = asked_->difference.report.range;
  if (theirs.size() != range.size()) return settle();  // it has no list any more
  // What came late has the latest numbers here, or nearly.
  const auto position = parts_.position();
  const std::uint64_t now_at = position ? position->sequence : 1;
  const StreamRange where =
      range.first >= AppliedIds::kLateFirst ? StreamRange{now_at, now_at} : range;
  // What this relay was told of and does not have it did not keep, and would not again.
  const auto missing = missing_of(more(theirs, parts_.applied.known_about(where)));
  if (missing.empty()) return settle();
  if (++looks_at(asked_->difference) >= kTriesMax) {
    log(LogLevel::Warning,
        "cluster: of messages {} to {} something does not come again: this relay does not keep it",
        range.first, range.last);
    return settle();
  }
  asked_->missing = not_asked_for(missing);
  asked_->is_all = asked_->missing.size() == missing.size();
  log(LogLevel::Warning,
      "cluster: this relay lacks {} events or decisions of messages {} to {}, which {} has; {} are "
      "asked for",
      missing.size(), range.first, range.last, public_text(asked_->difference.relay),
      asked_->missing.size());
  if (asked_->missing.empty()) return asked_.reset();
  ask_for_missing();
}

// What was asked for is under way, and so is what a decision that was asked for is told again as.
std::vector<EventId> Repair::not_asked_for(const std::vector<EventId>& ids) {
  if (asked_for_.size() > kRememberedMax) asked_for_.clear();
  const auto info = parts_.bus.info();
  const AskedFor now{parts_.clock.monotonic_ms(), info ? info->last_sequence : 0};
  std::vector<EventId> out;
  for (const EventId& id : ids) {
    const auto found = asked_for_.find(id);
    if (found != asked_for_.end() && is_under_way(found->second)) continue;
    asked_for_[id] = now;
    out.push_back(id);
    if (!AppliedIds::is_decision(id)) continue;
    const auto again = AppliedIds::decision(id_of_again(AppliedIds::message_id(id)));
    if (again) asked_for_[*again] = {kNever, 0};
  }
  return out;
}

// What was published again while the stream had no leader is lost.
bool Repair::is_under_way(const AskedFor& asked) const {
  if (asked.at_ms == kNever) return true;
  const std::int64_t since_ms = parts_.clock.monotonic_ms() - asked.at_ms;
  const auto position = parts_.position();
  const bool has_come_by = position && position->sequence >= asked.stream_last;
  return since_ms < (has_come_by ? kAskAgainMsMin : kAskAgainMs);
}

std::vector<EventId> Repair::missing_of(const std::vector<EventId>& ids) {
  (void)parts_.in_tables.wait();
  ReadTxn txn = parts_.store.read();
  std::vector<EventId> out;
  std::ranges::copy_if(ids, std::back_inserter(out), [&](const EventId& id) {
    if (!AppliedIds::is_decision(id)) return !parts_.store.has_id(txn, id);
    const std::string decision = AppliedIds::message_id(id);
    return !parts_.decisions.has(decision) && !parts_.decisions.has(id_of_again(decision));
  });
  return out;
}

void Repair::ask_for_missing() {
  const auto count = std::min(asked_->missing.size(), kAskedAgainMax);
  const auto begin = asked_->missing.begin();
  ask(AgainRequest{{begin, begin + static_cast<std::ptrdiff_t>(count)}});
}

// What was published again comes by the stream: whether it has is seen when the other relay reports
// the same again, and nobody else is asked for a moment.
void Repair::take_again(const AgainAnswer& answer) {
  const auto count = std::min(asked_->missing.size(), kAskedAgainMax);
  asked_->missing.erase(asked_->missing.begin(),
                        asked_->missing.begin() + static_cast<std::ptrdiff_t>(count));
  asked_->published += answer.published;
  events_asked_.add(answer.published);
  if (!asked_->missing.empty()) return ask_for_missing();
  if (asked_->published == 0 && asked_->is_all) return settle();
  next_ms_ = parts_.clock.monotonic_ms() + kAgainMs;
  asked_.reset();
}

unsigned& Repair::looks_at(const Difference& difference) {
  if (looks_.size() > kRememberedMax) looks_.clear();
  return looks_[{difference.relay, difference.report}];
}

void Repair::settle() {
  looks_at(asked_->difference) = kTriesMax;
  asked_.reset();
}

}  // namespace nostril::relay
