#include "relay/cli/cluster_command.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "relay/cluster/bus.h"
#include "relay/cluster/codec.h"
#include "relay/cluster/subjects.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace nostril::relay {

namespace {

constexpr std::int64_t kConnectMs = 5'000;
constexpr std::int64_t kAnswerMs = 3'000;
constexpr std::size_t kRelaysMax = 1'000;
constexpr std::chrono::milliseconds kLook{500};
constexpr unsigned kSilencesMax = 3;

class Command {
 public:
  explicit Command(const RelayConfig& config)
      : options_(options_of(config)),
        subjects_(options_.name, options_.relay),
        bus_(options_.bus, nullptr) {
    if (!bus_.wait_connected(kConnectMs)) {
      const std::string why = bus_.problem();
      throw std::runtime_error(fmt::format("the cluster can't be reached: {}", one_line(why)));
    }
  }

  [[nodiscard]] const std::string& cluster() const { return options_.name; }

  [[nodiscard]] std::vector<RelayStatus> all(std::int64_t wait_ms) {
    std::vector<RelayStatus> out;
    const auto answers =
        bus_.request_all(subjects_.control_all(), to_json(ControlRequest{}), wait_ms, kRelaysMax);
    for (const std::string& text : answers) {
      const auto reply = parse_control_reply(text);
      if (reply && reply->outcome) out.push_back(*reply->outcome);
    }
    std::ranges::sort(out, {}, &RelayStatus::relay);
    return out;
  }

  /// Nothing: it does not answer, or not what can be read.
  [[nodiscard]] std::optional<ControlReply> ask(const std::string& relay, ControlAction action) {
    if (!ClusterSubjects::is_name(relay, ClusterSubjects::kRelayCharsMax)) {
      throw std::runtime_error("that is no name of a relay");
    }
    const auto answer =
        bus_.request(subjects_.control(relay), to_json(ControlRequest{action}), kAnswerMs);
    if (!answer) return std::nullopt;
    const auto reply = parse_control_reply(*answer);
    if (!reply || reply->relay != relay) return std::nullopt;
    return *reply;
  }

 private:
  static ClusterOptions options_of(const RelayConfig& config) {
    ClusterOptions out = config.cluster_options();
    if (!out.enabled()) {
      throw std::runtime_error("the configuration has no [cluster]: name one with --config");
    }
    out.bus.name += "-command";
    out.bus.stream.clear();  // requests only
    return out;
  }

  const ClusterOptions options_;
  const ClusterSubjects subjects_;
  Bus bus_;
};

std::vector<std::string> warnings_of(const std::vector<RelayStatus>& relays) {
  std::vector<std::string> out;
  std::set<std::string> names;
  for (const RelayStatus& one : relays) {
    if (!names.insert(one.relay).second) {
      out.push_back(fmt::format("two relays call themselves {}", one.relay));
    }
  }
  const auto differ = [&](auto member) {
    return std::ranges::any_of(relays, [&](const RelayStatus& one) {
      return std::invoke(member, one) != std::invoke(member, relays.front());
    });
  };
  if (differ(&RelayStatus::rules)) {
    out.emplace_back(
        "the relays' rules differ (url, [policy], [limits]): they may refuse each other's events");
  }
  if (differ(&RelayStatus::stream)) out.emplace_back("the relays read different streams");
  return out;
}

bool serves(const RelayStatus& status) {
  return status.state == RelayState::Serving;
}

void print_json(const std::string& cluster, const std::vector<RelayStatus>& relays,
                const std::vector<std::string>& warnings) {
  JsonWriter w;
  w.begin_object().key("cluster").string(cluster).key("relays").begin_array();
  for (const RelayStatus& one : relays) w.raw(to_json(one));
  w.end_array().key("warnings").begin_array();
  for (const std::string& warning : warnings) w.string(warning);
  w.end_array().end_object();
  fmt::print("{}\n", w.text());
}

void print_table(const std::string& cluster, const std::vector<RelayStatus>& relays,
                 const std::vector<std::string>& warnings) {
  constexpr auto kRow = "{:<{}}  {:<11}  {:>12}  {:>8}  {:>12}  {:>8}  {:>11}  {:>9}  {:<16}  {}";
  std::size_t width = 5;
  for (const RelayStatus& one : relays) width = std::max(width, one.relay.size());
  fmt::print("cluster {}, {} relay{}\n", cluster, relays.size(), relays.size() == 1 ? "" : "s");
  const auto row = [&](const auto&... cells) {
    std::string line = fmt::format(fmt::runtime(kRow), cells...);
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  };
  row("relay", width, "state", "position", "lag", "events", "outbox", "connections", "up", "rules",
      "version");
  for (const RelayStatus& one : relays) {
    row(one.relay, width, name_of(one.state), one.position, one.lag(), one.events,
        one.outbox_events, one.connections,
        fmt::format("{}s",
                    std::max<std::int64_t>(0, SystemClock().unix_ms() - one.started_at_ms) / 1'000),
        one.rules.substr(0, 16), one.version);
    if (!one.note.empty()) fmt::print("{:<{}}  {}\n", "", width, one.note);
  }
  for (const std::string& warning : warnings) fmt::print("warning: {}\n", warning);
}

int end(ClusterExit exit) {
  return static_cast<int>(exit);
}

/// Says what changes, on standard error; an answer in JSON at the end only.
class Watch {
 public:
  explicit Watch(std::int64_t wait_s) : until_ms_(clock_.monotonic_ms() + wait_s * 1'000) {}

  /// False: it takes too long.
  [[nodiscard]] bool next() const {
    if (clock_.monotonic_ms() >= until_ms_) return false;
    std::this_thread::sleep_for(kLook);
    return true;
  }

  void show(const RelayStatus& status) {
    std::string line = fmt::format("{} is {}", status.relay, name_of(status.state));
    if (!status.note.empty()) line += ": " + status.note;
    if (line != said_) fmt::print(stderr, "{}\n", line);
    said_ = std::move(line);
  }

 private:
  const SystemClock clock_;
  const std::int64_t until_ms_;
  std::string said_;
};

int no_answer(const std::string& relay) {
  fmt::print(stderr, "{} does not answer: `nostril-relay cluster status` shows who does\n", relay);
  return end(ClusterExit::NoAnswer);
}

int refused(const ControlReply& reply) {
  fmt::print(stderr, "{}: {}\n", reply.relay, reply.outcome.error());
  return end(ClusterExit::Unhealthy);
}

int not_done(const std::string& relay, std::int64_t wait_s) {
  fmt::print(stderr, "{} is not done after {} s; it goes on\n", relay, wait_s);
  return end(ClusterExit::Unhealthy);
}

}  // namespace

int show_cluster(const RelayConfig& config, const ClusterArguments& arguments) {
  Command command(config);
  const auto relays = command.all(arguments.answer_ms);
  const auto warnings = warnings_of(relays);
  arguments.json ? print_json(command.cluster(), relays, warnings)
                 : print_table(command.cluster(), relays, warnings);
  if (relays.empty()) return end(ClusterExit::NoAnswer);
  const bool is_fine = warnings.empty() && std::ranges::all_of(relays, serves);
  return end(is_fine ? ClusterExit::Fine : ClusterExit::Unhealthy);
}

int drain_relay(const RelayConfig& config, const ClusterArguments& arguments) {
  Command command(config);
  const auto begun = command.ask(arguments.relay, ControlAction::Drain);
  if (!begun) return no_answer(arguments.relay);
  if (!begun->outcome) return refused(*begun);
  if (arguments.no_wait) return end(ClusterExit::Fine);
  Watch watch(arguments.wait_s);
  unsigned silences = 0;
  while (watch.next()) {
    const auto reply = command.ask(arguments.relay, ControlAction::Status);
    if (reply && reply->outcome) {
      silences = 0;
      watch.show(*reply->outcome);
    } else if (++silences == kSilencesMax) {
      fmt::print("{} has left the cluster\n", arguments.relay);
      return end(ClusterExit::Fine);
    }
  }
  return not_done(arguments.relay, arguments.wait_s);
}

int resnapshot_relay(const RelayConfig& config, const ClusterArguments& arguments) {
  Command command(config);
  const auto begun = command.ask(arguments.relay, ControlAction::Resnapshot);
  if (!begun) return no_answer(arguments.relay);
  if (!begun->outcome) return refused(*begun);
  if (arguments.no_wait) return end(ClusterExit::Fine);
  Watch watch(arguments.wait_s);
  while (watch.next()) {
    const auto reply = command.ask(arguments.relay, ControlAction::Status);
    if (!reply || !reply->outcome) continue;  // it starts anew
    const RelayStatus& status = *reply->outcome;
    watch.show(status);
    if (status.started_at_ms == begun->outcome->started_at_ms || !serves(status)) continue;
    fmt::print("{} serves from a snapshot, {} events\n", status.relay, status.events);
    return end(ClusterExit::Fine);
  }
  return not_done(arguments.relay, arguments.wait_s);
}

}  // namespace nostril::relay
