#include "schnorr/ed25519.h"

#include "base/check.h"
#include "schnorr/evp_key.h"

#include <openssl/bn.h>
#include <openssl/sha.h>

#include <algorithm>

namespace nostril {

namespace {

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeDigest>;

struct FreeBignum {
  void operator()(BIGNUM* number) const { BN_free(number); }

  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
};

using Bignum = std::unique_ptr<BIGNUM, FreeBignum>;

/// Numbers modulo p = 2^255 - 19.
class Field {
 public:
  Field()
      : context_(BN_CTX_new()),
        p_(number(
            "57896044618658097711785492504343953926634992332820282019728792003956564819949")) {}

  static Bignum number(const char* decimal) {
    BIGNUM* out = nullptr;
    CHECK(BN_dec2bn(&out, decimal) > 0);
    return Bignum(out);
  }

  [[nodiscard]] const BIGNUM* p() const { return p_.get(); }

  Bignum add(const Bignum& a, const Bignum& b) { return made(BN_mod_add, a, b); }

  Bignum subtract(const Bignum& a, const Bignum& b) { return made(BN_mod_sub, a, b); }

  Bignum multiply(const Bignum& a, const Bignum& b) { return made(BN_mod_mul, a, b); }

  /// `a` is not zero.
  Bignum invert(const Bignum& a) {
    Bignum out(BN_mod_inverse(nullptr, a.get(), p_.get(), context_.get()));
    CHECK(out != nullptr);
    return out;
  }

  /// Zero counts as a square.
  bool is_square(const Bignum& a) { return BN_kronecker(a.get(), p_.get(), context_.get()) >= 0; }

 private:
  template <typename Operation>
  Bignum made(Operation operation, const Bignum& a, const Bignum& b) {
    Bignum out(BN_new());
    CHECK(out != nullptr && operation(out.get(), a.get(), b.get(), p_.get(), context_.get()) == 1);
    return out;
  }

  std::unique_ptr<BN_CTX, FreeBignum> context_;
  Bignum p_;
};

// -121665 / 121666 modulo p
constexpr const char* kD =
    "37095705934669439343138083508754565189542113879843219016388785533085940283555";

}  // namespace

Ed25519Key Ed25519Key::generate(Rng& rng) {
  SecretBytes<32> seed;
  rng.fill(seed.expose_mutable());
  return from_seed(std::move(seed));
}

Ed25519Key Ed25519Key::from_seed(SecretBytes<32> seed) {
  const EvpKey key = raw_private_key(EVP_PKEY_ED25519, seed.expose());
  Ed25519PublicKey public_key;
  read_raw_public_key(key, public_key.bytes);
  return {std::move(seed), public_key};
}

Ed25519Signature Ed25519Key::sign(ByteSpan message) const {
  const EvpKey key = raw_private_key(EVP_PKEY_ED25519, seed_.expose());
  const DigestContext context(EVP_MD_CTX_new());
  CHECK(context != nullptr);
  CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  Ed25519Signature out;
  std::size_t size = out.bytes.size();
  CHECK(EVP_DigestSign(context.get(), out.bytes.data(), &size, message.data(), message.size()) ==
        1);
  CHECK(size == out.bytes.size());
  return out;
}

X25519Key Ed25519Key::to_x25519() const {
  SecretBytes<SHA512_DIGEST_LENGTH> hash;
  CHECK(SHA512(seed_.expose().data(), seed_.expose().size(), hash.expose_mutable().data()) !=
        nullptr);
  return X25519Key::from_secret(SecretBytes<32>(hash.expose().first<32>()));
}

bool ed25519_verify(const Ed25519PublicKey& key, ByteSpan message,
                    const Ed25519Signature& signature) {
  const EvpKey point = raw_public_key(EVP_PKEY_ED25519, key.bytes);
  const DigestContext context(EVP_MD_CTX_new());
  CHECK(context != nullptr);
  if (point == nullptr) return false;
  CHECK(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, point.get()) == 1);
  return EVP_DigestVerify(context.get(), signature.bytes.data(), signature.bytes.size(),
                          message.data(), message.size()) == 1;
}

std::optional<X25519PublicKey> to_x25519(const Ed25519PublicKey& key) {
  auto bytes = key.bytes;
  bytes.back() &= 0x7f;  // the sign of x: u does not depend on it
  const Bignum y(BN_lebin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  CHECK(y != nullptr);
  Field field;
  if (BN_cmp(y.get(), field.p()) >= 0) return std::nullopt;
  const Bignum one = Field::number("1");
  const Bignum y2 = field.multiply(y, y);
  // x^2 = (y^2 - 1) / (d y^2 + 1); a quotient is a square when the product is.
  const Bignum above = field.subtract(y2, one);
  const Bignum below = field.add(field.multiply(Field::number(kD), y2), one);
  if (!field.is_square(field.multiply(above, below))) return std::nullopt;
  const Bignum difference = field.subtract(one, y);
  if (BN_is_zero(difference.get()) == 1) return std::nullopt;
  const Bignum u = field.multiply(field.add(one, y), field.invert(difference));
  X25519PublicKey out;
  CHECK(BN_bn2lebinpad(u.get(), out.bytes.data(), static_cast<int>(out.bytes.size())) ==
        static_cast<int>(out.bytes.size()));
  return out;
}

}  // namespace nostril
