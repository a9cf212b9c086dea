#include "client/api_keys.h"
#include "client/apps/app_list.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/must.h"
#include "client/cli/terminal.h"
#include "client/home_config.h"
#include "client/private_file.h"
#include "client/run_until.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace nostril::client::cli {

namespace {

namespace fs = std::filesystem;
using apps::AppFile;
using apps::AppModel;
using apps::AppPlaces;
using apps::AppPlan;
using apps::AppTarget;

constexpr std::size_t kFileBytesMax = 4U << 20U;
constexpr std::uint64_t kOffersMsMax = 8'000;
constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;
constexpr std::size_t kKeyCharacters = 3 + 64;  // make_api_key()

AppPlaces places_of(const fs::path& home) {
  const char* user = std::getenv("HOME");               // NOLINT(concurrency-mt-unsafe)
  const char* config = std::getenv("XDG_CONFIG_HOME");  // NOLINT(concurrency-mt-unsafe)
  if (user == nullptr) throw std::runtime_error("$HOME is not set: where are your applications?");
  const fs::path folder = user;
  const bool named = config != nullptr && *config != '\0';
  return {folder, named ? fs::path(config) : folder / ".config", home};
}

std::string gateway_address(const HomeConfig::Gateway& gateway) {
  std::string listen = gateway.listen;
  if (listen.ends_with(":0")) {
    throw std::runtime_error("gateway.listen in config.toml names no port: " + listen);
  }
  for (const std::string_view any : {"0.0.0.0:", "[::]:"}) {
    if (listen.starts_with(any)) listen.replace(0, any.size() - 1, "127.0.0.1");
  }
  return (gateway.tls_cert.empty() ? "http://" : "https://") + listen;
}

std::string text_of(const fs::path& file) {
  return fs::exists(file) ? must(read_whole_file(file, kFileBytesMax)) : std::string();
}

Result<std::string, std::string> with_part(const AppFile& file, const std::string& text) {
  return std::visit([&](const auto& part) { return apps::with_part(text, part); }, file.part);
}

Result<std::string, std::string> without_part(const AppFile& file, const std::string& text) {
  return std::visit([&](const auto& part) { return apps::without_part(text, part); }, file.part);
}

bool has_part(const AppFile& file) {
  const std::string text = text_of(file.path);
  return std::visit([&](const auto& part) { return apps::has_part(text, part); }, file.part);
}

std::string snippet(const AppFile& file) {
  return std::visit([](const auto& part) { return apps::to_text(part); }, file.part);
}

std::string key_name(const std::string& app) {
  return "app-" + app;
}

/// What verified nodes serve now; the newest offers first.
std::vector<AppModel> models_from_offers(Process& process, const ClientSettings& settings) {
  if (settings.relays.empty()) throw std::runtime_error("no relay: nostril init, or --model NAME");
  Progress progress(process.loop);
  progress.say("asking which models there are");
  TrustSettings trust = trust_from(settings);
  RelayPool pool(process.loop, process.clock, {}, settings.ca_file);
  for (const std::string& relay : settings.relays) static_cast<void>(pool.add_relay(relay));
  TrustFeed feed(pool, trust, process.clock, settings.home / "known-good");
  OfferBook book(pool, trust, process.clock);
  feed.on_change([&book] { book.on_trust_changed(); });
  run_until(process.loop, kOffersMsMax, [&] { return feed.complete() && book.complete(); });
  std::vector<AppModel> out;
  for (const auto& one : book.usable()) {
    const Offer& offer = one->offer();
    if (std::ranges::find(out, offer.model, &AppModel::id) != out.end()) continue;
    const bool tools = std::ranges::find(offer.features, "tools") != offer.features.end();
    out.push_back({offer.model, offer.context_tokens, offer.output_tokens_max, tools});
  }
  if (out.empty()) {
    throw std::runtime_error(
        "no verified node offers a model: see nostril doctor, or name one with "
        "--model");
  }
  return out;
}

std::vector<AppModel> models_for(Process& process, const ClientSettings& settings,
                                 const AppsOptions& options) {
  if (options.models.empty()) return models_from_offers(process, settings);
  std::vector<AppModel> out;
  for (const std::string& name : options.models) out.push_back({name, 0, 0, true});
  return out;
}

/// The key that the application's files hold already, if the gateway still knows it.
std::optional<std::string> key_in_files(const AppPlan& plan, const std::vector<ApiKey>& keys,
                                        const std::string& name) {
  for (const AppFile& file : plan.files) {
    const std::string text = text_of(file.path);
    for (std::size_t at = text.find("nk-"); at != std::string::npos;
         at = text.find("nk-", at + 1)) {
      const std::string found = text.substr(at, kKeyCharacters);
      const ApiKey* owner = find_api_key(keys, found);
      if (owner != nullptr && owner->name == name) return found;
    }
  }
  return std::nullopt;
}

/// In place of the one of that name, with its budget.
void put_key(std::vector<ApiKey>& keys, const std::string& name, std::string_view key) {
  const auto found = std::ranges::find(keys, name, &ApiKey::name);
  if (found == keys.end()) {
    keys.push_back({name, api_key_hash(key), std::nullopt, {}});
  } else {
    *found = {name, api_key_hash(key), std::nullopt, found->budget};
  }
}

void write_keys(const fs::path& home, const std::vector<ApiKey>& keys) {
  if (const auto problem = problem_of(keys)) throw std::runtime_error(*problem);
  fs::create_directories(home);
  must(write_api_keys(keys_file_of(home), keys));
}

void print_plan(const AppPlan& plan) {
  for (const AppFile& file : plan.files) {
    fmt::print("# {}\n{}\n", file.path.string(), snippet(file));
  }
}

/// What was there before us is kept once, as it was.
void keep_copy(const fs::path& file) {
  const fs::path copy = file.string() + ".before-nostril";
  if (!fs::exists(file) || fs::exists(copy)) return;
  must(create_file(copy, as_bytes(text_of(file)), kOwnerOnly));
  fmt::print("{}  as it was before\n", copy.string());
}

/// Its owner's rights stay; others' go, for there is a key in it now.
mode_t mode_for(const fs::path& file) {
  struct stat status {};

  if (stat(file.c_str(), &status) != 0) return kOwnerOnly;
  return status.st_mode & S_IRWXU;
}

void write_if_changed(const fs::path& file, const std::string& text) {
  if (fs::exists(file) && text == text_of(file)) {
    fmt::print("{}  is so already\n", file.string());
    return;
  }
  keep_copy(file);
  must(replace_file(file, as_bytes(text), mode_for(file)));
  fmt::print("{}  written\n", file.string());
}

AppPlan plan_or_throw(const AppsOptions& options, const AppPlaces& places,
                      const AppTarget& target) {
  auto plan = apps::plan_for(options.name, places, target);
  if (plan) return *std::move(plan);
  std::string known;
  for (const std::string_view name : apps::app_names()) known += " " + std::string(name);
  throw std::runtime_error(options.name + ": not an application that is known here:" + known);
}

}  // namespace

int apps_add(Process& process, const ClientSettings& settings, const HomeConfig& config,
             const AppsOptions& options) {
  const AppPlaces places = places_of(settings.home);
  const std::string name = key_name(options.name);
  AppTarget target{gateway_address(config.gateway), "", {AppModel{}}};
  static_cast<void>(plan_or_throw(options, places, target));
  target.models = models_for(process, settings, options);
  if (options.print) {
    target.key = "KEY";
    print_plan(plan_or_throw(options, places, target));
    fmt::print("# KEY: nostril keys add {}\n", name);
    return 0;
  }
  auto keys = must(read_api_keys(keys_file_of(settings.home)));
  const bool first = keys.empty();
  const auto known = key_in_files(plan_or_throw(options, places, target), keys, name);
  target.key = known ? *known : make_api_key(process.rng);
  const AppPlan plan = plan_or_throw(options, places, target);
  std::vector<std::string> texts;
  for (const AppFile& file : plan.files) {
    auto text = with_part(file, text_of(file.path));
    if (!text) {
      fmt::print(stderr, "nostril: {} is left as it is: {}. Put this into it:\n\n",
                 file.path.string(), text.error());
      target.key = "KEY";
      print_plan(plan_or_throw(options, places, target));
      fmt::print(stderr, "KEY is what `nostril keys add {}` prints\n", name);
      return 1;
    }
    texts.push_back(*std::move(text));
  }
  if (!known) {
    put_key(keys, name, target.key);
    write_keys(settings.home, keys);
  }
  for (std::size_t i = 0; i < texts.size(); ++i) write_if_changed(plan.files[i].path, texts[i]);
  if (first) fmt::print("from now on the gateway serves only who has a key (nostril keys)\n");
  if (!plan.note.empty()) fmt::print("{}\n", plan.note);
  fmt::print("{} uses {} at {}; its budget: nostril keys\n", options.name, target.models.front().id,
             target.address);
  return 0;
}

int apps_list(const ClientSettings& settings, const HomeConfig& config) {
  const AppPlaces places = places_of(settings.home);
  const AppTarget target{gateway_address(config.gateway), "", {AppModel{}}};
  for (const std::string_view name : apps::app_names()) {
    const auto plan = apps::plan_for(name, places, target);
    const AppFile& file = plan->files.front();
    fmt::print("{:<12} {:<6} {}\n", name, has_part(file) ? "added" : "-", file.path.string());
  }
  return 0;
}

int apps_remove(const ClientSettings& settings, const HomeConfig& config,
                const AppsOptions& options) {
  const AppPlaces places = places_of(settings.home);
  const AppTarget target{gateway_address(config.gateway), "", {AppModel{}}};
  const AppPlan plan = plan_or_throw(options, places, target);
  for (const AppFile& file : plan.files) {
    const std::string path = file.path.string();
    if (!has_part(file)) {
      fmt::print("{}  has nothing of ours that is known\n", path);
      continue;
    }
    const auto text = without_part(file, text_of(file.path));
    if (!text) throw std::runtime_error(path + " is left as it is: " + text.error());
    must(replace_file(file.path, as_bytes(*text), mode_for(file.path)));
    fmt::print("{}  written\n", path);
  }
  auto keys = must(read_api_keys(keys_file_of(settings.home)));
  const std::string name = key_name(options.name);
  if (std::erase_if(keys, [&name](const ApiKey& key) { return key.name == name; }) > 0) {
    write_keys(settings.home, keys);
    fmt::print("its key is revoked\n");
  }
  return 0;
}

void add_apps(CLI::App& app, Options& o, Command& run) {
  auto* group =
      app.add_subcommand("apps", "point other programs at the gateway, each with its key");
  group->require_subcommand(1);
  const auto add_name = [&o](CLI::App* sub) {
    const auto names = apps::app_names();
    sub->add_option("app", o.apps.name)
        ->required()
        ->check(CLI::IsMember(std::vector<std::string>(names.begin(), names.end())));
  };
  auto* add = group->add_subcommand("add", "write into its configuration, beside what is there");
  add_client(*add, o.client, o.home);
  add_name(add);
  add->add_option("-m,--model", o.apps.models,
                  "what verified nodes offer when not given; again for more")
      ->allow_extra_args(false);
  add->add_flag("--print", o.apps.print, "only show what would be written, and where");
  add->callback([&] {
    run = [&o](Process& process) {
      return apps_add(process, settings_of(o), HomeConfig::read(o.home), o.apps);
    };
  });
  auto* list = group->add_subcommand("list", "which are known, which were added, and their files");
  add_home(*list, o.home);
  list->callback([&] {
    run = [&o](Process&) { return apps_list(settings_of(o), HomeConfig::read(o.home)); };
  });
  auto* remove = group->add_subcommand("remove", "take it out again, and revoke its key");
  add_home(*remove, o.home);
  add_name(remove);
  remove->callback([&] {
    run = [&o](Process&) { return apps_remove(settings_of(o), HomeConfig::read(o.home), o.apps); };
  });
}

}  // namespace nostril::client::cli
