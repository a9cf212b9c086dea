#include "relay/cluster/rules.h"

#include "base/hex.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace nostril::relay {

namespace {

constexpr std::array<std::string_view, 9> kKeys = {"url",
                                                   "policy.",
                                                   "auth.",
                                                   "admin.",
                                                   "membership.",
                                                   "limits.event_",
                                                   "limits.created_at_",
                                                   "limits.content_chars_max",
                                                   "content."};

bool is_rule(std::string_view key) {
  return std::ranges::any_of(kKeys, [&](std::string_view one) {
    return one.ends_with('.') || one.ends_with('_') ? key.starts_with(one) : key == one;
  });
}

}  // namespace

std::string digest_of_rules(const RelayConfig& config) {
  RelayConfig copy = config;
  Config fields;
  copy.declare(fields);
  Sha256 hash;
  for (const auto& field : fields.shown()) {
    if (!is_rule(field.key)) continue;
    hash.update(field.key).update("=").update(field.value).update("\n");
  }
  return encode_hex(hash.finish()).substr(0, 16);
}

}  // namespace nostril::relay
