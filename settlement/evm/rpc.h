#pragma once

#include "base/bytes.h"
#include "base/json.h"
#include "base/result.h"
#include "events/amount.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// JSON-RPC 2.0 as Ethereum nodes speak it (execution-apis): the text of calls, and answers as
/// types. Strict and bounded: an answer comes from somebody who may lie. Pure. Threads: any.
namespace nostril::settlement::evm {

struct RpcLimits {
  static constexpr std::size_t kAnswerBytesMax = 8U << 20U;
  static constexpr std::size_t kLogsMax = 20'000;           ///< entries in one answer
  static constexpr std::size_t kLogDataBytesMax = 4'096;    ///< the contract's own have 160 at most
  static constexpr std::size_t kCallBytesMax = 64U << 10U;  ///< of eth_call
  static constexpr std::size_t kMessageBytesMax = 240;      ///< of an error, cut
};

/// {"jsonrpc":"2.0","id":…,"method":…,"params":…}; `params` is JSON text of an array.
[[nodiscard]] std::string rpc_request(std::uint64_t id, std::string_view method,
                                      std::string_view params);

/// Why there is no result.
struct RpcRefusal {
  /// The endpoint understood and said no; else what came is no answer to this call.
  bool by_endpoint = false;
  std::int64_t code = 0;
  std::string message;  ///< a few printable words for the operator

  bool operator==(const RpcRefusal&) const = default;
};

/// The member `result` (null counts as one) of the answer to call `id`.
[[nodiscard]] Result<Json, RpcRefusal> parse_rpc_answer(std::string_view text, std::uint64_t id);

// ---- Values. Nothing for any other spelling or more than the bound. -----------------------------

/// 0x and hex digits in lowercase, without leading zeros; 0x0 is zero.
[[nodiscard]] std::string quantity(Uint128 value);
[[nodiscard]] std::optional<Uint128> parse_quantity(const Json& value, Uint128 max = ~Uint128{0});
/// 0x and two digits a byte.
[[nodiscard]] std::string data_text(ByteSpan bytes);
[[nodiscard]] std::optional<Bytes> parse_data(const Json& value, std::size_t bytes_max);

/// The same of exactly so many bytes: hashes and addresses.
template <typename T>
[[nodiscard]] std::optional<T> parse_fixed(const Json& value) {
  const auto bytes = parse_data(value, T::kSize);
  return bytes ? T::from(*bytes) : std::nullopt;
}

struct BlockHead {
  std::uint64_t number = 0;
  Digest hash;
  Digest parent;
  std::uint64_t time = 0;  ///< seconds since 1970
  Uint128 base_fee = 0;    ///< wei a unit of gas

  bool operator==(const BlockHead&) const = default;
};

/// eth_getBlockByNumber without transactions.
[[nodiscard]] std::optional<BlockHead> parse_block(const Json& value);

struct LogEntry {
  EthereumAddress address;
  std::vector<Digest> topics;
  Bytes data;
  std::uint64_t block = 0;
  Digest block_hash;
  Digest transaction;
  std::uint32_t index = 0;  ///< in the block

  bool operator==(const LogEntry&) const = default;
};

/// eth_getLogs. In ascending order of block and index, none twice and none marked `removed`: else
/// nothing.
[[nodiscard]] std::optional<std::vector<LogEntry>> parse_logs(const Json& value);

struct Receipt {
  Digest transaction;
  std::uint64_t block = 0;
  Digest block_hash;
  bool ok = false;  ///< false: it is in the block, paid its gas, and did nothing
  std::uint64_t gas_used = 0;
  Uint128 gas_price = 0;

  bool operator==(const Receipt&) const = default;
};

/// eth_getTransactionReceipt of what is in a block.
[[nodiscard]] std::optional<Receipt> parse_receipt_of(const Json& value);

struct FeeHistory {
  Uint128 next_base_fee = 0;
  std::vector<Uint128> tips;  ///< of each block, at the percentile that was asked for

  bool operator==(const FeeHistory&) const = default;
};

/// eth_feeHistory with one percentile.
[[nodiscard]] std::optional<FeeHistory> parse_fee_history(const Json& value);

}  // namespace nostril::settlement::evm
