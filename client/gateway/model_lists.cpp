#include "client/gateway/model_lists.h"

#include "base/hex.h"
#include "base/json.h"
#include "client/gateway/routes.h"
#include "client/node_choice.h"
#include "events/nip19.h"

#include <algorithm>
#include <map>
#include <utility>

namespace nostril::client {

namespace {

struct Listed {
  std::shared_ptr<const VerifiedOffer> best;
  std::int64_t nodes = 0;
};

std::map<std::string, Listed> models_of(const OfferBook& book) {
  std::map<std::string, Listed> out;
  for (const auto& verified : book.usable()) {
    Listed& listed = out[verified->offer().model];
    ++listed.nodes;
    if (!listed.best || price_rank(verified->offer()) < price_rank(listed.best->offer())) {
      listed.best = verified;
    }
  }
  return out;
}

bool has(const Offer& offer, std::string_view feature) {
  return std::ranges::find(offer.features, feature) != offer.features.end();
}

std::int64_t number(std::uint64_t value) {
  return static_cast<std::int64_t>(value);  // offers are bound far below
}

void write_strings(JsonWriter& w, std::string_view key,
                   const std::vector<std::string_view>& values) {
  w.key(key).begin_array();
  for (const std::string_view value : values) w.string(value);
  w.end_array();
}

std::vector<std::string_view> modalities(const Offer& offer) {
  std::vector<std::string_view> out = {"text"};
  if (has(offer, "vision")) out.emplace_back("image");
  return out;
}

void write_pricing(JsonWriter& w, const Offer& offer) {
  w.key("pricing").begin_object().key("asset").string(offer.asset);
  for (const PriceTag& price : offer.prices) {
    w.key(to_string(price.unit)).string(price.amount.to_string());
  }
  w.end_object();
}

void write_verification(JsonWriter& w, const VerifiedOffer& verified) {
  w.key("verification").begin_object();
  w.key("level").string(to_string(verified.verdict().level));
  w.key("tee").string(verified.offer().tee);
  w.key("simulated").boolean(verified.verdict().simulated).end_object();
}

void write_openai(JsonWriter& w, const Listed& listed) {
  const VerifiedOffer& verified = *listed.best;
  const Offer& offer = verified.offer();
  w.begin_object();
  w.key("id").string(offer.model).key("object").string("model").key("type").string("model");
  w.key("created").integer(offer.created_at);
  w.key("owned_by").string(nip19::encode(nip19::Npub{offer.node}));
  w.key("name").string(offer.model).key("display_name").string(offer.model);
  w.key("created_at").string(rfc3339(offer.created_at));
  w.key("context_length").integer(number(offer.context_tokens));
  w.key("max_model_len").integer(number(offer.context_tokens));
  w.key("max_output_length").integer(number(offer.output_tokens_max));
  w.key("top_provider").begin_object();
  w.key("context_length").integer(number(offer.context_tokens));
  w.key("max_completion_tokens").integer(number(offer.output_tokens_max));
  w.key("is_moderated").boolean(false).end_object();
  write_strings(w, "input_modalities", modalities(offer));
  write_strings(w, "output_modalities", {"text"});
  write_strings(w, "supported_features", {offer.features.begin(), offer.features.end()});
  write_pricing(w, offer);
  write_verification(w, verified);
  w.key("nodes").integer(listed.nodes);
  w.end_object();
}

void write_ollama_details(JsonWriter& w) {
  w.key("details").begin_object();
  w.key("parent_model").string("").key("format").string("").key("family").string("");
  w.key("families").begin_array().end_array();
  w.key("parameter_size").string("").key("quantization_level").string("").end_object();
}

void write_ollama(JsonWriter& w, const Listed& listed) {
  const Offer& offer = listed.best->offer();
  w.begin_object();
  w.key("name").string(offer.model).key("model").string(offer.model);
  w.key("modified_at").string(rfc3339(offer.created_at)).key("size").integer(0);
  w.key("digest").string(offer.weights ? encode_hex(*offer.weights) : "");
  write_ollama_details(w);
  write_pricing(w, offer);
  write_verification(w, *listed.best);
  w.end_object();
}

}  // namespace

std::shared_ptr<const VerifiedOffer> cheapest(const OfferBook& book, std::string_view model) {
  const auto models = models_of(book);
  const auto found = models.find(std::string(model));
  return found == models.end() ? nullptr : found->second.best;
}

std::string openai_models(const OfferBook& book) {
  JsonWriter w;
  w.begin_object().key("object").string("list").key("data").begin_array();
  for (const auto& [model, listed] : models_of(book)) write_openai(w, listed);
  w.end_array().key("has_more").boolean(false).end_object();
  return std::move(w).take();
}

std::optional<std::string> openai_model(const OfferBook& book, std::string_view model) {
  const auto models = models_of(book);
  const auto found = models.find(std::string(model));
  if (found == models.end()) return std::nullopt;
  JsonWriter w;
  write_openai(w, found->second);
  return std::move(w).take();
}

std::string ollama_tags(const OfferBook& book) {
  JsonWriter w;
  w.begin_object().key("models").begin_array();
  for (const auto& [model, listed] : models_of(book)) write_ollama(w, listed);
  w.end_array().end_object();
  return std::move(w).take();
}

std::optional<std::string> ollama_show(const OfferBook& book, std::string_view model) {
  const auto verified = cheapest(book, model);
  if (!verified) return std::nullopt;
  const Offer& offer = verified->offer();
  JsonWriter w;
  w.begin_object().key("modelfile").string("").key("parameters").string("");
  w.key("template").string("").key("modified_at").string(rfc3339(offer.created_at));
  write_ollama_details(w);
  w.key("model_info").begin_object();
  w.key("general.architecture").string("nostril");
  w.key("general.basename").string(offer.model);
  w.key("nostril.context_length").integer(number(offer.context_tokens)).end_object();
  std::vector<std::string_view> abilities = {"completion"};
  if (has(offer, "tools")) abilities.emplace_back("tools");
  if (has(offer, "vision")) abilities.emplace_back("vision");
  write_strings(w, "capabilities", abilities);
  write_pricing(w, offer);
  write_verification(w, *verified);
  w.end_object();
  return std::move(w).take();
}

}  // namespace nostril::client
