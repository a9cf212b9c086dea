#include "events/session_link.h"

#include "base/check.h"

#include <algorithm>
#include <utility>

namespace nostril {

namespace {

/// Frames sent again for one ack, resume or silence.
constexpr std::size_t kRepairFramesMax = 64;
constexpr std::size_t kSilenceRepairFrames = 8;
/// Frames that close a session fit into a full ring too.
constexpr std::size_t kClosingFrames = 16;
/// Quiet mode: frames made before their turn; repairs and the closing ones may be more.
constexpr std::size_t kQuietQueueFrames = 2;
constexpr std::size_t kQuietQueueFramesMax = 128;
/// A resume is answered once in this time: its replay by a relay must not multiply traffic.
constexpr std::int64_t kResumeGapMs = 500;

std::size_t body_bytes(const Frame& frame) {
  const auto* data = std::get_if<DataFrame>(&frame);
  return data == nullptr ? 0 : data->bytes.size();
}

/// Close enough for a bound: the text is not kept.
std::size_t text_bytes_about(const Frame& frame) {
  return std::holds_alternative<DataFrame>(frame) ? body_bytes(frame) * 4 / 3 + 64 : 2048;
}

}  // namespace

SessionLink::SessionLink(ConversationKey send_key, ConversationKey receive_key, Keypair own,
                         const PublicKey& peer, const LinkLimits& limits, Moment now)
    : own_(std::move(own)),
      peer_(peer),
      limits_(limits),
      sealer_(std::move(send_key)),
      opener_(std::move(receive_key)),
      resend_wait_ms_(limits.resend_ms),
      resend_from_ms_(now.monotonic_ms),
      acked_at_ms_(now.monotonic_ms),
      resumed_at_ms_(now.monotonic_ms - kResumeGapMs),
      heard_at_ms_(now.monotonic_ms) {
  CHECK(limits.unacked_frames_max + kClosingFrames < kRatchetFrames);
  CHECK(limits.reorder_frames_max < kRatchetFrames);
}

void SessionLink::use(const SessionFeatures& features, Moment now) {
  CHECK(last_sent_ == 0 && upto_ == 0);
  features_ = features;
  quiet_at_ms_ = now.monotonic_ms + kQuietPeriodMs;
}

bool SessionLink::can_send() const {
  if (features_.quiet && quiet_queue_.size() >= kQuietQueueFrames) return false;
  return ring_.size() < limits_.unacked_frames_max && ring_bytes_ < limits_.unacked_bytes_max;
}

std::size_t SessionLink::data_bytes_max() const {
  return features_.quiet ? kQuietDataBytesMax : kFrameDataBytesMax;
}

std::uint64_t SessionLink::credit_left() const {
  return send_credit_ > body_sent_ ? send_credit_ - body_sent_ : 0;
}

void SessionLink::set_send_credit(std::uint64_t bytes) {
  if (bytes <= send_credit_) return;
  send_credit_ = bytes;
  blocked_since_ms_.reset();
}

void SessionLink::set_receive_credit(std::uint64_t bytes) {
  receive_credit_ = std::max(receive_credit_, bytes);
}

void SessionLink::send(Frame frame, Moment now, Rng& rng) {
  if (!takes_number(frame)) {
    publish(published_, frame, now, rng);
    return;
  }
  CHECK(ring_.size() < limits_.unacked_frames_max + kClosingFrames);
  const std::size_t body = body_bytes(frame);
  CHECK(body <= credit_left());
  if (ring_.empty()) {
    resend_from_ms_ = now.monotonic_ms;
    resend_wait_ms_ = limits_.resend_ms;
  }
  ++last_sent_;
  body_sent_ += body;
  if (body > 0 && credit_left() == 0) blocked_since_ms_ = now.monotonic_ms;
  if (auto* data = std::get_if<DataFrame>(&frame); data != nullptr && features_.zstd && body > 0) {
    if (!compressor_) compressor_.emplace();
    data->bytes = compressor_->pack(data->bytes);
    data->zstd = true;
  }
  publish(last_sent_, frame, now, rng);
  Sent sent{last_sent_, std::move(frame), 0, now.monotonic_ms};
  sent.text_bytes = text_bytes_about(sent.frame);
  ring_bytes_ += sent.text_bytes;
  ring_.push_back(std::move(sent));
}

void SessionLink::publish(std::uint64_t n, const Frame& frame, Moment now, Rng& rng) {
  if (!features_.quiet) return seal(n, frame, now, rng);
  const bool waits = takes_number(frame) && std::ranges::find(quiet_queue_, n, [](const auto& one) {
                                              return one.first;
                                            }) != quiet_queue_.end();
  if (!waits && quiet_queue_.size() < kQuietQueueFramesMax) quiet_queue_.emplace_back(n, frame);
}

void SessionLink::seal(std::uint64_t n, const Frame& frame, Moment now, Rng& rng) {
  ++counters_.frames_sent;
  published_ = std::max(published_, n);
  const std::size_t unit = features_.quiet ? kQuietTextBytes : 0;
  events_.push_back(
      make_frame_event(own_, peer_, sealer_.seal(n, frame, rng, unit), now.unix_s, rng));
}

void SessionLink::beat(Moment now, Rng& rng) {
  const std::int64_t late_ms = now.monotonic_ms - quiet_at_ms_;
  if (late_ms < 0) return;
  quiet_at_ms_ +=
      (late_ms / kQuietPeriodMs + 1) * kQuietPeriodMs;  // what was missed is not made up
  const bool ack_due = ack_due_ms_ && now.monotonic_ms >= *ack_due_ms_ && !quiet_ack_last_;
  quiet_ack_last_ = quiet_queue_.empty() || ack_due;
  if (quiet_ack_last_) {
    seal(published_, make_ack(std::exchange(quiet_ask_, false)), now, rng);
    acked_at_ms_ = now.monotonic_ms;
    return;
  }
  const auto [n, frame] = std::move(quiet_queue_.front());
  quiet_queue_.pop_front();
  seal(takes_number(frame) ? n : published_, frame, now, rng);
}

Result<void, SessionError> SessionLink::on_event(const Event& event, Moment now, Rng& rng) {
  const auto recipient = frame_recipient(event);
  if (!recipient) return failure(recipient.error());
  if (*recipient != own_.public_key()) return failure(SessionError::WrongRecipient);
  if (event.pubkey != peer_) return failure(SessionError::WrongAuthor);
  auto opened = opener_.open(event.content);
  if (!opened) {
    ++counters_.refused;
    return failure(opened.error());
  }
  ++counters_.frames_received;
  heard_at_ms_ = now.monotonic_ms;
  const std::uint64_t n = opened->n;
  Frame& frame = opened->frame;
  if (takes_number(frame)) {
    accept_numbered(n, std::move(frame), now);
  } else {
    highest_ = std::max(highest_, n);
    if (highest_ > upto_) want_ack(now.monotonic_ms + limits_.ack_gap_ms);
    if (const auto* ack = std::get_if<AckFrame>(&frame)) {
      handle_ack(ack->upto, ack->missing, ack->credit, false, now, rng);
      if (ack->ask) want_ack(now.monotonic_ms);
    } else if (const auto* resume = std::get_if<ResumeFrame>(&frame)) {
      const bool again = now.monotonic_ms - resumed_at_ms_ >= kResumeGapMs;
      if (again) resumed_at_ms_ = now.monotonic_ms;
      handle_ack(resume->upto, resume->missing, resume->credit, again, now, rng);
      want_ack(now.monotonic_ms);
    } else if (const auto* credit = std::get_if<CreditFrame>(&frame)) {
      set_send_credit(credit->credit);
    } else if (n >= progress_n_ && ready_.size() < limits_.reorder_frames_max) {
      progress_n_ = n;
      ready_.push_back(std::move(frame));
    }
  }
  if (ack_due_ms_ && now.monotonic_ms >= *ack_due_ms_) send_ack(now, rng, false);
  if (overrun_) return failure(SessionError::BadFrame);
  return {};
}

void SessionLink::want_ack(std::int64_t due_ms) {
  ack_due_ms_ = std::min(ack_due_ms_.value_or(due_ms), due_ms);
}

void SessionLink::accept_numbered(std::uint64_t n, Frame frame, Moment now) {
  if (n <= upto_ || held_.contains(n)) {
    // The peer repeats itself: our ack was lost.
    ++counters_.duplicates_dropped;
    want_ack(now.monotonic_ms + limits_.ack_gap_ms / 2);
    return;
  }
  highest_ = std::max(highest_, n);
  ++frames_unacked_;
  want_ack(now.monotonic_ms + (frames_unacked_ >= limits_.ack_frames ? 0 : limits_.ack_delay_ms));
  if (n > upto_ + 1) want_ack(now.monotonic_ms + limits_.ack_gap_ms);
  if (n > upto_ + limits_.reorder_frames_max) {
    ++counters_.out_of_window;
    return;
  }
  held_.emplace(n, std::move(frame));
  while (!held_.empty() && held_.begin()->first == upto_ + 1) {
    auto node = held_.extract(held_.begin());
    ++upto_;
    if (!deliver(std::move(node.mapped()))) overrun_ = true;
  }
}

/// In place: from here on nobody knows that it came compressed.
bool SessionLink::unpack(DataFrame& data) {
  if (!features_.zstd) return false;
  if (!decompressor_) decompressor_.emplace();
  auto bytes = decompressor_->unpack(data.bytes, kFrameDataBytesMax);
  if (!bytes) return false;
  data.bytes = *std::move(bytes);
  data.zstd = false;
  return true;
}

bool SessionLink::deliver(Frame frame) {
  auto* data = std::get_if<DataFrame>(&frame);
  if (data != nullptr && data->zstd && !unpack(*data)) return false;
  body_received_ += body_bytes(frame);
  if (body_received_ > receive_credit_) return false;
  ready_.push_back(std::move(frame));
  return true;
}

std::optional<Frame> SessionLink::next_frame() {
  if (ready_.empty()) return std::nullopt;
  Frame frame = std::move(ready_.front());
  ready_.pop_front();
  return frame;
}

void SessionLink::consumed(std::uint64_t bytes, Moment now, Rng& rng) {
  body_consumed_ += bytes;
  const std::uint64_t credit = body_consumed_ + limits_.window_bytes;
  // Half a window at a time: an ack an event would cost as much as the data.
  if (credit < receive_credit_ + limits_.window_bytes / 2) return;
  receive_credit_ = credit;
  send_ack(now, rng, false);
}

std::vector<FrameRange> SessionLink::missing() const {
  std::vector<FrameRange> ranges;
  std::uint64_t next = upto_ + 1;
  for (const auto& [n, frame] : held_) {
    if (ranges.size() == kAckRangesMax) return ranges;
    if (n > next) ranges.push_back({next, n - 1});
    next = n + 1;
  }
  if (next <= highest_ && ranges.size() < kAckRangesMax) ranges.push_back({next, highest_});
  return ranges;
}

AckFrame SessionLink::make_ack(bool ask) {
  ack_due_ms_.reset();
  frames_unacked_ = 0;
  return {.upto = upto_, .missing = missing(), .credit = receive_credit_, .ask = ask};
}

void SessionLink::send_ack(Moment now, Rng& rng, bool ask) {
  acked_at_ms_ = now.monotonic_ms;
  if (features_.quiet) {  // with the next beat
    want_ack(now.monotonic_ms);
    quiet_ask_ = quiet_ask_ || ask;
    return;
  }
  seal(published_, make_ack(ask), now, rng);
}

void SessionLink::resume(Moment now, Rng& rng) {
  publish(published_, ResumeFrame{.upto = upto_, .missing = missing(), .credit = receive_credit_},
          now, rng);
  acked_at_ms_ = now.monotonic_ms;
  // What we sent may have gone with the relay, too.
  repair({0, last_sent_}, kRepairFramesMax, now.monotonic_ms, now, rng);
}

void SessionLink::handle_ack(std::uint64_t upto, const std::vector<FrameRange>& missing,
                             std::uint64_t credit, bool resend_all, Moment now, Rng& rng) {
  if (upto > last_sent_) return;  // of frames that we never sent: nonsense
  set_send_credit(credit);
  const bool progress = !ring_.empty() && ring_.front().n <= upto;
  while (!ring_.empty() && ring_.front().n <= upto) {
    ring_bytes_ -= ring_.front().text_bytes;
    ring_.pop_front();
  }
  if (progress) {
    resend_from_ms_ = now.monotonic_ms;
    resend_wait_ms_ = limits_.resend_ms;
  }
  if (ring_.empty() || upto + 1 < ring_.front().n) return;  // an old ack says nothing new
  std::size_t budget = kRepairFramesMax;
  const std::int64_t not_since =
      resend_all ? now.monotonic_ms : now.monotonic_ms - limits_.repair_gap_ms;
  for (const FrameRange& range : missing) {
    budget = repair(range, budget, not_since, now, rng);
  }
  if (resend_all) {
    const std::uint64_t known = missing.empty() ? upto : missing.back().last;
    repair({known + 1, last_sent_}, budget, not_since, now, rng);
  }
}

std::size_t SessionLink::repair(FrameRange range, std::size_t budget, std::int64_t not_since_ms,
                                Moment now, Rng& rng) {
  if (ring_.empty()) return budget;
  const std::uint64_t base = ring_.front().n;
  if (range.last < base) return budget;
  const std::uint64_t last = std::min(range.last, ring_.back().n);
  for (std::uint64_t n = std::max(range.first, base); n <= last && budget > 0; ++n) {
    Sent& sent = ring_[static_cast<std::size_t>(n - base)];
    if (sent.sent_at_ms > not_since_ms) continue;
    sent.sent_at_ms = now.monotonic_ms;
    ++counters_.frames_repaired;
    --budget;
    publish(n, sent.frame, now, rng);
  }
  return budget;
}

void SessionLink::on_timer(Moment now, Rng& rng) {
  if (blocked_since_ms_ && now.monotonic_ms - *blocked_since_ms_ >= limits_.resend_ms) {
    // Either the peer is slow, or its word of more credit was lost.
    blocked_since_ms_ = now.monotonic_ms;
    send_ack(now, rng, true);
  } else if ((ack_due_ms_ && now.monotonic_ms >= *ack_due_ms_) ||
             now.monotonic_ms - acked_at_ms_ >= limits_.keepalive_ms) {
    send_ack(now, rng, false);
  }
  if (!ring_.empty() && now.monotonic_ms - resend_from_ms_ >= resend_wait_ms_) {
    resend_from_ms_ = now.monotonic_ms;
    resend_wait_ms_ = std::min(resend_wait_ms_ * 2, limits_.resend_ms * 8);
    repair({0, last_sent_}, kSilenceRepairFrames, now.monotonic_ms, now, rng);
  }
  if (features_.quiet) beat(now, rng);
}

std::int64_t SessionLink::next_timer_ms() const {
  if (features_.quiet) return quiet_at_ms_;  // all that waits does so for a beat
  std::int64_t next = acked_at_ms_ + limits_.keepalive_ms;
  if (ack_due_ms_) next = std::min(next, *ack_due_ms_);
  if (blocked_since_ms_) next = std::min(next, *blocked_since_ms_ + limits_.resend_ms);
  if (!ring_.empty()) next = std::min(next, resend_from_ms_ + resend_wait_ms_);
  return next;
}

std::vector<Event> SessionLink::take_events() {
  return std::exchange(events_, {});
}

}  // namespace nostril
