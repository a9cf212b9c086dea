#pragma once

#include <cstdint>
#include <span>

namespace nostril {

/// Randomness as a dependency. Keys and nonces come from SystemRng; tests may pass a fixed one.
class Rng {
 public:
  virtual ~Rng() = default;
  virtual void fill(std::span<std::uint8_t> out) = 0;

 protected:
  Rng() = default;
  Rng(const Rng&) = default;
  Rng& operator=(const Rng&) = default;
};

/// getrandom(2). Never returns with less than was asked for: a system without randomness stops the
/// program. Threads: callable from any.
class SystemRng final : public Rng {
 public:
  void fill(std::span<std::uint8_t> out) override;
};

}  // namespace nostril
