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
constexpr std::size_t kClients = 4;

struct Input {
  Publications publications;
  std::vector<std::size_t> topics;
  std::vector<Case> cases;
};

// Connections: publishers, then the clients that ask, then the audience.
Round mix(Connections& connections, const Target& target, const Audience& audience,
          const Input& input) {
  Publisher publisher(connections, input.publications, {kPublishers, 0, 0});
  Deliveries deliveries(audience, input.publications, input.topics, publisher);
  Asking asking(connections, input.cases, kPublishers, kClients);
  connections.on_message = [&](std::size_t connection, std::string_view text) {
    if (connection < kPublishers) {
      publisher.take_ok(connection, text);
    } else if (connection < audience.first_connection) {
      asking.take(connection, text);
    } else if (std::string wrong = deliveries.take(connection, text); !wrong.empty()) {
      connections.fail(std::move(wrong));
    }
    if (publisher.all_answered() && deliveries.complete() && asking.complete()) connections.done();
  };
  std::size_t ticks = 0;
  const Meter meter(target);
  connections.every(kTickNs, [&] {
    if (ticks++ % kTicksAQuery == 0) asking.ask_one();
    return publisher.send_one();
  });
  connections.run("mixed");
  Round round = meter.stop(static_cast<double>(input.publications.count()));
  round.latencies = deliveries.latencies();
  round.more["ok_p50_us"] = publisher.latencies().quantile_us(0.5);
  round.more["ok_p99_us"] = publisher.latencies().quantile_us(0.99);
  round.more["query_p50_us"] = asking.latencies().quantile_us(0.5);
  round.more["query_p99_us"] = asking.latencies().quantile_us(0.99);
  return round;
}

}  // namespace

void ask_mixed(const Bench& bench, const Corpus& corpus, const Answers& answers) {
  const std::size_t listeners = bench.plan.subscribers;
  const std::size_t events = bench.plan.mixed_s * kPublishesAS;
  const Audience audience{kNote, 'p', kPublishers + kClients, listeners, 1, listeners};
  Filters filters(corpus, answers);
  Input input;
  Question question;
  question.name = "mixed";
  question.title = fmt::format("500 events/s to 1 of {}, 100 queries/s", listeners);
  question.unit = "event with its delivery and a fifth of a query";
  question.rounds = bench.plan.rounds;
  question.connections = audience.first_connection + audience.connections();
  question.set_up = [&](Connections& connections) { audience.subscribe(connections); };
  question.prepare = [&](std::size_t round) {
    filters.seed(round);
    input.topics.clear();
    input.cases.clear();
    std::vector<std::string> values;
    for (std::size_t i = 0; i < events; ++i) {
      input.topics.push_back((round + i * 7'919) % audience.topics);
      values.push_back(audience.topic(input.topics.back()));
      if (i % kTicksAQuery == 0) input.cases.emplace_back(filters.author_and_kind(), answers);
    }
    input.publications = Publications(bench.live.tagged(kNote, 'p', values));
  };
  question.run = [&](Connections& connections, const Target& target) {
    return mix(connections, target, audience, input);
  };
  bench.asker.ask(question);
}

}  // namespace nostril::bench
