#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "client/api_budget.h"
#include "client/api_keys.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <stdexcept>
#include <vector>

namespace nostril::client::cli {

namespace {

std::vector<ApiKey> read(const std::filesystem::path& home) {
  auto keys = read_api_keys(keys_file_of(home));
  if (!keys) throw std::runtime_error(keys.error());
  return *std::move(keys);
}

void write(const std::filesystem::path& home, const std::vector<ApiKey>& keys) {
  if (const auto problem = problem_of(keys)) throw std::runtime_error(*problem);
  std::filesystem::create_directories(home);
  if (const auto written = write_api_keys(keys_file_of(home), keys); !written) {
    throw std::runtime_error(written.error());
  }
}

void write_json(JsonWriter& w, const ApiKey& key, const ApiUsage& used) {
  const auto number = [&w](std::string_view name, std::uint64_t value) {
    w.key(name).raw(std::to_string(value));
  };
  w.begin_object().key("name").string(key.name).key("budget").begin_object();
  number("tokens_per_day", key.budget.tokens_per_day);
  number("tokens", key.budget.tokens);
  number("amount_per_day", key.budget.amount_per_day);
  number("amount", key.budget.amount);
  w.end_object().key("today").begin_object();
  number("tokens", used.today.tokens);
  number("amount", used.today.amount);
  w.end_object().key("total").begin_object();
  number("tokens", used.total.tokens);
  number("amount", used.total.amount);
  w.end_object().end_object();
}

std::string column(std::uint64_t spent, std::uint64_t limit) {
  return limit == 0 ? fmt::format("{} / -", spent) : fmt::format("{} / {}", spent, limit);
}

}  // namespace

std::filesystem::path keys_file_of(const std::filesystem::path& home) {
  return home / "keys.toml";
}

int keys_add(const std::filesystem::path& home, const KeysOptions& options) {
  auto keys = read(home);
  SystemRng rng;
  const std::string secret = make_api_key(rng);
  ApiKey made;
  made.name = options.name;
  made.sha256 = api_key_hash(secret);
  made.budget = options.budget;
  keys.push_back(std::move(made));
  write(home, keys);
  if (options.json) {
    JsonWriter w;
    w.begin_object().key("name").string(options.name).key("key").string(secret).end_object();
    fmt::print("{}\n", w.text());
  } else {
    fmt::print("{}\n", secret);
  }
  return 0;
}

int keys_list(const std::filesystem::path& home, const KeysOptions& options) {
  const auto keys = read(home);
  const auto usage = read_usage(home / "journal");
  const std::int64_t today = SystemClock().unix_s() / kSecondsPerDay;
  JsonWriter w;
  w.begin_array();
  if (!options.json) {
    fmt::print("{:<24} {:>26} {:>26} {:>26} {:>26}\n", "name", "tokens today / limit",
               "tokens / limit", "amount today / limit", "amount / limit");
  }
  for (const ApiKey& key : keys) {
    const auto found = usage.find(key.caller_id());
    ApiUsage used = found == usage.end() ? ApiUsage{} : found->second;
    if (used.day < today) used.today = {};
    if (options.json) {
      write_json(w, key, used);
      continue;
    }
    fmt::print("{:<24} {:>26} {:>26} {:>26} {:>26}\n", key.name,
               column(used.today.tokens, key.budget.tokens_per_day),
               column(used.total.tokens, key.budget.tokens),
               column(used.today.amount, key.budget.amount_per_day),
               column(used.total.amount, key.budget.amount));
  }
  w.end_array();
  if (options.json) fmt::print("{}\n", w.text());
  return 0;
}

int keys_revoke(const std::filesystem::path& home, const KeysOptions& options) {
  auto keys = read(home);
  if (std::erase_if(keys, [&](const ApiKey& key) { return key.name == options.name; }) == 0) {
    throw std::runtime_error("no key is named " + options.name);
  }
  write(home, keys);
  return 0;
}

void add_keys(CLI::App& app, Options& o, Command& run) {
  auto* keys = app.add_subcommand("keys", "who may use the gateway, and how much");
  keys->require_subcommand(1);
  const auto add_common = [&o](CLI::App& command) {
    command.add_option("--home", o.home, "the gateway's")->capture_default_str();
    command.add_flag("--json", o.keys.json, "for programs");
  };
  auto* add = keys->add_subcommand("add", "make a key and print it; only its hash is kept");
  add_common(*add);
  add->add_option("name", o.keys.name)->required();
  const auto limit = [add](const char* name, std::uint64_t& number, const char* what) {
    add->add_option(name, number, what);
  };
  limit("--tokens-per-day", o.keys.budget.tokens_per_day, "0: no limit; days are UTC's");
  limit("--tokens", o.keys.budget.tokens, "in all");
  limit("--amount-per-day", o.keys.budget.amount_per_day, "base units of the offers' asset");
  limit("--amount", o.keys.budget.amount, "in all");
  add->callback([&] { run = [&o](Process&) { return keys_add(o.home, o.keys); }; });
  auto* list = keys->add_subcommand("list", "names, budgets, and what was used");
  add_common(*list);
  list->callback([&] { run = [&o](Process&) { return keys_list(o.home, o.keys); }; });
  auto* revoke = keys->add_subcommand("revoke", "a running gateway refuses it within a second");
  add_common(*revoke);
  revoke->add_option("name", o.keys.name)->required();
  revoke->callback([&] { run = [&o](Process&) { return keys_revoke(o.home, o.keys); }; });
}

}  // namespace nostril::client::cli
