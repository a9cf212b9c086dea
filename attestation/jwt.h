#pragma once

#include "attestation/trust_roots.h"
#include "attestation/x509.h"
#include "base/json.h"
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// JSON web tokens (RFC 7519) as NVIDIA's attestation service signs them, and the set of keys that
/// it publishes (RFC 7517). One algorithm, ES384; a token that names another, or "none", is no
/// token here.
namespace nostril::attestation {

inline constexpr std::size_t kJwtBytesMax = 64U << 10U;
/// NVIDIA's whole set has 150 KB.
inline constexpr std::size_t kKeySetBytesMax = 512U << 10U;
inline constexpr std::size_t kKeySetCountMax = 1024;

enum class JwtError : std::uint8_t {
  TooLarge,
  Malformed,       ///< not three parts in base64url, a JSON object each, and a signature
  WrongAlgorithm,  ///< the header names another than ES384
  BadHeader,       ///< no key id, or a member that would change how the token is read
};

std::string_view to_string(JwtError error);

/// A token taken apart, its signature not verified.
struct Jwt {
  std::string_view signed_part;  ///< borrowed: header and claims as they stand
  std::string kid;
  Json claims;  ///< an object
  std::array<std::uint8_t, 96> signature{};

  /// Strict: no padding, no other character, and a header of "alg", "kid" and "typ" ("JWT") only.
  static Result<Jwt, JwtError> parse(std::string_view text);
};

enum class KeyError : std::uint8_t {
  BadSet,      ///< the set is malformed or too large
  UnknownKey,  ///< no key of that id
  DoubleKey,   ///< more than one
  BadKey,      ///< not P-384, or not the key of its certificate
  BadChain,    ///< its certificates: malformed
};

std::string_view to_string(KeyError error);

/// A set of keys. Immutable after parse().
class KeySet {
 public:
  static Result<KeySet, KeyError> parse(std::string_view text);

  /// The certificates (x5c) of the key of that id, its own first, not verified. Only this one is
  /// looked at closely: sets hold keys of other kinds.
  [[nodiscard]] Result<std::vector<Certificate>, KeyError> find(std::string_view kid) const;

 private:
  Json keys_;
};

}  // namespace nostril::attestation
