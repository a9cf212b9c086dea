#pragma once

#include "base/bytes.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace nostril {

struct VerifyItem {
  Signature signature;
  Digest message;
  PublicKey key;
};

/// One bit an item, in the items' order.
class VerifyResults {
 public:
  explicit VerifyResults(std::size_t count) : words_((count + 63) / 64), count_(count) {}

  [[nodiscard]] bool valid(std::size_t index) const {
    return (words_[index / 64] >> (index % 64) & 1U) != 0;
  }

  void set_valid(std::size_t index) { words_[index / 64] |= std::uint64_t{1} << (index % 64); }

  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  std::vector<std::uint64_t> words_;
  std::size_t count_;
};

/// Checks BIP-340 signatures. libsecp256k1 is the only authority; what is saved is the parsing of
/// keys seen before (a square root, 10 % of a verification), by a direct-mapped cache of
/// `cached_keys_max` entries (rounded down to a power of two; 0: none), 96 bytes each. Whoever
/// picks keys that share a slot loses the saving, never the right answer: a slot counts only when
/// all 32 bytes are equal.
///
/// Threads: an object belongs to one thread, because of its cache; make one a verifier thread.
class Verifier {
 public:
  explicit Verifier(std::size_t cached_keys_max = 4096);
  ~Verifier();
  Verifier(Verifier&&) noexcept;
  Verifier& operator=(Verifier&&) noexcept;
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  /// True when `signature` is `key`'s signature of `message`. False too when `key` is no point of
  /// the curve.
  [[nodiscard]] bool verify(const VerifyItem& item);
  [[nodiscard]] VerifyResults verify(std::span<const VerifyItem> items);
  /// Messages of any size (BIP-340's later vectors); Nostr's are always 32 bytes.
  [[nodiscard]] bool verify_message(const Signature& signature, ByteSpan message,
                                    const PublicKey& key);

  [[nodiscard]] std::uint64_t cache_hits() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nostril
