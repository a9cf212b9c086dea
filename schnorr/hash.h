#pragma once

#include "base/bytes.h"
#include "schnorr/types.h"

#include <openssl/sha.h>

#include <initializer_list>
#include <span>
#include <string_view>

namespace nostril {

/// SHA-256 (FIPS 180-4) on OpenSSL's block function (SHA-NI where the processor has it). The state
/// lives inside the object: no allocation, and a copy continues from where the original stood.
/// Not wiped: hash secrets with HmacKey.
/// Threads: one object, one thread.
class Sha256 {
 public:
  Sha256();

  Sha256& update(ByteSpan data);

  Sha256& update(std::string_view text) { return update(as_bytes(text)); }

  /// The digest of all updates; the object is then as new.
  [[nodiscard]] Digest finish();
  /// The digest so far; more updates may follow (checkpoints of a stream).
  [[nodiscard]] Digest peek() const;

 private:
  SHA256_CTX state_;
};

[[nodiscard]] Digest sha256(ByteSpan data);

[[nodiscard]] inline Digest sha256(std::string_view text) {
  return sha256(as_bytes(text));
}

/// BIP-340: SHA256(SHA256(tag) || SHA256(tag) || data).
[[nodiscard]] Digest tagged_hash(std::string_view tag, ByteSpan data);

/// HMAC-SHA256 under one key, with the key's two blocks hashed in advance: half the work for short
/// messages. Holds what the key is worth, so it is wiped and copied only by name.
/// Threads: const and callable from any.
class HmacKey {
 public:
  explicit HmacKey(ByteSpan key);
  ~HmacKey();
  HmacKey(HmacKey&& other) noexcept;
  HmacKey& operator=(HmacKey&& other) noexcept;
  HmacKey(const HmacKey&) = delete;
  HmacKey& operator=(const HmacKey&) = delete;

  [[nodiscard]] HmacKey duplicate() const;

  /// RFC 2104 over the parts in their order, without a join.
  [[nodiscard]] Digest mac(std::initializer_list<ByteSpan> parts) const;

 private:
  HmacKey(const Sha256& inner, const Sha256& outer) : inner_(inner), outer_(outer) {}

  Sha256 inner_;
  Sha256 outer_;
};

/// RFC 2104 with SHA-256.
[[nodiscard]] Digest hmac_sha256(ByteSpan key, ByteSpan data);

/// RFC 5869. extract() gives the pseudo-random key; expand() fills `out`, 255 * 32 bytes at most
/// (CHECK).
[[nodiscard]] Digest hkdf_extract(ByteSpan salt, ByteSpan ikm);
void hkdf_expand(ByteSpan prk, ByteSpan info, std::span<std::uint8_t> out);
/// The same under a prepared key.
void hkdf_expand(const HmacKey& prk, ByteSpan info, std::span<std::uint8_t> out);

/// The same time for equal and unequal content; false at once for unequal sizes.
[[nodiscard]] bool equal_constant_time(ByteSpan a, ByteSpan b);

}  // namespace nostril
