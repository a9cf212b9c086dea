#include "attestation/pack.h"
#include "base/hex.h"
#include "client/channel_store.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/evidence_files.h"
#include "client/cli/show.h"
#include "client/event_file.h"
#include "client/offers_json.h"
#include "client/saved_answer.h"
#include "events/document.h"
#include "events/nip19.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace nostril::client::cli {

namespace {

constexpr std::uint64_t kOffersMsMax = 5'000;
constexpr std::size_t kDocumentsMax = 10'000;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw std::runtime_error(path + ": can't be read");
  return text.str();
}

/// Vendors' documents: events of kind 31474, or the bytes themselves.
std::vector<Bytes> read_documents(const std::vector<std::string>& paths, Verifier& verifier) {
  std::vector<Bytes> out;
  for (const std::string& path : paths) {
    const std::string text = read_file(path);
    Bytes bytes(text.begin(), text.end());
    if (text.starts_with('{')) {
      const auto document = parse_document(read_event_file(path, verifier).event());
      if (!document) throw std::runtime_error(path + ": an event, but no vendor's document");
      auto unpacked = attestation::unpack_bytes(document->document);
      if (!unpacked) throw std::runtime_error(path + ": a document that can't be unpacked");
      bytes = std::move(*unpacked);
    }
    out.push_back(std::move(bytes));
  }
  return out;
}

/// What is to be checked, from files of its own or from one that holds it.
SavedAnswer read_answer(const VerifyOptions& options) {
  Verifier verifier;
  const auto event = [&verifier](const std::string& path) {
    return to_json(read_event_file(path, verifier).event());
  };
  SavedAnswer out;
  if (options.answer.empty()) {
    out.record = event(options.record);
    if (!options.receipt.empty()) out.receipt = event(options.receipt);
    if (!options.request.empty()) out.request = read_file(options.request);
    if (!options.response.empty()) out.response = read_file(options.response);
  } else {
    auto saved = parse_saved_answer(read_file(options.answer));
    if (!saved) throw std::runtime_error(options.answer + ": " + saved.error());
    out = std::move(*saved);
  }
  if (!options.offer.empty()) out.offer = event(options.offer);
  if (!options.attestation.empty()) out.attestation = event(options.attestation);
  out.documents = read_documents(options.documents, verifier);
  return out;
}

void print_offers(const OfferBook& book, bool explain) {
  for (const auto& verified : book.usable()) {
    fmt::print("{}\n", offer_lines(*verified));
    if (explain) fmt::print("{}\n", attestation::explain(verified->verdict()));
  }
  for (const RejectedOffer& rejected : book.rejected()) {
    fmt::print("REFUSED  {} of {}\n         {}\n\n", rejected.offer.model,
               nip19::encode(nip19::Npub{rejected.offer.node}), rejected.reason);
    if (explain && rejected.verdict) fmt::print("{}\n", attestation::explain(*rejected.verdict));
  }
}

}  // namespace

int offers(Process& process, const ClientSettings& settings, const OffersOptions& options) {
  ClientHome home(settings, process.loop, process.clock, process.rng);
  const auto stop_when_complete = [&] {
    // Live offers are sent after the stored ones; what is stored is what is asked for here.
    if (home.complete()) process.loop.after(100, [&] { process.loop.stop(); });
  };
  home.on_offers_changed(stop_when_complete);
  process.loop.after(kOffersMsMax, [&] { process.loop.stop(); });
  process.loop.run();
  for (const std::string& problem : home.pool().problems()) {
    fmt::print(stderr, "nostril: {}\n", problem);
  }
  const auto usable = home.offers().usable();
  if (options.json) {
    fmt::print("{}\n", offers_json(home.offers()));
  } else {
    print_offers(home.offers(), options.explain);
  }
  if (!home.offers().complete()) {
    fmt::print(stderr, "nostril: no relay answered\n");
    return 1;
  }
  if (usable.empty()) fmt::print(stderr, "nostril: no offer that may be used\n");
  return usable.empty() ? 1 : 0;
}

namespace {

int verify_record(Process& process, const ClientSettings& settings, const VerifyOptions& options) {
  const auto report = check_answer(read_answer(options), settings, process.clock.unix_s());
  if (!report) {
    const std::string& file = options.answer.empty() ? options.record : options.answer;
    throw std::runtime_error(file + ": " + report.error());
  }
  for (const AnswerFinding& finding : report->findings) {
    fmt::print("{}  {}\n", finding.good ? "ok   " : "WRONG", finding.what);
  }
  if (report->verdict) fmt::print("{}\n", attestation::explain(*report->verdict));
  fmt::print("{}", record_lines(report->record));
  if (!report->good) return 1;
  return report->simulated ? 3 : 0;
}

}  // namespace

/// A file that is not there is no finding about the answer; one that was tampered with is.
int verify(Process& process, const ClientSettings& settings, const VerifyOptions& options) {
  std::vector<std::string> files = {options.record,   options.answer, options.request,
                                    options.response, options.offer,  options.attestation,
                                    options.receipt};
  files.insert(files.end(), options.documents.begin(), options.documents.end());
  for (const std::string& file : files) {
    const bool readable = ::access(file.c_str(), R_OK) == 0 && !std::filesystem::is_directory(file);
    if (file.empty() || readable) continue;
    return unusable(std::runtime_error(file + ": can't be read"));
  }
  return verify_record(process, settings, options);
}

int receipts(Process& process, const ClientSettings& settings, bool json) {
  const auto journal = open_home_journal(settings.home, process.loop);
  for (const StoredChannel& channel : all_channels(*journal)) {
    const ChannelId id = settlement::channel_id(channel.terms);
    if (json) {
      for (const Event& event : all_records(*journal, id, kDocumentsMax)) {
        fmt::print("{}\n", to_json(event));
      }
      for (const Event& event : all_receipts(*journal, id, kDocumentsMax)) {
        fmt::print("{}\n", to_json(event));
      }
      continue;
    }
    fmt::print("channel  {}\nnode     {}\n", encode_hex(id),
               nip19::encode(nip19::Npub{channel.terms.node}));
    const auto spent = Amount::from((channel.snapshot.micro + settlement::kMicroPerUnit - 1) /
                                    settlement::kMicroPerUnit);
    fmt::print("spent    {} {} in {} statements\n", spent.value_or(Amount()).to_string(),
               channel.terms.asset, channel.snapshot.n);
    for (const Event& event : all_receipts(*journal, id, kDocumentsMax)) {
      if (const auto receipt = parse_receipt(event)) {
        fmt::print("receipt  {}  {} {}\n", encode_hex(receipt->id), receipt->amount.to_string(),
                   channel.terms.asset);
      }
    }
    fmt::print("\n");
  }
  return 0;
}

void add_offers(CLI::App& app, Options& o, Command& run) {
  auto* list =
      app.add_subcommand("offers", "nodes, what they offer, and whether they may be trusted");
  add_client(*list, o.client, o.home);
  auto* explain = list->add_flag("--explain", o.offers.explain, "every check of the evidence");
  list->add_flag("--json", o.offers.json, "for programs: each offer with its verdict")
      ->excludes(explain);
  list->callback(
      [&] { run = [&o](Process& process) { return offers(process, settings_of(o), o.offers); }; });
}

void add_verify(CLI::App& app, Options& o, Command& run) {
  auto* verify_app = app.add_subcommand(
      "verify",
      "check a saved answer, or evidence (sub-commands), without a network; 0 right, 1 wrong, 2 "
      "unusable input, 3 right but simulated");
  verify_app->add_option("record", o.verify.record,
                         "file of a saved answer's record, as `nostril chat --save` writes it");
  verify_app->add_option("--answer", o.verify.answer,
                         "a proof as the gateway's page saves it, in place of all these files");
  verify_app->add_option("--request", o.verify.request, "exact request body");
  verify_app->add_option("--response", o.verify.response, "exact response body");
  verify_app->add_option("--receipt", o.verify.receipt, "receipt.json");
  auto* offer = verify_app->add_option("--offer", o.verify.offer, "offer event");
  auto* attestation =
      verify_app->add_option("--attestation", o.verify.attestation, "attestation event")
          ->needs(offer);
  verify_app
      ->add_option("--document", o.verify.documents,
                   "vendor's document that the attestation names: its event (`nostril req --kind "
                   "31474`) or its bytes; again for more")
      ->needs(attestation)
      ->allow_extra_args(false);
  add_test_roots(*verify_app, o.client);
  verify_app->add_option("--policy", o.client.policy, "TOML file: what evidence is taken");
  verify_app->add_flag("--allow-unchecked-tcb", o.client.allow_unchecked_tcb,
                       "take genuine evidence that comes without Intel's collateral");
  add_evidence(*verify_app, o, run);
  verify_app->callback([&, verify_app] {
    if (!verify_app->get_subcommands().empty()) return;
    if (o.verify.record.empty() == o.verify.answer.empty()) {
      throw CLI::RequiredError(
          "a record's file or --answer, or one of intel, snp, gpu, offer, report, nras, manifest, "
          "policy,");
    }
    run = [&o](Process& process) { return verify(process, settings_of(o), o.verify); };
  });
}

void add_receipts(CLI::App& app, Options& o, Command& run) {
  auto* receipts_app = app.add_subcommand("receipts", "channels and what was paid");
  receipts_app->add_option("--home", o.home)->capture_default_str();
  receipts_app->add_flag("--json", o.json, "records and receipts as events, one a line");
  receipts_app->callback(
      [&] { run = [&o](Process& process) { return receipts(process, settings_of(o), o.json); }; });
}

}  // namespace nostril::client::cli
