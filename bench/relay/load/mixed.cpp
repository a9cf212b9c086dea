#include "bench/relay/load/asking.h"
#include "bench/relay/load/deliveries.h"
#include "bench/relay/load/filters.h"
#include "bench/relay/load/modes.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace nostril::bench {

namespace {

constexpr std::int64_t kTickNs = 2'000'000;
constexpr std::size_t kPublishesAS = 500;  // one a tick
constexpr std::size_t kTicksAQuery = 5;    // 100/s
constexpr std::size_t kPublishers = 8;
constexpr std::size_t kInFlight = 4;  // on each of them, flat out
constexpr std::size_t kHearers = 4;   // of an event, flat out
constexpr std::size_t kClients = 4;

struct Input {
  Publications publications;
  std::vector<std::size_t> topics;
  std::vector<Case> cases;
};

// What one round does. Connections: publishers, then the clients that ask, then the audience.
class Mix {
 public:
  Mix(Connections& connections, const Audience& audience, const Input& input, Pace pace)
      : publisher(connections, input.publications, pace),
        deliveries(audience, input.publications, input.topics, publisher),
        asking(connections, input.cases, kPublishers, kClients),
        connections_(connections) {
    connections.on_message = [this, first_listener = audience.first_connection,
                              flat_out = pace.in_flight > 0](std::size_t connection,
                                                             std::string_view text) {
      if (connection < kPublishers) {
        publisher.take_ok(connection, text);
        if (flat_out && publisher.all_answered()) asking.stop();
      } else if (connection < first_listener) {
        asking.take(connection, text);
      } else if (std::string wrong = deliveries.take(connection, text); !wrong.empty()) {
        connections_.fail(std::move(wrong));
      }
      if (publisher.all_answered() && deliveries.complete() && asking.complete())
        connections_.done();
    };
  }

  void describe(Round& round) {
    round.latencies = deliveries.latencies();
    round.more["ok_p50_us"] = publisher.latencies().quantile_us(0.5);
    round.more["ok_p99_us"] = publisher.latencies().quantile_us(0.99);
    round.more["query_p50_us"] = asking.latencies().quantile_us(0.5);
    round.more["query_p99_us"] = asking.latencies().quantile_us(0.99);
  }

  Publisher publisher;
  Deliveries deliveries;
  Asking asking;

 private:
  Connections& connections_;
};

// Events and queries by the clock.
Round mix_paced(Connections& connections, const Target& target, const Audience& audience,
                const Input& input) {
  Mix mix(connections, audience, input, {kPublishers, 0, 0});
  std::size_t ticks = 0;
  const Meter meter(target);
  connections.every(kTickNs, [&] {
    if (ticks++ % kTicksAQuery == 0) mix.asking.ask_one();
    return mix.publisher.send_one();
  });
  connections.run("mixed");
  Round round = meter.stop(static_cast<double>(input.publications.count()));
  mix.describe(round);
  return round;
}

// All as fast as they are answered, until the events are published.
Round mix_flat_out(Connections& connections, const Target& target, const Audience& audience,
                   const Input& input) {
  Mix mix(connections, audience, input, {kPublishers, kInFlight, 0});
  const Meter meter(target);
  mix.publisher.start();
  mix.asking.ask_repeatedly();
  connections.run("mixed, flat out");
  const auto events = static_cast<double>(input.publications.count());
  const auto queries = static_cast<double>(mix.asking.answered());
  const auto deliveries = static_cast<double>(mix.deliveries.count());
  Round round = meter.stop(events + queries + deliveries);
  mix.describe(round);
  round.more["events_per_s"] = events / round.wall_s;
  round.more["queries_per_s"] = queries / round.wall_s;
  round.more["deliveries_per_s"] = deliveries / round.wall_s;
  return round;
}

using RunMix = Round (*)(Connections&, const Target&, const Audience&, const Input&);

struct Mixture {
  std::string name;
  std::string title;
  std::string unit;
  std::size_t events;
  std::size_t topics;
  RunMix run;
};

void ask_mixture(const Bench& bench, const Corpus& corpus, const Answers& answers,
                 const Mixture& mixture) {
  const std::size_t listeners = bench.plan.subscribers;
  const Audience audience{kNote, 'p', kPublishers + kClients, listeners, 1, mixture.topics};
  Filters filters(corpus, answers);
  Input input;
  Question question;
  question.name = mixture.name;
  question.title = mixture.title;
  question.unit = mixture.unit;
  question.rounds = bench.plan.rounds;
  question.connections = audience.first_connection + audience.connections();
  question.set_up = [&](Connections& connections) { audience.subscribe(connections); };
  question.prepare = [&](std::size_t round) {
    filters.seed(round);
    input.topics.clear();
    input.cases.clear();
    std::vector<std::string> values;
    for (std::size_t i = 0; i < mixture.events; ++i) {
      input.topics.push_back((round + i * 7'919) % audience.topics);
      values.push_back(audience.topic(input.topics.back()));
      if (i % kTicksAQuery == 0) input.cases.emplace_back(filters.author_and_kind(), answers);
    }
    input.publications = Publications(bench.live.tagged(kNote, 'p', values));
  };
  question.run = [&](Connections& connections, const Target& target) {
    return mixture.run(connections, target, audience, input);
  };
  bench.asker.ask(question);
}

}  // namespace

void ask_mixed(const Bench& bench, const Corpus& corpus, const Answers& answers) {
  const Plan& plan = bench.plan;
  const std::size_t listeners = plan.subscribers;
  ask_mixture(bench, corpus, answers,
              {"mixed", fmt::format("500 events/s to 1 of {}, 100 queries/s", listeners),
               "event with its delivery and a fifth of a query", plan.mixed_s * kPublishesAS,
               listeners, mix_paced});
  ask_mixture(
      bench, corpus, answers,
      {"mixed_flat",
       fmt::format("events to {} of {} and queries together, flat out", kHearers, listeners),
       "event, delivery or query", plan.mixed_flat_events, listeners / kHearers, mix_flat_out});
}

}  // namespace nostril::bench
