#pragma once

#include "attestation/certificate_key.h"
#include "attestation/statement.h"
#include "base/bytes.h"
#include "base/result.h"

#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// X.509 in the narrow form attestation needs: chains of fixed length and order, one set of
/// algorithms a vendor, no system stores, time as an argument. Every step is explicit.
namespace nostril::attestation {

struct CrlDeleter {
  void operator()(X509_CRL* crl) const { X509_CRL_free(crl); }
};

using CrlPtr = std::unique_ptr<X509_CRL, CrlDeleter>;

/// A certificate and the exact bytes it was read from. Copies share what was parsed.
struct Certificate {
  /// OpenSSL's, for names, dates and extensions; it has no key (X509_get0_pubkey() is null).
  std::shared_ptr<X509> x509;
  Bytes der;
  /// Nothing when it is of a kind that no vendor here uses.
  std::optional<CertificateKey> key;
  /// How it was signed; nothing when it is of such a kind.
  std::optional<SignatureKind> signature_kind;

  [[nodiscard]] X509* get() const { return x509.get(); }

  /// What is signed.
  [[nodiscard]] ByteSpan signed_part() const { return ByteSpan(der).subspan(body_at, body_bytes); }

  /// As verify_signature() takes it.
  [[nodiscard]] ByteSpan signature() const { return ByteSpan(der).last(signature_bytes); }

  std::size_t body_at = 0;
  std::size_t body_bytes = 0;
  std::size_t signature_bytes = 0;
};

inline constexpr std::size_t kCertificateBytesMax = 16U << 10U;
inline constexpr std::size_t kChainCountMax = 8;

enum class ChainError : std::uint8_t {
  BadPem,
  BadCertificate,
  WrongLength,
  UntrustedRoot,
  WrongName,
  BrokenLink,
  NotCa,
  LeafIsCa,
  UnknownCriticalExtension,
  NotYetValid,
  Expired,
  WrongAlgorithm,
};

std::string_view to_string(ChainError error);

/// One DER certificate and nothing after it.
std::optional<Certificate> parse_certificate(ByteSpan der);

/// What chains share while one verdict is made: certificates taken apart, and signatures found
/// good. Their upper certificates are mostly the same. Holds nothing that depends on time.
/// Threads: one. As large as the evidence it was given.
class ChainCache {
 public:
  /// parse_certificate(), once for each certificate.
  std::optional<Certificate> parse(ByteSpan der);

  /// is_signed_by(), once for each pair; only a good signature is remembered.
  bool is_signed_by(const Certificate& child, const Certificate& issuer);

 private:
  std::map<Bytes, Certificate> certificates_;
  std::set<std::pair<Bytes, Bytes>> links_;
};

/// Certificates in PEM in the one form Intel writes: no text between, 64-character lines, LF; the
/// last LF may be missing. Anything else would be bytes that no signature covers.
Result<std::vector<Certificate>, ChainError> parse_pem_chain(std::string_view text);
Result<std::vector<Certificate>, ChainError> parse_pem_chain(std::string_view text,
                                                             ChainCache& cache);

/// What a vendor signs with. All else is refused: a chain of another kind is not the vendor's.
enum class Algorithms : std::uint8_t {
  Intel,   ///< every key P-256, every signature ECDSA with SHA-256
  Amd,     ///< leaf P-384; issuers RSA of 2048 bits or more, RSASSA-PSS, SHA-384 (AMD's have 4096)
  Nvidia,  ///< every key P-384, every signature ECDSA with SHA-384
  /// Leaf P-384; issuers P-384 with SHA-384, or RSA of 2048 bits or more, PKCS #1, with SHA-256
  NvidiaService,
};

/// `issuer` has the name that `child` says, and its key signed `child`.
bool is_signed_by(const Certificate& child, const Certificate& issuer);

/// Checks `chain`, leaf first, root last: each issuer's name and signature, every validity at `now`
/// (bounds inclusive), that issuers are CAs and the leaf is not, path lengths, critical extensions,
/// and that keys and signatures are of the vendor's algorithms. Does not judge the root, nor its
/// signature of itself, which would prove nothing: TrustRoots pins its bytes.
std::optional<ChainError> check_chain(const std::vector<Certificate>& chain, Algorithms algorithms,
                                      UnixTime now);
std::optional<ChainError> check_chain(const std::vector<Certificate>& chain, Algorithms algorithms,
                                      UnixTime now, ChainCache& cache);

/// The last second of the certificate's, the CRL's validity; 0 when it can't be read.
UnixTime valid_until(const Certificate& certificate);
UnixTime valid_until(const CrlPtr& crl);

/// The first end of a chain's certificates.
UnixTime valid_until(const std::vector<Certificate>& chain);

/// The only common name of the subject, or of a name; empty when there is none or more than one.
std::string common_name(const Certificate& certificate);
std::string common_name(const X509_NAME* name);

struct Validity {
  UnixTime first = 0;
  UnixTime last = 0;  ///< inclusive
};

/// Nothing when its dates are malformed.
std::optional<Validity> validity_of(const Certificate& certificate);

/// The certificate's P-256 or P-384 key; null when it has another.
EVP_PKEY* p256_key_of(const Certificate& certificate);
EVP_PKEY* p384_key_of(const Certificate& certificate);

/// The content of the certificate's extension `oid` (dotted); nothing when there is none, or more
/// than one. Borrows from the certificate.
std::optional<ByteSpan> extension_of(const Certificate& certificate, const char* oid);

enum class CrlError : std::uint8_t {
  Malformed,
  WrongIssuer,
  BadSignature,
  NotYetValid,
  Expired,
  Revoked,  ///< the list is sound and names the certificate
};

std::string_view to_string(CrlError error);

/// A CRL by `issuer`, signed by it and valid at `now` (bounds inclusive).
Result<CrlPtr, CrlError> parse_crl(ByteSpan der, const Certificate& issuer, UnixTime now);

bool is_revoked(const CrlPtr& crl, const Certificate& certificate);

/// The extension of a PCK certificate that says which platform it is.
/// 1.2.840.113741.1.13.1, a SEQUENCE of SEQUENCE { OID, value }:
///   .1 PPID, OCTET STRING (16)
///   .2 TCB, SEQUENCE of: .2.1 to .2.16 component SVN, INTEGER 0..255; .2.17 PCESVN, INTEGER
///   0..65535;
///      .2.18 CPUSVN, OCTET STRING (16)
///   .3 PCEID, OCTET STRING (2)    .4 FMSPC, OCTET STRING (6)    .5 SGX type, ENUMERATED
///   .6 and above: platform instance and configuration, not used here
/// .1 to .5 and every part of .2 must be there exactly once.
struct SgxExtension {
  std::array<std::uint8_t, 16> ppid{};
  std::array<std::uint8_t, 16> component_svn{};
  std::uint16_t pce_svn = 0;
  std::array<std::uint8_t, 2> pce_id{};
  std::array<std::uint8_t, 6> fmspc{};
};

/// Nothing when the extension is missing or a required part is missing, doubled or out of range.
std::optional<SgxExtension> sgx_extension(const Certificate& certificate);

}  // namespace nostril::attestation
