#include "bench/relay/load/question.h"

#include "base/check.h"
#include "base/json.h"
#include "bench/relay/load/clocks.h"
#include "bench/relay/load/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <thread>
#include <utility>

namespace nostril::bench {

namespace {

constexpr auto kSettle = std::chrono::milliseconds(5);

double rounded(double value) {
  if (value == 0) return 0;
  const double scale = std::pow(10.0, 3 - std::floor(std::log10(std::abs(value))));
  return std::abs(value) >= 1e4 ? std::round(value) : std::round(value * scale) / scale;
}

double middle_of(const std::vector<Round>& rounds,
                 const std::function<double(const Round&)>& value_of) {
  std::vector<double> values(rounds.size());
  std::transform(rounds.begin(), rounds.end(), values.begin(), value_of);
  return median(std::move(values));
}

double least_of(const std::vector<Round>& rounds,
                const std::function<double(const Round&)>& value_of) {
  double least = INFINITY;
  for (const Round& round : rounds) least = std::min(least, value_of(round));
  return least;
}

double middle_of(const std::vector<Floors>& floors, double Floors::*which) {
  std::vector<double> values(floors.size());
  std::transform(floors.begin(), floors.end(), values.begin(), std::mem_fn(which));
  return median(std::move(values));
}

struct NamedFloor {
  std::string_view name;
  double Floors::*value;
};

NamedFloor named(Floor floor) {
  switch (floor) {
    case Floor::Verify:
      return {"verify", &Floors::verify_us};
    case Floor::Send:
      return {"send", &Floors::send_us};
    case Floor::Spread:
      return {"spread send", &Floors::spread_us};
    case Floor::Durable:
      return {"verify + sync", &Floors::durable_us};
  }
  CHECK(false);
}

}  // namespace

Meter::Meter(const Target& target)
    : target_(target), cpu_ns_(target.process.cpu_ns()), start_ns_(now_ns()) {}

Round Meter::stop(double operations) const {
  Round round;
  round.operations = operations;
  round.wall_s = static_cast<double>(now_ns() - start_ns_) / 1e9;
  std::this_thread::sleep_for(kSettle);
  round.cpu_us = static_cast<double>(target_.process.cpu_ns() - cpu_ns_) / 1e3;
  return round;
}

struct Asker::Contest {
  explicit Contest(const Target& contender)
      : target(contender), connections(contender.url, contender.deflate) {}

  const Target& target;
  Connections connections;
  std::vector<Round> rounds;
  std::string wrong;
  bool set_up = false;
};

Asker::Asker(const std::vector<Target>& targets, std::vector<Event> floor_events,
             std::filesystem::path directory)
    : targets_(targets), floor_events_(std::move(floor_events)), directory_(std::move(directory)) {}

void Asker::ask(const Question& question) {
  if (!names_.empty() && names_.count(question.name) == 0) return;
  const std::size_t rounds = rounds_ == 0 ? question.rounds : rounds_;
  std::vector<std::unique_ptr<Contest>> contests;
  for (const Target& target : targets_) contests.push_back(std::make_unique<Contest>(target));
  std::vector<Floors> floors;
  for (std::size_t round = 0; round < rounds; ++round) {
    show_progress(fmt::format("{} {}/{}", question.name, round + 1, rounds));
    if (question.prepare) question.prepare(round);
    floors.push_back(measure_floors(floor_events_, directory_));
    for (auto& contest : contests) {
      if (contest->wrong.empty()) run_round(question, *contest);
    }
  }
  show_progress({});
  for (const auto& contest : contests) print(question, *contest, floors);
}

void Asker::run_round(const Question& question, Contest& contest) {
  try {
    if (!std::exchange(contest.set_up, true)) {
      contest.connections.open(question.connections);
      if (question.set_up) question.set_up(contest.connections);
    }
    contest.rounds.push_back(question.run(contest.connections, contest.target));
    contest.connections.on_message = nullptr;
  } catch (const std::runtime_error& error) {
    contest.wrong = error.what();
    contest.connections.close_all();
    all_right_ = false;
  }
}

void Asker::print(const Question& question, const Contest& contest,
                  const std::vector<Floors>& floors) {
  JsonWriter out;
  out.begin_object();
  out.key("question").string(question.name);
  out.key("title").string(question.title);
  out.key("unit").string(question.unit);
  out.key("contender").string(contest.target.name);
  if (!contest.wrong.empty()) {
    out.key("wrong").string(contest.wrong);
  } else {
    const auto cpu_us_each = [](const Round& round) { return round.cpu_us / round.operations; };
    const auto per_s = [](const Round& round) { return round.operations / round.wall_s; };
    const NamedFloor raw = named(question.floor);
    const double raw_us = middle_of(floors, raw.value);
    const double cpu_us = middle_of(contest.rounds, cpu_us_each);
    out.key("cpu_us").number(rounded(cpu_us));
    out.key("cpu_least_us").number(rounded(least_of(contest.rounds, cpu_us_each)));
    out.key("raw").string(raw.name);
    out.key("raw_us").number(rounded(raw_us));
    out.key("to_raw").number(rounded(cpu_us / raw_us));
    out.key("per_s").number(rounded(middle_of(contest.rounds, per_s)));
    Samples all;
    for (const Round& round : contest.rounds) all.add_all(round.latencies);
    if (all.count() > 0) {
      out.key("p50_us").number(rounded(all.quantile_us(0.5)));
      out.key("p99_us").number(rounded(all.quantile_us(0.99)));
    }
    for (const auto& entry : contest.rounds[0].more) {
      const std::string& name = entry.first;
      const auto value_of = [&](const Round& round) {
        const auto found = round.more.find(name);
        return found == round.more.end() ? 0 : found->second;
      };
      out.key(name).number(rounded(middle_of(contest.rounds, value_of)));
    }
    const auto memory = contest.target.process.memory();
    out.key("rss_anonymous_bytes").integer(memory.anonymous_bytes);
    out.key("rss_file_bytes").integer(memory.file_bytes);
    out.key("rounds").integer(static_cast<std::int64_t>(contest.rounds.size()));
  }
  out.end_object();
  fmt::print("{}\n", out.text());
  std::fflush(stdout);
}

}  // namespace nostril::bench
