#include "node/model_route.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/percent.h"
#include "events/nip19.h"
#include "net/url.h"

#include <utility>

namespace nostril::node {

namespace {

void write_model(JsonWriter& out, const Offer& offer) {
  const auto count = [](std::uint64_t tokens) { return static_cast<std::int64_t>(tokens); };
  out.begin_object();
  out.key("id").string(offer.model).key("object").string("model");
  out.key("created").integer(offer.created_at);
  out.key("owned_by").string(nip19::encode(nip19::Npub{offer.node}));
  if (offer.context_tokens != 0) {
    out.key("context_length").integer(count(offer.context_tokens));
    out.key("max_model_len").integer(count(offer.context_tokens));
  }
  out.key("max_output_length").integer(count(offer.output_tokens_max));
  out.key("pricing").begin_object().key("asset").string(offer.asset);
  for (const PriceTag& price : offer.prices) {
    out.key(to_string(price.unit)).string(price.amount.to_string());
  }
  out.end_object();
  out.key("tee").string(offer.tee);
  out.key("offer").string(encode_hex(offer.id));
  out.key("attestation").string(encode_hex(offer.attestation));
  if (offer.weights) out.key("weights").string(encode_hex(*offer.weights));
  out.end_object();
}

}  // namespace

net::HttpResponse list_models(ModelDirectory& models) {
  JsonWriter out;
  out.begin_object().key("object").string("list").key("data").begin_array();
  for (const Offer& offer : models.offered()) write_model(out, offer);
  out.end_array().end_object();
  return json_response(200, std::move(out).take());
}

net::HttpResponse show_model(ModelDirectory& models, std::string_view id) {
  const auto name = percent_decode(id);
  const auto place = name ? models.find_model(*name) : std::nullopt;
  if (!place) {
    ApiRefusal refusal(404, "not_found", "this node serves no such model at present");
    refusal.code = "model_not_found";
    return to_response(refusal);
  }
  JsonWriter out;
  write_model(out, place->offer.offer);
  return json_response(200, std::move(out).take());
}

}  // namespace nostril::node
