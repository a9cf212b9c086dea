#include "node/network_checks.h"

#include "node/beacon_feed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sys/timex.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::uint64_t kEngineMsMax = 5'000;
constexpr std::uint64_t kLookMs = 20;
/// Clients take encryption keys of an hour's life, and offers name one of 55 minutes.
constexpr std::int64_t kAheadMsMax = 60'000;
constexpr std::int64_t kAheadMsWanted = 3'000;

/// Runs `loop` until `done`, or so long.
void run_until(net::Loop& loop, std::uint64_t wait_ms, const std::function<bool()>& done) {
  const std::uint64_t end_ms = loop.now_ms() + wait_ms;
  const net::TimerId timer = loop.every(kLookMs, [&] {
    if (done() || loop.now_ms() >= end_ms) loop.stop();
  });
  loop.run();
  loop.cancel(timer);
}

/// What one engine said; in the order of the questions.
struct Examined {
  NodeConfig::EngineSettings settings;
  std::unique_ptr<Engine> engine;
  std::optional<FoundEngine> found;
  std::optional<EngineLoad> load;
  bool done = false;
};

void examine(Examined& one) {
  one.engine->list_models([&one](std::optional<FoundEngine> found) {
    one.found = std::move(found);
    if (!one.found) {
      one.done = true;
      return;
    }
    one.engine->read_version(one.found->name, [&one](std::string version) {
      one.found->version = std::move(version);
      one.engine->read_load([&one](std::optional<EngineLoad> load) {
        one.load = load;
        one.done = true;
      });
    });
  });
}

std::string names_of(const FoundEngine& found) {
  std::vector<std::string> names;
  for (const EngineModel& model : found.models) names.push_back(model.id);
  return fmt::format("{}", fmt::join(names, ", "));
}

Finding judge(const Examined& one, bool auditable) {
  Finding out{"engine", Health::Ok, one.engine->address().base_url + ": ", {}};
  if (!one.found) {
    out.health = Health::Wrong;
    out.found += "does not answer /v1/models";
    out.remedy = "start it, wait until it has loaded its model, or mend its url and api_key";
    return out;
  }
  out.found +=
      fmt::format("{} {}, models: {}", one.found->name, one.found->version, names_of(*one.found));
  const auto is_listed = [&](const std::string& name) {
    return std::ranges::find(one.found->models, name, &EngineModel::id) != one.found->models.end();
  };
  const auto missing = std::ranges::find_if_not(one.settings.models, is_listed);
  if (one.found->models.empty() || missing != one.settings.models.end()) {
    out.health = Health::Wrong;
    out.remedy = one.found->models.empty() ? "it serves no model: load one"
                                           : fmt::format(
                                                 "it does not list {}: load it, or mend "
                                                 "the name in the configuration",
                                                 *missing);
  } else if (auditable && one.found->version == kUnknownVersion) {
    out.health = Health::Wrong;
    out.remedy = "offer.auditable needs an engine that says its version";
  } else if (one.load) {
    out.found += fmt::format("; {} run, {} wait", one.load->running, one.load->waiting);
  } else {
    out.health = Health::Warning;
    out.found += "; says nothing of its load";
    out.remedy =
        "start it with its metrics (llama.cpp: --metrics or --slots, SGLang: "
        "--enable-metrics), else the node keeps to limits.running_start requests";
  }
  return out;
}

bool kernel_in_step() {
  timex state{};
  return adjtimex(&state) != TIME_ERROR;
}

}  // namespace

Findings check_engines(const NodeConfig& config, net::Loop& loop) {
  std::vector<NodeConfig::EngineSettings> configured = config.engines;
  if (configured.empty() && !config.engine.url.empty())
    configured.push_back(config.single_engine());
  if (configured.empty()) {
    bool looked = false;
    detect_engines(loop, [&](const std::vector<FoundEngine>& found) {
      looked = true;
      if (found.empty()) return;
      configured.push_back(config.single_engine());
      configured.back().url = found.front().address.base_url;
    });
    run_until(loop, kEngineMsMax, [&looked] { return looked; });
  }
  if (configured.empty()) {
    if (!config.engine.demo_folder.empty()) {
      return {{"engine", Health::Warning, "none on loopback; the node starts its demo engine",
               "for real answers start vLLM, SGLang, llama.cpp's server or Ollama"}};
    }
    return {{"engine", Health::Wrong, "none answers on loopback ports 8000, 30000, 8080, 11434",
             "start one, or set engine.url"}};
  }
  std::vector<Examined> all(configured.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].settings = std::move(configured[i]);
    all[i].engine =
        std::make_unique<Engine>(loop, EngineAddress{all[i].settings.url, all[i].settings.api_key});
    examine(all[i]);
  }
  run_until(loop, kEngineMsMax, [&all] { return std::ranges::all_of(all, &Examined::done); });
  Findings out;
  for (const Examined& one : all) out.push_back(judge(one, config.offer.auditable));
  return out;
}

Findings check_relays(const NodeConfig& config, net::Loop& loop, Clock& clock, Rng& rng,
                      std::uint64_t wait_ms) {
  std::vector<std::unique_ptr<RelayProbe>> probes;
  for (const std::string& url : config.relays) {
    probes.push_back(std::make_unique<RelayProbe>(url, config.ca_file, loop, clock, rng));
  }
  ClockFacts time;
  time.kernel_in_step = kernel_in_step();
  client::RelayPool pool(loop, clock, {}, config.ca_file);
  BeaconFeed beacons(pool, config.witnesses().value_or(std::vector<PublicKey>()),
                     config.freshness.beacon_age_s_max, clock);
  time.beacons_wanted = beacons.wanted();
  if (time.beacons_wanted) {
    for (const std::string& url : config.relays) static_cast<void>(pool.add_relay(url));
    beacons.start();
  }
  run_until(loop, wait_ms, [&] {
    return std::ranges::all_of(probes, [](const auto& one) { return one->done(); }) &&
           (!time.beacons_wanted || beacons.newest());
  });
  if (const auto newest = beacons.newest()) {
    time.beacon_age_s = clock.unix_s() - newest->created_at;
  }
  Findings out;
  for (const auto& probe : probes) {
    const RelayFacts facts = probe->facts();
    if (facts.ahead_ms) time.ahead_ms.push_back(*facts.ahead_ms);
    out.push_back(judge_relay(facts));
  }
  out.push_back(judge_clock(time));
  return out;
}

Finding judge_clock(const ClockFacts& facts) {
  Finding out{"clock", Health::Ok, {}, {}};
  const char* remedy = "run chrony or systemd-timesyncd in this guest (timedatectl set-ntp true)";
  if (facts.ahead_ms.empty()) {
    out.found = "no relay says the time";
  } else {
    std::vector<std::int64_t> sorted = facts.ahead_ms;
    std::ranges::sort(sorted);
    const std::int64_t middle = sorted[sorted.size() / 2];
    out.found =
        fmt::format("{:.1f} s {} by {} relays", static_cast<double>(std::abs(middle)) / 1000,
                    middle < 0 ? "behind" : "ahead", sorted.size());
    if (std::abs(middle) > kAheadMsWanted) {
      out.health = std::abs(middle) > kAheadMsMax ? Health::Wrong : Health::Warning;
      out.remedy = remedy;
    }
  }
  if (!facts.kernel_in_step) {
    out.found += ", the kernel's clock is not kept in step by anybody";
    out.health = std::max(out.health, Health::Warning);
    out.remedy = remedy;
  }
  if (!facts.beacons_wanted) return out;
  if (!facts.beacon_age_s) {
    out.health = std::max(out.health, Health::Warning);
    out.found += ", no fresh beacon of the witnesses";
    out.remedy += fmt::format(
        "{}ask the witnesses of freshness.beacons; or it is our clock that is "
        "ahead: clients that require a beacon refuse",
        out.remedy.empty() ? "" : "\n");
  } else {
    out.found += fmt::format(", the newest beacon is {} s old", *facts.beacon_age_s);
    if (*facts.beacon_age_s * 1000 < -kAheadMsWanted) {
      out.health = std::max(out.health, Health::Warning);
      out.remedy = remedy;
    }
  }
  return out;
}

}  // namespace nostril::node
