#include "attestation/x509.h"

#include "attestation/der.h"
#include "attestation/utc_time.h"
#include "base/base64.h"
#include "base/check.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>

namespace nostril::attestation {

namespace {

constexpr std::string_view kPemBegin = "-----BEGIN CERTIFICATE-----\n";
constexpr std::string_view kPemEnd = "-----END CERTIFICATE-----";
constexpr std::uint8_t kContext0 = 0xa0;

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
  const std::uint32_t flags = X509_get_extension_flags(issuer.get());
  const bool is_ca = (flags & EXFLAG_BCONS) != 0 && (flags & EXFLAG_CA) != 0;
  const bool signs = (X509_get_key_usage(issuer.get()) & KU_KEY_CERT_SIGN) != 0;
  const bool states_usage = (flags & EXFLAG_KUSAGE) != 0;
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

/// It says so itself, or its key may sign certificates.
bool claims_to_be_ca(const Certificate& certificate) {
  const std::uint32_t flags = X509_get_extension_flags(certificate.get());
  const bool states_usage = (flags & EXFLAG_KUSAGE) != 0;
  return (flags & EXFLAG_CA) != 0 ||
         (states_usage && (X509_get_key_usage(certificate.get()) & KU_KEY_CERT_SIGN) != 0);
}

bool is_of(const Certificate& certificate, Algorithms algorithms, bool is_leaf) {
  if (!certificate.key) return false;
  const KeyKind key = certificate.key->kind;
  const auto signature = certificate.signature_kind;
  switch (algorithms) {
    case Algorithms::Intel:
      return key == KeyKind::P256 && signature == SignatureKind::EcdsaSha256;
    case Algorithms::Amd:
      return key == (is_leaf ? KeyKind::P384 : KeyKind::Rsa) &&
             signature == SignatureKind::PssSha384;
    case Algorithms::Nvidia:
      return key == KeyKind::P384 && signature == SignatureKind::EcdsaSha384;
    case Algorithms::NvidiaService:
      return (key == KeyKind::P384 || (!is_leaf && key == KeyKind::Rsa)) &&
             (signature == SignatureKind::RsaSha256 || signature == SignatureKind::EcdsaSha384);
  }
  return false;
}

/// A library context without algorithms. With one that has some, d2i_X509() decodes the key at
/// once, which costs seven times as much as all the rest of a certificate.
OSSL_LIB_CTX* bare_context() {
  static OSSL_LIB_CTX* const kContext = [] {
    OSSL_LIB_CTX* context = OSSL_LIB_CTX_new();
    CHECK(context != nullptr && OSSL_PROVIDER_load(context, "null") != nullptr);
    return context;
  }();
  return kContext;
}

/// One SEQUENCE and where its content begins.
std::optional<ByteSpan> only_sequence(ByteSpan der) {
  der::Reader in(der);
  const auto content = in.next(der::kSequence);
  return in.at_end() ? content : std::nullopt;
}

/// SubjectPublicKeyInfo of a TBSCertificate; `algorithm` becomes the signature's inner one.
std::optional<ByteSpan> find_key(ByteSpan body, ByteSpan& algorithm) {
  der::Reader in(body);
  auto first = in.next();
  if (first && first->tag == kContext0) first = in.next();  // the version, then the serial number
  if (!first || first->tag != der::kInteger) return std::nullopt;
  algorithm = in.next(der::kSequence).value_or(ByteSpan());
  for (int i = 0; i < 3; ++i) {  // issuer, validity, subject
    if (!in.next(der::kSequence)) return std::nullopt;
  }
  return in.next(der::kSequence);
}

/// Key and signature. False when the certificate is not plain DER, its two algorithms differ, or
/// its signature is not of whole bytes: bits that the encoding calls unused would be signed by
/// nobody.
bool read_signed(Certificate& certificate) {
  const ByteSpan der = certificate.der;
  const auto whole = only_sequence(der);
  if (!whole) return false;
  der::Reader in(*whole);
  const auto body = in.next(der::kSequence);
  const auto algorithm = in.next(der::kSequence);
  const auto signature = in.next(der::kBitString);
  if (!body || !algorithm || !signature || !in.at_end()) return false;
  if (signature->empty() || signature->front() != 0) return false;
  ByteSpan inner;
  const auto key = find_key(*body, inner);
  if (!key || !std::equal(inner.begin(), inner.end(), algorithm->begin(), algorithm->end())) {
    return false;
  }
  certificate.body_at = static_cast<std::size_t>(whole->data() - der.data());
  certificate.body_bytes = static_cast<std::size_t>(body->data() + body->size() - whole->data());
  certificate.signature_bytes = signature->size() - 1;
  certificate.key = read_public_key(*key);
  certificate.signature_kind = read_signature_kind(*algorithm);
  return true;
}

EVP_PKEY* key_of(const Certificate& certificate, KeyKind kind) {
  return certificate.key && certificate.key->kind == kind ? certificate.key->key.get() : nullptr;
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
  X509* parsed = X509_new_ex(bare_context(), nullptr);
  CHECK(parsed != nullptr);
  Certificate out;
  if (d2i_X509(&parsed, &cursor, static_cast<long>(der.size())) != nullptr) {
    out.x509 = {parsed, X509_free};
  }
  const bool ok = out.x509 && cursor == der.data() + der.size();
  // OpenSSL reads extensions lazily and flags nonsense in them only here.
  const bool sound = ok && (X509_get_extension_flags(out.get()) & EXFLAG_INVALID) == 0;
  ERR_clear_error();
  if (!sound) return std::nullopt;
  out.der.assign(der.begin(), der.end());
  return read_signed(out) ? std::optional(std::move(out)) : std::nullopt;
}

std::optional<Certificate> ChainCache::parse(ByteSpan der) {
  Bytes key(der.begin(), der.end());
  const auto known = certificates_.find(key);
  if (known != certificates_.end()) return known->second;
  auto parsed = parse_certificate(der);
  if (parsed) certificates_.emplace(std::move(key), *parsed);
  return parsed;
}

bool ChainCache::is_signed_by(const Certificate& child, const Certificate& issuer) {
  std::pair<Bytes, Bytes> link(child.der, issuer.der);
  if (links_.contains(link)) return true;
  const bool good = attestation::is_signed_by(child, issuer);
  if (good) links_.insert(std::move(link));
  return good;
}

Result<std::vector<Certificate>, ChainError> parse_pem_chain(std::string_view text) {
  ChainCache cache;
  return parse_pem_chain(text, cache);
}

Result<std::vector<Certificate>, ChainError> parse_pem_chain(std::string_view text,
                                                             ChainCache& cache) {
  std::vector<Certificate> chain;
  while (!text.empty()) {
    if (chain.size() == kChainCountMax) return failure(ChainError::WrongLength);
    const auto der = take_pem_block(text);
    if (!der) return failure(ChainError::BadPem);
    auto certificate = cache.parse(*der);
    if (!certificate) return failure(ChainError::BadCertificate);
    chain.push_back(std::move(*certificate));
  }
  return chain;
}

bool is_signed_by(const Certificate& child, const Certificate& issuer) {
  const X509_NAME* wanted = X509_get_issuer_name(child.get());
  const X509_NAME* given = X509_get_subject_name(issuer.get());
  return X509_NAME_cmp(wanted, given) == 0 && issuer.key && child.signature_kind &&
         verify_signature(*issuer.key, *child.signature_kind, child.signed_part(),
                          child.signature());
}

std::optional<ChainError> check_chain(const std::vector<Certificate>& chain, Algorithms algorithms,
                                      UnixTime now) {
  ChainCache cache;
  return check_chain(chain, algorithms, now, cache);
}

std::optional<ChainError> check_chain(const std::vector<Certificate>& chain, Algorithms algorithms,
                                      UnixTime now, ChainCache& cache) {
  if (chain.empty()) return ChainError::WrongLength;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const Certificate& certificate = chain[i];
    if (!is_of(certificate, algorithms, i == 0)) return ChainError::WrongAlgorithm;
    if (const auto error = check_validity(certificate, now)) return error;
    if (has_unknown_critical_extension(certificate)) return ChainError::UnknownCriticalExtension;
    if (i > 0 && !may_issue(certificate, static_cast<long>(i) - 1)) return ChainError::NotCa;
    if (i + 1 == chain.size()) break;
    if (!cache.is_signed_by(certificate, chain[i + 1])) return ChainError::BrokenLink;
  }
  if (chain.size() > 1 && claims_to_be_ca(chain.front())) return ChainError::LeafIsCa;
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
  return key_of(certificate, KeyKind::P256);
}

EVP_PKEY* p384_key_of(const Certificate& certificate) {
  return key_of(certificate, KeyKind::P384);
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
  const bool genuine = issuer.key && X509_CRL_verify(crl.get(), issuer.key->key.get()) == 1;
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
