#pragma once

#include "events/inference.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace nostril::settlement {

/// Most that may be stated for one answer. Prices alone do not bound a bill: usage is the node's
/// word, and this is as far as the payer can judge it. Pure; spec/07-receipt.md.
struct UsageLimit {
  Usage usage;                     ///< cached: the same as input
  std::uint64_t milliseconds = 0;  ///< since the request was sent, by the payer's clock

  [[nodiscard]] bool covers(const Usage& stated, std::uint64_t stated_milliseconds) const {
    return stated.input <= usage.input && stated.output <= usage.output &&
           stated_milliseconds <= milliseconds;
  }
};

/// Answers asked for at once (`n`, `best_of`); a node refuses more.
inline constexpr std::uint64_t kChoicesMax = 128;
/// What an engine's own template may add to a prompt, when the offer names no context.
inline constexpr std::uint64_t kTemplateTokensMax = 8'192;

/// The tokens of a request with this JSON body under `offer` (spec/07-receipt.md):
///   input:  the offer's context, or the bytes of the body if these are more (a batch: no token is
///           shorter than a byte); without a context the body's bytes and kTemplateTokensMax
///   output: the least of the offer's output and the body's own limit (output_limit_keys()),
///           for each choice
[[nodiscard]] Usage usage_max(const Offer& offer, std::string_view body);

/// Members by which a body limits its answer's tokens.
[[nodiscard]] std::span<const std::string_view> output_limit_keys();
/// Members by which a body asks for several answers at once.
[[nodiscard]] std::span<const std::string_view> choice_keys();

}  // namespace nostril::settlement
