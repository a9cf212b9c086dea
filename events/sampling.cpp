#include "events/sampling.h"

#include <algorithm>
#include <array>

namespace nostril {

namespace {

constexpr std::string_view kFeature = "seed";
constexpr std::string_view kSeed = "seed";
constexpr std::array<std::string_view, 9> kParameters = {"temperature",
                                                         "top_p",
                                                         "top_k",
                                                         "min_p",
                                                         "typical_p",
                                                         "frequency_penalty",
                                                         "presence_penalty",
                                                         "repetition_penalty",
                                                         "repeat_penalty"};
constexpr std::size_t kNumberBytesMax = 32;
/// Name, quotes, colon, comma: below 64 bytes with the number.
static_assert((kParameters.size() + 1) * 64 < InferenceLimits::kSamplingBytesMax);

}  // namespace

bool records_sampling(const Offer& offer) {
  return std::ranges::find(offer.features, kFeature) != offer.features.end();
}

AskedSeed asked_seed(const Json& body) {
  const Json* member = body.find(kSeed);
  if (member == nullptr || member->is_null()) return {};
  const auto seed = member->integer();
  if (!seed || *seed > kSeedMax) return {.valid = false, .seed = {}};
  if (*seed < 0) return {};
  return {.valid = true, .seed = seed};
}

std::optional<std::string> sampling_text(const Json& body, std::int64_t seed) {
  JsonWriter writer;
  writer.begin_object().key(kSeed).integer(seed);
  for (const std::string_view name : kParameters) {
    const Json* value = body.find(name);
    if (value == nullptr || value->is_null()) continue;
    const std::string text = value->dump();
    if (value->type() != Json::Type::Number || text.size() > kNumberBytesMax) return std::nullopt;
    writer.key(name).raw(text);
  }
  writer.end_object();
  return std::move(writer).take();
}

bool sampling_suits(std::string_view sampling, std::string_view request_body) {
  const auto stated = Json::parse(sampling);
  const auto body = Json::parse(request_body);
  if (!stated || !stated->is_object() || !body || !body->is_object()) return false;
  const AskedSeed asked = asked_seed(*body);
  const auto seed = stated->find_integer(kSeed);
  if (!asked.valid || !seed || *seed < 0 || *seed > kSeedMax) return false;
  if (asked.seed && *asked.seed != *seed) return false;
  const auto expected = sampling_text(*body, *seed);
  return expected && *expected == sampling;
}

}  // namespace nostril
