#include "attestation/x509.h"

#include "attestation/utc_time.h"
#include "base/base64.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>

namespace nostril::attestation {

namespace {

constexpr std::string_view kPemBegin = "-----BEGIN CERTIFICATE-----\n";
constexpr std::string_view kPemEnd = "-----END CERTIFICATE-----";
constexpr int kRsaBitsMin = 2048;
constexpr long kUnusedBitsMask = 7;  // of the flags of OpenSSL's BIT STRINGs

std::optional<UnixTime> to_unix(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return unix_from_utc(parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                       parts.tm_min, parts.tm_sec);
}

std::optional<ChainError> check_validity(const Certificate& certificate, UnixTime now) {
  const auto validity = validity_of(certificate);
  if (!validity) return ChainError::BadCertificate;
  if (now < validity->first) return ChainError::NotYetValid;
  if (now > validity->last) return ChainError::Expired;
  return std::nullopt;
}

bool has_unknown_critical_extension(const Certificate& certificate) {
  const int count = X509_get_ext_count(certificate.get());
  for (int i = 0; i < count; ++i) {
    X509_EXTENSION* extension = X509_get_ext(certificate.get(), i);
    if (X509_EXTENSION_get_critical(extension) != 0 && X509_supported_extension(extension) == 0) {
      return true;
    }
  }
  return false;
}

/// `below`: how many CA certificates lie between this issuer and the leaf.
bool may_issue(const Certificate& issuer, long below) {
  const bool is_ca = X509_check_ca(issuer.get()) == 1;
  const bool signs = (X509_get_key_usage(issuer.get()) & KU_KEY_CERT_SIGN) != 0;
  const bool states_usage = (X509_get_extension_flags(issuer.get()) & EXFLAG_KUSAGE) != 0;
  const long path_length = X509_get_pathlen(issuer.get());
  return is_ca && states_usage && signs && (path_length < 0 || below <= path_length);
}

/// Any critical extension of a CRL (a partial or indirect one) would change what its list means.
bool has_critical_extension(const X509_CRL* crl) {
  for (int i = 0; i < X509_CRL_get_ext_count(crl); ++i) {
    if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl, i)) != 0) return true;
  }
  return false;
}

/// Whole bytes. OpenSSL would pass over bits that the encoding calls unused, and no signature
/// covers them.
bool has_whole_signature(const Certificate& certificate) {
  const ASN1_BIT_STRING* signature = nullptr;
  X509_get0_signature(&signature, nullptr, certificate.get());
  return (signature->flags & kUnusedBitsMask) == 0;
}

std::optional<ChainError> check_link(const Certificate& child, const Certificate& issuer,
                                     VerifiedLinks* links) {
  if (links != nullptr && links->contains(child, issuer)) return std::nullopt;
  const X509_NAME* wanted = X509_get_issuer_name(child.get());
  const X509_NAME* given = X509_get_subject_name(issuer.get());
  if (X509_NAME_cmp(wanted, given) != 0) return ChainError::BrokenLink;
  if (!has_whole_signature(child)) return ChainError::BrokenLink;
  if (X509_verify(child.get(), X509_get0_pubkey(issuer.get())) != 1) return ChainError::BrokenLink;
  if (links != nullptr) links->add(child, issuer);
  return std::nullopt;
}

/// The certificate's key when it is on this curve, else null.
EVP_PKEY* ec_key_of(const Certificate& certificate, std::string_view curve) {
  EVP_PKEY* key = X509_get0_pubkey(certificate.get());
  std::array<char, 32> group{};
  std::size_t length = 0;
  const bool ok = key != nullptr && EVP_PKEY_is_a(key, "EC") == 1 &&
                  EVP_PKEY_get_group_name(key, group.data(), group.size(), &length) == 1 &&
                  std::string_view(group.data(), length) == curve;
  ERR_clear_error();
  return ok ? key : nullptr;
}

bool is_rsa_key(const Certificate& certificate) {
  EVP_PKEY* key = X509_get0_pubkey(certificate.get());
  const bool ok =
      key != nullptr && EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) >= kRsaBitsMin;
  ERR_clear_error();
  return ok;
}

/// SHA-384 with a key of this kind.
bool is_signed_by_sha384(const Certificate& certificate, int key_wanted) {
  int hash = 0;
  int key = 0;
  const bool known = X509_get_signature_info(certificate.get(), &hash, &key, nullptr, nullptr) == 1;
  ERR_clear_error();
  return known && hash == NID_sha384 && key == key_wanted;
}

bool is_of(const Certificate& certificate, Algorithms algorithms, bool is_leaf) {
  switch (algorithms) {
    case Algorithms::Intel:
      return p256_key_of(certificate) != nullptr;
    case Algorithms::Amd:
      return (is_leaf ? p384_key_of(certificate) != nullptr : is_rsa_key(certificate)) &&
             is_signed_by_sha384(certificate, NID_rsassaPss);
    case Algorithms::Nvidia:
      return p384_key_of(certificate) != nullptr &&
             is_signed_by_sha384(certificate, NID_X9_62_id_ecPublicKey);
  }
  return false;
}

/// Takes one PEM block off the front of `text`.
std::optional<Bytes> take_pem_block(std::string_view& text) {
  if (!text.starts_with(kPemBegin)) return std::nullopt;
  text.remove_prefix(kPemBegin.size());
  const std::size_t end = text.find(kPemEnd);
  if (end > 2 * kCertificateBytesMax) return std::nullopt;  // npos as well
  const std::string_view body = text.substr(0, end);
  text.remove_prefix(end + kPemEnd.size());
  if (!text.empty()) {
    if (text.front() != '\n') return std::nullopt;
    text.remove_prefix(1);
  }
  return decode_base64_lines(body);
}

}  // namespace

std::string_view to_string(ChainError error) {
  switch (error) {
    case ChainError::BadPem:
      return "malformed PEM";
    case ChainError::BadCertificate:
      return "malformed certificate";
    case ChainError::WrongLength:
      return "chain of the wrong length";
    case ChainError::UntrustedRoot:
      return "root not trusted";
    case ChainError::WrongName:
      return "certificate of the wrong name";
    case ChainError::BrokenLink:
      return "certificate not signed by its issuer";
    case ChainError::NotCa:
      return "issuer may not sign certificates";
    case ChainError::LeafIsCa:
      return "leaf certificate is a CA";
    case ChainError::UnknownCriticalExtension:
      return "unknown critical extension";
    case ChainError::NotYetValid:
      return "certificate not yet valid";
    case ChainError::Expired:
      return "certificate expired";
    case ChainError::WrongAlgorithm:
      return "key or signature of another algorithm";
  }
  return "unknown";
}

std::string_view to_string(CrlError error) {
  switch (error) {
    case CrlError::Malformed:
      return "malformed CRL";
    case CrlError::WrongIssuer:
      return "no CRL of this issuer";
    case CrlError::BadSignature:
      return "CRL signature";
    case CrlError::NotYetValid:
      return "CRL not yet valid";
    case CrlError::Expired:
      return "CRL expired";
    case CrlError::Revoked:
      return "certificate revoked";
  }
  return "unknown";
}

std::optional<Certificate> parse_certificate(ByteSpan der) {
  if (der.empty() || der.size() > kCertificateBytesMax) return std::nullopt;
  const unsigned char* cursor = der.data();
  Certificate out;
  out.x509.reset(d2i_X509(nullptr, &cursor, static_cast<long>(der.size())));
  const bool ok = out.x509 && cursor == der.data() + der.size();
  ERR_clear_error();
  if (!ok) return std::nullopt;
  // OpenSSL reads extensions lazily and flags nonsense in them only here.
  if ((X509_get_extension_flags(out.get()) & EXFLAG_INVALID) != 0) return std::nullopt;
  out.der.assign(der.begin(), der.end());
  return out;
}

Result<std::vector<Certificate>, ChainError> parse_pem_chain(std::string_view text) {
  std::vector<Certificate> chain;
  while (!text.empty()) {
    if (chain.size() == kChainCountMax) return failure(ChainError::WrongLength);
    const auto der = take_pem_block(text);
    if (!der) return failure(ChainError::BadPem);
    auto certificate = parse_certificate(*der);
    if (!certificate) return failure(ChainError::BadCertificate);
    chain.push_back(std::move(*certificate));
  }
  return chain;
}

bool VerifiedLinks::contains(const Certificate& child, const Certificate& issuer) const {
  return links_.contains({child.der, issuer.der});
}

void VerifiedLinks::add(const Certificate& child, const Certificate& issuer) {
  links_.emplace(child.der, issuer.der);
}

std::optional<ChainError> check_chain(const std::vector<Certificate>& chain, Algorithms algorithms,
                                      UnixTime now, VerifiedLinks* links) {
  if (chain.empty()) return ChainError::WrongLength;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const Certificate& certificate = chain[i];
    if (!is_of(certificate, algorithms, i == 0)) return ChainError::WrongAlgorithm;
    if (const auto error = check_validity(certificate, now)) return error;
    if (has_unknown_critical_extension(certificate)) return ChainError::UnknownCriticalExtension;
    if (i > 0 && !may_issue(certificate, static_cast<long>(i) - 1)) return ChainError::NotCa;
    if (i + 1 == chain.size()) break;
    const auto broken = check_link(certificate, chain[i + 1], links);
    ERR_clear_error();
    if (broken) return broken;
  }
  if (chain.size() > 1 && X509_check_ca(chain.front().get()) != 0) return ChainError::LeafIsCa;
  return std::nullopt;
}

std::string common_name(const Certificate& certificate) {
  return common_name(X509_get_subject_name(certificate.get()));
}

std::string common_name(const X509_NAME* name) {
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, index) >= 0) return {};
  const ASN1_STRING* data = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index));
  return std::string(
      as_text({ASN1_STRING_get0_data(data), static_cast<std::size_t>(ASN1_STRING_length(data))}));
}

std::optional<Validity> validity_of(const Certificate& certificate) {
  const auto first = to_unix(X509_get0_notBefore(certificate.get()));
  const auto last = to_unix(X509_get0_notAfter(certificate.get()));
  if (!first || !last) return std::nullopt;
  return Validity{*first, *last};
}

EVP_PKEY* p256_key_of(const Certificate& certificate) {
  return ec_key_of(certificate, "prime256v1");
}

EVP_PKEY* p384_key_of(const Certificate& certificate) {
  return ec_key_of(certificate, "secp384r1");
}

std::optional<ByteSpan> extension_of(const Certificate& certificate, const char* oid) {
  ASN1_OBJECT* object = OBJ_txt2obj(oid, 1);
  const int index = X509_get_ext_by_OBJ(certificate.get(), object, -1);
  const bool once = index >= 0 && X509_get_ext_by_OBJ(certificate.get(), object, index) < 0;
  ASN1_OBJECT_free(object);
  if (!once) return std::nullopt;
  const ASN1_OCTET_STRING* data = X509_EXTENSION_get_data(X509_get_ext(certificate.get(), index));
  return ByteSpan(ASN1_STRING_get0_data(data), static_cast<std::size_t>(ASN1_STRING_length(data)));
}

Result<CrlPtr, CrlError> parse_crl(ByteSpan der, const Certificate& issuer, UnixTime now) {
  const unsigned char* cursor = der.data();
  CrlPtr crl(der.empty() ? nullptr : d2i_X509_CRL(nullptr, &cursor, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!crl || cursor != der.data() + der.size() || has_critical_extension(crl.get())) {
    return failure(CrlError::Malformed);
  }
  if (X509_NAME_cmp(X509_CRL_get_issuer(crl.get()), X509_get_subject_name(issuer.get())) != 0) {
    return failure(CrlError::WrongIssuer);
  }
  const bool genuine = X509_CRL_verify(crl.get(), X509_get0_pubkey(issuer.get())) == 1;
  ERR_clear_error();
  if (!genuine) return failure(CrlError::BadSignature);
  const auto first = to_unix(X509_CRL_get0_lastUpdate(crl.get()));
  const auto last = to_unix(X509_CRL_get0_nextUpdate(crl.get()));
  if (!first || !last) return failure(CrlError::Malformed);
  if (now < *first) return failure(CrlError::NotYetValid);
  if (now > *last) return failure(CrlError::Expired);
  return crl;
}

UnixTime valid_until(const Certificate& certificate) {
  return to_unix(X509_get0_notAfter(certificate.get())).value_or(0);
}

UnixTime valid_until(const CrlPtr& crl) {
  return to_unix(X509_CRL_get0_nextUpdate(crl.get())).value_or(0);
}

UnixTime valid_until(const std::vector<Certificate>& chain) {
  UnixTime out = std::numeric_limits<UnixTime>::max();
  for (const Certificate& certificate : chain) out = std::min(out, valid_until(certificate));
  return out;
}

bool is_revoked(const CrlPtr& crl, const Certificate& certificate) {
  X509_REVOKED* entry = nullptr;
  return X509_CRL_get0_by_cert(crl.get(), &entry, certificate.get()) != 0;
}

}  // namespace nostril::attestation
