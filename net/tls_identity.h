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

/// What a self-signed certificate says.
struct CertificateDraft {
  /// DNS names and IP addresses; the first is the subject, too. At least one.
  std::vector<std::string> names;
  std::int64_t not_before = 0;  ///< Unix seconds
  std::int64_t not_after = 0;
  /// One extension of our own, not critical; empty: none.
  std::string extension_oid;  ///< dotted
  std::vector<std::uint8_t> extension;
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

  /// SHA-256 of the key's SubjectPublicKeyInfo (DER).
  [[nodiscard]] std::array<std::uint8_t, 32> spki_digest() const;

  [[nodiscard]] std::string certificate_pem() const;

  /// For Server: a context with this key and chain. CHECK: there is a certificate.
  [[nodiscard]] std::shared_ptr<TlsContext> server_context() const;

 private:
  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<stack_st_X509> chain_;  ///< the server's certificate first; null: none
};

}  // namespace nostril::net
