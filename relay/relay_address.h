#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nostril::relay {

/// What tells one relay from another: host, port unless it is the scheme's own, and path without a
/// slash at its end. Not whether it is ws:// or wss://: behind a proxy it is both.
struct RelayAddress {
  std::string text;

  /// Of a ws:// or wss:// URL.
  [[nodiscard]] static std::optional<RelayAddress> of(std::string_view url);

  bool operator==(const RelayAddress&) const = default;
};

}  // namespace nostril::relay
