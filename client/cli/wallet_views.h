#pragma once

#include "client/chain/wallet.h"
#include "client/journal.h"
#include "client/lightning_book.h"

#include <cstdint>
#include <vector>

/// What `nostril wallet` prints: for people, for spreadsheets, for programs.
namespace nostril::client::cli {

enum class View : std::uint8_t { Text, Csv, Json };

void print_balances(const chain::Balances& balances, const EthereumAddress& account,
                    const std::string& asset, View view);
/// With what each has come to by our own book.
void print_channels(Journal& journal, const std::vector<FundedChannel>& channels, View view);
void print_history(const std::vector<chain::StoredTransaction>& transactions, View view);
/// What the wallet service has, and each channel's deposits. Amounts in msat.
void print_lightning(Journal& journal, const LightningBook& book,
                     settlement::lightning::Msat balance, View view);
void print_payments(const LightningBook& book, View view);

}  // namespace nostril::client::cli
