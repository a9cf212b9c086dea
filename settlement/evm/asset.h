#pragma once

#include "schnorr/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::settlement::evm {

/// What a channel on a chain pays in.
struct Asset {
  std::uint64_t chain_id = 0;
  EthereumAddress token;  ///< zero: the chain's own coin

  bool operator==(const Asset&) const = default;
};

/// "eip155:<chain>/erc20:<address in lowercase>" or "eip155:<chain>/slip44:60"
/// (spec/12-contract.md, "Offered and named"). Nothing for any other spelling. Threads: any.
[[nodiscard]] std::optional<Asset> parse_asset(std::string_view text);
[[nodiscard]] std::string to_string(const Asset& asset);

/// 0x and 40 hex digits; letters of either case, as wallets show them (EIP-55's check is not made).
[[nodiscard]] std::optional<EthereumAddress> parse_address(std::string_view text);
/// The same in lowercase.
[[nodiscard]] std::string to_string(const EthereumAddress& address);

}  // namespace nostril::settlement::evm
