// The block functions that OpenSSL 3 calls deprecated are used on purpose: an EVP_MD_CTX can't be
// copied without allocations, and copies of a half-fed state are what makes HMAC cheap.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "schnorr/hash.h"

#include "base/check.h"
#include "schnorr/secret.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <type_traits>

namespace nostril {

namespace {

constexpr std::size_t kBlockBytes = 64;

template <typename T>
void wipe_object(T& object) {
  static_assert(std::is_trivially_copyable_v<T>);
  wipe({reinterpret_cast<std::uint8_t*>(&object), sizeof(object)});
}

}  // namespace

Sha256::Sha256() {  // NOLINT(cppcoreguidelines-pro-type-member-init): SHA256_Init sets all of it
  SHA256_Init(&state_);
}

Sha256& Sha256::update(ByteSpan data) {
  SHA256_Update(&state_, data.data(), data.size());
  return *this;
}

Digest Sha256::finish() {
  Digest out;
  SHA256_Final(out.bytes.data(), &state_);
  SHA256_Init(&state_);
  return out;
}

Digest Sha256::peek() const {
  return Sha256(*this).finish();
}

Digest sha256(ByteSpan data) {
  return Sha256().update(data).finish();
}

Digest tagged_hash(std::string_view tag, ByteSpan data) {
  const Digest tag_hash = sha256(tag);
  return Sha256().update(tag_hash.span()).update(tag_hash.span()).update(data).finish();
}

HmacKey::HmacKey(ByteSpan key) {
  std::array<std::uint8_t, kBlockBytes> block{};
  if (key.size() > kBlockBytes) {
    Digest shorter = sha256(key);
    std::ranges::copy(shorter.bytes, block.begin());
    wipe(shorter.bytes);
  } else {
    std::ranges::copy(key, block.begin());
  }
  for (auto& byte : block) byte ^= 0x36;
  inner_.update(ByteSpan(block));
  for (auto& byte : block) byte ^= 0x36 ^ 0x5c;
  outer_.update(ByteSpan(block));
  wipe(block);
}

HmacKey::~HmacKey() {
  wipe_object(inner_);
  wipe_object(outer_);
}

HmacKey::HmacKey(HmacKey&& other) noexcept : inner_(other.inner_), outer_(other.outer_) {
  wipe_object(other.inner_);
  wipe_object(other.outer_);
}

HmacKey& HmacKey::operator=(HmacKey&& other) noexcept {
  if (this != &other) {
    inner_ = other.inner_;
    outer_ = other.outer_;
    wipe_object(other.inner_);
    wipe_object(other.outer_);
  }
  return *this;
}

HmacKey HmacKey::duplicate() const {
  return {inner_, outer_};
}

Digest HmacKey::mac(std::initializer_list<ByteSpan> parts) const {
  Sha256 inner = inner_;
  for (const ByteSpan part : parts) inner.update(part);
  Sha256 outer = outer_;
  return outer.update(inner.finish().span()).finish();
}

Digest hmac_sha256(ByteSpan key, ByteSpan data) {
  return HmacKey(key).mac({data});
}

Digest hkdf_extract(ByteSpan salt, ByteSpan ikm) {
  return hmac_sha256(salt, ikm);
}

void hkdf_expand(ByteSpan prk, ByteSpan info, std::span<std::uint8_t> out) {
  hkdf_expand(HmacKey(prk), info, out);
}

void hkdf_expand(const HmacKey& prk, ByteSpan info, std::span<std::uint8_t> out) {
  CHECK(out.size() <= 255 * Digest::kSize);
  Digest block;
  ByteSpan previous;
  for (std::uint8_t counter = 1; !out.empty(); ++counter) {
    block = prk.mac({previous, info, ByteSpan(&counter, 1)});
    previous = block.span();
    const std::size_t count = std::min(out.size(), block.bytes.size());
    std::copy_n(block.bytes.begin(), count, out.begin());
    out = out.subspan(count);
  }
  wipe(block.bytes);
}

bool equal_constant_time(ByteSpan a, ByteSpan b) {
  if (a.size() != b.size()) return false;
  return a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace nostril
