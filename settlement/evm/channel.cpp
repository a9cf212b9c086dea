#include "settlement/evm/channel.h"

#include "base/check.h"
#include "events/big_endian.h"
#include "schnorr/ecdsa_key.h"
#include "schnorr/keccak.h"
#include "settlement/evm/abi.h"

#include <algorithm>
#include <string_view>

namespace nostril::settlement::evm {

namespace {

constexpr std::string_view kDomainName = "nostril/channel/evm/1";

void append(Bytes& out, ByteSpan bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

}  // namespace

ChannelId channel_id(const ContractPlace& place, const Channel& channel) {
  const Digest name = keccak256(as_bytes(kDomainName));
  Bytes domain(name.bytes.begin(), name.bytes.end());
  append_number_word(domain, place.chain_id);
  append_address_word(domain, place.contract);

  const Digest domain_hash = keccak256(domain);
  Bytes terms(domain_hash.bytes.begin(), domain_hash.bytes.end());
  append(terms, channel.payer.bytes);
  append(terms, channel.salt);
  append(terms, channel.signer.bytes);
  append_address_word(terms, channel.payee);
  append_address_word(terms, channel.token);
  return ChannelId{keccak256(terms).bytes};
}

std::optional<ContractSignature> contract_signature(const Signature& signature) {
  const std::span<const std::uint8_t, 32> rx = signature.span().first<32>();
  const auto point = lift_x(rx);
  if (!point) return std::nullopt;
  ContractSignature out;
  const auto y = std::ranges::copy(signature.bytes, out.begin()).out;
  std::ranges::copy(ByteSpan(point->bytes).last(32), y);
  return out;
}

std::optional<ClaimRow> claim_row(const ContractPlace& place, const Channel& channel,
                                  const VerifiedEvent& event) {
  const auto receipt = parse_receipt(event.event());
  if (!receipt || receipt->signer != channel.signer ||
      receipt->channel != channel_id(place, channel)) {
    return std::nullopt;
  }
  const auto signature = contract_signature(event->sig);
  CHECK(signature.has_value());  // it was verified
  Bytes row;
  row.reserve(kRowBytes);
  append(row, channel.payer.bytes);
  append(row, channel.salt);
  append(row, channel.signer.bytes);
  append_big_endian(row, receipt->amount.value(), 12);
  append_big_endian(row, static_cast<Uint128>(receipt->created_at), 4);
  append(row, receipt->running_hash.bytes);
  append(row, *signature);
  CHECK(row.size() == kRowBytes);
  ClaimRow out;
  std::ranges::copy(row, out.begin());
  return out;
}

}  // namespace nostril::settlement::evm
