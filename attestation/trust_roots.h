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
  /// Intel SGX Root CA (valid 2018-05-21 to 2049-12-31). What every program uses by default.
  static TrustRoots intel();

  /// AMD's root keys ARK-Milan, ARK-Genoa and ARK-Turin (valid to 2045, 2047, 2048).
  static TrustRoots amd();

  /// This root in place of the built-in ones. Evidence under it is called simulated, unless it is
  /// the very certificate of a vendor that is pinned here.
  static Result<TrustRoots, RootError> only(ByteSpan der);

  /// The given test root and nothing else: genuine evidence is then refused.
  static Result<TrustRoots, RootError> with_test_root(ByteSpan der);

  /// Intel's root and the given test root.
  static Result<TrustRoots, RootError> intel_and_test_root(ByteSpan der);

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
