#include "node/reload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace nostril::node {

namespace {

using Engines = std::vector<NodeConfig::EngineSettings>;

/// Of [engine] and of each [[engine]].
constexpr std::array kEngineKeys = {"api_key",      "input_price",        "cached_price",
                                    "output_price", "output_tokens_max",  "paths",
                                    "media_hosts",  "prompt_cache_shared"};

constexpr std::array kKeys = {"relays",
                              "log_level",
                              "log_format",
                              "offer.input_price",
                              "offer.cached_price",
                              "offer.output_price",
                              "offer.request_price",
                              "offer.session_price",
                              "offer.second_price",
                              "offer.credit",
                              "offer.output_tokens_max",
                              "offer.operator",
                              "freshness.refresh_s",
                              "limits.sessions_max",
                              "limits.running_max",
                              "limits.waiting_max",
                              "limits.wait_s_max",
                              "limits.receipt_wait_s",
                              "limits.client_lost_s",
                              "limits.drain_s",
                              "limits.records_days",
                              "access.mode",
                              "access.keys_file",
                              "access.urls"};

bool may_change(std::string_view key) {
  constexpr std::string_view kEngine = "engine.";
  if (key.starts_with(kEngine)) {
    return std::ranges::find(kEngineKeys, key.substr(kEngine.size())) != kEngineKeys.end();
  }
  return std::ranges::find(kKeys, key) != kKeys.end();
}

/// Compares what `declare` declares of two objects; gives `next` the running value of what can't
/// change.
template <typename T>
void compare(T& next, T& running, void (*declare)(Config&, T&), const std::string& prefix,
             Reload& out) {
  Config wanted;
  declare(wanted, next);
  Config present;
  declare(present, running);
  const Config::Change change = wanted.keep_running(present, [&](std::string_view key) {
    return may_change(prefix.empty() ? std::string(key) : "engine." + std::string(key));
  });
  for (const auto& key : change.taken) out.changed.push_back(prefix + key);
  for (const auto& key : change.needs_restart) out.needs_restart.push_back(prefix + key);
}

std::string name_of(const NodeConfig::EngineSettings& engine) {
  return fmt::format("[[engine]] {}", engine.url);
}

void compare_engines(const Engines& before, Reload& out) {
  const auto find = [](const Engines& engines, const std::string& url) {
    return std::ranges::find(engines, url, &NodeConfig::EngineSettings::url);
  };
  Engines& next = out.next.engines;
  if (before.empty() != next.empty()) {
    out.needs_restart.emplace_back("[[engine]]");  // in place of [engine], or the other way round
    next = before;
    return;
  }
  for (const NodeConfig::EngineSettings& engine : before) {
    if (find(next, engine.url) == next.end()) out.changed.push_back(name_of(engine) + " is gone");
  }
  for (NodeConfig::EngineSettings& engine : next) {
    const auto was = find(before, engine.url);
    if (was == before.end()) {
      out.changed.push_back(name_of(engine) + " is new");
      continue;
    }
    NodeConfig::EngineSettings present = *was;
    compare(engine, present, declare_one_of_several, name_of(engine) + " ", out);
  }
}

void declare_node(Config& config, NodeConfig& values) {
  values.declare(config);
}

}  // namespace

Result<Reload, std::string> plan_reload(const NodeConfig& running, NodeConfig wanted) {
  if (auto problem = wanted.problem()) return failure(std::move(*problem));
  Reload out;
  out.next = std::move(wanted);
  NodeConfig present = running;
  present.engines = out.next.engines;  // one by one, below
  compare(out.next, present, declare_node, "", out);
  compare_engines(running.engines, out);
  // Half of a change may be none that can be offered.
  if (auto problem = out.next.problem()) return failure(std::move(*problem));
  return out;
}

}  // namespace nostril::node
