#include "base/hex.h"
#include "base/json.h"
#include "client/channel_store.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/find_offer.h"
#include "client/cli/signer.h"
#include "client/event_file.h"
#include "client/fraud_parts.h"
#include "client/fraud_proof.h"
#include "client/run_until.h"
#include "events/nip19.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

constexpr std::uint64_t kWaitMsMax = 5'000;
constexpr int kUnusable = 2;

struct Shown {
  std::string models;
  std::string state = "usable";
  ReputationBook::Score score;
};

/// All nodes with an offer, and all that are known as frauds.
std::map<PublicKey, Shown> nodes_of(ClientHome& home) {
  std::map<PublicKey, Shown> out;
  const auto add = [&](const Offer& offer, const std::string& refused) {
    Shown& shown = out[offer.node];
    shown.models += (shown.models.empty() ? "" : " ") + offer.model;
    if (!refused.empty()) shown.state = refused;
  };
  for (const auto& verified : home.offers().usable()) add(verified->offer(), {});
  for (const RejectedOffer& rejected : home.offers().rejected()) {
    add(rejected.offer, rejected.reason);
  }
  for (const auto& [node, reason] : home.reputation().frauds()) out[node].state = "excluded";
  for (auto& [node, shown] : out) shown.score = home.reputation().score(node);
  return out;
}

void write(JsonWriter& w, const PublicKey& node, const Shown& shown) {
  const ReputationBook::Score& score = shown.score;
  w.begin_object().key("node").string(nip19::encode(nip19::Npub{node}));
  w.key("models").string(shown.models).key("state").string(shown.state);
  w.key("score").integer(score.total);
  w.key("own").integer(score.own).key("follows").integer(score.follows);
  w.key("providers").integer(score.providers);
  w.key("approvals").integer(score.approvals).key("flags").integer(score.flags);
  if (score.fraud) w.key("fraud").string(*score.fraud);
  w.end_object();
}

void print(const PublicKey& node, const Shown& shown) {
  const ReputationBook::Score& score = shown.score;
  fmt::print("{}  {}\n", nip19::encode(nip19::Npub{node}), shown.models);
  if (score.fraud) {
    fmt::print("  EXCLUDED  proven fraud: {}\n", *score.fraud);
    return;
  }
  fmt::print("  {:+4}  own {:+}, follows {:+} ({} approve, {} flag), providers {:+}\n", score.total,
             score.own, score.follows, score.approvals, score.flags, score.providers);
  if (shown.state != "usable") fmt::print("  refused: {}\n", shown.state);
}

/// The record that an opinion stands on.
Event record_for(const PublicKey& node, const ReputationOptions& options, Journal& journal) {
  if (!options.file.empty()) {
    Verifier verifier;
    Event out = read_event_file(options.file, verifier).event();
    const auto record = parse_record(out);
    if (!record || record->node != node) {
      throw std::runtime_error(options.file + ": not a record of this node");
    }
    return out;
  }
  std::optional<Event> newest;
  for (const StoredChannel& channel : all_channels(journal)) {
    if (channel.terms.node != node || !channel.record) continue;
    if (!newest || newest->created_at < channel.record->created_at) newest = channel.record;
  }
  if (!newest) {
    throw std::runtime_error("this home has no record of the node: only who was answered can say");
  }
  return *newest;
}

int say(Process& process, const ClientSettings& settings, const ReputationOptions& options,
        std::optional<FlagReason> flag) {
  if (options.note.size() > ReputationLimits::kNoteBytesMax) {
    throw std::runtime_error("--note: 200 bytes at most");
  }
  Opinion opinion;
  opinion.node = node_named(options.node);
  opinion.flag = flag;
  opinion.note = options.note;
  ClientHome home(settings, process.loop, process.clock, process.rng);
  opinion.record = record_for(opinion.node, options, home.journal());
  opinion.created_at = process.clock.unix_s();
  UserSigner signer(process, options.key_file, settings.home, settings.ca_file);
  const Event event = signer.sign(build_opinion(opinion));
  home.reputation_feed().keep_own(event);
  if (options.json || !options.publish) fmt::print("{}\n", to_json(event));
  if (!options.publish) return 0;
  PublishResult told;
  const bool queued = home.pool().publish(event, [&](const PublishResult& result) {
    told = result;
    process.loop.stop();
  });
  const net::TimerId limit = process.loop.after(2 * kWaitMsMax, [&] { process.loop.stop(); });
  if (queued) process.loop.run();
  process.loop.cancel(limit);
  if (!told.accepted) {
    for (const std::string& why : told.refusals) fmt::print(stderr, "nostril: {}\n", why);
    throw std::runtime_error("kept here, but no relay took it");
  }
  fmt::print(stderr, "published: {}\n", nip19::encode(nip19::Note{event.id}));
  return 0;
}

}  // namespace

int reputation_show(Process& process, const ClientSettings& settings,
                    const ReputationOptions& options) {
  ClientHome home(settings, process.loop, process.clock, process.rng);
  run_until(process.loop, kWaitMsMax, [&home] { return home.complete(); });
  std::map<PublicKey, Shown> nodes = nodes_of(home);
  if (!options.node.empty()) {
    const PublicKey wanted = node_named(options.node);
    nodes.try_emplace(wanted, Shown{"", "no offer", home.reputation().score(wanted)});
    std::erase_if(nodes, [&](const auto& entry) { return entry.first != wanted; });
  }
  if (!options.json) {
    for (const auto& [node, shown] : nodes) print(node, shown);
    return 0;
  }
  const ReputationFeed::Counters& counters = home.reputation_feed().counters();
  JsonWriter w;
  w.begin_object().key("nodes").begin_array();
  for (const auto& [node, shown] : nodes) write(w, node, shown);
  w.end_array().key("proofs_taken").integer(static_cast<std::int64_t>(counters.proofs_taken));
  w.key("proofs_refused").integer(static_cast<std::int64_t>(counters.proofs_refused));
  w.key("words_taken").integer(static_cast<std::int64_t>(counters.words_taken));
  w.key("words_refused").integer(static_cast<std::int64_t>(counters.words_refused));
  w.end_object();
  fmt::print("{}\n", w.text());
  return 0;
}

int reputation_approve(Process& process, const ClientSettings& settings,
                       const ReputationOptions& options) {
  return say(process, settings, options, std::nullopt);
}

int reputation_flag(Process& process, const ClientSettings& settings,
                    const ReputationOptions& options) {
  const auto reason = parse_flag_reason(options.reason);
  if (!reason) throw std::runtime_error(options.reason + ": no reason that flags know");
  return say(process, settings, options, reason);
}

int reputation_check(const ClientSettings& settings, const ReputationOptions& options) {
  Verifier verifier;
  std::optional<FraudProof> proof;
  try {
    std::vector<Event> events;
    for (const VerifiedEvent& one :
         read_event_lines(options.file, verifier, ReputationLimits::kPartsMax)) {
      events.push_back(one.event());
    }
    auto parsed = whole_proof(std::move(events));
    if (!parsed) throw std::runtime_error(options.file + ": not a proof of fraud");
    proof = std::move(parsed->proof);
  } catch (const std::runtime_error& error) {
    fmt::print(stderr, "nostril: {}\n", error.what());
    return kUnusable;
  }
  const FraudVerdict verdict = check_fraud_proof(*proof, trust_from(settings).roots, verifier);
  const std::string node = nip19::encode(nip19::Npub{proof->node});
  if (options.json) {
    JsonWriter w;
    w.begin_object().key("proven").boolean(verdict.proven).key("node").string(node);
    w.key("kind").string(to_string(proof->kind)).key("reason").string(verdict.reason);
    w.end_object();
    fmt::print("{}\n", w.text());
  } else {
    fmt::print("{}  {} {}\n  {}\n", verdict.proven ? "PROVEN    " : "NOT PROVEN", node,
               to_string(proof->kind), verdict.reason);
  }
  return verdict.proven ? 0 : 1;
}

void add_reputation(CLI::App& app, Options& o, Command& run) {
  auto* group = app.add_subcommand(
      "reputation", "what is known of nodes: proofs of fraud, words of those you follow, ranks");
  group->require_subcommand(1);
  ReputationOptions& options = o.reputation;
  auto* show = group->add_subcommand("show", "each node's score and where it comes from");
  add_client(*show, o.client, o.home);
  show->add_option("node", options.node, "npub; all when not given");
  show->add_flag("--json", options.json, "for programs");
  show->callback([&] {
    run = [&o](Process& process) { return reputation_show(process, settings_of(o), o.reputation); };
  });
  const auto add_word = [&](const char* name, const char* what, auto command) {
    auto* sub = group->add_subcommand(name, what);
    add_client(*sub, o.client, o.home);
    sub->add_option("node", options.node, "npub")->required();
    sub->add_option(
        "--record", options.file,
        "file of a record that the node signed; the newest of this home when not given");
    sub->add_option("--note", options.note, "for people: 200 bytes");
    sub->add_option("--key", options.key_file,
                    "yours: a key file or bunker://…; else the home's identity");
    sub->add_flag("!--no-publish", options.publish, "keep it, and print it");
    sub->add_flag("--json", options.json, "print the signed event");
    sub->callback([&, command] {
      run = [&o, command](Process& process) {
        use_identity(o, o.reputation.key_file, o.client.ca_file);
        return command(process, settings_of(o), o.reputation);
      };
    });
    return sub;
  };
  add_word("approve", "say that a node served you well; it publishes the record with its hashes",
           reputation_approve);
  add_word("flag", "say that a node served you badly; it publishes the record with its hashes",
           reputation_flag)
      ->add_option("--reason", options.reason)
      ->required()
      ->check(CLI::IsMember({"down", "slow", "wrong-model", "bad-answer", "overcharge", "censor"}));
  auto* check = group->add_subcommand(
      "check", "whether a file proves fraud, by itself; 0 it does, 1 it does not, 2 unusable");
  check
      ->add_option(
          "file", options.file,
          "a proof as relays have it, its parts each on a line, or of HOME/reputation/proofs")
      ->required();
  check->add_flag("--json", options.json, "for programs");
  add_home(*check, o.home);
  check->callback(
      [&] { run = [&o](Process&) { return reputation_check(settings_of(o), o.reputation); }; });
}

}  // namespace nostril::client::cli
