#include "schnorr/verify.h"

#include "base/check.h"

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include <bit>
#include <cstring>

namespace nostril {

namespace {

struct CachedKey {
  PublicKey key;
  secp256k1_xonly_pubkey parsed;
};

static_assert(sizeof(CachedKey) == 96);

/// Any key that parses: the group's generator.
constexpr PublicKey kGenerator{{0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62,
                                0x95, 0xce, 0x87, 0x0b, 0x07, 0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce,
                                0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98}};

bool parse_key(const PublicKey& key, secp256k1_xonly_pubkey& out) {
  return secp256k1_xonly_pubkey_parse(secp256k1_context_static, &out, key.bytes.data()) == 1;
}

}  // namespace

struct Verifier::State {
  // A power of two of slots, or none. Every slot holds a true pair from the start, so there is no
  // empty slot that a key of zeros could match.
  std::vector<CachedKey> slots;
  std::uint64_t hits = 0;
  secp256k1_xonly_pubkey uncached{};

  /// The parsed key, valid till the next call; nullptr when `key` is no point of the curve.
  const secp256k1_xonly_pubkey* parsed(const PublicKey& key) {
    if (slots.empty()) return parse_key(key, uncached) ? &uncached : nullptr;
    std::uint64_t word = 0;
    std::memcpy(&word, key.bytes.data() + 8, sizeof(word));
    CachedKey& slot = slots[word & (slots.size() - 1)];
    if (slot.key == key) {
      ++hits;
      return &slot.parsed;
    }
    // Parsed outside the slot: a key that fails leaves the pair that was there.
    if (!parse_key(key, uncached)) return nullptr;
    slot = {key, uncached};
    return &slot.parsed;
  }
};

Verifier::Verifier(std::size_t cached_keys_max) : state_(std::make_unique<State>()) {
  if (cached_keys_max == 0) return;
  CachedKey any{kGenerator, {}};
  CHECK(parse_key(any.key, any.parsed));
  state_->slots.assign(std::bit_floor(cached_keys_max), any);
}

Verifier::~Verifier() = default;
Verifier::Verifier(Verifier&&) noexcept = default;
Verifier& Verifier::operator=(Verifier&&) noexcept = default;

bool Verifier::verify(const VerifyItem& item) {
  return verify_message(item.signature, item.message.span(), item.key);
}

VerifyResults Verifier::verify(std::span<const VerifyItem> items) {
  VerifyResults out(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (verify(items[i])) out.set_valid(i);
  }
  return out;
}

bool Verifier::verify_message(const Signature& signature, ByteSpan message, const PublicKey& key) {
  const secp256k1_xonly_pubkey* parsed = state_->parsed(key);
  return parsed != nullptr &&
         secp256k1_schnorrsig_verify(secp256k1_context_static, signature.bytes.data(),
                                     message.data(), message.size(), parsed) == 1;
}

std::uint64_t Verifier::cache_hits() const {
  return state_->hits;
}

}  // namespace nostril
