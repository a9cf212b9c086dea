#include "bench/relay/load/deliveries.h"
#include "bench/relay/load/modes.h"
#include "bench/relay/load/relay_line.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

namespace nostril::bench {

namespace {

constexpr std::int64_t kHopPeriodNs = 5'000'000;  // 200/s
constexpr std::int64_t kSurplusMs = 20;           // how long a delivery too many is waited for
constexpr std::size_t kTopicStride = 7'919;       // a prime: neighbours are not served in order

struct Live {
  std::string name;
  std::string title;
  Audience audience;
  Pace pace;
  std::size_t events;
  /// One delivery an event costs its check; of many the writes are what counts.
  Floor floor;
};

struct Input {
  Publications publications;
  std::vector<std::size_t> topics;
};

Round deliver(Connections& connections, const Target& target, const Live& live,
              const Input& input) {
  Publisher publisher(connections, input.publications, live.pace);
  Deliveries deliveries(live.audience, input.publications, input.topics, publisher);
  connections.on_message = [&](std::size_t connection, std::string_view text) {
    if (connection < live.audience.first_connection) {
      publisher.take_ok(connection, text);
    } else if (std::string wrong = deliveries.take(connection, text); !wrong.empty()) {
      connections.fail(std::move(wrong));
    }
    if (deliveries.complete() && publisher.all_answered()) connections.done();
  };
  const Meter meter(target);
  publisher.start();
  connections.run("delivering");
  Round round = meter.stop(static_cast<double>(deliveries.count()));
  connections.linger("delivering", kSurplusMs);
  round.latencies = deliveries.latencies();
  return round;
}

void ask_live(const Bench& bench, const Live& live) {
  Input input;
  Question question;
  question.name = live.name;
  question.title = live.title;
  question.unit = "delivery";
  question.floor = live.floor;
  question.rounds = bench.plan.rounds;
  question.connections = live.audience.first_connection + live.audience.connections();
  question.set_up = [&](Connections& connections) { live.audience.subscribe(connections); };
  question.prepare = [&](std::size_t round) {
    input.topics.clear();
    std::vector<std::string> values;
    for (std::size_t i = 0; i < live.events; ++i) {
      input.topics.push_back((round + i * kTopicStride) % live.audience.topics);
      values.push_back(live.audience.topic(input.topics.back()));
    }
    input.publications =
        Publications(bench.live.tagged(live.audience.kind, live.audience.tag, values));
  };
  question.run = [&](Connections& connections, const Target& target) {
    return deliver(connections, target, live, input);
  };
  bench.asker.ask(question);
}

}  // namespace

void ask_fanout(const Bench& bench) {
  const Plan& plan = bench.plan;
  const std::size_t few = plan.subscribers;
  const std::size_t many = plan.flat_subscribers;
  const std::size_t all = plan.broadcast_subscribers;
  const std::size_t fans = plan.match_connections * 20;
  const Pace slow{1, 0, kHopPeriodNs};
  ask_live(bench, {"hop_ephemeral",
                   fmt::format("ephemeral event to 1 of {}, 200/s", few),
                   {kEphemeral, 'p', 1, few, 1, few},
                   slow,
                   plan.hops,
                   Floor::Verify});
  ask_live(bench, {"hop_stored",
                   fmt::format("stored event to 1 of {}, 200/s", few),
                   {kNote, 'p', 1, few, 1, few},
                   slow,
                   plan.hops,
                   Floor::Durable});
  ask_live(bench, {"fan_flat",
                   fmt::format("ephemeral event to 1 of {}, flat out", many),
                   {kEphemeral, 'p', 4, many, 1, many},
                   {4, 32, 0},
                   plan.flat_events,
                   Floor::Verify});
  ask_live(bench, {"fan_flat_stored",
                   fmt::format("stored event to 1 of {}, flat out", many),
                   {kNote, 'p', 4, many, 1, many},
                   {4, 32, 0},
                   plan.flat_events,
                   Floor::Verify});
  ask_live(bench, {"fan_broadcast",
                   fmt::format("stored event to {}, 8 in flight", all),
                   {kNote, 't', 1, all, 1, 1},
                   {1, 8, 0},
                   plan.broadcast_events,
                   Floor::Spread});
  ask_live(bench, {"fan_match",
                   fmt::format("stored event to 1 % of {} subscriptions", fans),
                   {kNote, 't', 1, fans, 20, 100},
                   {1, 8, 0},
                   plan.match_events,
                   Floor::Spread});
}

}  // namespace nostril::bench
