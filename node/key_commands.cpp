#include "node/key_commands.h"

#include "base/clock.h"
#include "base/rng.h"
#include "client/api_budget.h"
#include "client/api_keys.h"
#include "events/nip19.h"
#include "node/config.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <variant>
#include <vector>

namespace nostril::node {

using client::ApiKey;
using client::ApiUsage;
using client::kSecondsPerDay;

namespace {

int failed(std::string_view message) {
  fmt::print(stderr, "nostril-node: {}\n", message);
  return 1;
}

std::string limit_text(std::uint64_t limit) {
  return limit == 0 ? "-" : std::to_string(limit);
}

}  // namespace

int keys_add(const KeyOptions& options) {
  const auto file = NodeConfig::read(options.config).keys_file();
  auto keys = client::read_api_keys(file);
  if (!keys) return failed(keys.error());
  ApiKey made;
  made.name = options.name;
  const auto limit = [](std::int64_t number) { return static_cast<std::uint64_t>(number); };
  made.budget = {limit(options.tokens_per_day), limit(options.tokens),
                 limit(options.amount_per_day), limit(options.amount)};
  std::string secret;
  if (options.npub.empty()) {
    SystemRng rng;
    secret = client::make_api_key(rng);
    made.sha256 = client::api_key_hash(secret);
  } else {
    const auto code = nip19::decode(options.npub);
    const auto* npub = code ? std::get_if<nip19::Npub>(&*code) : nullptr;
    if (npub == nullptr) return failed("--npub: a key as npub1…");
    made.pubkey = npub->key;
  }
  keys->push_back(std::move(made));
  if (const auto problem = problem_of(*keys)) return failed(*problem);
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
  if (const auto written = write_api_keys(file, *keys); !written) return failed(written.error());
  if (!secret.empty()) fmt::print("{}\n", secret);
  return 0;
}

int keys_list(const KeyOptions& options) {
  const NodeConfig config = NodeConfig::read(options.config);
  const auto keys = client::read_api_keys(config.keys_file());
  if (!keys) return failed(keys.error());
  const auto usage = client::read_usage(std::filesystem::path(config.data) / "journal");
  fmt::print("{:<24} {:<6} {:>30} {:>30} {:>30} {:>30}\n", "name", "kind", "tokens today / limit",
             "tokens / limit", "amount today / limit", "amount / limit");
  const std::int64_t today = SystemClock().unix_s() / kSecondsPerDay;
  for (const ApiKey& key : *keys) {
    const auto found = usage.find(key.caller_id());
    ApiUsage used = found == usage.end() ? ApiUsage{} : found->second;
    if (used.day < today) used.today = {};
    const auto column = [](std::uint64_t spent, std::uint64_t limit) {
      return fmt::format("{} / {}", spent, limit_text(limit));
    };
    fmt::print("{:<24} {:<6} {:>30} {:>30} {:>30} {:>30}\n", key.name, key.pubkey ? "nostr" : "key",
               column(used.today.tokens, key.budget.tokens_per_day),
               column(used.total.tokens, key.budget.tokens),
               column(used.today.amount, key.budget.amount_per_day),
               column(used.total.amount, key.budget.amount));
  }
  return 0;
}

int keys_revoke(const KeyOptions& options) {
  const auto file = NodeConfig::read(options.config).keys_file();
  auto keys = client::read_api_keys(file);
  if (!keys) return failed(keys.error());
  if (std::erase_if(*keys, [&](const ApiKey& key) { return key.name == options.name; }) == 0) {
    return failed("no key is named " + options.name);
  }
  if (const auto written = write_api_keys(file, *keys); !written) return failed(written.error());
  return 0;
}

}  // namespace nostril::node
