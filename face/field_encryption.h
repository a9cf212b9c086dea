#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/sealed_box.h"

#include "face/api_error.h"
#include "face/field_places.h"
#include "face/legacy_signature.h"

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
};

/// The field encryption of NEAR AI Cloud and Phala, versions 1 and 2, for one exchange: fields of a
/// JSON body are hex of boxes (schnorr/sealed_box.h) to the keys that sign, the answer's to the key
/// that the client names.
///
///   ecdsa           secp256k1, AES-256-GCM, HKDF info `ecdsa_encryption`; in both versions
///   ed25519, v1     NaCl's box on the X25519 keys of the Ed25519 keys, with XChaCha20 or XSalsa20:
///                   the answer takes what the request came in, XChaCha20 when it had no field
///   ed25519, v2     X25519, XChaCha20-Poly1305, HKDF info `ed25519_encryption`
///
/// Nothing binds a ciphertext to its place or to its request; ACI's version 2 does
/// (aci_encryption.h). Every non-empty field of a request must be a ciphertext. Hashes that are
/// signed are those of the wire's bytes, before decryption and after encryption.
/// Limits: kFieldBodyBytesMax a body. Threads: one object, one thread.
class FieldEncryption {
 public:
  /// Nothing when the headers ask for none. An error when they are half there or wrong; when the
  /// named model key is not ours (the request would not open).
  [[nodiscard]] static Result<std::optional<FieldEncryption>, ApiError> from_headers(
      const FieldEncryptionHeaders& headers, const LegacySigner& signer);

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

  FieldEncryption(Client client, bool all_fields) : client_(client), all_fields_(all_fields) {}

  [[nodiscard]] static std::optional<Client> parse_client(SigningAlgorithm algorithm, int version,
                                                          std::string_view hex);
  [[nodiscard]] std::optional<Bytes> open(ByteSpan sealed, const LegacySigner& signer);
  [[nodiscard]] std::optional<std::string> seal(std::string_view text, Rng& rng) const;

  Client client_;
  bool all_fields_ = false;
};

}  // namespace nostril::face
