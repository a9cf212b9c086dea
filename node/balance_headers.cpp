#include "node/balance_headers.h"

#include "base/base64.h"
#include "base/hex.h"

#include <string_view>

namespace nostril::node {

namespace {

constexpr face::ApiError kBadUser = {400, "bad_request", "X-User-ID: 64 lowercase hex digits"};
constexpr face::ApiError kBadChain = {400, "bad_request",
                                      "X-Query-Chain-ID: 64 lowercase hex digits"};
constexpr face::ApiError kBadSalt = {400, "bad_request", "X-Channel-Salt: 32 lowercase hex digits"};
constexpr face::ApiError kBadReceipt = {400, "bad_request",
                                        "X-Last-Signed-Query: a receipt (kind 1472) in base64"};

/// The header's value. `bad` when it is there twice.
std::optional<std::string_view> find_once(const net::HttpHeaders& headers, std::string_view name,
                                          bool& bad) {
  bad = headers.count(name) > 1;
  return headers.find(name);
}

std::optional<UnverifiedEvent> read_receipt(std::string_view base64) {
  if (base64.size() > kBalanceReceiptBytesMax) return std::nullopt;
  const auto json = decode_base64(base64);
  if (!json) return std::nullopt;
  auto event = parse_event(as_text(*json));
  if (!event || !parse_receipt(event->event())) return std::nullopt;
  return *std::move(event);
}

}  // namespace

Result<BalanceRequest, face::ApiError> read_balance_headers(const net::HttpHeaders& headers) {
  BalanceRequest out;
  bool twice = false;
  if (const auto text = find_once(headers, "X-User-ID", twice)) {
    out.user = from_hex<PublicKey>(*text);
    if (twice || !out.user) return failure(kBadUser);
  }
  if (const auto text = find_once(headers, "X-Query-Chain-ID", twice)) {
    out.chain = from_hex<ChannelId>(*text);
    if (twice || !out.chain) return failure(kBadChain);
  }
  if (const auto text = find_once(headers, "X-Channel-Salt", twice)) {
    if (twice || !decode_hex(*text, out.salt)) return failure(kBadSalt);
  }
  if (const auto text = find_once(headers, "X-Last-Signed-Query", twice)) {
    out.receipt = read_receipt(*text);
    if (twice || !out.receipt) return failure(kBadReceipt);
  }
  return out;
}

std::string cost_per_token(const settlement::PriceTable& prices) {
  std::string out;
  for (const PriceUnit unit : {PriceUnit::Input, PriceUnit::Cached, PriceUnit::Output}) {
    if (prices.amount(unit).is_zero()) continue;
    out += std::string(to_string(unit)) + "=" + prices.amount(unit).to_string() + ";";
  }
  return out + "per=" + std::to_string(price_per(PriceUnit::Input)) + ";asset=" + prices.asset();
}

void add_balance_headers(const BalanceState& state, net::HttpHeaders& headers) {
  headers.add("X-User-ID", encode_hex(state.user));
  headers.add("X-Query-Chain-ID", encode_hex(state.chain));
  headers.add("X-Cost-Per-Token", cost_per_token(state.prices));
  headers.add("X-Outstanding-Balance", state.outstanding.to_string());
  headers.add("Cache-Control", "no-store");
  if (!state.record) return;
  if (const auto record = parse_record(*state.record)) {
    headers.add("X-Total-Tokens-Used", std::to_string(record->usage.input + record->usage.output));
  }
  headers.add("X-Last-Signed-Query", encode_base64(as_bytes(to_json(*state.record))));
  headers.add("X-Server-Signature", encode_hex(state.record->sig));
}

}  // namespace nostril::node
