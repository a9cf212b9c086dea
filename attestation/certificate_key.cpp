#include "attestation/certificate_key.h"

#include "attestation/bignum.h"
#include "attestation/der.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>

namespace nostril::attestation {

namespace {

constexpr std::array<std::uint8_t, 7> kEcPublicKey = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
constexpr std::array<std::uint8_t, 8> kP256 = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
constexpr std::array<std::uint8_t, 5> kP384 = {0x2b, 0x81, 0x04, 0x00, 0x22};
constexpr std::array<std::uint8_t, 9> kRsaEncryption = {0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                        0x0d, 0x01, 0x01, 0x01};
constexpr std::array<std::uint8_t, 8> kEcdsaSha256 = {0x2a, 0x86, 0x48, 0xce,
                                                      0x3d, 0x04, 0x03, 0x02};
constexpr std::array<std::uint8_t, 8> kEcdsaSha384 = {0x2a, 0x86, 0x48, 0xce,
                                                      0x3d, 0x04, 0x03, 0x03};
constexpr std::array<std::uint8_t, 9> kRsaSha256 = {0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                    0x0d, 0x01, 0x01, 0x0b};
constexpr std::array<std::uint8_t, 9> kRsassaPss = {0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                    0x0d, 0x01, 0x01, 0x0a};
/// [0] SHA-384, [1] MGF1 with SHA-384, [2] 48; the trailer, which may be named, is always the same.
constexpr std::array<std::uint8_t, 52> kPssParameters = {
    0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
    0x02, 0x02, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48,
    0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48,
    0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x30};
constexpr std::array<std::uint8_t, 5> kPssTrailer = {0xa3, 0x03, 0x02, 0x01, 0x01};
constexpr std::uint8_t kNull = 0x05;
constexpr std::size_t kRsaBitsMin = 2048;
constexpr std::size_t kRsaBitsMax = 8192;
constexpr int kSaltBytes = 48;

struct ContextDeleter {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }

  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }

  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }

  void operator()(OSSL_PARAM* params) const { OSSL_PARAM_free(params); }
};

template <typename T>
using Owned = std::unique_ptr<T, ContextDeleter>;

template <std::size_t N>
bool equal(ByteSpan found, const std::array<std::uint8_t, N>& wanted) {
  return std::equal(found.begin(), found.end(), wanted.begin(), wanted.end());
}

/// The parameters are NULL and the last there is.
bool is_null_at_end(der::Reader& in) {
  const auto parameters = in.next();
  return parameters && parameters->tag == kNull && parameters->content.empty() && in.at_end();
}

std::shared_ptr<EVP_PKEY> make_rsa_key(OSSL_PARAM* params) {
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  const bool ok = context && params != nullptr && EVP_PKEY_fromdata_init(context.get()) == 1 &&
                  EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, params) == 1;
  ERR_clear_error();
  return {ok ? made : nullptr, PkeyDeleter()};
}

std::optional<CertificateKey> read_ec_key(der::Reader& algorithm, ByteSpan point) {
  const auto curve = algorithm.next(der::kOid);
  if (!curve || !algorithm.at_end()) return std::nullopt;
  const bool p256 = equal(*curve, kP256);
  if (!p256 && !equal(*curve, kP384)) return std::nullopt;
  if (point.empty() || point.front() != 4) return std::nullopt;  // uncompressed
  CertificateKey out{p256 ? KeyKind::P256 : KeyKind::P384,
                     ec_public_key(p256 ? EcCurve::P256 : EcCurve::P384, point.subspan(1))};
  return out.key ? std::optional(std::move(out)) : std::nullopt;
}

/// A positive INTEGER, minimally encoded; null for another.
Number read_number(der::Reader& in) {
  const auto content = in.next(der::kInteger);
  if (!content || content->empty() || content->front() > 0x7f) return nullptr;
  if (content->size() > 1 && content->front() == 0 && (*content)[1] <= 0x7f) return nullptr;
  return to_number(*content);
}

std::optional<CertificateKey> read_rsa_key(der::Reader& algorithm, ByteSpan numbers) {
  if (!is_null_at_end(algorithm)) return std::nullopt;
  der::Reader outer(numbers);
  der::Reader in(outer.next(der::kSequence).value_or(ByteSpan()));
  const Number modulus = read_number(in);
  const Number exponent = read_number(in);
  if (!modulus || !exponent || !in.at_end() || !outer.at_end()) return std::nullopt;
  const auto bits = static_cast<std::size_t>(BN_num_bits(modulus.get()));
  const bool sound = bits >= kRsaBitsMin && bits <= kRsaBitsMax && BN_is_odd(exponent.get()) != 0 &&
                     BN_is_one(exponent.get()) == 0 && BN_num_bits(exponent.get()) <= 32;
  if (!sound) return std::nullopt;
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
    return std::nullopt;
  }
  const Owned<OSSL_PARAM> params(OSSL_PARAM_BLD_to_param(builder.get()));
  CertificateKey out{KeyKind::Rsa, make_rsa_key(params.get())};
  return out.key ? std::optional(std::move(out)) : std::nullopt;
}

bool is_pss(ByteSpan parameters) {
  if (parameters.size() < kPssParameters.size()) return false;
  const ByteSpan rest = parameters.subspan(kPssParameters.size());
  return equal(parameters.first(kPssParameters.size()), kPssParameters) &&
         (rest.empty() || equal(rest, kPssTrailer));
}

bool uses_rsa(SignatureKind kind) {
  return kind == SignatureKind::RsaSha256 || kind == SignatureKind::PssSha384;
}

bool set_pss(EVP_PKEY_CTX* context) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha384()) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, kSaltBytes) == 1;
}

}  // namespace

std::optional<CertificateKey> read_public_key(ByteSpan info) {
  der::Reader in(info);
  der::Reader algorithm(in.next(der::kSequence).value_or(ByteSpan()));
  const auto bits = in.next(der::kBitString);
  const auto kind = algorithm.next(der::kOid);
  if (!bits || bits->empty() || bits->front() != 0 || !in.at_end() || !kind) return std::nullopt;
  if (equal(*kind, kEcPublicKey)) return read_ec_key(algorithm, bits->subspan(1));
  if (equal(*kind, kRsaEncryption)) return read_rsa_key(algorithm, bits->subspan(1));
  return std::nullopt;
}

std::optional<SignatureKind> read_signature_kind(ByteSpan algorithm) {
  der::Reader in(algorithm);
  const auto kind = in.next(der::kOid);
  if (!kind) return std::nullopt;
  if (equal(*kind, kEcdsaSha256) && in.at_end()) return SignatureKind::EcdsaSha256;
  if (equal(*kind, kEcdsaSha384) && in.at_end()) return SignatureKind::EcdsaSha384;
  if (equal(*kind, kRsaSha256) && is_null_at_end(in)) return SignatureKind::RsaSha256;
  if (!equal(*kind, kRsassaPss)) return std::nullopt;
  const auto parameters = in.next(der::kSequence);
  if (!parameters || !in.at_end() || !is_pss(*parameters)) return std::nullopt;
  return SignatureKind::PssSha384;
}

bool verify_signature(const CertificateKey& key, SignatureKind kind, ByteSpan message,
                      ByteSpan signature) {
  if ((key.kind == KeyKind::Rsa) != uses_rsa(kind)) return false;
  const bool sha256 = kind == SignatureKind::EcdsaSha256 || kind == SignatureKind::RsaSha256;
  const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;  // the context owns it
  const bool ok =
      context &&
      EVP_DigestVerifyInit(context.get(), &parameters, sha256 ? EVP_sha256() : EVP_sha384(),
                           nullptr, key.key.get()) == 1 &&
      (kind != SignatureKind::PssSha384 || set_pss(parameters)) &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                       message.size()) == 1;
  ERR_clear_error();
  return ok;
}

}  // namespace nostril::attestation
