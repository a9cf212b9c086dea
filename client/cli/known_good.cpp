#include "base/hex.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/node_evidence.h"
#include "client/cli/signer.h"
#include "client/event_file.h"
#include "client/known_good_book.h"
#include "events/nip19.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

constexpr std::int64_t kDayS = 86'400;

std::vector<std::string> words_of(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, separator);) out.push_back(word);
  return out;
}

KnownSubject subject_named(const std::string& name) {
  for (std::size_t i = 0; i < kKnownSubjectCount; ++i) {
    const auto subject = static_cast<KnownSubject>(i);
    if (name == to_string(subject)) return subject;
  }
  throw std::runtime_error(name + ": not image, compose, weights or machine");
}

KnownGoodEntry checked(KnownGoodEntry entry) {
  const bool model_missing =
      entry.subject == KnownSubject::Weights && entry.allow && entry.model.empty();
  const bool model_misplaced = entry.subject != KnownSubject::Weights && !entry.model.empty();
  if (!make_canonical(entry.parts, entry.subject) || model_missing || model_misplaced) {
    throw std::runtime_error(fmt::format("{} {}: not as spec/11-known-good.md wants it",
                                         to_string(entry.subject), to_text(entry.parts)));
  }
  if (entry.reason.empty() || entry.reason.size() > KnownGoodLimits::kReasonBytesMax) {
    throw std::runtime_error("--reason: 1 to 200 bytes");
  }
  return entry;
}

/// "SUBJECT NAME=HEX,NAME=HEX [MODEL]"
KnownGoodEntry entry_from(const std::string& text, bool allow, const std::string& reason) {
  const std::vector<std::string> words = words_of(text, ' ');
  if (words.size() < 2 || words.size() > 3) {
    throw std::runtime_error(text + ": write \"SUBJECT NAME=HEX,… [MODEL]\"");
  }
  KnownGoodEntry out{allow, subject_named(words[0]), {}, words.size() == 3 ? words[2] : "", reason};
  for (const std::string& pair : words_of(words[1], ',')) {
    const std::size_t equals = std::min(pair.find('='), pair.size());
    out.parts.push_back({pair.substr(0, equals), pair.substr(std::min(equals + 1, pair.size()))});
  }
  return checked(std::move(out));
}

/// What the node's evidence names, among `names`.
std::vector<KnownPart> parts_of(const attestation::Verdict& verdict,
                                const std::vector<std::string>& names) {
  std::vector<KnownPart> out;
  for (const attestation::Identity& identity : verdict.identities) {
    if (std::ranges::find(names, identity.name) == names.end()) continue;
    out.push_back({identity.name, identity.value});
  }
  return out;
}

/// The image, the weights and, when asked for, the machine of a node whose evidence is sound.
void add_node(Process& process, const ClientSettings& settings, const KnownGoodOptions& options,
              std::vector<KnownGoodEntry>& entries) {
  const JudgedOffer judged = judge_from_relays(process, settings, options.node, options.model);
  if (!judged.verdict || !judged.verdict->accepted) {
    throw std::runtime_error("the node's evidence is refused, so nothing can be said of it: " +
                             judged.reason);
  }
  const attestation::Verdict& verdict = *judged.verdict;
  fmt::print(stderr, "{}\n", attestation::summary(verdict));
  entries.push_back(
      checked({true, KnownSubject::Image, parts_of(verdict, words_of(options.registers, ',')), "",
               options.reason}));
  const auto weights = parts_of(verdict, {"weights"});
  if (!weights.empty()) {
    entries.push_back(
        checked({true, KnownSubject::Weights, weights, judged.offer.model, options.reason}));
  }
  if (!options.machine) return;
  for (const KnownPart& part : parts_of(verdict, {"ppid", "chip_id", "gpu_serial"})) {
    entries.push_back(checked({true, KnownSubject::Machine, {part}, "", options.reason}));
  }
}

void print_list(const KnownGoodList& list, std::int64_t now_s) {
  fmt::print("list     {}\nauditor  {}\n", list.name, nip19::encode(nip19::Npub{list.auditor}));
  fmt::print("dated    {}, {} s ago\nends     {}{}\n", list.created_at, now_s - list.created_at,
             list.expires_at, list.expires_at < now_s ? " (ENDED: only its denials hold)" : "");
  for (const KnownGoodEntry& entry : list.entries) {
    fmt::print("{} {} {}{}{}\n         {}\n", entry.allow ? "allow   " : "DENY    ",
               to_string(entry.subject), to_text(entry.parts), entry.model.empty() ? "" : " of ",
               entry.model, entry.reason);
  }
}

KnownGoodList read_list(const std::string& file, const VerifiedEvent& event) {
  auto list = parse_known_good(event.event());
  if (!list) throw std::runtime_error(file + ": " + std::string(to_string(list.error())));
  return std::move(*list);
}

}  // namespace

int make_known_good(Process& process, const ClientSettings& settings,
                    const KnownGoodOptions& options) {
  UserSigner auditor(process, options.key_file, settings.home, settings.ca_file);
  KnownGoodList list;
  list.auditor = auditor.public_key();
  list.created_at = process.clock.unix_s();
  list.expires_at = list.created_at + options.days * kDayS;
  list.name = options.name;
  for (const std::string& text : options.allow) {
    list.entries.push_back(entry_from(text, true, options.reason));
  }
  for (const std::string& text : options.deny) {
    list.entries.push_back(entry_from(text, false, options.reason));
  }
  if (!options.node.empty()) add_node(process, settings, options, list.entries);
  if (list.name.empty() || list.name.size() > KnownGoodLimits::kNameBytesMax ||
      list.name.find_first_of(" \"\\") != std::string::npos) {
    throw std::runtime_error("--name: 1 to 64 characters without spaces");
  }
  if (list.entries.size() > KnownGoodLimits::kEntriesMax) {
    throw std::runtime_error("more than 256 entries");
  }
  for (auto entry = list.entries.begin(); entry != list.entries.end(); ++entry) {
    const bool doubled = std::any_of(list.entries.begin(), entry, [&](const auto& other) {
      return other.subject == entry->subject && other.parts == entry->parts &&
             other.model == entry->model;
    });
    if (doubled) throw std::runtime_error(to_text(entry->parts) + ": stands twice");
  }
  fmt::print("{}\n", to_json(auditor.sign(build_known_good(list))));
  return 0;
}

int show_known_good(Process& process, const std::string& file) {
  Verifier verifier;
  const VerifiedEvent event = read_event_file(file, verifier);
  print_list(read_list(file, event), process.clock.unix_s());
  return 0;
}

int check_known_good(Process& process, const ClientSettings& settings, const std::string& file) {
  Verifier verifier;
  const VerifiedEvent event = read_event_file(file, verifier);
  const KnownGoodList list = read_list(file, event);
  const std::int64_t now_s = process.clock.unix_s();
  print_list(list, now_s);
  const ListRules rules = trust_from(settings).policy.lists;
  KnownGoodBook book(rules);
  const auto outcome = book.add(event, now_s);
  if (outcome != KnownGoodBook::Outcome::Taken) {
    fmt::print("REFUSED  {}\n", to_string(outcome));
    return 1;
  }
  const std::int64_t ends_at = to_known_list(list, rules).ends_at;
  if (ends_at < now_s) {
    fmt::print("ENDED    it vouches for nothing under this policy; its denials hold\n");
    return 1;
  }
  fmt::print("COUNTS   until {}; {} of {} trusted keys must vouch for a thing\n", ends_at,
             rules.auditors_min, rules.trusted.size());
  return 0;
}

void add_known_good(CLI::App& app, Options& o, Command& run) {
  auto* group = app.add_subcommand("known-good", "lists of known images, weights and machines");
  group->require_subcommand(1);
  KnownGoodOptions& options = o.known_good;
  auto* make = group->add_subcommand(
      "make", "sign a list and print it; `nostril event --stdin --relay …` publishes it");
  make->add_option("--name", options.name, "a newer list of this name replaces it")->required();
  make->add_option("--key", options.key_file,
                   "the auditor: a key file or bunker://…; else the home's identity");
  make->add_option("--reason", options.reason, "why, for people")->required();
  make->add_option("--days", options.days, "until it ends")
      ->check(CLI::Range(1, 366))
      ->capture_default_str();
  make->add_option(
      "--allow", options.allow,
      "\"SUBJECT NAME=HEX,… [MODEL]\", subject image, compose, weights, machine; again "
      "for more");
  make->add_option("--deny", options.deny, "the same, denied");
  auto* node = make->add_option("--node", options.node,
                                "npub: allow the image and weights that its evidence names");
  make->add_option("-m,--model", options.model, "its newest offer's when not given")->needs(node);
  make->add_option("--registers", options.registers, "of the image")->capture_default_str();
  make->add_flag("--machine", options.machine, "its machine, too")->needs(node);
  make->add_option("-r,--relay", o.client.relays, "relays that have the node's offer");
  make->add_option("--ca-file", o.client.ca_file, "PEM roots of wss:// relays");
  make->add_option("--policy", o.client.policy, "TOML file: what evidence is taken");
  make->add_option("--home", o.home)->capture_default_str();
  add_test_roots(*make, o.client);
  make->callback([&] {
    run = [&o](Process& process) {
      use_identity(o, o.known_good.key_file, o.client.ca_file);
      return make_known_good(process, settings_of(o), o.known_good);
    };
  });
  auto* show = group->add_subcommand("show", "a list in words, when its signature is right");
  show->add_option("file", o.file)->required();
  show->callback(
      [&] { run = [&o](Process& process) { return show_known_good(process, o.file); }; });
  auto* check = group->add_subcommand("check", "whether a list counts under a policy; 0 it does");
  check->add_option("file", o.file)->required();
  check->add_option("--policy", o.client.policy, "TOML file that names its auditor")->required();
  check->callback([&] {
    run = [&o](Process& process) { return check_known_good(process, settings_of(o), o.file); };
  });
}

}  // namespace nostril::client::cli
