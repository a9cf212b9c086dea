#pragma once

#include "client/chain/contract_view.h"
#include "client/chain/sender.h"
#include "settlement/evm/signed_order.h"

#include <filesystem>
#include <string>

namespace nostril::client::chain {

/// What `nostril wallet order` printed. The error is one line with the file's name.
[[nodiscard]] Result<settlement::evm::SignedOrder, std::string> read_order(
    const std::filesystem::path& file);

/// What an order of these numbers would lock beyond what is locked now; zero: all of it is there
/// already. The error says why the contract would refuse it. Asked before an order is signed, so
/// that none is that can't be brought, and before gas is paid for one.
[[nodiscard]] Result<Amount, std::string> order_worth(ContractView& view,
                                                      const settlement::evm::Channel& channel,
                                                      const settlement::evm::ChannelOrder& order);

/// Brings somebody's order to the contract, with gas of `sender`'s account, and waits until it is
/// in a block. What it locked; zero when somebody had brought it before: no transaction then.
/// Killed at any step and asked again it does it once, as Sender does.
[[nodiscard]] Result<Amount, std::string> bring_order(ContractView& view, Sender& sender,
                                                      const settlement::evm::SignedOrder& order);

}  // namespace nostril::client::chain
