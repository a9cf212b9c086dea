#include "settlement/usage_limit.h"

#include "base/json.h"

#include <algorithm>
#include <array>
#include <optional>

namespace nostril::settlement {

namespace {

constexpr std::array<std::string_view, 4> kOutputLimitKeys = {"max_tokens", "max_completion_tokens",
                                                              "max_output_tokens", "n_predict"};
constexpr std::array<std::string_view, 2> kChoiceKeys = {"n", "best_of"};

std::optional<std::uint64_t> positive(const Json& body, std::string_view key) {
  const auto value = body.find_integer(key);
  if (!value || *value < 1) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

}  // namespace

std::span<const std::string_view> output_limit_keys() {
  return kOutputLimitKeys;
}

std::span<const std::string_view> choice_keys() {
  return kChoiceKeys;
}

Usage usage_max(const Offer& offer, std::string_view body) {
  Usage out;
  out.input = offer.context_tokens > 0 ? std::max<std::uint64_t>(offer.context_tokens, body.size())
                                       : body.size() + kTemplateTokensMax;
  out.cached = out.input;
  out.output = offer.output_tokens_max;
  const auto parsed = Json::parse(body);
  if (!parsed || !parsed->is_object()) return out;
  for (const std::string_view key : kOutputLimitKeys) {
    if (const auto limit = positive(*parsed, key)) out.output = std::min(out.output, *limit);
  }
  std::uint64_t choices = 1;
  for (const std::string_view key : kChoiceKeys) {
    choices = std::max(choices, std::min(positive(*parsed, key).value_or(1), kChoicesMax));
  }
  out.output *= choices;
  return out;
}

}  // namespace nostril::settlement
