#include "relay/sync/mirror.h"

#include "base/check.h"
#include "relay/sync/mirror_stream.h"

#include <algorithm>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kInboxMax = 8'192;  // shared events

}  // namespace

Mirror::Mirror(const std::vector<MirrorOptions>& streams, const MirrorContext& context)
    : inbox_(kInboxMax, [this] { loop_.wake(); }) {
  for (const MirrorOptions& options : streams) {
    streams_.push_back(std::make_unique<MirrorStream>(streams_.size(), options, context, loop_));
  }
  loop_.on_turn_end([this] { pass_on(); });
}

Mirror::~Mirror() {
  stop();
  is_over_ = true;
}

void Mirror::start() {
  for (auto& stream : streams_) stream->start();
  thread_ = std::thread([this] { loop_.run(); });
}

void Mirror::stop() {
  if (!thread_.joinable()) return;
  loop_.stop();
  loop_.wake();
  thread_.join();
}

void Mirror::committed(const CommittedBatch& batch) {
  for (const WriteOutcome& outcome : batch.outcomes) {
    if (outcome.token.loop == kMirrorLoop) streams_[outcome.token.session]->count(outcome.result);
  }
  for (const auto& event : batch.events) {
    const auto wants = [&](const auto& stream) { return stream->wants(event->event.event()); };
    if (std::ranges::none_of(streams_, wants)) continue;
    if (auto shared = event; !inbox_.push(std::move(shared))) ++dropped_;
  }
}

void Mirror::answer(const Answer& answer) {
  streams_[static_cast<std::size_t>(answer.origin.connection)]->count_forged();
}

void Mirror::pass_on() {
  if (is_over_) return;
  for (const auto& event : inbox_.take_all()) {
    for (auto& stream : streams_) stream->send_live(*event);
  }
}

void Mirror::write_metrics(MetricsText& out) const {
  using Count = MirrorMetrics::Count;
  const auto each = [&](std::string_view name, std::string_view type, std::string_view help,
                        Count MirrorMetrics::*count) {
    out.metric(name, type, help);
    for (const auto& stream : streams_) {
      out.sample((stream->metrics().*count).load(), metrics_label("relay", stream->name()));
    }
  };
  using M = MirrorMetrics;
  each("mirror_connected", "gauge", "1 while the other relay is connected", &M::connected);
  each("mirror_connections_total", "counter", "connections made", &M::connections);
  each("mirror_received_total", "counter", "events of the other relay", &M::received);
  each("mirror_stored_total", "counter", "of them, new here", &M::stored);
  each("mirror_known_total", "counter", "stored before, or replaced or deleted here", &M::known);
  each("mirror_refused_total", "counter", "against this relay's rules, or forged", &M::refused);
  each("mirror_sent_total", "counter", "new events that were sent on", &M::sent);
  each("mirror_taken_total", "counter", "events that the other relay took", &M::taken);
  each("mirror_not_taken_total", "counter", "events that it refused", &M::not_taken);
  each("mirror_dropped_total", "counter", "new events that the next reconciliation has to send",
       &M::dropped);
  each("mirror_syncs_total", "counter", "reconciliations that came to their end", &M::syncs);
  each("mirror_syncs_failed_total", "counter", "reconciliations that did not", &M::syncs_failed);
  each("mirror_synced_at_seconds", "gauge", "when the last one ended", &M::synced_at_s);
  out.counter("mirror_inbox_dropped_total", dropped_.load(),
              "new events that found no room before any stream");
}

}  // namespace nostril::relay
