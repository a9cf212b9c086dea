#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>

/// Building blocks of the simulators' reports.
namespace nostril::attestation {

template <typename T>
void append_le(Bytes& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8U * i)));
  }
}

inline void append(Bytes& out, ByteSpan bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

inline void append_zeros(Bytes& out, std::size_t count) {
  out.resize(out.size() + count);
}

}  // namespace nostril::attestation
