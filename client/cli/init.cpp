#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/must.h"
#include "client/cli/terminal.h"
#include "client/home_config.h"
#include "client/key_file.h"
#include "client/passphrase.h"
#include "client/private_file.h"
#include "client/remote_signer.h"
#include "events/nip19.h"
#include "net/url.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <utility>

namespace nostril::client::cli {

namespace {

namespace fs = std::filesystem;

constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;
constexpr std::array<std::string_view, 4> kLevels = {"declared", "image", "weights", "auditable"};
constexpr int kPassphraseTries = 3;
constexpr std::string_view kPolicyFile = "policy.toml";

std::optional<std::string> problem_of_relay(const std::string& url) {
  const bool websocket = url.starts_with("ws://") || url.starts_with("wss://");
  if (websocket && net::parse_url(url)) return std::nullopt;
  return url + ": a relay is ws://HOST[:PORT] or wss://HOST[:PORT]";
}

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> out;
  std::string word;
  for (const char c : line + " ") {
    if (c != ' ' && c != ',') {
      word.push_back(c);
    } else if (!word.empty()) {
      out.push_back(std::exchange(word, {}));
    }
  }
  return out;
}

bool are_relays(const std::vector<std::string>& relays) {
  for (const std::string& relay : relays) {
    if (const auto problem = problem_of_relay(relay)) {
      fmt::print(stderr, "{}\n", *problem);
      return false;
    }
  }
  return !relays.empty();
}

std::optional<std::int64_t> amount_of(const std::string& text) {
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || out < 0) return std::nullopt;
  return out;
}

bool is_level(const std::string& level) {
  return std::ranges::find(kLevels, level) != kLevels.end();
}

/// The same question until the answer is one; `problem` says what was wrong with it.
template <typename Parse>
auto ask_until(const std::string& question, const std::string& initial, const char* problem,
               Parse parse) {
  for (;;) {
    const std::string line = ask_line(question, initial);
    if (auto value = parse(line)) return *value;
    fmt::print(stderr, "{}: {}\n", line, problem);
  }
}

std::optional<bool> yes_or_no(std::string answer) {
  std::ranges::transform(answer, answer.begin(), [](unsigned char c) { return std::tolower(c); });
  if (answer == "y" || answer == "yes") return true;
  if (answer == "n" || answer == "no") return false;
  return std::nullopt;
}

/// A key that can't be used is better known now than when something is to be signed. What is under
/// a passphrase is not opened.
std::optional<std::string> problem_of_identity(const std::string& identity) {
  if (identity.empty()) return std::nullopt;
  if (identity.starts_with("bunker://")) {
    const auto url = parse_bunker_url(identity);
    return url ? std::nullopt : std::optional(url.error());
  }
  const auto line = read_key_line(identity);
  if (!line) return line.error();
  const std::string_view text = line->expose();
  if (text.starts_with("bunker://")) return problem_of_identity(std::string(text));
  if (is_encrypted_key_line(text)) return std::nullopt;
  const auto key = open_key_line(text, identity);
  return key ? std::nullopt : std::optional(key.error());
}

/// Asks for what the command line left open.
void ask(InitOptions& options) {
  while (!are_relays(options.relays)) {
    options.relays = words_of(ask_line("Relays (ws://… or wss://…, several parted by spaces)", ""));
    if (options.relays.empty())
      fmt::print(stderr, "one at least: nodes are found through relays\n");
  }
  if (!options.budget) {
    options.budget = ask_until("Most that one node may be owed, base units", "1000000",
                               "not a whole number, 0 or above", amount_of);
  }
  if (options.level.empty()) {
    fmt::print(stderr,
               "What must a node prove?\n"
               "  declared   a genuine TEE; its software is anybody's\n"
               "  image      and its software is one that your policy or its auditors know\n"
               "  weights    and so are the model's weights\n"
               "  auditable  and its answers can be repeated\n");
    options.level = ask_until("Level", "declared", "none of the four", [](const std::string& line) {
      return is_level(line) ? std::optional(line) : std::nullopt;
    });
  }
  while (options.identity.empty()) {
    options.identity = ask_line("Your Nostr identity: a key file or bunker://… (none is fine)", "");
    if (options.identity.empty()) break;
    const auto problem = problem_of_identity(options.identity);
    if (!problem) break;
    fmt::print(stderr, "{}\n", *problem);
    options.identity.clear();
  }
  if (!options.encrypt) {
    options.encrypt = ask_until("Put the payment key under a passphrase? (y/n)", "n",
                                "y or n, please", yes_or_no);
  }
}

void complete(InitOptions& options) {
  if (!options.yes) {
    ask(options);
  } else if (options.relays.empty()) {
    throw std::runtime_error("name a relay: --relay wss://…");
  }
  for (const std::string& relay : options.relays) {
    if (const auto problem = problem_of_relay(relay)) throw std::runtime_error(*problem);
  }
  if (const auto problem = problem_of_identity(options.identity)) {
    throw std::runtime_error("--identity: " + *problem);
  }
  if (options.level.empty()) options.level = kLevels.front();
}

HomeConfig config_from(const InitOptions& options) {
  const auto absolute = [](const std::string& file) {
    return file.empty() || file.starts_with("bunker://") ? file : fs::absolute(file).string();
  };
  HomeConfig out;
  out.relays = options.relays;
  out.ca_file = absolute(options.ca_file);
  out.identity = absolute(options.identity);
  out.policy = kPolicyFile;
  for (const std::string& root : options.test_roots) out.trust_test_roots.push_back(absolute(root));
  if (options.budget) out.budget = *options.budget;
  return out;
}

/// The commented default policy with that level.
std::string policy_text(const std::string& level) {
  std::string text = print_verify_policy();
  const std::string from = R"(level_min = "declared")";
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("the default policy names no level");
  return text.replace(at, from.size(), fmt::format(R"(level_min = "{}")", level));
}

void write_payment_key(const InitOptions& options, const fs::path& file, Rng& rng) {
  const Keypair key = Keypair::generate(rng);
  if (!options.encrypt) return must(write_key_file(file, key));
  const Passphrase passphrase = must(chosen_passphrase(file.string(), kPassphraseTries));
  const std::string line = must(to_encrypted_key_line(
      key, passphrase, KeyHandling::NotKnownInsecure, kScryptLogNDefault, rng));
  must(create_file(file, as_bytes(line + "\n"), kOwnerOnly));
}

}  // namespace

int init(Process& process, const fs::path& home, InitOptions options) {
  const fs::path config_file = config_file_of(home);
  for (const fs::path& file : {config_file, home / kPolicyFile}) {
    if (!fs::exists(file)) continue;
    throw std::runtime_error(file.string() +
                             " is there; edit it, or name another folder with --home");
  }
  // Before the questions, not after them.
  fs::path folder = fs::absolute(home);
  while (!fs::exists(folder)) folder = folder.parent_path();
  if (access(folder.c_str(), W_OK) != 0 || !fs::is_directory(folder)) {
    throw std::runtime_error(folder.string() + ": can't write there");
  }
  complete(options);
  HomeConfig config = config_from(options);
  ClientSettings before = config.settings(home);
  before.policy.clear();  // not written yet
  static_cast<void>(trust_from(before));
  const fs::path key_file = home / "payment.nsec";
  if (!fs::exists(key_file)) write_payment_key(options, key_file, process.rng);
  must(create_file(home / kPolicyFile, as_bytes(policy_text(options.level)), kOwnerOnly));
  must(create_file(config_file, as_bytes(config.print()), kOwnerOnly));
  fmt::print(
      "{}  what commands take where their line says nothing\n{}  what evidence is taken\n"
      "{}  signs your receipts: keep a copy\n",
      config_file.string(), (home / kPolicyFile).string(), key_file.string());

  // As the next command will read it.
  static_cast<void>(trust_from(HomeConfig::read(home).settings(home)));
  const int health = options.check ? doctor(process, home, {}) : 0;
  if (health > 1) fmt::print("what is wrong above can be mended later; the files are written\n");
  const std::string own = home == default_home() ? "" : " --home " + home.string();
  fmt::print("next: nostril chat{} \"a question\"   or, for applications: nostril gateway{}\n", own,
             own);
  return 0;
}

void add_init(CLI::App& app, Options& o, Command& run) {
  auto* init_app =
      app.add_subcommand("init", "begin here: asks what it must know, writes a new home");
  InitOptions& options = o.init;
  add_home(*init_app, o.home);
  add_relays(*init_app, options.relays, options.ca_file, false);
  init_app->add_flag("-y,--yes", options.yes, "ask nothing: what is not named keeps its default");
  init_app->add_option("--budget", options.budget, "most that one node may be owed, base units")
      ->check(CLI::NonNegativeNumber);
  init_app->add_option("--level", options.level, "least that a node must prove")
      ->check(CLI::IsMember({"declared", "image", "weights", "auditable"}));
  init_app->add_option("--identity", options.identity,
                       "who signs what you publish: a key file or bunker://…");
  init_app->add_flag("--encrypt", options.encrypt, "put the payment key under a passphrase");
  init_app
      ->add_option("--trust-test-root", options.test_roots,
                   "DER file: also take SIMULATED evidence under it (development); again for more")
      ->allow_extra_args(false);
  init_app->add_flag("!--no-check", options.check, "don't look at relays and offers afterwards");
  init_app->callback(
      [&] { run = [&o](Process& process) { return init(process, o.home, o.init); }; });
}

}  // namespace nostril::client::cli
