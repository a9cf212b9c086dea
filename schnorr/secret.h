#pragma once

#include "base/bytes.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace nostril {

/// Overwrites memory in a way that the compiler keeps.
void wipe(std::span<std::uint8_t> memory);

/// N secret bytes: wiped when they go, never copied by accident, not printable. They are kept out
/// of core files by protect_process_memory(); not out of swap: locking pages one object at a time
/// would cost a system call a key, so hosts with secrets run without swap or with encrypted swap.
template <std::size_t N>
class SecretBytes {
 public:
  SecretBytes() = default;

  explicit SecretBytes(std::span<const std::uint8_t, N> bytes) {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
  }

  ~SecretBytes() { wipe(bytes_); }

  SecretBytes(SecretBytes&& other) noexcept : bytes_(other.bytes_) { wipe(other.bytes_); }

  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      wipe(other.bytes_);
    }
    return *this;
  }

  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  /// A second owner, asked for by name.
  [[nodiscard]] SecretBytes duplicate() const {
    return SecretBytes(std::span<const std::uint8_t, N>(bytes_));
  }

  [[nodiscard]] std::span<const std::uint8_t, N> expose() const { return bytes_; }

  [[nodiscard]] std::span<std::uint8_t, N> expose_mutable() { return bytes_; }

 private:
  std::array<std::uint8_t, N> bytes_{};
};

/// No core files (also by RLIMIT_CORE), not traceable by others (prctl PR_SET_DUMPABLE 0); call
/// first in main() of a program that holds long-lived keys. Stops the program when the system
/// refuses.
void protect_process_memory();

}  // namespace nostril
