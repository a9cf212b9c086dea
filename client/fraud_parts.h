#pragma once

#include "events/reputation.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

namespace nostril::client {

/// A proof, and the events that it came in.
struct CarriedProof {
  FraudProof proof;
  std::vector<Event> carriers;
};

/// Puts proofs together that come in parts (spec/14-reputation.md, "In parts"). What never becomes
/// whole makes room for what comes later. Another key's parts can't disturb these. Pure; one
/// thread.
class FraudParts {
 public:
  static constexpr std::size_t kProofsMax = 16;  ///< under way; about 600 KiB each, at most

  /// The proof, when this was the part of it that was missing; in any order, and again. An error
  /// for what is no part, and for parts that do not make a proof.
  [[nodiscard]] Result<std::optional<CarriedProof>, InferenceError> add(const Event& event);

  [[nodiscard]] std::size_t under_way() const { return proofs_.size(); }

 private:
  struct Gathered {
    PublicKey author;
    Digest whole;
    std::map<std::uint64_t, Event> parts;  ///< by number
  };

  std::deque<Gathered> proofs_;  ///< oldest first
};

/// Of events that are all there is: one with a whole proof, or all parts of one, in any order.
[[nodiscard]] Result<CarriedProof, InferenceError> whole_proof(std::vector<Event> events);

}  // namespace nostril::client
