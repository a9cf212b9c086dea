#include "settlement/evm/asset.h"

#include "base/hex.h"
#include "events/amount.h"

#include <algorithm>

namespace nostril::settlement::evm {

namespace {

constexpr std::string_view kChain = "eip155:";
constexpr std::string_view kToken = "/erc20:0x";
constexpr std::string_view kCoin = "/slip44:60";

char lower(char letter) {
  return letter >= 'A' && letter <= 'F' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

}  // namespace

std::optional<Asset> parse_asset(std::string_view text) {
  if (!text.starts_with(kChain)) return std::nullopt;
  text.remove_prefix(kChain.size());
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto chain = parse_decimal_u64(text.substr(0, slash));
  const std::string_view kind = text.substr(slash);
  if (!chain || *chain == 0) return std::nullopt;
  if (kind == kCoin) return Asset{*chain, {}};
  if (!kind.starts_with(kToken)) return std::nullopt;
  const auto token = from_hex<EthereumAddress>(kind.substr(kToken.size()));
  if (!token || token->is_zero()) return std::nullopt;
  return Asset{*chain, *token};
}

std::string to_string(const Asset& asset) {
  std::string out(kChain);
  out += to_decimal(asset.chain_id);
  if (asset.token.is_zero()) return out.append(kCoin);
  return out.append(kToken).append(encode_hex(asset.token));
}

std::optional<EthereumAddress> parse_address(std::string_view text) {
  if (!text.starts_with("0x")) return std::nullopt;
  std::string digits(text.substr(2));
  std::ranges::transform(digits, digits.begin(), lower);
  return from_hex<EthereumAddress>(digits);
}

std::string to_string(const EthereumAddress& address) {
  return "0x" + encode_hex(address);
}

}  // namespace nostril::settlement::evm
