#include "settlement/evm/abi.h"

#include "base/check.h"
#include "events/big_endian.h"
#include "schnorr/keccak.h"

#include <algorithm>
#include <string>

namespace nostril::settlement::evm {

namespace {

constexpr std::size_t kWord = 32;
constexpr std::string_view kChannelType = "(address,uint96,bytes32,address,address)";

void append(Bytes& out, ByteSpan bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

Bytes call_of(std::string_view signature) {
  const auto bytes = selector(signature);
  return {bytes.begin(), bytes.end()};
}

void append_channel(Bytes& out, const Channel& channel) {
  append_address_word(out, channel.payer);
  out.resize(out.size() + kWord - channel.salt.size());
  append(out, channel.salt);
  append(out, channel.signer.bytes);
  append_address_word(out, channel.payee);
  append_address_word(out, channel.token);
}

/// A `bytes` argument at the end: its offset among the arguments, then size and padded content.
void append_rows(Bytes& out, std::size_t arguments, std::span<const ClaimRow> rows) {
  append_number_word(out, Uint128{arguments} * kWord);
  append_number_word(out, Uint128{rows.size()} * kRowBytes);
  for (const ClaimRow& row : rows) append(out, row);
  const std::size_t last = rows.size() * kRowBytes % kWord;
  if (last != 0) out.resize(out.size() + kWord - last);
}

std::string_view name_of(AmountCall call) {
  switch (call) {
    case AmountCall::Open:
      return "open";
    case AmountCall::OpenPooled:
      return "openPooled";
    case AmountCall::TopUp:
      return "topUp";
    case AmountCall::TopUpPooled:
      return "topUpPooled";
    case AmountCall::Refund:
      return "refund";
  }
  CHECK(false);
}

}  // namespace

void append_number_word(Bytes& out, Uint128 value) {
  out.resize(out.size() + kWord - sizeof(Uint128));
  append_big_endian(out, value, sizeof(Uint128));
}

void append_address_word(Bytes& out, const EthereumAddress& address) {
  out.resize(out.size() + kWord - EthereumAddress::kSize);
  append(out, address.bytes);
}

std::array<std::uint8_t, 4> selector(std::string_view signature) {
  const Digest digest = keccak256(as_bytes(signature));
  std::array<std::uint8_t, 4> out{};
  std::copy_n(digest.bytes.begin(), out.size(), out.begin());
  return out;
}

Bytes deposit_call(const EthereumAddress& owner, const EthereumAddress& token, Amount amount) {
  Bytes out = call_of("deposit(address,address,uint256)");
  append_address_word(out, owner);
  append_address_word(out, token);
  append_number_word(out, amount.value());
  return out;
}

Bytes withdraw_call(const EthereumAddress& token, Amount amount, const EthereumAddress& to) {
  Bytes out = call_of("withdraw(address,uint256,address)");
  append_address_word(out, token);
  append_number_word(out, amount.value());
  append_address_word(out, to);
  return out;
}

Bytes allow_call(const PublicKey& signer, const EthereumAddress& token, Amount amount) {
  Bytes out = call_of("allow(bytes32,address,uint256)");
  append(out, signer.bytes);
  append_address_word(out, token);
  append_number_word(out, amount.value());
  return out;
}

Bytes channel_call(AmountCall call, const Channel& channel, Amount amount) {
  Bytes out = call_of(std::string(name_of(call)) + "(" + std::string(kChannelType) + ",uint96)");
  append_channel(out, channel);
  append_number_word(out, amount.value());
  return out;
}

Bytes channel_call(CloseCall call, const Channel& channel) {
  const std::string name = call == CloseCall::Request ? "requestClose" : "finalise";
  Bytes out = call_of(name + "(" + std::string(kChannelType) + ")");
  append_channel(out, channel);
  return out;
}

Bytes open_signed_call(const Channel& channel, const ChannelOrder& order,
                       const ContractSignature& signature) {
  Bytes out = call_of("openSigned(" + std::string(kChannelType) +
                      ",uint96,uint32,uint32,(uint256,uint256,uint256))");
  append_channel(out, channel);
  append_number_word(out, order.total.value());
  append_number_word(out, static_cast<Uint128>(order.created_at));
  append_number_word(out, static_cast<Uint128>(order.expires_at));
  append(out, signature);
  return out;
}

Bytes claim_call(const EthereumAddress& payee, const EthereumAddress& token,
                 std::span<const ClaimRow> rows) {
  Bytes out = call_of("claim(address,address,bytes)");
  append_address_word(out, payee);
  append_address_word(out, token);
  append_rows(out, 3, rows);
  return out;
}

Bytes claim_to_pool_call(const EthereumAddress& token, std::span<const ClaimRow> rows) {
  Bytes out = call_of("claimToPool(address,bytes)");
  append_address_word(out, token);
  append_rows(out, 2, rows);
  return out;
}

Bytes approve_call(const EthereumAddress& spender, Amount amount) {
  Bytes out = call_of("approve(address,uint256)");
  append_address_word(out, spender);
  append_number_word(out, amount.value());
  return out;
}

Bytes channel_question(const ChannelId& id) {
  Bytes out = call_of("channel(bytes32)");
  append(out, id.bytes);
  return out;
}

Bytes pool_question(const EthereumAddress& owner, const EthereumAddress& token) {
  Bytes out = call_of("pool(address,address)");
  append_address_word(out, owner);
  append_address_word(out, token);
  return out;
}

Bytes allowance_question(const EthereumAddress& payer, const PublicKey& signer,
                         const EthereumAddress& token) {
  Bytes out = call_of("allowance(address,bytes32,address)");
  append_address_word(out, payer);
  append(out, signer.bytes);
  append_address_word(out, token);
  return out;
}

// ---- Answers ------------------------------------------------------------------------------------

std::array<std::uint8_t, 32> WordReader::word() {
  std::array<std::uint8_t, 32> out{};
  if (rest_.size() < kWord) {
    if (!error_) error_ = AbiError::WrongSize;
    return out;
  }
  std::ranges::copy(rest_.first(kWord), out.begin());
  rest_ = rest_.subspan(kWord);
  return out;
}

Uint128 WordReader::value(Uint128 max) {
  const auto bytes = word();
  const auto low = ByteSpan(bytes).last(sizeof(Uint128));
  const auto high = ByteSpan(bytes).first(kWord - sizeof(Uint128));
  Uint128 out = 0;
  for (const std::uint8_t byte : low) out = out << 8 | byte;
  if (out <= max && std::ranges::all_of(high, [](std::uint8_t byte) { return byte == 0; })) {
    return out;
  }
  if (!error_) error_ = AbiError::OutOfRange;
  return 0;
}

std::uint64_t WordReader::number(std::uint64_t max) {
  return static_cast<std::uint64_t>(value(max));
}

Amount WordReader::amount() {
  return *Amount::from(value(Amount::kMax));
}

bool WordReader::boolean() {
  return value(1) == 1;
}

EthereumAddress WordReader::address() {
  const auto bytes = word();
  constexpr std::size_t kPad = kWord - EthereumAddress::kSize;
  const auto high = ByteSpan(bytes).first(kPad);
  EthereumAddress out;
  if (std::ranges::any_of(high, [](std::uint8_t byte) { return byte != 0; })) {
    if (!error_) error_ = AbiError::OutOfRange;
    return out;
  }
  std::ranges::copy(ByteSpan(bytes).subspan(kPad), out.bytes.begin());
  return out;
}

std::optional<AbiError> WordReader::error() const {
  if (error_) return error_;
  if (!rest_.empty()) return AbiError::WrongSize;
  return std::nullopt;
}

Result<ChannelState, AbiError> parse_channel_state(ByteSpan answer) {
  constexpr std::uint64_t kCloseAtMax = (std::uint64_t{1} << 40) - 1;
  WordReader words(answer);
  ChannelState out;
  out.locked = words.amount();
  out.claimed = words.amount();
  out.close_at = words.number(kCloseAtMax);
  out.returned = words.boolean();
  out.known = words.boolean();
  if (const auto error = words.error()) return failure(*error);
  if (out.claimed > out.locked || (!out.known && out != ChannelState{})) {
    return failure(AbiError::Inconsistent);
  }
  return out;
}

Result<Amount, AbiError> parse_amount(ByteSpan answer) {
  WordReader words(answer);
  const Amount out = words.amount();
  if (const auto error = words.error()) return failure(*error);
  return out;
}

}  // namespace nostril::settlement::evm
