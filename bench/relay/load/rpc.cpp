#include "bench/relay/load/clocks.h"
#include "bench/relay/load/deliveries.h"
#include "bench/relay/load/modes.h"
#include "bench/relay/load/relay_line.h"
#include "events/messages.h"

#include <fmt/format.h>

#include <utility>

namespace nostril::bench {

namespace {

struct Calls {
  Publications requests;  // call c belongs to pair c % pairs
  Publications answers;
};

/// Pairs of a client and a server over ephemeral events. Connection i < pairs is a client, i +
/// pairs its server; each subscribes to what names it.
class Conversation {
 public:
  Conversation(Connections& connections, const Calls& calls, std::size_t pairs,
               std::size_t in_flight)
      : connections_(connections),
        calls_(calls),
        pairs_(pairs),
        in_flight_(in_flight),
        states_(calls.requests.count()) {}

  Round run(const Target& target) {
    connections_.on_message = [this](std::size_t connection, std::string_view text) {
      take(connection, text);
    };
    const Meter meter(target);
    for (std::size_t i = 0; i < pairs_ * in_flight_; ++i) call(i);
    connections_.run("calling");
    Round round = meter.stop(static_cast<double>(states_.size()));
    round.latencies = std::move(latencies_);
    return round;
  }

 private:
  struct State {
    std::int64_t asked_at = 0;
    bool heard = false;
    bool answered = false;
  };

  void call(std::size_t index) {
    if (index >= states_.size()) return;
    states_[index].asked_at = now_ns();
    connections_.send(index % pairs_, calls_.requests.frame(index));
  }

  void take(std::size_t connection, std::string_view text) {
    const RelayLine line = read_relay_line(text);
    if (line.kind == RelayLine::Kind::Ok) {
      if (!line.accepted()) return connections_.fail(std::string(text));
      if (++oks_ == states_.size() * 2 && answered_ == states_.size()) connections_.done();
      return;
    }
    const bool at_server = connection >= pairs_;
    const Publications& from = at_server ? calls_.requests : calls_.answers;
    const auto key = line.kind == RelayLine::Kind::Event ? line.id_key() : std::nullopt;
    const std::size_t index = key ? from.find(*key) : from.count();
    if (index == from.count() || index % pairs_ != connection % pairs_) {
      return connections_.fail("not for this one: " + std::string(text));
    }
    State& state = states_[index];
    if (std::exchange(at_server ? state.heard : state.answered, true)) {
      return connections_.fail("delivered twice");
    }
    if (at_server) return connections_.send(connection, calls_.answers.frame(index));
    latencies_.add(now_ns() - state.asked_at);
    if (++answered_ == states_.size() && oks_ == states_.size() * 2) return connections_.done();
    call(index + pairs_ * in_flight_);
  }

  Connections& connections_;
  const Calls& calls_;
  std::size_t pairs_;
  std::size_t in_flight_;
  std::vector<State> states_;
  std::size_t oks_ = 0;
  std::size_t answered_ = 0;
  Samples latencies_;
};

void ask_pairs(const Bench& bench, const char* name, std::string title, std::size_t pairs,
               std::size_t in_flight, std::size_t count) {
  Calls calls;
  const Audience both{kEphemeral, 'p', 0, pairs * 2, 1, pairs * 2};
  Question question;
  question.name = name;
  question.title = std::move(title);
  question.unit = "call";
  question.rounds = bench.plan.rounds;
  question.connections = pairs * 2;
  question.set_up = [&](Connections& connections) { both.subscribe(connections); };
  question.prepare = [&](std::size_t) {
    std::vector<std::string> to_servers;
    std::vector<std::string> to_clients;
    for (std::size_t i = 0; i < count; ++i) {
      to_servers.push_back(both.topic(pairs + i % pairs));
      to_clients.push_back(both.topic(i % pairs));
    }
    calls.requests = Publications(bench.live.tagged(kEphemeral, 'p', to_servers));
    calls.answers = Publications(bench.live.tagged(kEphemeral, 'p', to_clients));
  };
  question.run = [&](Connections& connections, const Target& target) {
    return Conversation(connections, calls, pairs, in_flight).run(target);
  };
  bench.asker.ask(question);
}

}  // namespace

void ask_rpc(const Bench& bench) {
  const Plan& plan = bench.plan;
  ask_pairs(bench, "request_answer", "request and answer, one at a time", 1, 1, plan.round_trips);
  ask_pairs(bench, "rpc", fmt::format("request and answer, {} pairs x 4", plan.rpc_pairs),
            plan.rpc_pairs, 4, plan.rpc_round_trips);
}

}  // namespace nostril::bench
