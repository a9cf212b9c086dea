#include "bench/relay/load/deliveries.h"
#include "bench/relay/load/modes.h"

#include <fmt/format.h>

namespace nostril::bench {

// The connections are opened inside the timed part: what is asked is what one costs.
void ask_idle(const Bench& bench) {
  const std::size_t count = bench.plan.idle_connections;
  const Audience audience{kEphemeral, 'p', 0, count, 1, count};
  Question question;
  question.name = "idle";
  question.title = fmt::format("open a connection with a REQ, {} of them", count);
  question.unit = "connection";
  question.floor = Floor::Send;
  question.rounds = 1;
  question.connections = 0;
  question.run = [&](Connections& connections, const Target& target) {
    const auto before = target.process.memory();
    const Meter meter(target);
    connections.open(count);
    audience.subscribe(connections);
    Round round = meter.stop(static_cast<double>(count));
    const auto after = target.process.memory();
    round.more["connection_bytes"] =
        static_cast<double>(after.anonymous_bytes - before.anonymous_bytes) / round.operations;
    return round;
  };
  bench.asker.ask(question);
}

}  // namespace nostril::bench
