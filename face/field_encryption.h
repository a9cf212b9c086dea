#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/sealed_box.h"

#include "face/api_error.h"
#include "face/field_places.h"
#include "face/legacy_signature.h"

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace nostril::face {

/// Headers that ask for it, as they came.
struct FieldEncryptionHeaders {
  std::optional<std::string_view> signing_algo;        ///< X-Signing-Algo
  std::optional<std::string_view> client_public_key;   ///< X-Client-Pub-Key
  std::optional<std::string_view> model_public_key;    ///< X-Model-Pub-Key
  std::optional<std::string_view> encryption_version;  ///< X-Encryption-Version
  std::optional<std::string_view> encrypt_all_fields;  ///< X-Encrypt-All-Fields
  std::optional<std::string_view> e2ee_version;        ///< X-E2EE-Version
  std::optional<std::string_view> e2ee_nonce;          ///< X-E2EE-Nonce
  std::optional<std::string_view> e2ee_timestamp;      ///< X-E2EE-Timestamp
};

/// The field encryption of NEAR AI Cloud and Phala for one exchange: fields of a JSON body are hex
/// of boxes (schnorr/sealed_box.h) to the keys that sign, the answer's to the key that the client
/// names. Both have a version 2, named by other headers: NEAR's by X-Encryption-Version, Phala's by
/// X-E2EE-Version or by a nonce and a timestamp.
///
///   ecdsa             secp256k1, AES-256-GCM, HKDF info `ecdsa_encryption`; in all versions
///   ed25519, v1       on the X25519 keys of the Ed25519 keys: NaCl's box with XChaCha20 or
///                     XSalsa20 (NEAR), or AES-256-GCM, HKDF info `ed25519_encryption` (Phala):
///                     the answer takes what the request came in, XChaCha20 when it had no field
///   ed25519, NEAR v2  X25519, XChaCha20-Poly1305, HKDF info `ed25519_encryption`
///   ed25519, Phala v2 X25519, AES-256-GCM, the same info
///
/// Nothing binds a ciphertext to its place or to its request but Phala's version 2 and ACI's
/// (aci_encryption.h); the former, for chat only, has as associated data, with m and choice the
/// positions in `messages` and `choices`, c that in a list of contents or '-':
///
///   v2|req|algo=ALGO|model=MODEL|m=M|c=C|n=NONCE|ts=TIMESTAMP
///   v2|resp|algo=ALGO|model=MODEL|id=ID|choice=CHOICE|field=FIELD|n=NONCE|ts=TIMESTAMP
///
/// Neither binds the client's key: what comes through somebody who reads HTTP could have been
/// given another key to answer to, once. Every non-empty field of a request must be a ciphertext.
/// Hashes that are signed are those of the wire's bytes, before decryption and after encryption.
/// Limits: kFieldBodyBytesMax a body. Threads: one object, one thread.
class FieldEncryption {
 public:
  /// Nothing when the headers ask for none. An error when they are half there or wrong; when the
  /// named model key is not ours (the request would not open). The time is the caller's to judge:
  /// once().
  [[nodiscard]] static Result<std::optional<FieldEncryption>, ApiError> from_headers(
      const FieldEncryptionHeaders& headers, const LegacySigner& signer);

  struct Once {
    Digest id;  ///< a hash of algorithm, nonce and time, as Phala's proxy tells requests apart
    std::int64_t timestamp = 0;
  };

  /// Of Phala's version 2: ask AciReplays with it before the request is worked on.
  [[nodiscard]] std::optional<Once> once() const;

  [[nodiscard]] SigningAlgorithm algorithm() const;

  /// What X-E2EE-Version of the answer says: "1" or "2"; nothing for NEAR's version 2.
  [[nodiscard]] std::string_view e2ee_version() const;

  [[nodiscard]] Result<std::string, ApiError> decrypt_request(Endpoint endpoint,
                                                              std::string_view body,
                                                              const LegacySigner& signer);
  /// One field that stands by itself, as in a form; nothing when it does not open.
  [[nodiscard]] std::optional<std::string> decrypt_field(std::string_view hex,
                                                         const LegacySigner& signer);
  /// A whole answer, or the data of one event of a streamed one. The caller must not send the
  /// plaintext when this fails.
  [[nodiscard]] Result<std::string, ApiError> encrypt_response(Endpoint endpoint,
                                                               std::string_view body,
                                                               Rng& rng) const;

 private:
  struct EcdsaClient {
    EcdsaPublicKey key;
  };

  struct Ed25519Client {
    X25519PublicKey key;
    BoxCipher cipher = BoxCipher::NaclXChaCha;  ///< of the answer
  };

  using Client = std::variant<EcdsaClient, Ed25519Client>;

  /// What Phala's version 2 binds a request and its answer to.
  struct Bound {
    std::string nonce;
    std::int64_t timestamp = 0;
  };

  FieldEncryption(Client client, bool all_fields) : client_(client), all_fields_(all_fields) {}

  [[nodiscard]] static std::optional<Client> parse_client(SigningAlgorithm algorithm,
                                                          BoxCipher cipher, std::string_view hex);
  [[nodiscard]] static Result<std::optional<Bound>, ApiError> parse_bound(
      const FieldEncryptionHeaders& headers);
  [[nodiscard]] std::optional<std::string> decrypt_text(std::string_view hex, std::string_view aad,
                                                        const LegacySigner& signer);
  [[nodiscard]] std::optional<Bytes> open(ByteSpan sealed, std::string_view aad,
                                          const LegacySigner& signer);
  [[nodiscard]] std::optional<std::string> seal(std::string_view text, std::string_view aad,
                                                Rng& rng) const;
  /// The associated data of a field; empty unless bound.
  [[nodiscard]] std::string request_aad(const Json& body, std::string_view path) const;
  [[nodiscard]] std::string response_aad(const Json& body, std::string_view path) const;

  struct AadMember {
    std::string_view name;
    std::string_view value;
  };

  [[nodiscard]] std::string bound_aad(std::string_view direction, const Json& body,
                                      std::initializer_list<AadMember> members) const;

  Client client_;
  bool all_fields_ = false;
  std::optional<Bound> bound_;
};

}  // namespace nostril::face
