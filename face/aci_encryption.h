#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/ecdsa_key.h"
#include "schnorr/x25519.h"

#include "face/aci.h"
#include "face/api_error.h"
#include "face/field_places.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace nostril::face {

/// The service's keys of this encryption: of its keyset, and of no other use.
/// Threads: const after construction; callable from any.
class AciKeys {
 public:
  AciKeys(X25519Key x25519, EcdsaKey secp256k1)
      : x25519_(std::move(x25519)), secp256k1_(std::move(secp256k1)) {}

  [[nodiscard]] const X25519Key& x25519() const { return x25519_; }

  [[nodiscard]] const EcdsaKey& secp256k1() const { return secp256k1_; }

  /// For AciKeyset: key ids `e2ee-x25519` and `e2ee-secp256k1`.
  [[nodiscard]] std::vector<AciEncryptionKey> keyset_entries() const;

 private:
  X25519Key x25519_;
  EcdsaKey secp256k1_;
};

/// Headers that ask for it, as they came.
struct AciEncryptionHeaders {
  std::optional<std::string_view> version;            ///< X-E2EE-Version
  std::optional<std::string_view> client_public_key;  ///< X-Client-Pub-Key
  std::optional<std::string_view> model_public_key;   ///< X-Model-Pub-Key
  std::optional<std::string_view> nonce;              ///< X-E2EE-Nonce
  std::optional<std::string_view> timestamp;          ///< X-E2EE-Timestamp
  std::optional<std::string_view> signing_algo;       ///< X-Signing-Algo: then it is Phala's
};

/// Where a field stands and in which exchange, as canonical JSON: the associated data of its
/// ciphertext. `response_id`: nothing in a request.
struct AciFieldContext {
  std::string_view algorithm;
  std::string_view model;
  std::string_view field;
  std::string_view nonce;
  std::int64_t timestamp = 0;
  std::optional<std::string_view> response_id;
};

[[nodiscard]] std::string field_aad(const AciFieldContext& context);

inline constexpr std::int64_t kAciWindowSeconds = 300;

[[nodiscard]] constexpr bool is_in_aci_window(std::int64_t timestamp, std::int64_t now_s) {
  return timestamp >= now_s - kAciWindowSeconds && timestamp <= now_s + kAciWindowSeconds;
}

/// ACI's E2EE version 2 for one exchange. Every field is a box (schnorr/sealed_box.h) with AES-GCM,
/// bound to its place, model, nonce and time. Chat, completions and embeddings (not streamed).
/// Every non-empty field of a request must be a ciphertext, and there must be one.
/// A request is taken once: ask AciReplays with replay_id() before it is worked on.
/// Threads: one object, one thread.
class AciEncryption {
 public:
  /// Nothing when the headers ask for none (X-E2EE-Version and X-E2EE-Nonce and X-E2EE-Timestamp
  /// all absent), or for Phala's encryption (X-Signing-Algo: field_encryption.h).
  [[nodiscard]] static Result<std::optional<AciEncryption>, ApiError> from_headers(
      const AciEncryptionHeaders& headers, const AciKeys& keys, std::int64_t now_s);

  [[nodiscard]] std::string_view algorithm() const { return algorithm_; }  ///< X-E2EE-Algo

  /// A hash of client key, service key and nonce.
  [[nodiscard]] Digest replay_id() const;

  [[nodiscard]] std::int64_t timestamp() const { return timestamp_; }

  /// The restored body, compact: what the receipt's `request.received` hashes.
  [[nodiscard]] Result<std::string, ApiError> decrypt_request(Endpoint endpoint,
                                                              std::string_view body,
                                                              const AciKeys& keys);
  /// A whole answer, or the data of one event of a streamed one; after decrypt_request(), whose
  /// model it binds (CHECK). The caller must not send the plaintext when this fails.
  [[nodiscard]] Result<std::string, ApiError> encrypt_response(Endpoint endpoint,
                                                               std::string_view body,
                                                               Rng& rng) const;

 private:
  using Client = std::variant<X25519PublicKey, EcdsaPublicKey>;

  AciEncryption() = default;

  [[nodiscard]] bool choose_key(std::string_view model_key, const AciKeys& keys);
  [[nodiscard]] bool read_client(std::string_view hex);
  [[nodiscard]] std::optional<Bytes> open(std::string_view aad, ByteSpan sealed,
                                          const AciKeys& keys) const;
  [[nodiscard]] std::optional<Bytes> seal(std::string_view aad, std::string_view text,
                                          Rng& rng) const;

  std::string_view algorithm_;
  Client client_;
  Bytes service_key_;
  std::string nonce_;  ///< as it came: the associated data has it so
  std::int64_t timestamp_ = 0;
  std::optional<std::string> model_;
};

/// The requests of the last minutes. Held until their time has left the window; when full, new
/// requests are refused until some have: to forget one would let it be repeated.
/// A clock that is set back lets no request in whose time has passed before. In memory: enough as
/// long as the service's keys (AciKeys) are made anew at each start, for nothing that was sent to
/// other keys opens; for keys that stay, name the start as `since_s`, and what a client dated ahead
/// of the start may be taken once more. Memory: about 100 bytes each. Threads: one object, one
/// thread.
class AciReplays {
 public:
  explicit AciReplays(std::size_t count_max = 1U << 17, std::int64_t since_s = 0)
      : count_max_(count_max), forgotten_before_(since_s) {}

  /// False: seen before, or no room.
  [[nodiscard]] bool admit(const Digest& id, std::int64_t timestamp, std::int64_t now_s);

 private:
  std::size_t count_max_;
  std::int64_t forgotten_before_;  ///< of these times nothing is remembered
  std::set<Digest> seen_;
  std::multimap<std::int64_t, Digest> by_time_;
};

}  // namespace nostril::face
