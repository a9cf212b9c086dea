#include "base/hex.h"
#include "base/json.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/find_offer.h"
#include "client/cli/signer.h"
#include "client/cli/terminal.h"
#include "client/run_until.h"
#include "events/nip19.h"
#include "events/sampling.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>

namespace nostril::client::cli {

namespace {

constexpr const char* kPath = "/v1/chat/completions";
constexpr std::uint64_t kOffersMsMax = 10'000;
constexpr std::uint64_t kAnswerMsMax = 120'000;
constexpr std::uint64_t kPublishMsMax = 10'000;
constexpr std::int64_t kTokensMax = 48;
/// Others that repeat an answer: two that agree outvote the one that they differ from.
constexpr std::size_t kAuditorsMax = 2;

/// Nothing in them tells a probe from a user.
constexpr std::array<std::string_view, 6> kQuestions = {
    "Tell me a story about a fox.",
    "What should I cook tonight with rice and eggs?",
    "Explain in one sentence why the sky is blue.",
    "Write a short poem about the sea.",
    "Give me three names for a small grey cat.",
    "How do I politely decline an invitation?"};

std::string body_of(const std::string& model, std::string_view question,
                    const std::string& sampling) {
  JsonWriter w;
  w.begin_object().key("model").string(model).key("messages").begin_array();
  w.begin_object().key("role").string("user").key("content").string(question).end_object();
  w.end_array().key("max_tokens").integer(kTokensMax);
  if (const auto drawn = Json::parse(sampling); drawn && drawn->is_object()) {
    for (const auto& [name, value] : drawn->members()) w.key(name).value(value);
  } else {
    w.key("temperature").number(1.0);
  }
  w.end_object();
  return std::move(w).take();
}

/// The words of all choices; nothing when this is no chat answer.
std::optional<std::string> words_of(const std::string& response) {
  const auto json = Json::parse(response);
  const Json* choices = json ? json->find("choices") : nullptr;
  if (choices == nullptr || !choices->is_array()) return std::nullopt;
  std::string out;
  for (const Json& choice : choices->items()) {
    const Json* message = choice.find("message");
    if (message == nullptr) return std::nullopt;
    out += std::string(message->find_string("content").value_or("")) + "\n";
    out += std::string(choice.find_string("finish_reason").value_or("")) + "\n";
  }
  return out;
}

/// One question and what came of it.
struct Asked {
  QueryResult result = {};
  std::string response;
  std::uint64_t first_byte_ms = 0;
  std::uint64_t whole_ms = 0;
};

enum class Outcome : std::uint8_t { Well, Fraud, Refused, Failed, Differs };

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::Well:
      return "well";
    case Outcome::Fraud:
      return "fraud";
    case Outcome::Refused:
      return "refused";
    case Outcome::Failed:
      return "failed";
    case Outcome::Differs:
      return "differs";
  }
  return "unknown";
}

struct Finding {
  PublicKey node;
  std::string model;
  Outcome outcome = Outcome::Well;
  std::string detail = {};
  std::optional<Asked> answer = {};
  std::string repeated = {};  ///< what came of the same id again
  std::size_t same = 0;       ///< others that gave the same words by the record's sampling
  std::size_t different = 0;  ///< others that agree on other words
};

class Prober {
 public:
  Prober(Process& process, const ClientSettings& settings, const ProbeOptions& options)
      : process_(process),
        options_(options),
        home_(settings, process.loop, process.clock, process.rng),
        progress_(process.loop) {
    for (const std::string& npub : options.nodes) wanted_.insert(node_named(npub));
  }

  std::vector<Finding> run() {
    run_until(process_.loop, kOffersMsMax, [this] { return home_.complete(); });
    std::vector<Finding> out;
    for (const auto& offer : home_.offers().usable()) {
      if (is_wanted(offer->offer())) out.push_back(probe_node(offer));
    }
    for (const RejectedOffer& rejected : home_.offers().rejected()) {
      if (!is_wanted(rejected.offer)) continue;
      if (is_probed(out, rejected.offer)) continue;
      Finding& finding = out.emplace_back(Finding{rejected.offer.node, rejected.offer.model});
      const auto fraud = home_.reputation().score(rejected.offer.node).fraud;
      finding.outcome = fraud ? Outcome::Fraud : Outcome::Refused;
      finding.detail = fraud.value_or(rejected.reason);
    }
    return out;
  }

  void publish(const std::vector<Finding>& findings, UserSigner* signer) {
    std::size_t pending = 0;
    for (const Finding& finding : findings) {
      if (signer == nullptr || !finding.answer || !finding.answer->result.record_event) continue;
      const bool outvoted = finding.different >= kAuditorsMax && finding.same == 0;
      if (finding.outcome != Outcome::Well && !outvoted) continue;
      Opinion opinion;
      opinion.created_at = process_.clock.unix_s();
      opinion.node = finding.node;
      if (outvoted) opinion.flag = FlagReason::WrongModel;
      opinion.measured = Measured{finding.answer->first_byte_ms, finding.answer->whole_ms};
      opinion.record = *finding.answer->result.record_event;
      const Event event = signer->sign(build_opinion(opinion));
      ++pending;
      if (!home_.pool().publish(event, [&pending](const PublishResult&) { --pending; })) --pending;
    }
    run_until(process_.loop, kPublishMsMax,
              [&] { return pending == 0 && home_.reputation_feed().publishing() == 0; });
  }

 private:
  [[nodiscard]] bool is_wanted(const Offer& offer) const {
    return (options_.all || wanted_.contains(offer.node)) &&
           (options_.model.empty() || offer.model == options_.model);
  }

  static bool is_probed(const std::vector<Finding>& findings, const Offer& offer) {
    return std::ranges::any_of(findings, [&](const Finding& finding) {
      return finding.node == offer.node && finding.model == offer.model;
    });
  }

  Asked ask(const std::shared_ptr<const VerifiedOffer>& offer, const std::string& body,
            const RequestId& id, bool again) {
    const auto out = std::make_shared<Asked>();
    const auto ended = std::make_shared<bool>(false);
    const std::int64_t began_ms = process_.clock.monotonic_ms();
    const auto elapsed = [this, began_ms] {
      const std::int64_t ms = process_.clock.monotonic_ms() - began_ms;
      return std::min<std::uint64_t>(static_cast<std::uint64_t>(std::max<std::int64_t>(ms, 0)),
                                     ReputationLimits::kMeasuredMsMax);
    };
    QueryRequest request;
    request.path = kPath;
    request.body = body;
    request.request = id;
    if (again) request.earlier_offers = {offer->offer()};
    QueryCallbacks callbacks;
    callbacks.on_head = [out, elapsed](const ResponseHead&) { out->first_byte_ms = elapsed(); };
    callbacks.on_data = [out](ByteSpan bytes) { out->response += as_text(bytes); };
    callbacks.on_end = [out, ended, elapsed](const QueryResult& result) {
      out->result = result;
      out->whole_ms = elapsed();
      *ended = true;
    };
    const QueryId query = home_.inference().start(offer, std::move(request), std::move(callbacks));
    run_until(process_.loop, kAnswerMsMax, [ended] { return *ended; });
    if (!*ended) {
      home_.inference().cancel(query, "too slow");
      out->result.failure = QueryFailure::NoAnswer;
      out->result.detail = "no answer within two minutes";
    }
    return *out;
  }

  Finding probe_node(const std::shared_ptr<const VerifiedOffer>& offer) {
    Finding out{offer->offer().node, offer->offer().model};
    progress_.say("asking " + nip19::encode(nip19::Npub{out.node}));
    std::array<std::uint8_t, 1> chance{};
    process_.rng.fill(chance);
    const std::string_view question = kQuestions.at(chance[0] % kQuestions.size());
    const std::string body = body_of(out.model, question, {});
    RequestId id;
    process_.rng.fill(id.bytes);
    out.answer = ask(offer, body, id, false);
    if (!judge(out, *out.answer)) return out;
    // The same request again gets the same answer, for nothing.
    const Asked again = ask(offer, body, id, true);
    if (home_.reputation().score(out.node).fraud) {
      judge(out, again);
      return out;
    }
    if (again.result.failure == QueryFailure::Refused) {
      out.repeated = "refused: " + again.result.detail;
    } else if (judge(out, again)) {
      out.repeated = "the same";
    } else {
      return out;
    }
    audit(out, offer, question);
    return out;
  }

  /// False when it is no whole, right answer; the finding then says why.
  bool judge(Finding& finding, const Asked& asked) {
    const auto fraud = home_.reputation().score(finding.node).fraud;
    if (!fraud && asked.result.verified()) return true;
    finding.outcome = fraud ? Outcome::Fraud : Outcome::Failed;
    finding.detail =
        fraud ? *fraud
              : fmt::format("{}: {}", to_string(asked.result.failure), asked.result.detail);
    return false;
  }

  /// Other nodes with these weights repeat the answer by its record.
  void audit(Finding& finding, const std::shared_ptr<const VerifiedOffer>& offer,
             std::string_view question) {
    const Offer& own = offer->offer();
    const auto words = words_of(finding.answer->response);
    const std::string& sampling = finding.answer->result.record->sampling;
    if (!records_sampling(own) || !own.weights || !words || sampling.empty()) return;
    const std::string body = body_of(own.model, question, sampling);
    std::optional<std::string> other_words;
    std::size_t asked = 0;
    for (const auto& other : home_.offers().usable()) {
      const Offer& theirs = other->offer();
      if (asked == kAuditorsMax || theirs.node == own.node || theirs.model != own.model ||
          theirs.weights != own.weights || theirs.engine_version != own.engine_version) {
        continue;
      }
      ++asked;
      progress_.say("repeating at " + nip19::encode(nip19::Npub{theirs.node}));
      RequestId id;
      process_.rng.fill(id.bytes);
      const Asked repeated = ask(other, body, id, false);
      const auto said = words_of(repeated.response);
      if (!repeated.result.verified() || !said) continue;
      if (*said == *words) {
        ++finding.same;
      } else if (!other_words || *other_words == *said) {
        other_words = said;
        ++finding.different;
      }
    }
    if (finding.different == 0) return;
    finding.outcome = Outcome::Differs;
    finding.detail = fmt::format("of the others with its weights {} give the same words, {} others",
                                 finding.same, finding.different);
  }

  Process& process_;
  const ProbeOptions& options_;
  ClientHome home_;
  Progress progress_;
  std::set<PublicKey> wanted_;
};

void print(const Finding& finding) {
  fmt::print("{:8} {}  {}\n", to_string(finding.outcome), nip19::encode(nip19::Npub{finding.node}),
             finding.model);
  if (!finding.detail.empty()) fmt::print("         {}\n", finding.detail);
  if (finding.answer && finding.outcome == Outcome::Well) {
    fmt::print("         first byte {} ms, whole {} ms; again: {}; {} others repeat it\n",
               finding.answer->first_byte_ms, finding.answer->whole_ms, finding.repeated,
               finding.same);
  }
}

void write(JsonWriter& w, const Finding& finding) {
  w.begin_object().key("node").string(nip19::encode(nip19::Npub{finding.node}));
  w.key("model").string(finding.model).key("result").string(to_string(finding.outcome));
  w.key("detail").string(finding.detail).key("repeated").string(finding.repeated);
  if (finding.answer) {
    w.key("first_byte_ms").integer(static_cast<std::int64_t>(finding.answer->first_byte_ms));
    w.key("whole_ms").integer(static_cast<std::int64_t>(finding.answer->whole_ms));
    if (const auto& record = finding.answer->result.record_event) {
      w.key("record").string(encode_hex(record->id));
    }
  }
  w.key("same").integer(static_cast<std::int64_t>(finding.same));
  w.key("different").integer(static_cast<std::int64_t>(finding.different)).end_object();
}

}  // namespace

int probe(Process& process, const ClientSettings& settings, const ProbeOptions& options) {
  ClientSettings probing = settings;
  probing.reputation.publish_proofs = options.publish;  // the questions are nobody's secret
  std::optional<UserSigner> signer;
  if (!options.key_file.empty() && options.publish) {
    signer.emplace(process, options.key_file, settings.home, settings.ca_file);
  }
  Prober prober(process, probing, options);
  const std::vector<Finding> findings = prober.run();
  if (options.publish) prober.publish(findings, signer ? &*signer : nullptr);
  if (options.json) {
    JsonWriter w;
    w.begin_array();
    for (const Finding& finding : findings) write(w, finding);
    w.end_array();
    fmt::print("{}\n", w.text());
  } else {
    for (const Finding& finding : findings) print(finding);
  }
  if (findings.empty()) throw std::runtime_error("no offer of these nodes is on the relays");
  const bool well = std::ranges::all_of(
      findings, [](const Finding& finding) { return finding.outcome == Outcome::Well; });
  return well ? 0 : 1;
}

void add_probe(CLI::App& app, Options& o, Command& run) {
  ProbeOptions& probe_options = o.probe;
  auto* probe_app = app.add_subcommand(
      "probe",
      "ask nodes as a user would, twice under one id, compare with others of the same weights; "
      "publish proofs of fraud, and with a key approvals and flags");
  add_client(*probe_app, o.client, o.home);
  auto* nodes = probe_app->add_option("node", probe_options.nodes, "npub; again for more");
  probe_app->add_flag("--all", probe_options.all, "every node with an offer")->excludes(nodes);
  probe_app->add_option("-m,--model", probe_options.model, "only offers of this one");
  probe_app->add_option("--key", probe_options.key_file,
                        "who approves and flags: a key file or bunker://…");
  probe_app->add_flag("!--no-publish", probe_options.publish, "tell nobody");
  probe_app->add_flag("--json", probe_options.json, "for programs");
  probe_app->callback([&] {
    if (o.probe.nodes.empty() && !o.probe.all) throw CLI::RequiredError("a node or --all,");
    run = [&o](Process& process) { return probe(process, settings_of(o), o.probe); };
  });
}

}  // namespace nostril::client::cli
