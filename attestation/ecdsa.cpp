#include "attestation/ecdsa.h"

#include "base/check.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>

namespace nostril::attestation {

namespace {

struct PkeyContextDeleter {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};

struct MdContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

struct SignatureDeleter {
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
};

using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, PkeyContextDeleter>;

/// r||s as the DER that OpenSSL wants; empty on failure.
Bytes signature_to_der(ByteSpan raw) {
  const std::size_t half = raw.size() / 2;
  const std::unique_ptr<ECDSA_SIG, SignatureDeleter> signature(ECDSA_SIG_new());
  if (!signature) return {};
  BIGNUM* r = BN_bin2bn(raw.data(), static_cast<int>(half), nullptr);
  BIGNUM* s = BN_bin2bn(raw.data() + half, static_cast<int>(half), nullptr);
  if (r == nullptr || s == nullptr || ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  const int size = i2d_ECDSA_SIG(signature.get(), nullptr);
  if (size <= 0) return {};
  Bytes der(static_cast<std::size_t>(size));
  unsigned char* out = der.data();
  i2d_ECDSA_SIG(signature.get(), &out);
  return der;
}

bool verify(EVP_PKEY* key, const EVP_MD* hash, ByteSpan message, ByteSpan signature) {
  const Bytes der = signature_to_der(signature);
  const std::unique_ptr<EVP_MD_CTX, MdContextDeleter> context(EVP_MD_CTX_new());
  const bool ok =
      key != nullptr && !der.empty() && context &&
      EVP_DigestVerifyInit(context.get(), nullptr, hash, nullptr, key) == 1 &&
      EVP_DigestVerify(context.get(), der.data(), der.size(), message.data(), message.size()) == 1;
  ERR_clear_error();
  return ok;
}

EVP_PKEY* make_curve(std::array<char, 11> name) {
  const std::array<OSSL_PARAM, 2> params = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name.data(), 0),
      OSSL_PARAM_construct_end()};
  const PkeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* made = nullptr;
  auto* raw_params = const_cast<OSSL_PARAM*>(params.data());  // OpenSSL only reads them
  CHECK(context && EVP_PKEY_fromdata_init(context.get()) == 1 &&
        EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEY_PARAMETERS, raw_params) == 1);
  return made;
}

/// A key without a point, made once: a copy of it costs a quarter of a new one. Constant.
const EVP_PKEY* curve_of(EcCurve curve) {
  static const EVP_PKEY* const kP256 = make_curve({"prime256v1"});
  static const EVP_PKEY* const kP384 = make_curve({"secp384r1"});
  return curve == EcCurve::P256 ? kP256 : kP384;
}

}  // namespace

PkeyPtr ec_public_key(EcCurve curve, ByteSpan xy) {
  const bool p256 = curve == EcCurve::P256;
  if (xy.size() != (p256 ? 64U : 96U)) return nullptr;
  Bytes point{4};  // uncompressed form
  point.insert(point.end(), xy.begin(), xy.end());
  PkeyPtr key(EVP_PKEY_new());
  // Refuses coordinates out of range and points off the curve: all there is to check where the
  // cofactor is one.
  const bool ok = key && EVP_PKEY_copy_parameters(key.get(), curve_of(curve)) == 1 &&
                  EVP_PKEY_set1_encoded_public_key(key.get(), point.data(), point.size()) == 1;
  ERR_clear_error();
  return ok ? std::move(key) : nullptr;
}

bool verify_p256(EVP_PKEY* key, ByteSpan message, std::span<const std::uint8_t, 64> signature) {
  return verify(key, EVP_sha256(), message, signature);
}

bool verify_p384(EVP_PKEY* key, ByteSpan message, std::span<const std::uint8_t, 96> signature) {
  return verify(key, EVP_sha384(), message, signature);
}

}  // namespace nostril::attestation
