#pragma once

#include "base/bytes.h"
#include "events/filter.h"
#include "schnorr/keys.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace nostril::relay {

/// How many authors the events of a COUNT have, in 256 registers that clients merge over relays
/// (NIP-45). Which bytes of a key are looked at depends on what is counted, so that a key made to
/// weigh much does so in one place only.
class HyperLogLog {
 public:
  static constexpr std::size_t kRegisters = 256;

  /// For what NIP-45 defines it for: one filter whose first tag has one value. Of several values
  /// the first one as the client wrote them would matter, and a filter does not keep that order.
  [[nodiscard]] static std::optional<HyperLogLog> of(const std::vector<Filter>& filters);

  void add(const PublicKey& author);

  [[nodiscard]] ByteSpan registers() const { return registers_; }

 private:
  explicit HyperLogLog(std::size_t offset) : offset_(offset) {}

  std::size_t offset_;  // 8 to 23
  std::array<std::uint8_t, kRegisters> registers_{};
};

}  // namespace nostril::relay
