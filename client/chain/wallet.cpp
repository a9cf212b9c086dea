#include "client/chain/wallet.h"

#include "base/crash_point.h"
#include "base/hex.h"
#include "client/chain/follower.h"
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
using settlement::evm::data_text;

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
      rng_(rng),
      asset_text_(settings.asset),
      asset_(asset_of(settings)),
      place_(settings.place(asset_.chain_id)),
      key_(key_of(home, settings, rng)),
      store_(store_of(home)),
      lock_(lock_sender(chain_folder(home))),
      rpc_(settings.rpc_settings()),
      sender_(rpc_, *store_, key_, settings.sender_settings(asset_.chain_id), clock) {}

// ---- Asking -------------------------------------------------------------------------------------

Result<void, std::string> ChainWallet::check_place() {
  if (place_checked_) return {};
  if (const auto checked = chain::check_place(rpc_, place_); !checked) {
    return failure(checked.error().text);
  }
  place_checked_ = true;
  return {};
}

Result<Bytes, std::string> ChainWallet::call(const EthereumAddress& to, ByteSpan data) {
  if (auto checked = check_place(); !checked) return failure(checked.error());
  JsonWriter w;
  w.begin_array().begin_object();
  w.key("to").string(settlement::evm::to_string(to)).key("data").string(data_text(data));
  w.end_object().string("latest").end_array();
  auto said = rpc_.ask<Bytes>("eth_call", w.text(), [](const Json& value) {
    return settlement::evm::parse_data(value, settlement::evm::RpcLimits::kCallBytesMax);
  });
  if (!said) return failure(said.error().text);
  return std::move(*said);
}

Result<Amount, std::string> ChainWallet::amount_of(const EthereumAddress& to, ByteSpan data) {
  const auto said = call(to, data);
  if (!said) return failure(said.error());
  const auto amount = settlement::evm::parse_amount(*said);
  if (amount) return *amount;
  if (amount.error() == settlement::evm::AbiError::OutOfRange) return at_most(Amount::kMax);
  return failure(settlement::evm::to_string(to) + " answers in another form: is it the contract?");
}

Result<Amount, std::string> ChainWallet::pool() {
  return amount_of(place_.contract, settlement::evm::pool_question(account(), asset_.token));
}

Result<std::uint64_t, std::string> ChainWallet::chain_time() {
  const auto heads = rpc_.ask_each<settlement::evm::BlockHead>(
      "eth_getBlockByNumber", R"(["latest",false])", settlement::evm::parse_block);
  if (!heads) return failure(heads.error().text);
  return std::ranges::min_element(*heads, {}, &settlement::evm::BlockHead::time)->time;
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
    const auto token = amount_of(asset_.token, question("balanceOf(address)", account()));
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
  if (auto checked = check_place(); !checked) return checked;
  const auto sent = sender_.send({purpose, place_.contract, value.value(), std::move(data)});
  if (!sent) return failure(sent.error());
  return {};
}

Result<void, std::string> ChainWallet::approve(Amount amount) {
  if (asset_.token.is_zero()) return {};
  const auto allowed =
      amount_of(asset_.token, question("allowance(address,address)", account(), place_.contract));
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
  const auto said = call(place_.contract,
                         settlement::evm::channel_question(settlement::channel_id(channel.terms)));
  if (!said) return failure(said.error());
  const auto state = settlement::evm::parse_channel_state(*said);
  if (!state) return failure(std::string("the contract answers in another form"));
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

Result<FundedChannel, std::string> ChainWallet::open(const ChannelPartner& partner,
                                                     const PublicKey& signer, Amount amount) {
  if (partner.asset != asset_text_ || partner.rail.contract != place_.contract) {
    return failure("the node wants " + partner.asset + " at " +
                   settlement::evm::to_string(partner.rail.contract) +
                   "; wallet.toml names another asset or contract");
  }
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

Result<FundedChannel, std::string> ChainWallet::top_up(const ChannelId& id, Amount amount) {
  auto row = find(id);
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

Result<FundedChannel, std::string> ChainWallet::close(const ChannelId& id) {
  if (auto finished = sender_.finish_pending(); !finished) return failure(finished.error());
  auto row = find(id);
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
  const auto now = chain_time();
  if (!now) return failure(now.error());
  if (*now < row->close_at) return row;
  const auto sent = send("finalise", settlement::evm::channel_call(
                                         CloseCall::Finalise, settlement::on_chain(row->terms)));
  if (!sent) return failure(sent.error());
  return looked_up(std::move(*row));
}

}  // namespace nostril::client::chain
