#include "settlement/lightning/desk.h"

#include "base/hex.h"
#include "base/json.h"
#include "events/kinds.h"

#include <span>
#include <utility>

namespace nostril::settlement::lightning {

namespace {

/// A payment needs some time before its invoice ends.
constexpr std::int64_t kPayTimeS = 20;

std::optional<Msat> read_msat(std::string_view text) {
  const auto value = parse_decimal_u64(text, kMsatMax);
  if (!value) return std::nullopt;
  return *value;
}

void write_channel(JsonWriter& w, const DeskChannel& channel) {
  w.key("signer").string(encode_hex(channel.signer));
  w.key("salt").string(encode_hex(ByteSpan(channel.salt)));
}

std::optional<DeskChannel> read_channel(const Json& object) {
  const auto signer = from_hex<PublicKey>(object.find_string("signer").value_or(""));
  DeskChannel out;
  if (!signer ||
      !decode_hex(object.find_string("salt").value_or(""), std::span<std::uint8_t>(out.salt))) {
    return std::nullopt;
  }
  out.signer = *signer;
  return out;
}

}  // namespace

EventDraft build_refund(const RefundOrder& order) {
  EventDraft draft{
      .created_at = order.created_at, .kind = kinds::kChannelOrder, .tags = {}, .content = ""};
  draft.tags.add({"d", encode_hex(order.channel)});
  draft.tags.add({"refund", to_decimal(order.amount)});
  draft.tags.add({"bolt11", order.invoice});
  return draft;
}

std::optional<RefundOrder> parse_refund(const Event& event) {
  const Tags& tags = event.tags;
  if (event.kind != kinds::kChannelOrder || !event.content.empty() || tags.size() != 3) {
    return std::nullopt;
  }
  constexpr std::array<std::string_view, 3> kNames = {"d", "refund", "bolt11"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (tags[i].size() != 2 || tags[i].name() != kNames.at(i)) return std::nullopt;
  }
  const auto channel = from_hex<ChannelId>(tags[0][1]);
  const auto amount = read_msat(tags[1][1]);
  if (!channel || !amount || *amount == 0 || tags[2][1].size() > Bolt11Limits::kCharactersMax) {
    return std::nullopt;
  }
  return RefundOrder{event.pubkey, event.created_at, *channel, *amount, std::string(tags[2][1])};
}

std::string wish_text(const DeskWish& wish) {
  JsonWriter w;
  w.begin_object();
  std::visit([&w](const auto& one) { write_channel(w, one.channel); }, wish);
  if (const auto* deposit = std::get_if<AskDeposit>(&wish)) {
    w.key("deposit").string(to_decimal(deposit->amount));
  } else if (const auto* refund = std::get_if<AskRefund>(&wish)) {
    w.key("refund").raw(to_json(refund->order));
  }
  w.end_object();
  return std::move(w).take();
}

std::optional<DeskWish> parse_wish(std::string_view text) {
  const auto object = Json::parse(text, {kDeskBytesMax, 8, 256});
  if (!object) return std::nullopt;
  const auto channel = read_channel(*object);
  const Json* deposit = object->find("deposit");
  const Json* refund = object->find("refund");
  if (!channel || (deposit != nullptr && refund != nullptr)) return std::nullopt;
  if (deposit != nullptr) {
    const auto amount = read_msat(deposit->string().value_or(""));
    if (!amount || *amount == 0) return std::nullopt;
    return AskDeposit{*channel, *amount};
  }
  if (refund != nullptr) {
    auto event = parse_event(refund->dump());
    if (!event) return std::nullopt;
    return AskRefund{*channel, event->event()};
  }
  return AskState{*channel};
}

std::string state_text(const DeskState& state) {
  JsonWriter w;
  w.begin_object();
  w.key("deposited").string(to_decimal(state.sums.deposited));
  w.key("refunded").string(to_decimal(state.sums.refunded));
  w.key("spent").string(state.spent.to_string());
  if (state.invoice) w.key("invoice").string(*state.invoice);
  if (state.payment) w.key("payment").string(to_string(*state.payment));
  w.end_object();
  return std::move(w).take();
}

std::optional<DeskState> parse_state(std::string_view text) {
  const auto object = Json::parse(text, {kDeskBytesMax, 4, 64});
  if (!object) return std::nullopt;
  const auto deposited = read_msat(object->find_string("deposited").value_or(""));
  const auto refunded = read_msat(object->find_string("refunded").value_or(""));
  const auto spent = Amount::parse(object->find_string("spent").value_or(""));
  if (!deposited || !refunded || !spent) return std::nullopt;
  DeskState out{{*deposited, *refunded}, *spent, std::nullopt, std::nullopt};
  if (const auto invoice = object->find_string("invoice")) out.invoice = *invoice;
  if (const auto payment = object->find_string("payment")) {
    out.payment = parse_payment_state(*payment);
    if (!out.payment) return std::nullopt;
  }
  return out;
}

std::string deposit_description(const ChannelId& channel) {
  return "nostril deposit " + encode_hex(channel);
}

std::optional<std::string> problem_of_deposit(const Invoice& invoice, const ChannelId& channel,
                                              Msat amount, std::string_view network,
                                              std::int64_t now) {
  if (to_string(invoice.network) != network) return "it is of another network than the offer says";
  if (invoice.amount != amount) return "it asks for another amount";
  if (invoice.description != deposit_description(channel)) return "it is for something else";
  if (invoice.expires_at() < now + kPayTimeS) return "it has expired";
  return std::nullopt;
}

}  // namespace nostril::settlement::lightning
