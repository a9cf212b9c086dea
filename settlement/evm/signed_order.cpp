#include "settlement/evm/signed_order.h"

#include "base/hex.h"
#include "base/json.h"
#include "settlement/evm/abi.h"
#include "settlement/evm/asset.h"

#include <array>
#include <utility>

namespace nostril::settlement::evm {

namespace {

constexpr std::size_t kMembers = 7;

/// 0x and 40 lowercase hex digits: one spelling only.
std::optional<EthereumAddress> address_in(const Json& json, std::string_view key) {
  const auto text = json.find_string(key);
  const auto address = text ? parse_address(*text) : std::nullopt;
  if (!address || to_string(*address) != *text) return std::nullopt;
  return address;
}

struct Terms {
  ContractPlace place;
  Channel channel;
};

std::optional<Terms> terms_in(const Json& json, const PublicKey& signer) {
  const auto chain = parse_decimal_u64(json.find_string("chain").value_or(""));
  const auto salt = decode_hex(json.find_string("salt").value_or(""));
  const auto contract = address_in(json, "contract");
  const auto payer = address_in(json, "payer");
  const auto payee = address_in(json, "payee");
  const auto token = address_in(json, "token");
  Terms out;
  if (!chain || !salt || salt->size() != out.channel.salt.size() || !contract || !payer || !payee ||
      payee->is_zero() || !token) {
    return std::nullopt;
  }
  out.place = {*chain, *contract};
  out.channel = {*payer, {}, signer, *payee, *token};
  std::ranges::copy(*salt, out.channel.salt.begin());
  return out;
}

}  // namespace

std::string_view to_string(SignedOrderError error) {
  switch (error) {
    case SignedOrderError::NotJson:
      return "not a signed order: one JSON object as `nostril wallet order` prints it";
    case SignedOrderError::BadTerms:
      return "the channel's terms are malformed";
    case SignedOrderError::BadEvent:
      return "the order is malformed or not signed by its author";
    case SignedOrderError::AnotherChannel:
      return "the order is for another channel than its terms say";
  }
  return "unknown";
}

Result<SignedOrder, SignedOrderError> SignedOrder::make(const ContractPlace& place,
                                                        const Channel& channel,
                                                        const VerifiedEvent& event) {
  const auto order = parse_order(event.event());
  const auto signature = contract_signature(event->sig);
  if (!order || !signature) return failure(SignedOrderError::BadEvent);
  if (channel.signer != order->signer || channel_id(place, channel) != order->channel) {
    return failure(SignedOrderError::AnotherChannel);
  }
  return SignedOrder(place, channel, event.event(), *order, *signature);
}

Result<SignedOrder, SignedOrderError> SignedOrder::parse(std::string_view text,
                                                         Verifier& verifier) {
  JsonLimits limits;
  limits.bytes_max = kBytesMax;
  const auto json = Json::parse(text, limits);
  const Json* inside = json ? json->find("order") : nullptr;
  if (inside == nullptr || json->members().size() != kMembers) {
    return failure(SignedOrderError::NotJson);
  }
  auto event = parse_event(inside->dump());
  if (!event) return failure(SignedOrderError::BadEvent);
  const auto terms = terms_in(*json, event->event().pubkey);
  if (!terms) return failure(SignedOrderError::BadTerms);
  const auto verified = VerifiedEvent::verify(*std::move(event), verifier);
  if (!verified) return failure(SignedOrderError::BadEvent);
  return make(terms->place, terms->channel, *verified);
}

std::string SignedOrder::text() const {
  JsonWriter w;
  w.begin_object();
  w.key("chain").string(std::to_string(place_.chain_id));
  w.key("contract").string(to_string(place_.contract));
  w.key("payer").string(to_string(channel_.payer));
  w.key("salt").string(encode_hex(channel_.salt));
  w.key("payee").string(to_string(channel_.payee));
  w.key("token").string(to_string(channel_.token));
  w.key("order").raw(to_json(event_)).end_object();
  return std::move(w).take();
}

Bytes SignedOrder::call() const {
  return open_signed_call(channel_, order_, signature_);
}

}  // namespace nostril::settlement::evm
