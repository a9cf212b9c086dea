#include "base/finding.h"
#include "client/chain/wallet.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/terminal.h"
#include "client/clock_check.h"
#include "client/home_config.h"
#include "client/http_get.h"
#include "client/key_file.h"
#include "client/listen_check.h"
#include "client/money_checks.h"
#include "client/relay_probe.h"
#include "client/run_until.h"
#include "events/nip19.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

namespace nostril::client::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRelayMsMax = 8'000;
constexpr std::uint64_t kOffersMsMax = 8'000;
constexpr std::uint64_t kGatewayMsMax = 2'000;
constexpr std::size_t kRefusedShown = 8;

Finding ok(std::string check, std::string found) {
  return {std::move(check), Health::Ok, std::move(found), {}};
}

Finding bad(Health health, std::string check, std::string found, std::string remedy) {
  return {std::move(check), health, std::move(found), std::move(remedy)};
}

Finding check_home(const fs::path& home) {
  struct stat status {};

  if (stat(home.c_str(), &status) != 0) {
    return bad(Health::Warning, "home", home.string() + ": not there", "nostril init makes it");
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return bad(Health::Warning, "home", home.string() + ": others may look into it",
               "chmod 700 " + home.string());
  }
  if (access(home.c_str(), R_OK | W_OK | X_OK) != 0) {
    return bad(Health::Wrong, "home", home.string() + ": can't be written to",
               "give it to the user who runs nostril");
  }
  return ok("home", home.string());
}

/// `who`: what it is for. An encrypted key is not opened: nobody is asked.
Finding check_key(const std::string& check, const std::string& file, std::string_view who) {
  if (file.starts_with("bunker://")) return ok(check, "a remote signer");
  if (!fs::exists(file)) {
    if (check == "key") return ok(check, file + ": will be made when it is needed");
    return bad(Health::Wrong, check, file + ": not there",
               "nostril key new, or mend identity in config.toml");
  }
  const auto line = read_key_line(file);
  if (!line) {
    return bad(Health::Wrong, check, line.error(),
               "make it a file of its owner: chmod 600 " + file);
  }
  if (line->expose().starts_with("bunker://")) return ok(check, file + ": a remote signer");
  if (is_encrypted_key_line(line->expose())) {
    return ok(check, fmt::format("{}: {}, under a passphrase", file, who));
  }
  const auto key = open_key_line(line->expose(), file);
  if (!key) {
    return bad(Health::Wrong, check, key.error(), "put back a copy of it, or move it away");
  }
  return ok(check,
            fmt::format("{}: {} {}", file, who, nip19::encode(nip19::Npub{key->public_key()})));
}

struct Doctor {
  Process& process;
  fs::path home;
  SettingsOptions overrides;  ///< what the command line named
  Progress progress{process.loop};
  Findings findings{};
  HomeConfig config{};
  ClientSettings settings{};
  std::optional<TrustSettings> trust{};

  void add(Finding finding) { findings.push_back(std::move(finding)); }

  /// False: nothing further can be looked at.
  bool read_settings() {
    try {
      config = HomeConfig::read(home);
      settings = with_config(overrides, config, home);
      trust = trust_from(settings);
    } catch (const std::exception& error) {
      add(bad(Health::Wrong, "settings", error.what(), "mend that file"));
      return false;
    }
    if (settings.relays.empty()) {
      add(bad(Health::Wrong, "settings", "no relay is named",
              "nostril init, or relays = [\"wss://…\"] in " + config_file_of(home).string()));
    } else if (!fs::exists(config_file_of(home))) {
      add(bad(Health::Warning, "settings", config_file_of(home).string() + ": not there",
              "nostril init writes it; then commands need no --relay"));
    } else {
      add(ok("settings", config_file_of(home).string()));
    }
    return true;
  }

  void look_at_relays() {
    progress.say("asking the relays");
    std::vector<std::unique_ptr<RelayProbe>> probes;
    for (const std::string& url : settings.relays) {
      probes.push_back(std::make_unique<RelayProbe>(url, settings.ca_file, process.loop,
                                                    process.clock, process.rng));
    }
    run_until(process.loop, kRelayMsMax, [&] {
      return std::ranges::all_of(probes, [](const auto& one) { return one->done(); });
    });
    ClockFacts time;
    time.kernel_in_step = kernel_in_step();
    Findings relays;
    for (const auto& probe : probes) {
      const RelayFacts facts = probe->facts();
      if (facts.ahead_ms) time.ahead_ms.push_back(*facts.ahead_ms);
      relays.push_back(judge_relay(facts));
    }
    const bool one_works =
        std::ranges::any_of(relays, [](const Finding& one) { return one.health != Health::Wrong; });
    for (Finding& relay : relays) {
      if (one_works) relay.health = std::min(relay.health, Health::Warning);
      add(std::move(relay));
    }
    add(judge_clock(time));
  }

  void look_at_offers() {
    progress.say("judging what nodes offer");
    RelayPool pool(process.loop, process.clock, {}, settings.ca_file);
    for (const std::string& relay : settings.relays) static_cast<void>(pool.add_relay(relay));
    TrustFeed feed(pool, *trust, process.clock, home / "known-good");
    OfferBook book(pool, *trust, process.clock);
    feed.on_change([&book] { book.on_trust_changed(); });
    run_until(process.loop, kOffersMsMax, [&] { return feed.complete() && book.complete(); });
    for (const auto& one : book.usable()) judge_usable(*one);
    const auto refused = book.rejected();
    const bool none_usable = book.usable().empty();
    for (std::size_t i = 0; i < std::min(refused.size(), kRefusedShown); ++i) {
      judge_refused(refused[i], none_usable);
    }
    if (refused.size() > kRefusedShown) {
      add(ok("offer", fmt::format("{} more are refused", refused.size() - kRefusedShown)));
    }
    if (!none_usable) return;
    add(bad(Health::Wrong, "offers",
            refused.empty() ? "no node offers anything on these relays"
                            : fmt::format("all {} offers are refused", refused.size()),
            refused.empty() ? "ask your node's operator which relays it uses"
                            : "see above; nostril offers --explain says every check"));
  }

  void judge_usable(const VerifiedOffer& one) {
    const Offer& offer = one.offer();
    std::string found =
        fmt::format("{} by {}: {}", offer.model, nip19::encode(nip19::Npub{offer.node}),
                    attestation::summary(one.verdict()));
    if (!one.verdict().simulated) return add(ok("offer", std::move(found)));
    add(bad(Health::Warning, "offer", std::move(found),
            "simulated evidence proves nothing: for development only (trust_test_roots)"));
  }

  void judge_refused(const RejectedOffer& one, bool none_usable) {
    std::string found = fmt::format("refused: {} by {}: {}", one.offer.model,
                                    nip19::encode(nip19::Npub{one.offer.node}), one.reason);
    if (!none_usable) return add(ok("offer", std::move(found)));
    add(bad(Health::Warning, "offer", std::move(found),
            "its operator mends it, or your policy asks for more than it proves"));
  }

  void look_at_gateway() {
    progress.say("looking at the gateway");
    const std::string& address = config.gateway.listen;
    const std::string scheme = config.gateway.tls_cert.empty() ? "http" : "https";
    GetCall call;
    call.url = scheme + "://" + address + "/health";
    call.ca_file = settings.ca_file;
    call.ms_max = kGatewayMsMax;
    const auto answer = http_get(process.loop, call);
    const auto said = answer ? Json::parse(answer->body) : Json::parse("{}");
    if (const auto verified = said ? said->find_integer("offers_verified") : std::nullopt) {
      return add(
          ok("gateway", fmt::format("{}: answers, with {} verified offers", address, *verified)));
    }
    Finding taken = check_listen_address("gateway", address, "nostril");
    if (taken.health == Health::Ok && taken.found.find("held by") != std::string::npos) {
      taken = bad(Health::Warning, "gateway", taken.found + ", but has no verified node",
                  "see the offers above");
    }
    add(std::move(taken));
  }

  void look_at_wallet() {
    progress.say("looking at the wallet");
    chain::WalletSettings wallet;
    try {
      wallet = chain::WalletSettings::of_home(home);
    } catch (const std::exception& error) {
      return add(bad(Health::Wrong, "wallet", error.what(), "mend wallet.toml"));
    }
    // One that only pays over Lightning names no chain.
    if (!wallet.asset.empty() || !wallet.contract.empty()) look_at_chain(wallet);
    if (fs::exists(wallet.nwc_path(home))) look_at_lightning(wallet);
  }

  void look_at_chain(const chain::WalletSettings& wallet) {
    if (const auto problem = wallet.problem()) {
      return add(bad(Health::Wrong, "wallet", *problem, "mend wallet.toml"));
    }
    const std::string file =
        wallet.key_file.empty() ? (home / "account.nsec").string() : wallet.key_file;
    add(check_key("account", file, "pays on the chain"));
    std::optional<EthereumAddress> account;
    if (fs::exists(file)) {
      if (const auto key = chain::account_key(file, false, process.rng)) account = key->address();
    }
    for (Finding& one : check_chain(wallet, wallet.asset, account, "wallet.toml")) {
      add(std::move(one));
    }
  }

  void look_at_lightning(const chain::WalletSettings& wallet) {
    using Method = settlement::lightning::WalletMethod;
    progress.say("asking the wallet service");
    const std::vector<WalletServiceNeeds> needs = {
        {"lightning",
         wallet.nwc_path(home),
         {Method::PayInvoice, Method::MakeInvoice, Method::LookupInvoice, Method::GetBalance},
         std::nullopt}};
    for (Finding& one :
         check_wallet_services(needs, settings.ca_file, process.loop, process.clock, process.rng)) {
      add(std::move(one));
    }
    if ((wallet.payment_max > 0) != (wallet.day_max > 0)) {
      add(bad(Health::Warning, "paying", "one of payment_max and day_max is 0: nothing is paid",
              "set both in wallet.toml, or none"));
    }
  }

  void examine() {
    add(check_home(home));
    if (!read_settings()) return;
    add(check_key("key", (home / "payment.nsec").string(), "signs receipts as"));
    if (!config.identity.empty()) add(check_key("identity", config.identity, "signs events as"));
    if (!settings.relays.empty()) {
      look_at_relays();
      look_at_offers();
    }
    look_at_gateway();
    look_at_wallet();
  }
};

}  // namespace

int doctor(Process& process, const fs::path& home, const DoctorOptions& options) {
  Findings findings;
  {
    Doctor one{process, home, options.settings};
    one.examine();
    findings = std::move(one.findings);
  }
  if (options.json) {
    fmt::print("{}\n", to_json(findings));
  } else {
    const bool colours = isatty(STDOUT_FILENO) != 0;
    for (const Finding& finding : findings) fmt::print("{}", to_text(finding, colours));
  }
  return exit_status(worst(findings));
}

void add_doctor(CLI::App& app, Options& o, Command& run) {
  auto* doctor_app = app.add_subcommand(
      "doctor",
      "what is well, what is not, and what to do: settings, keys, relays, clock, offers, gateway, "
      "wallet; 0 ok, 1 warnings, 2 something is wrong");
  add_client(*doctor_app, o.client, o.home);
  doctor_app->add_flag("--json", o.json, "for programs");
  doctor_app->callback([&] {
    run = [&o](Process& process) { return doctor(process, o.home, {o.client, o.json}); };
  });
}

}  // namespace nostril::client::cli
