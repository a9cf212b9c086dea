#pragma once

#include "base/bytes.h"
#include "schnorr/types.h"

#include <array>
#include <memory>
#include <span>
#include <string_view>

namespace nostril {

/// SHA-256 (FIPS 180-4) over OpenSSL. The algorithm is fetched once a process and the context is
/// reused: twice as fast as the one-shot call for event-sized input.
/// Threads: one object, one thread.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  Sha256& update(ByteSpan data);

  Sha256& update(std::string_view text) { return update(as_bytes(text)); }

  /// The digest of all updates; the object is then as new.
  [[nodiscard]] Digest finish();
  /// The digest so far; more updates may follow (checkpoints of a stream).
  [[nodiscard]] Digest peek() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] Digest sha256(ByteSpan data);

[[nodiscard]] inline Digest sha256(std::string_view text) {
  return sha256(as_bytes(text));
}

/// BIP-340: SHA256(SHA256(tag) || SHA256(tag) || data).
[[nodiscard]] Digest tagged_hash(std::string_view tag, ByteSpan data);

/// RFC 2104 with SHA-256.
[[nodiscard]] Digest hmac_sha256(ByteSpan key, ByteSpan data);

/// RFC 5869. extract() gives the pseudo-random key; expand() fills `out`, 255 * 32 bytes at most.
[[nodiscard]] Digest hkdf_extract(ByteSpan salt, ByteSpan ikm);
void hkdf_expand(ByteSpan prk, ByteSpan info, std::span<std::uint8_t> out);

/// The same time for equal and unequal content; false at once for unequal sizes.
[[nodiscard]] bool equal_constant_time(ByteSpan a, ByteSpan b);

}  // namespace nostril
