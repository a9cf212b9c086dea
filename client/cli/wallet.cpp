#include "client/chain/wallet.h"

#include "base/hex.h"
#include "client/chain/order_bringer.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/find_offer.h"
#include "client/cli/must.h"
#include "client/cli/wallet_views.h"
#include "events/nip19.h"
#include "settlement/evm/asset.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

View view_of(const WalletOptions& options) {
  if (options.json) return View::Json;
  return options.csv ? View::Csv : View::Text;
}

Amount amount_from(const std::string& text) {
  const auto amount = Amount::parse(text);
  if (!amount || amount->is_zero()) {
    throw std::runtime_error(text + ": not an amount in base units, above zero");
  }
  return *amount;
}

/// What all commands work with; the journal is opened here once a process.
struct Desk {
  Desk(Process& process, const std::filesystem::path& home)
      : settings(chain::WalletSettings::of_home(home)),
        journal(open_home_journal(home, process.loop)),
        wallet(home, settings, *journal, process.loop, process.clock, process.rng) {
    wallet.on_progress([](const std::string& line) { fmt::print(stderr, "nostril: {}\n", line); });
  }

  chain::WalletSettings settings;
  std::unique_ptr<Journal> journal;
  chain::ChainWallet wallet;
};

/// Whoever is paid is whom the evidence names.
chain::ChannelPartner find_partner(Process& process, const ClientSettings& settings,
                                   const std::string& npub) {
  ClientHome home(settings, process.loop, process.clock, process.rng);
  const auto found =
      find_offer(process, home, npub, [](const Offer& offer) { return offer.rail.has_value(); });
  if (!found) {
    throw std::runtime_error("no verified offer of that node names a channel on a chain");
  }
  const Offer& offer = found->offer();
  return chain::ChannelPartner{offer.node, offer.asset, *offer.rail};
}

EthereumAddress address_from(const std::string& text) {
  const auto address = settlement::evm::parse_address(text);
  if (!address || address->is_zero()) throw std::runtime_error(text + ": not an address");
  return *address;
}

ChannelId channel_from(const std::string& text) {
  const auto id = from_hex<ChannelId>(text);
  if (!id) throw std::runtime_error(text + ": not a channel (64 hex digits)");
  return *id;
}

void say_channel(const FundedChannel& channel) {
  fmt::print("channel {} {} locked {} claimed {}",
             encode_hex(settlement::channel_id(channel.terms)), to_string(channel.state),
             channel.locked.to_string(), channel.claimed.to_string());
  if (channel.close_at != 0) fmt::print(" close_at {}", channel.close_at);
  fmt::print("\n");
}

}  // namespace

int wallet_config() {
  chain::WalletSettings settings;
  Config config;
  settings.declare(config);
  fmt::print("{}", config.print());
  return 0;
}

int wallet_balance(Process& process, const ClientSettings& settings, const WalletOptions& options) {
  Desk desk(process, settings.home);
  print_balances(must(desk.wallet.balances()), desk.wallet.account(), desk.settings.asset,
                 view_of(options));
  return 0;
}

int wallet_deposit(Process& process, const ClientSettings& settings, const WalletOptions& options) {
  const Amount amount = amount_from(options.amount);
  Desk desk(process, settings.home);
  must(desk.wallet.deposit(amount));
  fmt::print("deposited {}\n", amount.to_string());
  std::fflush(stdout);
  must(desk.wallet.acknowledge());
  return 0;
}

int wallet_withdraw(Process& process, const ClientSettings& settings,
                    const WalletOptions& options) {
  const Amount amount = amount_from(options.amount);
  Desk desk(process, settings.home);
  EthereumAddress to = desk.wallet.account();
  if (!options.to.empty()) to = address_from(options.to);
  must(desk.wallet.withdraw(amount, to));
  fmt::print("withdrew {} to {}\n", amount.to_string(), settlement::evm::to_string(to));
  std::fflush(stdout);
  must(desk.wallet.acknowledge());
  return 0;
}

int wallet_open(Process& process, const ClientSettings& settings, const WalletOptions& options) {
  const Amount amount = amount_from(options.amount);
  const chain::ChannelPartner partner = find_partner(process, settings, options.node);
  const PublicKey signer = payment_key(settings.home, process.rng).public_key();
  Desk desk(process, settings.home);
  say_channel(must(desk.wallet.open(partner, signer, amount)));
  std::fflush(stdout);
  must(desk.wallet.acknowledge());
  return 0;
}

int wallet_top_up(Process& process, const ClientSettings& settings, const WalletOptions& options) {
  const ChannelId id = channel_from(options.channel);
  const Amount amount = amount_from(options.amount);
  Desk desk(process, settings.home);
  say_channel(must(desk.wallet.top_up(id, amount)));
  std::fflush(stdout);
  must(desk.wallet.acknowledge());
  return 0;
}

namespace {

void say_come_again() {
  fmt::print(stderr,
             "nostril: what the node does not claim until then comes back; give this command "
             "again after it\n");
}

int close_order(Process& process, const std::filesystem::path& home, const std::string& file) {
  const settlement::evm::SignedOrder order = must(chain::read_order(file));
  Desk desk(process, home);
  const settlement::evm::ChannelState state = must(desk.wallet.close(order));
  fmt::print("channel {} {} locked {} claimed {} close_at {}\n", encode_hex(order.order().channel),
             state.close_at != 0 ? "closing" : "closed", state.locked.to_string(),
             state.claimed.to_string(), state.close_at);
  std::fflush(stdout);
  must(desk.wallet.acknowledge());
  if (state.close_at != 0) say_come_again();
  return 0;
}

}  // namespace

int wallet_close(Process& process, const ClientSettings& settings, const WalletOptions& options) {
  if (std::filesystem::exists(options.channel)) {
    return close_order(process, settings.home, options.channel);
  }
  const ChannelId id = channel_from(options.channel);
  Desk desk(process, settings.home);
  const FundedChannel channel = must(desk.wallet.close(id));
  say_channel(channel);
  must(desk.wallet.acknowledge());
  if (channel.state == FundedState::Closing) say_come_again();
  return 0;
}

int wallet_allow(Process& process, const ClientSettings& settings, const WalletOptions& options) {
  const auto amount = Amount::parse(options.amount);
  if (!amount) throw std::runtime_error(options.amount + ": not an amount in base units");
  const PublicKey signer = options.signer.empty()
                               ? payment_key(settings.home, process.rng).public_key()
                               : node_named(options.signer);
  Desk desk(process, settings.home);
  must(desk.wallet.allow(signer, *amount));
  fmt::print("{} may lock {} of the pool of {}\n", nip19::encode(nip19::Npub{signer}),
             amount->to_string(), settlement::evm::to_string(desk.wallet.account()));
  std::fflush(stdout);
  must(desk.wallet.acknowledge());
  return 0;
}

int wallet_order(Process& process, const ClientSettings& settings, const WalletOptions& options) {
  const Amount total = amount_from(options.amount);
  const Keypair signer = payment_key(settings.home, process.rng);
  if (const auto id = from_hex<ChannelId>(options.node)) {
    Desk desk(process, settings.home);
    fmt::print("{}\n", must(desk.wallet.order(*id, signer, total, options.valid_s)).text());
    return 0;
  }
  const chain::ChannelPartner partner = find_partner(process, settings, options.node);
  Desk desk(process, settings.home);
  const EthereumAddress payer =
      options.payer.empty() ? desk.wallet.account() : address_from(options.payer);
  const auto order = must(desk.wallet.order(partner, payer, signer, total, options.valid_s));
  fmt::print("{}\n", order.text());
  fmt::print(stderr,
             "nostril: channel {}: usable once somebody brought this to the contract (`nostril "
             "wallet bring FILE`, the node's `nostril-node settle bring FILE`) and `nostril "
             "wallet channels` has seen it\n",
             encode_hex(order.order().channel));
  return 0;
}

int wallet_bring(Process& process, const ClientSettings& settings, const WalletOptions& options) {
  const settlement::evm::SignedOrder order = must(chain::read_order(options.file));
  Desk desk(process, settings.home);
  const Amount locked = must(desk.wallet.bring(order));
  fmt::print("channel {}: {}\n", encode_hex(order.order().channel),
             locked.is_zero() ? "nothing to do, it is there already"
                              : "locked " + locked.to_string() + " more");
  std::fflush(stdout);
  must(desk.wallet.acknowledge());
  return 0;
}

int wallet_channels(Process& process, const ClientSettings& settings,
                    const WalletOptions& options) {
  Desk desk(process, settings.home);
  print_channels(*desk.journal, must(desk.wallet.refresh()), view_of(options));
  return 0;
}

int wallet_history(Process& process, const ClientSettings& settings, const WalletOptions& options) {
  Desk desk(process, settings.home);
  print_history(desk.wallet.transactions(), view_of(options));
  return 0;
}

void add_wallet(CLI::App& app, Options& o, Command& run) {
  auto* wallet = app.add_subcommand(
      "wallet",
      "money on a chain for nodes that are paid there; unaudited (docs/security.md). "
      "HOME/wallet.toml says which chain: `nostril wallet config` prints it with its defaults");
  wallet->require_subcommand(1);
  using Function = int (*)(Process&, const ClientSettings&, const WalletOptions&);
  const auto add = [&](const char* name, const char* what, Function command) {
    auto* sub = wallet->add_subcommand(name, what);
    sub->callback([&o, &run, command] {
      run = [&o, command](Process& process) { return command(process, settings_of(o), o.wallet); };
    });
    return sub;
  };
  const auto add_local = [&](const char* name, const char* what, Function command) {
    auto* sub = add(name, what, command);
    sub->add_option("--home", o.home, "folder of the keys and receipts")->capture_default_str();
    return sub;
  };
  const auto add_view = [&](const char* name, const char* what, Function command) {
    auto* sub = add_local(name, what, command);
    auto* csv = sub->add_flag("--csv", o.wallet.csv, "for spreadsheets");
    sub->add_flag("--json", o.wallet.json, "for programs")->excludes(csv);
  };
  const auto amount = [&](CLI::App* sub) {
    sub->add_option("amount", o.wallet.amount, "base units of the asset")->required();
  };
  wallet->add_subcommand("config", "print the commented default wallet.toml")->callback([&run] {
    run = [](Process&) { return wallet_config(); };
  });
  add_view("balance", "account, pool and channels", wallet_balance);
  add_view("channels", "each channel: locked, spent, claimed", wallet_channels);
  add_view("history", "transactions of this home", wallet_history);
  amount(add_local("deposit", "put money into the contract's pool", wallet_deposit));
  auto* withdraw = add_local("withdraw", "take money out of the pool", wallet_withdraw);
  amount(withdraw);
  withdraw->add_option("--to", o.wallet.to, "address; else the own account");
  auto* open = add("open", "lock money for one node", wallet_open);
  add_client(*open, o.client, o.home);
  open->add_option("node", o.wallet.node, "npub of the node")->required();
  amount(open);
  auto* top_up = add_local("top-up", "lock more in a channel", wallet_top_up);
  top_up->add_option("channel", o.wallet.channel, "64 hex digits")->required();
  amount(top_up);
  auto* close = add_local(
      "close", "get back what a node has not earned: ask now, and again a day later", wallet_close);
  close
      ->add_option("channel", o.wallet.channel,
                   "64 hex digits; or the file of an order that opened one out of this pool")
      ->required();
  auto* allow = add_local(
      "allow", "let a key lock so much of the pool by signed orders, without gas; 0: nothing",
      wallet_allow);
  amount(allow);
  allow->add_option("--signer", o.wallet.signer, "npub of the key; else this home's payment key");
  auto* order = add("order",
                    "sign an order that locks money for a node, and print it: no gas is needed, "
                    "who brings it to the contract pays that",
                    wallet_order);
  add_client(*order, o.client, o.home);
  order
      ->add_option("node", o.wallet.node,
                   "npub of the node; or a channel of this home, to raise it")
      ->required();
  order->add_option("total", o.wallet.amount, "base units that the channel has then, in all")
      ->required();
  order->add_option("--payer", o.wallet.payer,
                    "address whose pool it is out of, and who allowed this key; else the own");
  order->add_option("--valid-s", o.wallet.valid_s, "how long the order counts, in seconds")
      ->check(CLI::Range(std::int64_t{60}, std::int64_t{31'536'000}))
      ->capture_default_str();
  auto* bring = add_local("bring", "bring anybody's order to the contract, with gas of the account",
                          wallet_bring);
  bring->add_option("file", o.wallet.file, "what `nostril wallet order` printed")->required();
}

}  // namespace nostril::client::cli
