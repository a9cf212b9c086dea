#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "events/amount.h"
#include "events/event.h"
#include "settlement/evm/channel.h"
#include "settlement/evm/order.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

/// Calls of the contract as transaction data, and its answers: Solidity's ABI.
/// spec/12-contract.md, "Calls". Pure functions. Threads: any.
namespace nostril::settlement::evm {

/// 32 bytes, big-endian; addresses and numbers are extended on the left.
void append_number_word(Bytes& out, Uint128 value);
void append_address_word(Bytes& out, const EthereumAddress& address);

/// The first 4 bytes of keccak256(signature), e.g. of "transfer(address,uint256)".
[[nodiscard]] std::array<std::uint8_t, 4> selector(std::string_view signature);

// ---- Transactions. Of the chain's own coin, the amount goes with the transaction as its value.
// ----

[[nodiscard]] Bytes deposit_call(const EthereumAddress& owner, const EthereumAddress& token,
                                 Amount amount);
[[nodiscard]] Bytes withdraw_call(const EthereumAddress& token, Amount amount,
                                  const EthereumAddress& to);
[[nodiscard]] Bytes allow_call(const PublicKey& signer, const EthereumAddress& token,
                               Amount amount);

/// Calls with a channel and an amount.
enum class AmountCall : std::uint8_t { Open, OpenPooled, TopUp, TopUpPooled, Refund };
[[nodiscard]] Bytes channel_call(AmountCall call, const Channel& channel, Amount amount);

enum class CloseCall : std::uint8_t { Request, Finalise };
[[nodiscard]] Bytes channel_call(CloseCall call, const Channel& channel);

/// `order` must be an order for that channel, signed by `signature`; the contract checks it.
[[nodiscard]] Bytes open_signed_call(const Channel& channel, const ChannelOrder& order,
                                     const ContractSignature& signature);

/// Rows of channels of one payee and token.
[[nodiscard]] Bytes claim_call(const EthereumAddress& payee, const EthereumAddress& token,
                               std::span<const ClaimRow> rows);
[[nodiscard]] Bytes claim_to_pool_call(const EthereumAddress& token,
                                       std::span<const ClaimRow> rows);

/// ERC-20: lets `spender` take up to `amount`.
[[nodiscard]] Bytes approve_call(const EthereumAddress& spender, Amount amount);

// ---- Questions, and their answers ---------------------------------------------------------------

[[nodiscard]] Bytes channel_question(const ChannelId& id);
[[nodiscard]] Bytes pool_question(const EthereumAddress& owner, const EthereumAddress& token);
[[nodiscard]] Bytes allowance_question(const EthereumAddress& payer, const PublicKey& signer,
                                       const EthereumAddress& token);

/// What the contract knows of a channel.
struct ChannelState {
  Amount locked;
  Amount claimed;
  std::uint64_t close_at = 0;  ///< seconds since 1970; 0: no close was requested
  bool returned = false;       ///< something went back to the payer: no signed order counts
  bool known = false;          ///< it was opened once

  bool operator==(const ChannelState&) const = default;
};

enum class AbiError : std::uint8_t {
  WrongSize,
  OutOfRange,    ///< more bits than the type has
  Inconsistent,  ///< more was claimed than is locked, or an unknown channel has something
};

[[nodiscard]] Result<ChannelState, AbiError> parse_channel_state(ByteSpan answer);
/// One uint256. A balance above 2^96 - 1, which no channel could hold, is OutOfRange.
[[nodiscard]] Result<Amount, AbiError> parse_amount(ByteSpan answer);

/// Reads words one after the other; remembers the first thing that is wrong and gives zeros after
/// it. Borrows the bytes.
class WordReader {
 public:
  explicit WordReader(ByteSpan bytes) : rest_(bytes) {}

  std::uint64_t number(std::uint64_t max);
  Amount amount();
  EthereumAddress address();
  bool boolean();
  /// The 32 bytes as they are.
  std::array<std::uint8_t, 32> word();

  /// Nothing when all words were right and none is left.
  [[nodiscard]] std::optional<AbiError> error() const;

 private:
  Uint128 value(Uint128 max);

  ByteSpan rest_;
  std::optional<AbiError> error_;
};

}  // namespace nostril::settlement::evm
