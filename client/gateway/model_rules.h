#pragma once

#include "client/asker.h"
#include "events/inference.h"
#include "schnorr/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

/// What the user wants of the nodes for one model, beyond the evidence (policy_file.h).
struct NodeRule {
  std::string model;  ///< as offers name it; "*": every one without a rule of its own
  /// Base units for a million tokens; nothing: any price.
  std::optional<std::uint64_t> input_price_max;
  std::optional<std::uint64_t> output_price_max;
  std::vector<PublicKey> only;   ///< empty: any node
  std::vector<PublicKey> never;  ///< whatever `only` says
  std::int64_t hedge_ms = 0;     ///< AskChoice::hedge_ms
};

/// Rules by model. Pure.
class NodeRules {
 public:
  static constexpr std::size_t kRulesMax = 1024;

  NodeRules() = default;

  explicit NodeRules(std::vector<NodeRule> rules) : rules_(std::move(rules)) {}

  /// A TOML file. Throws std::runtime_error with a line for the user: unknown keys, wrong values,
  /// one model twice.
  ///
  ///   [[model]]
  ///   name = "qwen3-32b"            # "*": all that have no rule of their own
  ///   input_price_max = 200000      # base units for a million tokens
  ///   output_price_max = 800000
  ///   only = ["npub1…"]             # these nodes; none named: any
  ///   never = ["npub1…"]
  ///   hedge_ms = 3000               # a second node is asked when the first says nothing
  [[nodiscard]] static NodeRules read(const std::string& file);

  [[nodiscard]] const NodeRule* rule_for(std::string_view model) const;
  [[nodiscard]] bool allows(const Offer& offer) const;

 private:
  std::vector<NodeRule> rules_;
};

}  // namespace nostril::client
