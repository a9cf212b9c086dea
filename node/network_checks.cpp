#include "node/network_checks.h"

#include "client/clock_check.h"
#include "client/money_checks.h"
#include "client/relay_probe.h"
#include "client/run_until.h"
#include "node/beacon_feed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::uint64_t kEngineMsMax = 5'000;

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
    client::run_until(loop, kEngineMsMax, [&looked] { return looked; });
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
  client::run_until(loop, kEngineMsMax,
                    [&all] { return std::ranges::all_of(all, &Examined::done); });
  Findings out;
  for (const Examined& one : all) out.push_back(judge(one, config.offer.auditable));
  return out;
}

Findings check_relays(const NodeConfig& config, net::Loop& loop, Clock& clock, Rng& rng,
                      std::uint64_t wait_ms) {
  std::vector<std::unique_ptr<client::RelayProbe>> probes;
  for (const std::string& url : config.relays) {
    probes.push_back(std::make_unique<client::RelayProbe>(url, config.ca_file, loop, clock, rng));
  }
  client::ClockFacts time;
  time.kernel_in_step = client::kernel_in_step();
  client::RelayPool pool(loop, clock, {}, config.ca_file);
  BeaconFeed beacons(pool, config.witnesses().value_or(std::vector<PublicKey>()),
                     config.freshness.beacon_age_s_max, clock);
  time.beacons_wanted = beacons.wanted();
  if (time.beacons_wanted) {
    for (const std::string& url : config.relays) static_cast<void>(pool.add_relay(url));
    beacons.start();
  }
  client::run_until(loop, wait_ms, [&] {
    return std::ranges::all_of(probes, [](const auto& one) { return one->done(); }) &&
           (!time.beacons_wanted || beacons.newest());
  });
  if (const auto newest = beacons.newest()) {
    time.beacon_age_s = clock.unix_s() - newest->created_at;
  }
  Findings out;
  for (const auto& probe : probes) {
    const client::RelayFacts facts = probe->facts();
    if (facts.ahead_ms) time.ahead_ms.push_back(*facts.ahead_ms);
    out.push_back(client::judge_relay(facts));
  }
  out.push_back(client::judge_clock(time));
  return out;
}

Findings check_settlement(const NodeConfig& config, net::Loop& loop, Clock& clock, Rng& rng) {
  using Method = settlement::lightning::WalletMethod;
  if (config.problem()) return {};  // said of the settings already
  Findings out;
  if (config.settlement.enabled()) {
    std::optional<EthereumAddress> account;
    const std::filesystem::path file = config.account_file();
    if (!std::filesystem::exists(file)) {
      out.push_back({"account", Health::Warning, file.string() + ": not there",
                     "the node's first start makes it; then send it some of the chain's coin"});
    } else if (const auto key = client::chain::account_key(file, false, rng)) {
      account = key->address();
      out.push_back(
          {"account", Health::Ok, settlement::evm::to_string(*account) + " sends claims", {}});
    } else {
      out.push_back({"account", Health::Wrong, key.error(), "put back a copy of it"});
    }
    for (Finding& one :
         client::check_chain(config.settlement, config.offer.asset, account, "[settlement]")) {
      out.push_back(std::move(one));
    }
  }
  if (!config.lightning.enabled()) return out;
  std::vector<client::WalletServiceNeeds> needs = {{"lightning",
                                                    config.lightning.nwc_file,
                                                    {Method::MakeInvoice, Method::LookupInvoice},
                                                    config.lightning.network}};
  if (config.lightning.refund_nwc_file.empty()) {
    needs.front().methods.push_back(Method::PayInvoice);
  } else {
    needs.push_back({"refunds",
                     config.lightning.refund_nwc_file,
                     {Method::PayInvoice, Method::LookupInvoice},
                     config.lightning.network});
  }
  for (Finding& one : client::check_wallet_services(needs, config.ca_file, loop, clock, rng)) {
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace nostril::node
