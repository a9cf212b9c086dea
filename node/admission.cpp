#include "node/admission.h"

#include "events/amount.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace nostril::node {

namespace {

/// Of a tag: so that a division by a weight loses nothing that counts.
constexpr std::uint64_t kTagsPerToken = 16;
constexpr std::uint64_t kTokensMax = std::uint64_t{1} << 32;
constexpr std::int64_t kSmoothing = 8;
constexpr std::uint64_t kMsPerSecond = 1'000;
/// A longer wait is as good as for ever.
constexpr std::uint64_t kWaitMsRead = std::uint64_t{1} << 40;

/// A running mean whose first value is its beginning.
std::uint64_t smoothed(std::uint64_t before, std::uint64_t value) {
  constexpr std::uint64_t kParts = 8;
  if (before == 0) return value;
  return std::max<std::uint64_t>(1, (before * (kParts - 1) + value) / kParts);
}

}  // namespace

Admission::Admission(AdmissionSettings settings)
    : settings_(settings),
      limit_(std::max<std::size_t>(1, std::min(settings.running_start, settings.running_max))) {}

std::uint64_t Admission::tag_for(const AdmissionRequest& request) const {
  std::uint64_t lowest = request.price;
  std::uint64_t begin = served_tag_;
  for (const Waiting& waiting : waiting_) {
    lowest = std::min(lowest, waiting.price);
    if (waiting.payer == request.payer) begin = std::max(begin, waiting.tag);
  }
  const std::uint64_t weight =
      std::clamp(request.price / std::max<std::uint64_t>(1, lowest), std::uint64_t{1}, kWeightMax);
  return begin + std::clamp(request.tokens, std::uint64_t{1}, kTokensMax) * kTagsPerToken / weight;
}

std::int64_t Admission::wait_ms_behind(std::size_t ahead) const {
  if (ahead == 0 && running_.size() < limit_) return 0;
  if (tokens_s_ > 0 && used_tokens_ > 0) {
    std::uint64_t expected = expected_tokens_;  // of the one whose place it gets
    for (std::size_t i = 0; i < ahead; ++i) expected += waiting_[i].tokens;
    const Uint128 used = Uint128{expected} * used_tokens_ / expected_tokens_;
    return static_cast<std::int64_t>(
        std::min<Uint128>(used * kMsPerSecond / tokens_s_, kWaitMsRead));
  }
  return static_cast<std::int64_t>(ahead + 1) * service_ms_ / static_cast<std::int64_t>(limit_);
}

/// The newest request of the payer that has most waiting, when that is at least two more than
/// `payer` has: the swap leaves both with a line of their own.
std::optional<Admission::Ticket> Admission::make_room(const PublicKey& payer) {
  std::map<PublicKey, std::size_t> counts;
  for (const Waiting& waiting : waiting_) ++counts[waiting.payer];
  const auto most =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
  const auto own = counts.find(payer);
  const std::size_t own_count = own == counts.end() ? 0 : own->second;
  if (most == counts.end() || most->second < own_count + 2) return std::nullopt;
  const auto newest = std::find_if(waiting_.rbegin(), waiting_.rend(), [&](const Waiting& waiting) {
    return waiting.payer == most->first;
  });
  const Ticket out = newest->ticket;
  waiting_.erase(std::next(newest).base());
  return out;
}

void Admission::set_settings(AdmissionSettings settings) {
  settings_ = settings;
  limit_ = std::min(limit_, settings_.running_max);
}

Admission::Entered Admission::enter(const AdmissionRequest& request) {
  const auto refusal = [](std::int64_t wait_ms) {
    return Entered{std::nullopt, std::clamp(wait_ms, kRetryMsMin, kRetryMsMax), std::nullopt};
  };
  const std::uint64_t tag = tag_for(request);
  const auto place = std::ranges::upper_bound(waiting_, tag, {}, &Waiting::tag);
  const std::int64_t wait = wait_ms_behind(static_cast<std::size_t>(place - waiting_.begin()));
  if (wait > settings_.wait_ms_max) return refusal(wait - settings_.wait_ms_max);

  Entered out;
  if (waiting_.size() >= settings_.waiting_max) {
    out.pushed_out = make_room(request.payer);
    if (!out.pushed_out) return refusal(wait_ms() / 2);
    out.retry_after_ms = std::clamp(wait_ms() / 2, kRetryMsMin, kRetryMsMax);
  }
  out.ticket = next_ticket_++;
  waiting_.insert(std::ranges::upper_bound(waiting_, tag, {}, &Waiting::tag),
                  {tag, *out.ticket, request.payer, request.price,
                   std::clamp(request.tokens, std::uint64_t{1}, kTokensMax)});
  return out;
}

std::optional<Admission::Ticket> Admission::next(std::int64_t now_ms) {
  if (running_.size() >= limit_) was_full_ = true;
  if (waiting_.empty() || running_.size() >= limit_) return std::nullopt;
  const Waiting first = waiting_.front();
  waiting_.erase(waiting_.begin());
  served_tag_ = std::max(served_tag_, first.tag);
  running_.emplace(first.ticket, Running{now_ms, first.tokens});
  return first.ticket;
}

void Admission::leave(Ticket ticket, std::int64_t now_ms, bool served, std::uint64_t tokens) {
  std::erase_if(waiting_, [ticket](const Waiting& waiting) { return waiting.ticket == ticket; });
  const auto running = running_.find(ticket);
  if (running == running_.end()) return;
  if (served) {
    const std::int64_t took_ms = std::max<std::int64_t>(1, now_ms - running->second.since_ms);
    service_ms_ = service_ms_ == 0 ? took_ms
                                   : std::max<std::int64_t>(
                                         1, service_ms_ + (took_ms - service_ms_) / kSmoothing);
    if (tokens > 0) {
      expected_tokens_ = smoothed(expected_tokens_, running->second.tokens);
      used_tokens_ = smoothed(used_tokens_, std::min(tokens, kTokensMax));
    }
  }
  running_.erase(running);
}

/// Between two looks, when something ran at both: an engine that idles is not a slow one.
void Admission::learn_rate(const EngineLoad& load, std::int64_t now_ms) {
  if (!load.tokens_in || !load.tokens_out || load.running == 0) {
    counted_.reset();
    return;
  }
  const Counted now{now_ms, *load.tokens_in, *load.tokens_out};
  const auto before = std::exchange(counted_, now);
  if (!before || now.in < before->in || now.out < before->out) return;  // started again
  const std::uint64_t tokens = (now.in - before->in) + (now.out - before->out);
  const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(1, now_ms - before->at_ms));
  tokens_s_ = smoothed(tokens_s_, static_cast<std::uint64_t>(Uint128{tokens} * kMsPerSecond / ms));
}

bool Admission::is_too_slow(const EngineLoad& load, std::int64_t now_ms) const {
  if (settings_.answer_tokens_s_min == 0 || !counted_ || !load.tokens_out || load.running == 0 ||
      *load.tokens_out < counted_->out) {
    return false;
  }
  const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(1, now_ms - counted_->at_ms));
  const Uint128 made = Uint128{*load.tokens_out - counted_->out} * kMsPerSecond / ms;
  return made < Uint128{settings_.answer_tokens_s_min} * load.running;
}

void Admission::observe(const EngineLoad& load, std::int64_t now_ms) {
  if (learned_at_ms_ && now_ms < *learned_at_ms_ + kLearnMs) return;
  learned_at_ms_ = now_ms;
  const bool is_too_much = load.waiting > 0 || is_too_slow(load, now_ms);
  learn_rate(load, now_ms);
  const bool was_full = std::exchange(was_full_, false);
  if (is_too_much) {
    was_too_high_ = true;
    limit_ -= std::min(limit_ - 1, std::max<std::size_t>(1, limit_ / 5));
  } else if (was_full) {
    limit_ += was_too_high_ ? 1 : std::max<std::size_t>(1, limit_ / 4);
  }
  const std::uint64_t slots = load.slots.value_or(settings_.running_max);
  limit_ = std::min<std::size_t>(
      {limit_, settings_.running_max, static_cast<std::size_t>(std::max<std::uint64_t>(1, slots))});
}

std::size_t Admission::ahead_of(Ticket ticket) const {
  const auto found = std::ranges::find(waiting_, ticket, &Waiting::ticket);
  return static_cast<std::size_t>(found - waiting_.begin());
}

}  // namespace nostril::node
