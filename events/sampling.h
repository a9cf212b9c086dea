#pragma once

#include "base/json.h"
#include "events/inference.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// How an answer's tokens were drawn, as a record states it: spec/06-record.md. The node writes it
/// of the request's body and the seed; the client writes it again and compares. Pure functions.
namespace nostril {

/// An engine's seed. -1 and 2^32 - 1 mean "any" to some engines, so neither is one.
inline constexpr std::int64_t kSeedMax = 0xFFFFFFFE;

/// The offer promises a record of seed and sampling for every answer.
[[nodiscard]] bool records_sampling(const Offer& offer);

/// What the body says of a seed.
struct AskedSeed {
  bool valid = true;                 ///< false: it names one that no record can state
  std::optional<std::int64_t> seed;  ///< none: the node draws it
};

/// None when the member misses, is null, or is negative ("any").
[[nodiscard]] AskedSeed asked_seed(const Json& body);

/// A JSON object: "seed", then those of temperature, top_p, top_k, min_p, typical_p,
/// frequency_penalty, presence_penalty, repetition_penalty and repeat_penalty that the body names,
/// in this order and as it writes them. Nothing when one of these is no number of 32 bytes at most.
[[nodiscard]] std::optional<std::string> sampling_text(const Json& body, std::int64_t seed);

/// `sampling` is what an honest node states of an answer to this request body.
[[nodiscard]] bool sampling_suits(std::string_view sampling, std::string_view request_body);

}  // namespace nostril
