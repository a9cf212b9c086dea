#include "client/cli/wallet_views.h"

#include "base/hex.h"
#include "base/json.h"
#include "client/channel_store.h"
#include "client/lightning_wallet.h"
#include "events/nip19.h"
#include "settlement/evm/asset.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nostril::client::cli {

namespace {

using Row = std::vector<std::pair<std::string, std::string>>;  // names and values of one line

/// The same rows in each of the three forms.
void print_rows(const std::vector<Row>& rows, View view) {
  if (view == View::Json) {
    JsonWriter w;
    w.begin_array();
    for (const Row& row : rows) {
      w.begin_object();
      for (const auto& [name, value] : row) w.key(name).string(value);
      w.end_object();
    }
    w.end_array();
    fmt::print("{}\n", w.text());
    return;
  }
  if (view == View::Csv) {
    for (std::size_t i = 0; rows.empty() ? false : i < rows.front().size(); ++i) {
      fmt::print("{}{}", i == 0 ? "" : ",", rows.front()[i].first);
    }
    if (!rows.empty()) fmt::print("\n");
  }
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (view == View::Csv) {
        fmt::print("{}{}", i == 0 ? "" : ",", row[i].second);
      } else {
        fmt::print("{:<10} {}\n", row[i].first, row[i].second);
      }
    }
    fmt::print("\n");
  }
}

}  // namespace

void print_balances(const chain::Balances& balances, const EthereumAddress& account,
                    const std::string& asset, View view) {
  print_rows({{{"account", settlement::evm::to_string(account)},
               {"gas_wei", to_decimal(balances.coin)},
               {"asset", asset},
               {"wallet", balances.token.to_string()},
               {"pool", balances.pool.to_string()},
               {"channels", balances.locked.to_string()}}},
             view);
}

void print_channels(Journal& journal, const std::vector<FundedChannel>& channels, View view) {
  std::vector<Row> rows;
  for (const FundedChannel& one : channels) {
    const ChannelId id = settlement::channel_id(one.terms);
    rows.push_back({{"channel", encode_hex(id)},
                    {"node", nip19::encode(nip19::Npub{one.terms.node})},
                    {"state", std::string(to_string(one.state))},
                    {"locked", one.locked.to_string()},
                    {"spent", LightningWallet::spent(journal, id).to_string()},
                    {"claimed", one.claimed.to_string()},
                    {"close_at", to_decimal(one.close_at)},
                    {"asset", one.terms.asset}});
  }
  print_rows(rows, view);
}

void print_history(const std::vector<chain::StoredTransaction>& transactions, View view) {
  std::vector<Row> rows;
  for (const chain::StoredTransaction& one : transactions) {
    const auto& receipt = one.receipt;
    rows.push_back(
        {{"nonce", to_decimal(one.nonce)},
         {"what", one.purpose},
         {"state", std::string(to_string(one.state))},
         {"hash", "0x" + encode_hex(receipt ? receipt->transaction : one.sent.back().hash)},
         {"block", receipt ? to_decimal(receipt->block) : ""},
         {"fee_wei", receipt ? to_decimal(receipt->gas_price * receipt->gas_used) : ""},
         {"signed_at", to_decimal(static_cast<Uint128>(one.signed_at))}});
  }
  print_rows(rows, view);
}

void print_lightning(Journal& journal, const LightningBook& book,
                     settlement::lightning::Msat balance, View view) {
  std::vector<Row> rows;
  for (const StoredChannel& stored : all_channels(journal)) {
    if (!stored.terms.lightning) continue;
    const ChannelId id = settlement::channel_id(stored.terms);
    const auto sums = book.sums(id);
    rows.push_back({{"channel", encode_hex(id)},
                    {"node", nip19::encode(nip19::Npub{stored.terms.node})},
                    {"deposited", std::to_string(sums.deposited)},
                    {"refunded", std::to_string(sums.refunded)},
                    {"spent", LightningWallet::spent(journal, id).to_string()},
                    {"wallet", std::to_string(balance)}});
  }
  if (rows.empty()) rows.push_back({{"wallet", std::to_string(balance)}});
  print_rows(rows, view);
}

void print_payments(const LightningBook& book, View view) {
  std::vector<settlement::lightning::Payment> all = book.payments();
  std::ranges::sort(all, {}, &settlement::lightning::Payment::created_at);
  std::vector<Row> rows;
  rows.reserve(all.size());
  for (const auto& one : all) {
    rows.push_back({{"what", std::string(to_string(one.purpose))},
                    {"state", std::string(to_string(one.state))},
                    {"amount", std::to_string(one.amount)},
                    {"fees", std::to_string(one.fees)},
                    {"channel", encode_hex(one.channel)},
                    {"payment", encode_hex(one.hash)},
                    {"time", std::to_string(one.created_at)}});
  }
  print_rows(rows, view);
}

}  // namespace nostril::client::cli
