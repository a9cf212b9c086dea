#pragma once

#include "base/bytes.h"
#include "events/event.h"
#include "events/inference.h"
#include "schnorr/types.h"

#include <array>
#include <cstdint>
#include <optional>

/// Channels on an EVM chain: their names, and receipts as the contract takes them.
/// spec/12-contract.md, settlement/contracts/. Pure functions. Threads: any.
namespace nostril::settlement::evm {

/// Where channels live.
struct ContractPlace {
  std::uint64_t chain_id = 0;
  EthereumAddress contract;

  bool operator==(const ContractPlace&) const = default;
};

/// All terms of a channel; together with the place they are its name.
struct Channel {
  EthereumAddress payer;
  std::array<std::uint8_t, 12> salt{};
  PublicKey signer;  ///< payment signer: whose receipts count
  EthereumAddress payee;
  EthereumAddress token;  ///< zero: the chain's own coin

  bool operator==(const Channel&) const = default;
};

[[nodiscard]] ChannelId channel_id(const ContractPlace& place, const Channel& channel);

/// Bytes of one row of claim(): layout in spec/12-contract.md, "Rows".
inline constexpr std::size_t kRowBytes = 208;
using ClaimRow = std::array<std::uint8_t, kRowBytes>;

/// The row that turns a receipt into money. Nothing when the event is no receipt of this channel.
[[nodiscard]] std::optional<ClaimRow> claim_row(const ContractPlace& place, const Channel& channel,
                                                const VerifiedEvent& event);

/// A BIP-340 signature as the contract takes it: rx, s, and the even y of rx, 32 bytes each.
/// Nothing when rx is no point's x, which no valid signature has.
using ContractSignature = std::array<std::uint8_t, 96>;
[[nodiscard]] std::optional<ContractSignature> contract_signature(const Signature& signature);

}  // namespace nostril::settlement::evm
