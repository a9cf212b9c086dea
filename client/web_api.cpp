#include "client/web_api.h"

#include "base/hex.h"
#include "base/json.h"
#include "client/channel_store.h"
#include "client/funded_channel.h"
#include "client/lightning_book.h"
#include "client/verdict_json.h"
#include "events/nip19.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::int64_t kIntegerMax = (std::int64_t{1} << 53) - 1;  // what JavaScript holds exactly
constexpr std::string_view kOfferParameter = "offer=";

std::int64_t to_integer(std::uint64_t value) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, kIntegerMax));
}

std::string npub(const PublicKey& node) {
  return nip19::encode(nip19::Npub{node});
}

net::HttpResponse json(int status, std::string body) {
  return {status,
          {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}},
          std::move(body)};
}

void write_prices(JsonWriter& w, const Offer& offer) {
  w.key("asset").string(offer.asset).key("prices").begin_array();
  for (const PriceTag& price : offer.prices) {
    w.begin_object().key("unit").string(to_string(price.unit));
    w.key("amount").string(price.amount.to_string());
    w.key("per").integer(to_integer(price_per(price.unit))).end_object();
  }
  w.end_array();
}

void write_load(JsonWriter& w, const LoadTag& load) {
  w.key("load").begin_object();
  w.key("running").integer(to_integer(load.running));
  w.key("places").integer(to_integer(load.places));
  w.key("waiting").integer(to_integer(load.waiting));
  w.key("wait_ms").integer(to_integer(load.wait_ms)).end_object();
}

/// What this home thinks of the node, and from whom it has that.
void write_reputation(JsonWriter& w, const ReputationBook::Score& score) {
  w.key("reputation").begin_object().key("score").integer(score.total);
  w.key("own").integer(score.own).key("follows").integer(score.follows);
  w.key("providers").integer(score.providers);
  w.key("approvals").integer(score.approvals).key("flags").integer(score.flags);
  if (score.fraud) w.key("fraud").string(*score.fraud);
  w.end_object();
}

/// What stands behind channels, as this home's journal knows it.
struct Backings {
  explicit Backings(Journal& journal) : lightning(journal) {
    for (FundedChannel& one : funded_channels(journal)) {
      const ChannelId id = settlement::channel_id(one.terms);
      funded.emplace(id, std::move(one));
    }
  }

  LightningBook lightning;
  std::map<ChannelId, FundedChannel> funded;
};

void write_backing(JsonWriter& w, const StoredChannel& channel, const Backings& backings) {
  const ChannelId id = settlement::channel_id(channel.terms);
  if (channel.terms.lightning) {
    const auto sums = backings.lightning.sums(id);
    w.key("backing").begin_object().key("rail").string("lightning");
    w.key("deposited").string(to_decimal(sums.deposited));
    w.key("refunded").string(to_decimal(sums.refunded)).end_object();
    return;
  }
  const auto found = backings.funded.find(id);
  if (found == backings.funded.end()) return;
  w.key("backing").begin_object().key("rail").string("chain");
  w.key("state").string(to_string(found->second.state));
  w.key("locked").string(found->second.locked.to_string());
  w.key("claimed").string(found->second.claimed.to_string()).end_object();
}

void write_payments(JsonWriter& w, const LightningBook& book) {
  auto all = book.payments();
  std::ranges::sort(all, std::greater(), &settlement::lightning::Payment::created_at);
  w.begin_array();
  for (std::size_t i = 0; i < std::min(all.size(), WebApi::kPaymentsMax); ++i) {
    const auto& one = all[i];
    w.begin_object().key("what").string(to_string(one.purpose));
    w.key("state").string(to_string(one.state)).key("amount").string(to_decimal(one.amount));
    w.key("fees").string(to_decimal(one.fees)).key("channel").string(encode_hex(one.channel));
    w.key("at").integer(one.created_at).end_object();
  }
  w.end_array();
}

void write_channel(JsonWriter& w, const StoredChannel& channel, const Backings& backings) {
  const auto stated = Amount::from((channel.snapshot.micro + settlement::kMicroPerUnit - 1) /
                                   settlement::kMicroPerUnit);
  w.begin_object();
  w.key("channel").string(encode_hex(settlement::channel_id(channel.terms)));
  w.key("node").string(npub(channel.terms.node)).key("asset").string(channel.terms.asset);
  w.key("stated").string(stated.value_or(Amount()).to_string());
  w.key("receipted").string(channel.snapshot.accepted.to_string());
  w.key("statements").integer(to_integer(channel.snapshot.n));
  w.key("open").boolean(channel.open);
  write_backing(w, channel, backings);
  w.end_object();
}

}  // namespace

WebApi::WebApi(ClientHome& home, Clock& clock)
    : home_(home), clock_(clock), spending_(home.journal()) {
  history_.observe(home_.offers(), clock_.unix_s());
  home_.on_offers_changed([this] { history_.observe(home_.offers(), clock_.unix_s()); });
}

std::optional<net::HttpResponse> WebApi::answer(const net::HttpRequest& request) {
  if (request.method != "GET") return std::nullopt;
  if (request.path == "/nostril/v1/nodes") return json(200, nodes());
  if (request.path == "/nostril/v1/spending") return json(200, spending());
  if (request.path != "/nostril/v1/verdict") return std::nullopt;
  const std::string_view query = request.query;
  auto found = query.starts_with(kOfferParameter) ? verdict(query.substr(kOfferParameter.size()))
                                                  : std::nullopt;
  if (found) return json(200, *std::move(found));
  return json(
      404,
      R"({"error":{"message":"no such offer now","type":"not_found","param":null,"code":null}})");
}

void WebApi::write_offer(JsonWriter& w, const Offer& offer, const attestation::Verdict* verdict,
                         bool accepted, std::string_view reason) const {
  w.begin_object().key("offer").string(encode_hex(offer.id)).key("node").string(npub(offer.node));
  w.key("model").string(offer.model).key("profile").string(offer.profile);
  w.key("engine").string(offer.engine).key("engine_version").string(offer.engine_version);
  w.key("tee").string(offer.tee).key("accepted").boolean(accepted);
  w.key("simulated").boolean(verdict != nullptr && verdict->simulated);
  w.key("level").string(
      to_string(verdict != nullptr && accepted ? verdict->level : attestation::Level::None));
  w.key("holds_until")
      .integer(verdict != nullptr ? std::min(verdict->holds_until, kIntegerMax) : 0);
  w.key("reason").string(reason).key("judged").boolean(verdict != nullptr);
  write_prices(w, offer);
  w.key("context_tokens").integer(to_integer(offer.context_tokens));
  w.key("output_tokens_max").integer(to_integer(offer.output_tokens_max));
  if (offer.load) write_load(w, *offer.load);
  w.key("created_at").integer(offer.created_at).key("expires_at").integer(offer.expires_at);
  write_reputation(w, home_.reputation().score(offer.node));
  history_.write(w.key("history"), offer);
  spending_.write_answers(w.key("answers"), offer.node);
  w.end_object();
}

std::string WebApi::nodes() const {
  JsonWriter w;
  w.begin_object().key("now").integer(clock_.unix_s()).key("offers").begin_array();
  for (const auto& verified : home_.offers().usable()) {
    write_offer(w, verified->offer(), &verified->verdict(), true, "");
  }
  for (const RejectedOffer& rejected : home_.offers().rejected()) {
    write_offer(w, rejected.offer, rejected.verdict.get(), false, rejected.reason);
  }
  w.end_array().end_object();
  return std::move(w).take();
}

std::optional<std::string> WebApi::verdict(std::string_view offer_id) const {
  const auto write = [this](const Offer& offer, const attestation::Verdict* verdict,
                            std::string_view reason) {
    JsonWriter w;
    w.begin_object().key("now").integer(clock_.unix_s());
    w.key("offer").string(encode_hex(offer.id)).key("node").string(npub(offer.node));
    w.key("model").string(offer.model).key("statement").string(encode_hex(offer.attestation));
    if (const auto digest = home_.offers().evidence_digest_of(offer)) {
      w.key("evidence").string(encode_hex(*digest));
    }
    w.key("reason").string(reason).key("verdict");
    if (verdict != nullptr) {
      write_verdict(w, *verdict);
    } else {
      w.null();
    }
    w.end_object();
    return std::move(w).take();
  };
  for (const auto& verified : home_.offers().usable()) {
    if (encode_hex(verified->offer().id) == offer_id) {
      return write(verified->offer(), &verified->verdict(), "");
    }
  }
  for (const RejectedOffer& rejected : home_.offers().rejected()) {
    if (encode_hex(rejected.offer.id) == offer_id) {
      return write(rejected.offer, rejected.verdict.get(), rejected.reason);
    }
  }
  return std::nullopt;
}

std::string WebApi::spending() const {
  JsonWriter w;
  w.begin_object().key("now").integer(clock_.unix_s());
  w.key("budget").string(home_.budget().to_string());
  spending_.write_days(w.key("days"));
  const Backings backings(home_.journal());
  w.key("channels").begin_array();
  std::size_t count = 0;
  for (const StoredChannel& channel : all_channels(home_.journal())) {
    if (++count > kChannelsMax) break;
    write_channel(w, channel, backings);
  }
  w.end_array();
  write_payments(w.key("payments"), backings.lightning);
  w.end_object();
  return std::move(w).take();
}

}  // namespace nostril::client
