#include "attestation/sim_key.h"

#include "base/check.h"
#include "schnorr/hash.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

struct NumberDeleter {
  void operator()(BIGNUM* number) const { BN_free(number); }
};

struct NumberContextDeleter {
  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
};

struct GroupDeleter {
  void operator()(EC_GROUP* group) const { EC_GROUP_free(group); }
};

struct PointDeleter {
  void operator()(EC_POINT* point) const { EC_POINT_free(point); }
};

using Number = std::unique_ptr<BIGNUM, NumberDeleter>;

/// P-256 with the scratch space its operations need.
struct Curve {
  std::unique_ptr<EC_GROUP, GroupDeleter> group{EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)};
  std::unique_ptr<BN_CTX, NumberContextDeleter> context{BN_CTX_new()};

  Curve() { CHECK(group && context); }

  [[nodiscard]] const BIGNUM* order() const { return EC_GROUP_get0_order(group.get()); }

  /// scalar * G as x||y.
  [[nodiscard]] std::array<std::uint8_t, 64> multiply_base(const BIGNUM* scalar) const {
    const std::unique_ptr<EC_POINT, PointDeleter> point(EC_POINT_new(group.get()));
    CHECK(point &&
          EC_POINT_mul(group.get(), point.get(), scalar, nullptr, nullptr, context.get()) == 1);
    std::array<std::uint8_t, 65> encoded{};
    CHECK(EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED,
                             encoded.data(), encoded.size(), context.get()) == encoded.size());
    std::array<std::uint8_t, 64> out{};
    std::copy(encoded.begin() + 1, encoded.end(), out.begin());
    return out;
  }
};

Number to_number(ByteSpan big_endian) {
  Number out(BN_bin2bn(big_endian.data(), static_cast<int>(big_endian.size()), nullptr));
  CHECK(out);
  return out;
}

/// A digest as a scalar of the curve. Zero has a chance of 2^-256 and is caught.
Number to_scalar(ByteSpan digest, const Curve& curve) {
  Number out = to_number(digest);
  CHECK(BN_nnmod(out.get(), out.get(), curve.order(), curve.context.get()) == 1);
  CHECK(BN_is_zero(out.get()) == 0);
  return out;
}

Digest derive(std::string_view purpose, ByteSpan first, ByteSpan second) {
  return Sha256().update(purpose).update(first).update(second).finish();
}

}  // namespace

SimKey::SimKey(std::span<const std::uint8_t, 32> seed, std::string_view label) {
  const Curve curve;
  const Number scalar =
      to_scalar(derive("nostril simulator key", seed, as_bytes(label)).bytes, curve);
  CHECK(BN_bn2binpad(scalar.get(), secret_.data(), 32) == 32);
  public_ = curve.multiply_base(scalar.get());
}

std::array<std::uint8_t, 64> SimKey::sign(ByteSpan message) const {
  const Curve curve;
  BN_CTX* context = curve.context.get();
  const Digest digest = sha256(message);
  const Number secret = to_number(secret_);
  const Number nonce =
      to_scalar(derive("nostril simulator nonce", secret_, digest.bytes).bytes, curve);
  const std::array<std::uint8_t, 64> point = curve.multiply_base(nonce.get());
  const Number r = to_scalar(ByteSpan(point).first(32), curve);

  // s = (digest + r * secret) / nonce
  const Number s = to_number(digest.bytes);
  const Number product(BN_new());
  const Number inverse(BN_mod_inverse(nullptr, nonce.get(), curve.order(), context));
  CHECK(product && inverse);
  CHECK(BN_mod_mul(product.get(), r.get(), secret.get(), curve.order(), context) == 1);
  CHECK(BN_mod_add(s.get(), s.get(), product.get(), curve.order(), context) == 1);
  CHECK(BN_mod_mul(s.get(), s.get(), inverse.get(), curve.order(), context) == 1);

  std::array<std::uint8_t, 64> out{};
  CHECK(BN_bn2binpad(r.get(), out.data(), 32) == 32);
  CHECK(BN_bn2binpad(s.get(), out.data() + 32, 32) == 32);
  return out;
}

}  // namespace nostril::attestation
