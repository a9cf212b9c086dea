#include "attestation/sim_key.h"

#include "attestation/bignum.h"
#include "attestation/der.h"
#include "base/check.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>

#include <algorithm>
#include <initializer_list>

namespace nostril::attestation {

namespace {

struct GroupDeleter {
  void operator()(EC_GROUP* group) const { EC_GROUP_free(group); }
};

struct PointDeleter {
  void operator()(EC_POINT* point) const { EC_POINT_free(point); }
};

constexpr std::array<std::uint8_t, 7> kEcPublicKey = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
constexpr std::array<std::uint8_t, 8> kPrime256v1 = {0x2a, 0x86, 0x48, 0xce,
                                                     0x3d, 0x03, 0x01, 0x07};
constexpr std::array<std::uint8_t, 5> kSecp384r1 = {0x2b, 0x81, 0x04, 0x00, 0x22};
constexpr std::array<std::uint8_t, 8> kEcdsaWithSha256 = {0x2a, 0x86, 0x48, 0xce,
                                                          0x3d, 0x04, 0x03, 0x02};
constexpr std::array<std::uint8_t, 8> kEcdsaWithSha384 = {0x2a, 0x86, 0x48, 0xce,
                                                          0x3d, 0x04, 0x03, 0x03};

/// What differs between the curves.
template <SimCurve kCurve>
struct Traits {
  static constexpr bool kIs256 = kCurve == SimCurve::P256;
  static constexpr int kNid = kIs256 ? NID_X9_62_prime256v1 : NID_secp384r1;
  static constexpr std::size_t kBytes = SimEcKey<kCurve>::kBytes;

  static ByteSpan curve() { return kIs256 ? ByteSpan(kPrime256v1) : ByteSpan(kSecp384r1); }

  static ByteSpan algorithm() {
    return kIs256 ? ByteSpan(kEcdsaWithSha256) : ByteSpan(kEcdsaWithSha384);
  }

  static const EVP_MD* hash() { return kIs256 ? EVP_sha256() : EVP_sha384(); }
};

template <SimCurve kCurve>
using Hash = std::array<std::uint8_t, Traits<kCurve>::kBytes>;

/// The curve's hash of the parts.
template <SimCurve kCurve>
Hash<kCurve> hash(std::initializer_list<ByteSpan> parts) {
  Bytes joined;
  for (const ByteSpan part : parts) joined.insert(joined.end(), part.begin(), part.end());
  Hash<kCurve> out{};
  CHECK(EVP_Digest(joined.data(), joined.size(), out.data(), nullptr, Traits<kCurve>::hash(),
                   nullptr) == 1);
  return out;
}

/// A curve with the scratch space its operations need.
template <SimCurve kCurve>
struct Curve {
  static constexpr std::size_t kBytes = Traits<kCurve>::kBytes;
  std::unique_ptr<EC_GROUP, GroupDeleter> group{EC_GROUP_new_by_curve_name(Traits<kCurve>::kNid)};
  NumberContext context{BN_CTX_new()};

  Curve() { CHECK(group && context); }

  [[nodiscard]] const BIGNUM* order() const { return EC_GROUP_get0_order(group.get()); }

  /// A hash as a scalar of the curve. Zero has a chance of 2^-256 and is caught.
  [[nodiscard]] Number to_scalar(ByteSpan digest) const {
    Number out = to_number(digest);
    CHECK(BN_nnmod(out.get(), out.get(), order(), context.get()) == 1);
    CHECK(BN_is_zero(out.get()) == 0);
    return out;
  }

  /// scalar * G as x||y.
  [[nodiscard]] std::array<std::uint8_t, 2 * kBytes> multiply_base(const BIGNUM* scalar) const {
    const std::unique_ptr<EC_POINT, PointDeleter> point(EC_POINT_new(group.get()));
    CHECK(point &&
          EC_POINT_mul(group.get(), point.get(), scalar, nullptr, nullptr, context.get()) == 1);
    std::array<std::uint8_t, 1 + 2 * kBytes> encoded{};
    CHECK(EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED,
                             encoded.data(), encoded.size(), context.get()) == encoded.size());
    std::array<std::uint8_t, 2 * kBytes> out{};
    std::copy(encoded.begin() + 1, encoded.end(), out.begin());
    return out;
  }
};

}  // namespace

template <SimCurve kCurve>
SimEcKey<kCurve>::SimEcKey(std::span<const std::uint8_t, 32> seed, std::string_view label) {
  const Curve<kCurve> curve;
  const Number scalar =
      curve.to_scalar(hash<kCurve>({as_bytes("nostril simulator key"), seed, as_bytes(label)}));
  CHECK(BN_bn2binpad(scalar.get(), secret_.data(), kBytes) == kBytes);
  public_ = curve.multiply_base(scalar.get());
}

template <SimCurve kCurve>
std::array<std::uint8_t, 2 * SimEcKey<kCurve>::kBytes> SimEcKey<kCurve>::sign(
    ByteSpan message) const {
  const Curve<kCurve> curve;
  BN_CTX* context = curve.context.get();
  const Hash<kCurve> digest = hash<kCurve>({message});
  const Number secret = to_number(secret_);
  const Number nonce =
      curve.to_scalar(hash<kCurve>({as_bytes("nostril simulator nonce"), secret_, digest}));
  const auto point = curve.multiply_base(nonce.get());
  const Number r = curve.to_scalar(ByteSpan(point).first(kBytes));

  // s = (digest + r * secret) / nonce
  const Number s = to_number(digest);
  const Number product(BN_new());
  const Number inverse(BN_mod_inverse(nullptr, nonce.get(), curve.order(), context));
  CHECK(product && inverse);
  CHECK(BN_mod_mul(product.get(), r.get(), secret.get(), curve.order(), context) == 1);
  CHECK(BN_mod_add(s.get(), s.get(), product.get(), curve.order(), context) == 1);
  CHECK(BN_mod_mul(s.get(), s.get(), inverse.get(), curve.order(), context) == 1);

  std::array<std::uint8_t, 2 * kBytes> out{};
  CHECK(BN_bn2binpad(r.get(), out.data(), kBytes) == kBytes);
  CHECK(BN_bn2binpad(s.get(), out.data() + kBytes, kBytes) == kBytes);
  return out;
}

template <SimCurve kCurve>
Bytes SimEcKey<kCurve>::public_key_info() const {
  Bytes point{0, 4};  // no unused bits; uncompressed form
  point.insert(point.end(), public_.begin(), public_.end());
  const Bytes kind =
      der::constructed(der::kSequence, {der::oid(kEcPublicKey), der::oid(Traits<kCurve>::curve())});
  return der::constructed(der::kSequence, {kind, der::value(der::kBitString, point)});
}

template <SimCurve kCurve>
Bytes SimEcKey<kCurve>::algorithm() const {
  return der::constructed(der::kSequence, {der::oid(Traits<kCurve>::algorithm())});
}

template <SimCurve kCurve>
Bytes SimEcKey<kCurve>::sign_certificate(ByteSpan body) const {
  const auto raw = sign(body);
  return der::constructed(der::kSequence, {der::positive_integer(ByteSpan(raw).first(kBytes)),
                                           der::positive_integer(ByteSpan(raw).last(kBytes))});
}

template class SimEcKey<SimCurve::P256>;
template class SimEcKey<SimCurve::P384>;

}  // namespace nostril::attestation
