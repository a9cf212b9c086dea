#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct evp_pkey_st;
struct stack_st_X509;

namespace nostril::net {

class TlsContext;

/// An extension of a certificate, not critical: its value is the DER of an OCTET STRING, as
/// dstack's RA-TLS has it.
struct CertificateExtension {
  std::string oid;  ///< dotted
  std::vector<std::uint8_t> octets;
};

/// What a self-signed certificate says.
struct CertificateDraft {
  /// DNS names and IP addresses; the first is the subject, too. At least one.
  std::vector<std::string> names;
  std::int64_t not_before = 0;  ///< Unix seconds
  std::int64_t not_after = 0;
  /// Text of ASCII for readers (Netscape's comment, before `extensions`); empty: none.
  std::string comment = {};
  std::vector<CertificateExtension> extensions = {};  ///< besides what every server's has
};

/// A server's private key with its certificate chain. Keys made here never leave the process.
/// Immutable. Threads: const members from any.
class TlsIdentity {
 public:
  /// PEM files, the chain with the server's certificate first. Throws std::runtime_error that names
  /// the file that can't be used.
  [[nodiscard]] static TlsIdentity load(const std::string& certificate_path,
                                        const std::string& key_path);
  /// A fresh P-256 key, without a certificate yet.
  [[nodiscard]] static TlsIdentity generate();

  /// The same key with a certificate that it signs itself. Throws std::runtime_error for names that
  /// no certificate can hold.
  [[nodiscard]] TlsIdentity self_signed(const CertificateDraft& draft) const;

  /// The key's SubjectPublicKeyInfo (DER).
  [[nodiscard]] std::vector<std::uint8_t> spki() const;
  /// SHA-256 of it.
  [[nodiscard]] std::array<std::uint8_t, 32> spki_digest() const;

  [[nodiscard]] std::string certificate_pem() const;

  /// When the server's certificate ends, Unix seconds. CHECK: there is one.
  [[nodiscard]] std::int64_t not_after() const;

  /// For Server: a context with this key and chain. CHECK: there is a certificate.
  [[nodiscard]] std::shared_ptr<TlsContext> server_context() const;

 private:
  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<stack_st_X509> chain_;  ///< the server's certificate first; null: none
};

}  // namespace nostril::net
