#pragma once

#include "bench/relay/load/connections.h"
#include "bench/relay/load/floors.h"
#include "bench/relay/load/samples.h"
#include "bench/relay/load/target.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace nostril::bench {

/// The relay did not do what it should: the figure does not count.
class WrongAnswer : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What one round of one contender gave.
struct Round {
  double operations = 0;
  double cpu_us = 0;  ///< of the server, all operations together
  double wall_s = 0;
  Samples latencies;
  std::map<std::string, double> more;  ///< further figures by their name in the JSON
};

/// The server's CPU and the time from construction to stop().
class Meter {
 public:
  explicit Meter(const Target& target);
  /// Waits a moment first, so that work which the server had put off is counted too.
  [[nodiscard]] Round stop(double operations) const;

 private:
  const Target& target_;
  std::int64_t cpu_ns_;
  std::int64_t start_ns_;
};

enum class Floor : std::uint8_t { Verify, Send, Spread, Durable };

/// One line of the table.
struct Question {
  std::string name;   ///< in the JSON; never changes its meaning
  std::string title;  ///< in the table
  std::string unit;   ///< what one operation is
  Floor floor = Floor::Verify;
  std::size_t rounds = 5;
  std::size_t connections = 1;
  /// Once a contender, its connections open: subscriptions.
  std::function<void(Connections&)> set_up{};
  /// Once a round, before any contender: the input, the same for all. Not timed.
  std::function<void(std::size_t round)> prepare{};
  /// One round. Throws when the relay's answers are wrong.
  std::function<Round(Connections&, const Target&)> run;
};

/// Asks every contender in turns (A B, A B, …), so that what else the machine does meets all of
/// them, and prints a line of JSON a contender: medians of the rounds (and the least, which other
/// work on the machine disturbs less), quantiles over all samples.
class Asker {
 public:
  /// Both are borrowed.
  Asker(const std::vector<Target>& targets, std::vector<Event> floor_events,
        std::filesystem::path directory);

  void ask(const Question& question);

  /// From now on only the questions with these names; of each so many rounds, unless 0.
  void select(std::set<std::string, std::less<>> names, std::size_t rounds) {
    names_ = std::move(names);
    rounds_ = rounds;
  }

  /// False once a relay answered wrongly.
  [[nodiscard]] bool all_right() const { return all_right_; }

 private:
  struct Contest;

  void run_round(const Question& question, Contest& contest);
  void print(const Question& question, const Contest& contest, const std::vector<Floors>& floors);

  const std::vector<Target>& targets_;
  std::vector<Event> floor_events_;
  std::filesystem::path directory_;
  std::set<std::string, std::less<>> names_;  // none: all
  std::size_t rounds_ = 0;
  bool all_right_ = true;
};

}  // namespace nostril::bench
