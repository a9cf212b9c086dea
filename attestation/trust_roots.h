#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "schnorr/types.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace nostril::attestation {

/// Subject common name of every test root. A root with another name is not taken as a test root.
inline constexpr std::string_view kTestRootName = "NOSTRIL TEST ROOT - NOT A TEE";

enum class RootError : std::uint8_t {
  Malformed,    ///< not one DER certificate
  NotTestRoot,  ///< not named kTestRootName, or not self-signed
};

std::string_view to_string(RootError error);

/// The certificates that chains may end in, pinned by the SHA-256 of their exact DER bytes, never
/// by name. Immutable after construction.
class TrustRoots {
 public:
  /// Intel's, AMD's and NVIDIA's (devices and manifests): what clients judge offers by. Names and
  /// algorithms of a chain say which of them it may end in.
  static TrustRoots vendors();

  /// Intel SGX Root CA (valid 2018-05-21 to 2049-12-31).
  static TrustRoots intel();

  /// AMD's root keys ARK-Milan, ARK-Genoa and ARK-Turin (valid to 2045, 2047, 2048).
  static TrustRoots amd();

  /// The root of NVIDIA's GPUs, "NVIDIA Device Identity CA" (valid to 9999-12-31). NVIDIA's
  /// reference values have a root of their own.
  static TrustRoots nvidia_devices();

  /// The root of NVIDIA's reference manifests, "NVIDIA CoRIM signing Root CA" (valid to 2053).
  static TrustRoots nvidia_manifests();

  /// The issuer of the keys of NVIDIA's attestation service, "NVIDIA Attestation Service GPU
  /// Intermediate 004" (valid to 2029-12-08). No root: NVIDIA's key set leaves the root out.
  static TrustRoots nvidia_service();

  /// This root in place of the built-in ones. Evidence under it is called simulated, unless it is
  /// the very certificate of a vendor that is pinned here.
  static Result<TrustRoots, RootError> only(ByteSpan der);

  /// The given test root and nothing else: genuine evidence is then refused.
  static Result<TrustRoots, RootError> with_test_root(ByteSpan der);

  /// All vendors' roots and the given test root.
  static Result<TrustRoots, RootError> vendors_and_test_root(ByteSpan der);

  /// These roots and those of `other`.
  [[nodiscard]] TrustRoots joined(const TrustRoots& other) const;

  enum class Class : std::uint8_t {
    Genuine,  ///< a vendor's, pinned here
    Test,     ///< named kTestRootName
    Given,    ///< any other that the caller named: the vendor's names below it, no TEE for sure
  };

  /// What kind of root this certificate is; nothing when it is not trusted.
  [[nodiscard]] std::optional<Class> classify(ByteSpan der) const;

  /// Names this set of roots: equal sets in equal order give equal digests.
  [[nodiscard]] Digest digest() const;

 private:
  struct Root {
    Digest der_sha256;
    Class kind = Class::Test;
  };

  std::vector<Root> roots_;
};

}  // namespace nostril::attestation
