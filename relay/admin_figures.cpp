// What the page at /admin shows: Relay::figures_json() and settings_json().
#include "base/hex.h"
#include "base/json.h"
#include "relay/relay.h"
#include "relay/reload.h"

#include <algorithm>
#include <array>

namespace nostril::relay {

namespace {

constexpr std::size_t kTalkersShown = 20;
constexpr std::int64_t kRelaysWaitMs = 300;
constexpr std::size_t kRelaysShown = 64;

std::int64_t number(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

// A key whose value is nobody's business, whatever section it comes to stand in.
bool is_secret(std::string_view key) {
  constexpr std::array<std::string_view, 4> kWords = {"secret", "password", "token", "nsec"};
  return std::ranges::any_of(
      kWords, [&](std::string_view word) { return key.find(word) != std::string_view::npos; });
}

void write_row(JsonWriter& w, std::string_view relay, std::string_view state,
               std::uint64_t position, std::uint64_t lag, std::string_view note) {
  w.begin_object().key("relay").string(relay).key("state").string(state);
  w.key("position").integer(number(position)).key("lag").integer(number(lag));
  w.key("note").string(note).end_object();
}

// This relay as it knows itself, the others as they answer.
void write_relays(JsonWriter& w, Cluster& cluster) {
  const ClusterFigures own = cluster.figures();
  w.key("cluster").begin_array();
  write_row(w, cluster.subjects().relay(), own.is_away ? "away" : to_string(own.phase),
            own.position, own.lag(), own.note);
  const auto replies = cluster.bus().request_all(
      cluster.subjects().control_all(), to_json(ControlRequest{}), kRelaysWaitMs, kRelaysShown);
  for (const auto& reply : replies) {
    const auto other = parse_control_reply(reply);
    if (!other || !other->outcome) continue;
    const RelayStatus& status = *other->outcome;
    const std::uint64_t last = std::max(status.stream_last, own.stream_last);
    write_row(w, status.relay, name_of(status.state), status.position,
              last > status.position ? last - status.position : 0, status.note);
  }
  w.end_array();
}

}  // namespace

std::string Relay::figures_json() {
  const auto sum = [&](auto read) {
    std::uint64_t total = 0;
    for (const auto& loop : loops_) total += read(*loop);
    return number(total);
  };
  const auto counted = [&](Counter LoopMetrics::*counter) {
    return sum([&](const LoopWorker& loop) { return (loop.metrics().*counter).read(); });
  };
  const auto served = [&](Counter net::ServerCounters::*counter) {
    return sum([&](const LoopWorker& loop) { return (loop.server_counters().*counter).read(); });
  };
  using N = net::ServerCounters;
  using M = LoopMetrics;
  const StoreStats stats = store_->stats();
  const std::int64_t now_ms = clock_.monotonic_ms();
  JsonWriter w;
  w.begin_object();
  w.key("at_ms").integer(now_ms);
  w.key("uptime_s").integer(clock_.unix_s() - started_at_s_);
  w.key("connections").integer(served(&N::connections_accepted) - served(&N::connections_closed));
  w.key("websockets").integer(served(&N::websockets_opened) - served(&N::websockets_closed));
  w.key("subscriptions")
      .integer(counted(&M::subscriptions_opened) - counted(&M::subscriptions_closed));
  w.key("events_stored").integer(number(stats.events));
  w.key("store_bytes").integer(number(stats.file_used_bytes));
  w.key("moderation_rows").integer(number(moderation_->rows()));
  // Since the start; the page makes rates of them.
  w.key("totals").begin_object();
  w.key("messages_in").integer(served(&N::messages_in));
  w.key("messages_out").integer(served(&N::messages_out));
  w.key("bytes_in").integer(served(&N::bytes_in));
  w.key("bytes_out").integer(served(&N::bytes_out));
  w.key("events_received").integer(counted(&M::events_received));
  w.key("events_accepted").integer(counted(&M::events_accepted));
  w.key("events_not_accepted").integer(counted(&M::events_not_accepted));
  w.key("requests").integer(counted(&M::requests));
  w.key("requests_refused").integer(counted(&M::requests_refused));
  w.end_object();
  w.key("refused").begin_object();
  for (std::size_t i = 0; i < kRefusalCount; ++i) {
    w.key(name_of(static_cast<Refusal>(i))).integer(sum([&](const LoopWorker& loop) {
      return loop.metrics().refusals[i].read();
    }));
  }
  w.end_object();
  w.key("queues").begin_object();
  w.key("verify").integer(number(ingest_->verify_queued()));
  w.key("write").integer(number(ingest_->writer().queued()));
  w.key("query").integer(number(queries_->queued()));
  w.end_object();
  std::vector<AddressTalkers::Row> addresses;
  for (const auto& loop : loops_) {
    const auto rows = loop->talkers().rows(now_ms);
    addresses.insert(addresses.end(), rows.begin(), rows.end());
  }
  w.key("addresses").begin_array();
  for (const auto& row : greatest<net::PeerAddress, AddressHash>(addresses, kTalkersShown)) {
    w.begin_object().key("ip").string(row.key.ip_string());
    w.key("messages").integer(number(row.count)).key("over").integer(number(row.over));
    w.end_object();
  }
  w.end_array();
  w.key("authors").begin_array();
  for (const auto& row :
       greatest<PublicKey, FixedBytesHash>(authors_.rows(now_ms), kTalkersShown)) {
    w.begin_object().key("pubkey").string(encode_hex(row.key));
    w.key("events").integer(number(row.count)).key("over").integer(number(row.over));
    w.end_object();
  }
  w.end_array();
  if (cluster_) write_relays(w, *cluster_);
  w.end_object();
  return std::move(w).take();
}

std::string Relay::settings_json() {
  RelayConfig values = present_config();
  Config config;
  values.declare(config);
  JsonWriter w;
  w.begin_array();
  for (const Config::Shown& field : config.shown()) {
    w.begin_object().key("key").string(field.key);
    w.key("value").string(is_secret(field.key) ? "(hidden)" : field.value);
    w.key("comment").string(field.comment);
    w.key("may_change").boolean(relay::may_change(field.key)).end_object();
  }
  w.end_array();
  return std::move(w).take();
}

}  // namespace nostril::relay
