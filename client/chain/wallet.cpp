#include "client/chain/wallet.h"

#include "base/check.h"
#include "base/crash_point.h"
#include "base/hex.h"
#include "client/chain/order_bringer.h"
#include "settlement/evm/abi.h"
#include "settlement/evm/asset.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace nostril::client::chain {

namespace {

using settlement::evm::AmountCall;
using settlement::evm::CloseCall;
using settlement::evm::SignedOrder;

std::filesystem::path chain_folder(const std::filesystem::path& home) {
  std::filesystem::create_directories(home / "chain");
  return home / "chain";
}

settlement::evm::Asset asset_of(const WalletSettings& settings) {
  if (const auto problem = settings.problem()) throw std::runtime_error("wallet.toml: " + *problem);
  return *settlement::evm::parse_asset(settings.asset);
}

EcdsaKey key_of(const std::filesystem::path& home, const WalletSettings& settings, Rng& rng) {
  const bool own = settings.key_file.empty();
  auto key =
      account_key(own ? home / "account.nsec" : std::filesystem::path(settings.key_file), own, rng);
  if (!key) throw std::runtime_error(key.error());
  return std::move(*key);
}

std::unique_ptr<ChainStore> store_of(const std::filesystem::path& home) {
  auto store = ChainStore::open(chain_folder(home));
  if (!store) throw std::runtime_error(store.error());
  return std::move(*store);
}

Bytes question(std::string_view signature, const EthereumAddress& a,
               const std::optional<EthereumAddress>& b = std::nullopt) {
  const auto head = settlement::evm::selector(signature);
  Bytes out(head.begin(), head.end());
  settlement::evm::append_address_word(out, a);
  if (b) settlement::evm::append_address_word(out, *b);
  return out;
}

/// What more than fits a channel is as good as unbounded.
Amount at_most(Uint128 value) {
  return *Amount::from(std::min(value, Amount::kMax));
}

}  // namespace

void WalletSettings::declare(Config& config) {
  config.section("", "nostril wallet: money on an EVM chain. UNAUDITED: docs/security.md.");
  config.text("asset", &asset,
              "What is paid in: eip155:CHAIN/erc20:0x… or eip155:CHAIN/slip44:60 (the coin).");
  config.text("key_file", &key_file,
              "Key of the account that locks the money and pays gas. Empty: HOME/account.nsec.");
  ChainSettings::declare(config);
  config.section("lightning", "nostril wallet lightning: money of a wallet service (NIP-47).");
  config.text("nwc_file", &nwc_file,
              "File (mode 0600) with its nostr+walletconnect:// line, which is leave to spend.\n"
              "Empty: HOME/nwc.");
  constexpr std::int64_t kMsatMost = 1'000'000'000'000'000;
  config.number(
      "payment_max", &payment_max, 0, kMsatMost,
      "chat and gateway pay nodes that are paid after the fact by themselves: what their\n"
      "receipts owe, at most so many msat at once. 0: never.");
  config.number("day_max", &day_max, 0, kMsatMost,
                "At most so many msat in 24 hours, to all nodes together. 0: never.");
}

std::optional<std::string> WalletSettings::problem() const {
  if (!settlement::evm::parse_asset(asset)) {
    return "asset: eip155:CHAIN/erc20:0x… or eip155:CHAIN/slip44:60";
  }
  return ChainSettings::problem();
}

WalletSettings WalletSettings::of_home(const std::filesystem::path& home) {
  WalletSettings out;
  Config config;
  out.declare(config);
  const std::filesystem::path file = home / "wallet.toml";
  if (std::filesystem::exists(file)) config.load(file.string());
  return out;
}

ChainWallet::ChainWallet(const std::filesystem::path& home, const WalletSettings& settings,
                         Journal& journal, net::Loop& loop, Clock& clock, Rng& rng)
    : journal_(journal),
      loop_(loop),
      clock_(clock),
      rng_(rng),
      asset_text_(settings.asset),
      asset_(asset_of(settings)),
      place_(settings.place(asset_.chain_id)),
      key_(key_of(home, settings, rng)),
      store_(store_of(home)),
      lock_(lock_sender(chain_folder(home))),
      rpc_(settings.rpc_settings()),
      sender_(rpc_, *store_, key_, settings.sender_settings(asset_.chain_id), clock),
      view_(rpc_, place_) {}

// ---- Asking -------------------------------------------------------------------------------------

Result<Amount, std::string> ChainWallet::pool() {
  return view_.pool(account(), asset_.token);
}

Result<Balances, std::string> ChainWallet::balances() {
  Balances out;
  const auto coin = rpc_.ask<Uint128>(
      "eth_getBalance", fmt::format(R"(["{}","latest"])", settlement::evm::to_string(account())),
      [](const Json& value) { return settlement::evm::parse_quantity(value); });
  if (!coin) return failure(coin.error().text);
  out.coin = *coin;
  if (asset_.token.is_zero()) {
    out.token = at_most(out.coin);
  } else {
    const auto token = view_.amount(asset_.token, question("balanceOf(address)", account()));
    if (!token) return failure(token.error());
    out.token = *token;
  }
  const auto in_pool = pool();
  if (!in_pool) return failure(in_pool.error());
  out.pool = *in_pool;
  const auto channels = refresh();
  if (!channels) return failure(channels.error());
  Uint128 locked = 0;
  for (const FundedChannel& one : *channels) locked += one.locked.value() - one.claimed.value();
  out.locked = at_most(locked);
  return out;
}

// ---- Pool ---------------------------------------------------------------------------------------

Amount ChainWallet::value_of(Amount amount) const {
  return asset_.token.is_zero() ? amount : Amount();
}

Result<void, std::string> ChainWallet::send(const std::string& purpose, Bytes data, Amount value) {
  if (auto checked = view_.check_place(); !checked) return checked;
  const auto sent = sender_.send({purpose, place_.contract, value.value(), std::move(data)});
  if (!sent) return failure(sent.error());
  return {};
}

Result<void, std::string> ChainWallet::approve(Amount amount) {
  if (asset_.token.is_zero()) return {};
  const auto allowed = view_.amount(
      asset_.token, question("allowance(address,address)", account(), place_.contract));
  if (!allowed) return failure(allowed.error());
  if (*allowed >= amount) return {};
  const auto sent = sender_.send({"approve " + amount.to_string(), asset_.token, 0,
                                  settlement::evm::approve_call(place_.contract, amount)});
  if (!sent) return failure(sent.error());
  return {};
}

Result<void, std::string> ChainWallet::deposit(Amount amount) {
  // A deposit that was begun needs no second approval.
  const Bytes data = settlement::evm::deposit_call(account(), asset_.token, amount);
  const auto all = transactions();
  const bool is_begun =
      !all.empty() && !all.back().told && all.back().sent.back().transaction.data == data;
  if (!is_begun) {
    if (auto approved = approve(amount); !approved) return approved;
  }
  return send("deposit " + amount.to_string(), data, value_of(amount));
}

Result<void, std::string> ChainWallet::withdraw(Amount amount, const EthereumAddress& to) {
  return send("withdraw " + amount.to_string(),
              settlement::evm::withdraw_call(asset_.token, amount, to));
}

Result<void, std::string> ChainWallet::allow(const PublicKey& signer, Amount amount) {
  return send("allow " + amount.to_string(),
              settlement::evm::allow_call(signer, asset_.token, amount));
}

// ---- Channels -----------------------------------------------------------------------------------

Result<void, std::string> ChainWallet::keep(const FundedChannel& channel) {
  bool kept = false;
  const bool queued = journal_.commit({put_funded(channel)}, [this, &kept](bool on_disk) {
    kept = on_disk;
    loop_.stop();
  });
  if (queued) loop_.run();
  if (!kept) return failure(std::string("the journal can't be written"));
  return {};
}

/// As the chain has it now; kept when that is news.
Result<FundedChannel, std::string> ChainWallet::looked_up(FundedChannel channel) {
  const FundedChannel before = channel;
  const auto state = view_.channel(settlement::channel_id(channel.terms));
  if (!state) return failure(state.error());
  channel.locked = state->locked;
  channel.claimed = state->claimed;
  channel.close_at = state->close_at;
  if (!state->known) {
    channel.state = FundedState::Opening;
  } else if (state->close_at != 0) {
    channel.state = FundedState::Closing;
  } else if (state->returned && state->locked == state->claimed) {
    channel.state = FundedState::Closed;
  } else {
    channel.state = FundedState::Open;
  }
  if (channel == before) return channel;
  if (auto kept = keep(channel); !kept) return failure(kept.error());
  return channel;
}

Result<std::vector<FundedChannel>, std::string> ChainWallet::refresh() {
  std::vector<FundedChannel> out;
  for (FundedChannel& row : funded_channels(journal_)) {
    if (row.terms.chain->place != place_ || row.terms.chain->token != asset_.token) continue;
    auto now = looked_up(std::move(row));
    if (!now) return failure(now.error());
    out.push_back(std::move(*now));
  }
  return out;
}

Result<void, std::string> ChainWallet::acknowledge() {
  for (FundedChannel& row : funded_channels(journal_)) {
    if (row.told || row.state == FundedState::Opening) continue;
    row.told = true;
    if (auto kept = keep(row); !kept) return kept;
  }
  return sender_.acknowledge();
}

Result<FundedChannel, std::string> ChainWallet::find(const ChannelId& id) {
  for (FundedChannel& row : funded_channels(journal_)) {
    if (settlement::channel_id(row.terms) == id && row.terms.chain->place == place_) {
      return looked_up(std::move(row));
    }
  }
  return failure("no channel " + encode_hex(id) + " in this home");
}

/// One to this partner whose opening was begun, and nobody was told how it ended.
std::optional<FundedChannel> ChainWallet::begun(const ChannelPartner& partner,
                                                const PublicKey& signer) {
  for (FundedChannel& row : funded_channels(journal_)) {
    const bool may_be_open = row.state == FundedState::Opening || row.state == FundedState::Open;
    if (may_be_open && !row.told && row.terms.node == partner.node && row.terms.signer == signer &&
        row.terms.asset == partner.asset && row.terms.chain->place == place_ &&
        row.terms.chain->payer == account() && row.terms.chain->payee == partner.rail.payee) {
      return std::move(row);
    }
  }
  return std::nullopt;
}

Result<void, std::string> ChainWallet::is_paid_here(const ChannelPartner& partner) const {
  if (partner.asset == asset_text_ && partner.rail.contract == place_.contract) return {};
  return failure("the node wants " + partner.asset + " at " +
                 settlement::evm::to_string(partner.rail.contract) +
                 "; wallet.toml names another asset or contract");
}

Result<FundedChannel, std::string> ChainWallet::open(const ChannelPartner& partner,
                                                     const PublicKey& signer, Amount amount) {
  if (auto fits = is_paid_here(partner); !fits) return failure(fits.error());
  if (auto finished = sender_.finish_pending(); !finished) return failure(finished.error());
  auto row = begun(partner, signer);
  if (row) {
    auto now = looked_up(std::move(*row));
    if (!now || now->state != FundedState::Opening) return now;
    row = std::move(*now);
  } else {
    FundedChannel fresh;
    fresh.terms = {signer, partner.node, partner.asset, {}};
    rng_.fill(fresh.terms.salt);
    fresh.terms.chain = settlement::ChainTerms{place_, account(), partner.rail.payee, asset_.token};
    if (auto kept = keep(fresh); !kept) return failure(kept.error());
    crash_point("channel-stored");
    row = std::move(fresh);
  }
  const auto in_pool = pool();
  if (!in_pool) return failure(in_pool.error());
  const bool pooled = *in_pool >= amount;
  if (!pooled) {
    if (auto approved = approve(amount); !approved) return failure(approved.error());
  }
  const settlement::evm::Channel channel = settlement::on_chain(row->terms);
  const auto sent = send("open " + amount.to_string(),
                         settlement::evm::channel_call(
                             pooled ? AmountCall::OpenPooled : AmountCall::Open, channel, amount),
                         pooled ? Amount() : value_of(amount));
  if (!sent) return failure(sent.error());
  crash_point("channel-open");
  return looked_up(std::move(*row));
}

Result<FundedChannel, std::string> ChainWallet::find_own(const ChannelId& id) {
  auto row = find(id);
  if (!row || row->terms.chain->payer == account()) return row;
  return failure("the money of that channel is out of the pool of " +
                 settlement::evm::to_string(row->terms.chain->payer) +
                 ": there it is closed, with the file of the order; `nostril wallet order` raises "
                 "it from here");
}

Result<FundedChannel, std::string> ChainWallet::top_up(const ChannelId& id, Amount amount) {
  auto row = find_own(id);
  if (!row) return row;
  const auto in_pool = pool();
  if (!in_pool) return failure(in_pool.error());
  const bool pooled = *in_pool >= amount;
  if (!pooled) {
    if (auto approved = approve(amount); !approved) return failure(approved.error());
  }
  const auto sent =
      send("top up " + amount.to_string(),
           settlement::evm::channel_call(pooled ? AmountCall::TopUpPooled : AmountCall::TopUp,
                                         settlement::on_chain(row->terms), amount),
           pooled ? Amount() : value_of(amount));
  if (!sent) return failure(sent.error());
  return looked_up(std::move(*row));
}

/// The day after a request to close is over.
Result<bool, std::string> ChainWallet::may_finalise(std::uint64_t close_at) {
  const auto now = view_.time();
  if (!now) return failure(now.error());
  return *now >= close_at;
}

Result<FundedChannel, std::string> ChainWallet::close(const ChannelId& id) {
  if (auto finished = sender_.finish_pending(); !finished) return failure(finished.error());
  auto row = find_own(id);
  if (!row) return row;
  if (row->state == FundedState::Closed) return row;
  if (row->close_at == 0) {
    // Running programs of this home stop using it before the chain knows.
    row->state = FundedState::Closing;
    if (auto kept = keep(*row); !kept) return failure(kept.error());
    crash_point("close-stored");
    const auto sent =
        send("request close",
             settlement::evm::channel_call(CloseCall::Request, settlement::on_chain(row->terms)));
    if (!sent) return failure(sent.error());
    return looked_up(std::move(*row));
  }
  const auto over = may_finalise(row->close_at);
  if (!over) return failure(over.error());
  if (!*over) return row;
  const auto sent = send("finalise", settlement::evm::channel_call(
                                         CloseCall::Finalise, settlement::on_chain(row->terms)));
  if (!sent) return failure(sent.error());
  return looked_up(std::move(*row));
}

// ---- Orders -------------------------------------------------------------------------------------

Result<SignedOrder, std::string> ChainWallet::sign_order(const settlement::evm::Channel& channel,
                                                         const Keypair& signer, Amount total,
                                                         std::int64_t valid_s) {
  settlement::evm::ChannelOrder wanted;
  wanted.channel = settlement::evm::channel_id(place_, channel);
  wanted.total = total;
  wanted.created_at = clock_.unix_s();
  // The contract ends it by its blocks' time, which may be ahead of ours.
  const auto chain_now = view_.time();
  if (!chain_now) return failure(chain_now.error());
  wanted.expires_at = std::max(wanted.created_at, static_cast<std::int64_t>(*chain_now)) + valid_s;
  const auto worth = order_worth(view_, channel, wanted);
  if (!worth) return failure(worth.error());
  if (worth->is_zero()) {
    return failure(fmt::format("{} or more is locked in that channel already", total.to_string()));
  }
  Verifier verifier;
  auto checked = check_id(sign_event(settlement::evm::build_order(wanted), signer, rng_));
  const auto event = checked ? VerifiedEvent::verify(*std::move(checked), verifier) : std::nullopt;
  CHECK(event.has_value());
  auto order = SignedOrder::make(place_, channel, *event);
  CHECK(order.has_value());
  return *std::move(order);
}

Result<SignedOrder, std::string> ChainWallet::order(const ChannelPartner& partner,
                                                    const EthereumAddress& payer,
                                                    const Keypair& signer, Amount total,
                                                    std::int64_t valid_s) {
  if (auto fits = is_paid_here(partner); !fits) return failure(fits.error());
  // Rows that are opening and told are those of orders: of transactions, no one is told before.
  const settlement::ChainTerms terms{place_, payer, partner.rail.payee, asset_.token};
  for (const FundedChannel& row : funded_channels(journal_)) {
    if (row.state != FundedState::Opening || !row.told || row.terms.node != partner.node ||
        row.terms.signer != signer.public_key() || row.terms.chain != terms) {
      continue;
    }
    const auto now = looked_up(row);
    if (!now) return failure(now.error());
    if (now->state != FundedState::Opening) continue;
    return sign_order(settlement::on_chain(row.terms), signer, total, valid_s);
  }
  FundedChannel fresh;
  fresh.terms = {signer.public_key(), partner.node, partner.asset, {}};
  rng_.fill(fresh.terms.salt);
  fresh.terms.chain = terms;
  fresh.told = true;
  auto signed_order = sign_order(settlement::on_chain(fresh.terms), signer, total, valid_s);
  if (!signed_order) return signed_order;
  // Before anybody sees the order: who brings it locks money in a channel that this home knows.
  if (auto kept = keep(fresh); !kept) return failure(kept.error());
  return signed_order;
}

Result<SignedOrder, std::string> ChainWallet::order(const ChannelId& id, const Keypair& signer,
                                                    Amount total, std::int64_t valid_s) {
  const auto row = find(id);
  if (!row) return failure(row.error());
  if (row->terms.signer != signer.public_key()) {
    return failure(std::string("another key signs for that channel"));
  }
  return sign_order(settlement::on_chain(row->terms), signer, total, valid_s);
}

Result<Amount, std::string> ChainWallet::bring(const SignedOrder& order) {
  return bring_order(view_, sender_, order);
}

Result<settlement::evm::ChannelState, std::string> ChainWallet::close(const SignedOrder& order) {
  if (order.place() != place_) {
    return failure(std::string("the order is for another chain or contract"));
  }
  if (order.channel().payer != account()) {
    return failure("only " + settlement::evm::to_string(order.channel().payer) +
                   " may close that channel, whose money it is");
  }
  if (auto finished = sender_.finish_pending(); !finished) return failure(finished.error());
  const auto state = view_.channel(order.order().channel);
  if (!state) return state;
  if (!state->known) return failure(std::string("nobody has brought that order yet"));
  if (state->close_at == 0) {
    if (state->locked == state->claimed) return state;
    const auto sent =
        send("request close", settlement::evm::channel_call(CloseCall::Request, order.channel()));
    if (!sent) return failure(sent.error());
    return view_.channel(order.order().channel);
  }
  const auto over = may_finalise(state->close_at);
  if (!over) return failure(over.error());
  if (!*over) return state;
  const auto sent =
      send("finalise", settlement::evm::channel_call(CloseCall::Finalise, order.channel()));
  if (!sent) return failure(sent.error());
  return view_.channel(order.order().channel);
}

}  // namespace nostril::client::chain
