#pragma once

#include "base/bytes.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace nostril::attestation {

/// Takes bytes from the front of a span; after the first short read every take is empty and
/// ok() is false.
class ByteReader {
 public:
  explicit ByteReader(ByteSpan data) : rest_(data) {}

  ByteSpan take(std::size_t count) {
    if (!ok_ || rest_.size() < count) {
      ok_ = false;
      return {};
    }
    const ByteSpan out = rest_.first(count);
    rest_ = rest_.subspan(count);
    return out;
  }

  template <typename T>
  T take_le() {
    T value = 0;
    unsigned shift = 0;
    for (const std::uint8_t byte : take(sizeof(T))) {
      value = static_cast<T>(value | static_cast<T>(static_cast<T>(byte) << shift));
      shift += 8;
    }
    return value;
  }

  /// The next `count` bytes are there and all zero.
  bool take_zeros(std::size_t count) {
    const ByteSpan bytes = take(count);
    return ok_ && std::all_of(bytes.begin(), bytes.end(), [](auto byte) { return byte == 0; });
  }

  template <std::size_t N>
  void take_into(std::array<std::uint8_t, N>& out) {
    const ByteSpan bytes = take(N);
    std::copy(bytes.begin(), bytes.end(), out.begin());
  }

  [[nodiscard]] bool ok() const { return ok_; }

  [[nodiscard]] ByteSpan rest() const { return rest_; }

 private:
  ByteSpan rest_;
  bool ok_ = true;
};

}  // namespace nostril::attestation
