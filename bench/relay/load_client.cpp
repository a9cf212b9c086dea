// nostril-bench-relay: loads relays over their real sockets and prints a line of JSON a question
// and contender. Works with any relay; the CPU is the server process's, all threads. One thread,
// but for signing. How to read the figures: bench/README.md.

#include "bench/relay/load/modes.h"
#include "bench/relay/load/progress.h"
#include "net/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <exception>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::bench {

namespace {

constexpr std::size_t kFloorEvents = 256;
constexpr std::array<std::string_view, 6> kModes = {"idle",   "ingest", "query",
                                                    "fanout", "mixed",  "offline"};

struct Arguments {
  std::vector<std::string> targets;
  std::set<std::string, std::less<>> modes;
  std::string cache = NOSTRIL_BENCH_CACHE;
  std::string program;  ///< nostril-relay, for offline
  std::set<std::string, std::less<>> rows;
  std::size_t rounds = 0;
  bool quick = false;
  bool deflate = false;

  [[nodiscard]] bool wants(std::string_view mode) const { return modes.count(mode) > 0; }
};

std::set<std::string, std::less<>> words_of(std::string_view text) {
  std::set<std::string, std::less<>> words;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    words.emplace(word);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return words;
}

void read_modes(std::string_view text, Arguments& out) {
  out.modes = words_of(text);
  for (const std::string& mode : out.modes) {
    if (std::find(kModes.begin(), kModes.end(), mode) != kModes.end()) continue;
    throw std::runtime_error(fmt::format("modes: {}", fmt::join(kModes, ", ")));
  }
}

Arguments read_arguments(const std::vector<std::string>& words) {
  Arguments out;
  out.modes.insert(kModes.begin(), kModes.end());
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const auto value = [&]() -> const std::string& {
      if (++i == words.size()) throw std::runtime_error(word + " needs a value");
      return words[i];
    };
    if (word == "--quick") {
      out.quick = true;
    } else if (word == "--deflate") {
      out.deflate = true;
    } else if (word == "--only") {
      read_modes(value(), out);
    } else if (word == "--rows") {
      out.rows = words_of(value());
    } else if (word == "--rounds") {
      out.rounds = std::stoul(value());
    } else if (word == "--cache") {
      out.cache = value();
    } else if (word == "--relay-program") {
      out.program = value();
    } else if (!word.empty() && std::isdigit(static_cast<unsigned char>(word[0])) != 0 &&
               !out.targets.empty()) {
      out.targets.back() += ",pid=" + word;
    } else {
      out.targets.push_back(word);
    }
  }
  if (out.targets.empty()) {
    throw std::runtime_error(
        "usage: nostril-bench-relay [NAME=]ws://HOST:PORT[,pid=PID][,data=FOLDER]... [--quick] "
        "[--deflate]\n"
        "         [--only idle,ingest,query,fanout,mixed,offline] [--rows NAME,...] [--rounds N]\n"
        "         [--cache FOLDER]\n"
        "         [--relay-program FILE]");
  }
  return out;
}

void show_signing(std::size_t made, std::size_t of) {
  show_progress(made == of ? "" : fmt::format("signing the corpus: {} of {}", made, of));
}

void print_floors(const Floors& floors) {
  fmt::print(
      "{{\"question\":\"raw\",\"verify_us\":{:.2f},\"send_us\":{:.2f},\"spread_us\":{:.2f},"
      "\"durable_us\":"
      "{:.1f},\"hash_us\":{:.3f},\"copy_us\":{:.3f}}}\n",
      floors.verify_us, floors.send_us, floors.spread_us, floors.durable_us, floors.hash_us,
      floors.copy_us);
}

bool run(const Arguments& arguments) {
  net::raise_descriptor_limit();
  const Plan plan = arguments.quick ? Plan::quick() : Plan();
  std::vector<Target> targets;
  for (const std::string& text : arguments.targets) {
    targets.push_back(read_target(text));
    targets.back().deflate = arguments.deflate;
  }
  LiveEvents live;
  const std::vector<Event> sample = live.mixed(kFloorEvents);
  print_floors(measure_floors(sample, arguments.cache));
  Asker asker(targets, sample, arguments.cache);
  const Bench bench{plan, asker, live};

  if (arguments.wants("idle")) ask_idle(bench);
  std::optional<Corpus> corpus;
  const bool offline = arguments.wants("offline") && !arguments.program.empty();
  const bool asks = arguments.wants("query") || arguments.wants("mixed");
  if (asks || offline) corpus.emplace(arguments.cache, plan.corpus_events, show_signing);
  if (asks) load_corpus(bench, *corpus);
  asker.select(arguments.rows, arguments.rounds);
  if (arguments.wants("ingest")) ask_ingest(bench);
  if (asks) {
    const Answers answers(corpus->events());
    if (arguments.wants("query")) ask_queries(bench, *corpus, answers);
    if (arguments.wants("mixed")) ask_mixed(bench, *corpus, answers);
  }
  if (arguments.wants("fanout")) {
    ask_fanout(bench);
    ask_rpc(bench);
  }
  if (offline) ask_offline(plan, *corpus, arguments.program);
  return asker.all_right();
}

}  // namespace

Plan Plan::quick() {
  Plan plan;
  plan.rounds = 1;
  plan.corpus_events = 4'000;
  plan.ingest_events = 1'024;
  plan.single_events = 30;
  plan.rate_events = 100;
  plan.queries = 10;
  plan.page_events = 20;
  plan.subscribers = 20;
  plan.hops = 20;
  plan.flat_subscribers = 50;
  plan.flat_events = 200;
  plan.broadcast_subscribers = 50;
  plan.broadcast_events = 10;
  plan.match_connections = 10;
  plan.match_events = 20;
  plan.round_trips = 20;
  plan.rpc_pairs = 4;
  plan.rpc_round_trips = 40;
  plan.idle_connections = 100;
  plan.mixed_s = 1;
  plan.mixed_flat_events = 200;
  return plan;
}

}  // namespace nostril::bench

int main(int argc, char** argv) {
  try {
    const auto arguments = nostril::bench::read_arguments({argv + 1, argv + argc});
    return nostril::bench::run(arguments) ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "nostril-bench-relay: {}\n", error.what());
    return 1;
  }
}
