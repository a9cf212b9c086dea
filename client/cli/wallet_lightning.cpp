#include "base/hex.h"
#include "client/chain/wallet.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/find_offer.h"
#include "client/cli/wallet_views.h"
#include "client/lightning_wallet.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

namespace nostril::client::cli {

namespace {

using settlement::lightning::Payment;

View view_of(const WalletOptions& options) {
  if (options.json) return View::Json;
  return options.csv ? View::Csv : View::Text;
}

settlement::lightning::WalletUri connection_of(const ClientSettings& settings) {
  auto uri = read_wallet_uri(chain::WalletSettings::of_home(settings.home).nwc_path(settings.home));
  if (!uri) throw std::runtime_error(uri.error());
  return std::move(*uri);
}

settlement::lightning::Msat msat_from(const std::string& text) {
  const auto amount = parse_decimal_u64(text, settlement::lightning::kMsatMax);
  if (!amount || *amount == 0) throw std::runtime_error(text + ": not an amount in msat, above 0");
  return *amount;
}

int say_payment(const Result<Payment, std::string>& payment, const char* done) {
  if (!payment) throw std::runtime_error(payment.error());
  fmt::print("{} {} fees {} payment {}\n", done, payment->amount, payment->fees,
             encode_hex(payment->hash));
  return 0;
}

/// A node that takes deposits, and what pays them.
struct Counter {
  Counter(Process& process, const ClientSettings& settings, const std::string& npub)
      : home(settings, process.loop, process.clock, process.rng),
        wallet(connection_of(settings), settings.ca_file, settings.home, home.journal(),
               process.loop, process.clock, process.rng),
        signer(payment_key(settings.home, process.rng)),
        offer(find_offer(process, home, npub,
                         [](const Offer& one) { return one.lightning.has_value(); })) {
    if (!offer) {
      throw std::runtime_error("no verified offer of that node takes deposits over Lightning");
    }
  }

  ClientHome home;
  LightningWallet wallet;
  Keypair signer;
  std::shared_ptr<const VerifiedOffer> offer;
};

}  // namespace

int lightning_balance(Process& process, const ClientSettings& settings,
                      const WalletOptions& options) {
  const auto journal = open_home_journal(settings.home, process.loop);
  LightningWallet wallet(connection_of(settings), settings.ca_file, settings.home, *journal,
                         process.loop, process.clock, process.rng);
  const auto balance = wallet.balance();
  if (!balance) throw std::runtime_error(balance.error());
  print_lightning(*journal, wallet.book(), *balance, view_of(options));
  return 0;
}

int lightning_deposit(Process& process, const ClientSettings& settings,
                      const WalletOptions& options) {
  const auto amount = msat_from(options.amount);
  Counter counter(process, settings, options.node);
  return say_payment(counter.wallet.deposit(
                         counter.home.inference(), counter.offer, counter.signer, amount,
                         static_cast<std::uint64_t>(std::max<std::int64_t>(0, settings.budget))),
                     "deposited");
}

int lightning_refund(Process& process, const ClientSettings& settings,
                     const WalletOptions& options) {
  Counter counter(process, settings, options.node);
  return say_payment(counter.wallet.refund(counter.home.inference(), counter.offer, counter.signer),
                     "refunded");
}

int lightning_history(Process& process, const ClientSettings& settings,
                      const WalletOptions& options) {
  const auto journal = open_home_journal(settings.home, process.loop);
  print_payments(LightningBook(*journal), view_of(options));
  return 0;
}

void add_lightning(CLI::App& app, Options& o, Command& run) {
  auto* lightning = app.get_subcommand("wallet")->add_subcommand(
      "lightning",
      "deposits with nodes over Lightning, in msat, paid by a wallet service (NIP-47) whose "
      "nostr+walletconnect:// line is in HOME/nwc; unaudited (docs/money.md)");
  lightning->require_subcommand(1);
  using Function = int (*)(Process&, const ClientSettings&, const WalletOptions&);
  const auto add = [&](const char* name, const char* what, Function command) {
    auto* sub = lightning->add_subcommand(name, what);
    sub->callback([&o, &run, command] {
      run = [&o, command](Process& process) { return command(process, settings_of(o), o.wallet); };
    });
    return sub;
  };
  const auto add_view = [&](const char* name, const char* what, Function command) {
    auto* sub = add(name, what, command);
    sub->add_option("--home", o.home, "folder of the keys and receipts")->capture_default_str();
    sub->add_option("--ca-file", o.client.ca_file, "PEM roots for wss:// relays");
    auto* csv = sub->add_flag("--csv", o.wallet.csv, "for spreadsheets");
    sub->add_flag("--json", o.wallet.json, "for programs")->excludes(csv);
  };
  add_view("balance", "the wallet's balance, and each node's deposits", lightning_balance);
  add_view("history", "deposits and refunds of this home", lightning_history);
  auto* deposit = add("deposit", "pay a node in advance", lightning_deposit);
  add_client(*deposit, o.client, o.home);
  deposit->add_option("node", o.wallet.node, "npub of the node")->required();
  deposit->add_option("amount", o.wallet.amount, "msat")->required();
  auto* refund = add("refund", "take back what is left of the deposits", lightning_refund);
  add_client(*refund, o.client, o.home);
  refund->add_option("node", o.wallet.node, "npub of the node")->required();
}

}  // namespace nostril::client::cli
