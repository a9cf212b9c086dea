#include "attestation/bignum.h"
#include "attestation/der.h"
#include "attestation/sim_key.h"
#include "schnorr/hash.h"

#include <openssl/evp.h>

#include <algorithm>
#include <initializer_list>

namespace nostril::attestation {

namespace {

constexpr std::size_t kModulusBytes = 256;
constexpr std::size_t kPrimeBytes = kModulusBytes / 2;
constexpr std::uint32_t kExponent = 65537;
constexpr std::size_t kHashBytes = 48;
constexpr std::size_t kSaltBytes = 48;

constexpr std::array<std::uint8_t, 9> kRsaEncryption = {0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                        0x0d, 0x01, 0x01, 0x01};
constexpr std::array<std::uint8_t, 9> kRsassaPss = {0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                    0x0d, 0x01, 0x01, 0x0a};
constexpr std::array<std::uint8_t, 9> kMgf1 = {0x2a, 0x86, 0x48, 0x86, 0xf7,
                                               0x0d, 0x01, 0x01, 0x08};
constexpr std::array<std::uint8_t, 9> kSha384 = {0x60, 0x86, 0x48, 0x01, 0x65,
                                                 0x03, 0x04, 0x02, 0x02};
const Bytes kNull = {0x05, 0x00};

Bytes sha384(std::initializer_list<ByteSpan> parts) {
  Bytes joined;
  for (const ByteSpan part : parts) joined.insert(joined.end(), part.begin(), part.end());
  Bytes out(kHashBytes);
  CHECK(EVP_Digest(joined.data(), joined.size(), out.data(), nullptr, EVP_sha384(), nullptr) == 1);
  return out;
}

/// The first prime from a hash of seed, label and index on.
Number make_prime(std::span<const std::uint8_t, 32> seed, std::string_view label,
                  std::uint8_t index, BN_CTX* context) {
  Bytes start;
  for (std::uint8_t block = 0; start.size() < kPrimeBytes; ++block) {
    const std::array<std::uint8_t, 2> counter = {index, block};
    const Digest part = Sha256()
                            .update("nostril simulator prime")
                            .update(seed)
                            .update(label)
                            .update(counter)
                            .finish();
    start.insert(start.end(), part.bytes.begin(), part.bytes.end());
  }
  start.front() |= 0xc0U;  // the product has its full length
  start.back() |= 0x01U;
  Number prime = to_number(start);
  while (BN_check_prime(prime.get(), context, nullptr) != 1 ||
         BN_mod_word(prime.get(), kExponent) == 1) {
    CHECK(BN_add_word(prime.get(), 2) == 1);
  }
  return prime;
}

/// MGF1 (RFC 8017, B.2.1) with SHA-384.
Bytes mask(ByteSpan seed, std::size_t size) {
  Bytes out;
  for (std::uint8_t counter = 0; out.size() < size; ++counter) {
    const std::array<std::uint8_t, 4> number = {0, 0, 0, counter};
    const Bytes block = sha384({seed, number});
    out.insert(out.end(), block.begin(), block.end());
  }
  out.resize(size);
  return out;
}

/// EMSA-PSS-ENCODE (RFC 8017, 9.1.1) for a modulus of a whole number of bytes.
Bytes encode_pss(ByteSpan message, ByteSpan salt) {
  const std::array<std::uint8_t, 8> zeros{};
  const Bytes hash = sha384({zeros, sha384({message}), salt});
  Bytes block(kModulusBytes - kHashBytes - 1 - kSaltBytes - 1, 0);
  block.push_back(1);
  block.insert(block.end(), salt.begin(), salt.end());
  const Bytes stream = mask(hash, block.size());
  for (std::size_t i = 0; i < block.size(); ++i) block[i] ^= stream[i];
  block.front() &= 0x7fU;
  block.insert(block.end(), hash.begin(), hash.end());
  block.push_back(0xbc);
  return block;
}

}  // namespace

struct SimRsaKey::Numbers {
  Number modulus{BN_new()};
  Number exponent;  ///< the secret one
};

SimRsaKey::SimRsaKey(std::span<const std::uint8_t, 32> seed, std::string_view label) {
  const NumberContext context(BN_CTX_new());
  CHECK(context);
  const Number p = make_prime(seed, label, 0, context.get());
  const Number q = make_prime(seed, label, 1, context.get());
  auto numbers = std::make_unique<Numbers>();
  CHECK(BN_mul(numbers->modulus.get(), p.get(), q.get(), context.get()) == 1);
  CHECK(BN_sub_word(p.get(), 1) == 1 && BN_sub_word(q.get(), 1) == 1);
  const Number order(BN_new());
  const Number public_exponent(BN_new());
  CHECK(BN_mul(order.get(), p.get(), q.get(), context.get()) == 1);
  CHECK(BN_set_word(public_exponent.get(), kExponent) == 1);
  numbers->exponent.reset(
      BN_mod_inverse(nullptr, public_exponent.get(), order.get(), context.get()));
  CHECK(numbers->exponent);
  numbers_ = std::move(numbers);
}

SimRsaKey::~SimRsaKey() = default;

Bytes SimRsaKey::public_key_info() const {
  const Bytes modulus = to_bytes(numbers_->modulus.get(), kModulusBytes);
  Bytes key{0};  // no unused bits
  const Bytes numbers = der::constructed(
      der::kSequence, {der::positive_integer(modulus), der::small_integer(kExponent)});
  key.insert(key.end(), numbers.begin(), numbers.end());
  const Bytes kind = der::constructed(der::kSequence, {der::oid(kRsaEncryption), kNull});
  return der::constructed(der::kSequence, {kind, der::value(der::kBitString, key)});
}

Bytes SimRsaKey::algorithm() const {
  const auto tagged = [](std::uint8_t number, const Bytes& content) {
    return der::constructed(static_cast<std::uint8_t>(0xa0U | number), {content});
  };
  const Bytes hash = der::constructed(der::kSequence, {der::oid(kSha384), kNull});
  const Bytes generator = der::constructed(der::kSequence, {der::oid(kMgf1), hash});
  const Bytes parameters = der::constructed(
      der::kSequence,
      {tagged(0, hash), tagged(1, generator), tagged(2, der::small_integer(kSaltBytes))});
  return der::constructed(der::kSequence, {der::oid(kRsassaPss), parameters});
}

Bytes SimRsaKey::sign_certificate(ByteSpan body) const {
  const NumberContext context(BN_CTX_new());
  const Bytes secret = to_bytes(numbers_->exponent.get(), kModulusBytes);
  const Bytes salt = sha384({as_bytes("nostril simulator salt"), secret, body});
  const Number encoded = to_number(encode_pss(body, salt));
  const Number signature(BN_new());
  CHECK(context && signature &&
        BN_mod_exp(signature.get(), encoded.get(), numbers_->exponent.get(),
                   numbers_->modulus.get(), context.get()) == 1);
  return to_bytes(signature.get(), kModulusBytes);
}

}  // namespace nostril::attestation
