#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "events/amount.h"
#include "schnorr/ecdsa_key.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

/// Transactions as our wallets send them: EIP-1559 (type 2), with an empty access list.
/// Pure functions. Threads: any.
namespace nostril::settlement::evm {

struct TransactionLimits {
  static constexpr std::size_t kDataBytesMax = 128U << 10;  ///< what nodes relay at most
};

/// Wei and gas. A wei amount is below 2^128 here, which no chain's supply comes near.
struct Transaction {
  std::uint64_t chain_id = 0;
  std::uint64_t nonce = 0;
  Uint128 priority_fee_max = 0;  ///< wei a unit of gas, to the block's maker
  Uint128 fee_max = 0;           ///< wei a unit of gas in all; at least priority_fee_max
  std::uint64_t gas_max = 0;
  std::optional<EthereumAddress> to;  ///< none: data creates a contract
  Uint128 value = 0;                  ///< wei
  Bytes data;

  bool operator==(const Transaction&) const = default;
};

/// What is signed: keccak256(02 ‖ rlp([chain id, nonce, priority fee, fee, gas, to, value, data,
/// []])).
[[nodiscard]] Digest signing_digest(const Transaction& transaction);

struct SignedTransaction {
  Transaction transaction;
  EthereumAddress from;
  Bytes raw;    ///< for eth_sendRawTransaction
  Digest hash;  ///< keccak256 of raw: its name on the chain

  bool operator==(const SignedTransaction&) const = default;
};

[[nodiscard]] SignedTransaction sign(const Transaction& transaction, const EcdsaKey& key);

enum class TransactionError : std::uint8_t {
  WrongType,  ///< not type 2
  BadRlp,
  OutOfRange,     ///< a number above its bound, a fee below its priority fee, too much data
  HasAccessList,  ///< none of ours has one
  BadSignature,
};
std::string_view to_string(TransactionError error);

/// Strict inverse of sign(), for what a journal kept.
[[nodiscard]] Result<SignedTransaction, TransactionError> parse_transaction(ByteSpan raw);

}  // namespace nostril::settlement::evm
