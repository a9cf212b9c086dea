#pragma once

#include "base/json.h"
#include "base/result.h"
#include "schnorr/ecdsa_key.h"
#include "schnorr/ed25519.h"
#include "schnorr/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// The signature of one exchange as NEAR AI Cloud, Phala, RedPill and 0G serve it under
/// `GET /v1/signature/{id}`: a text that names the hashes of the exact bytes of request and
/// response, signed by Ethereum's ECDSA or by Ed25519. Threads: any.
namespace nostril::face {

enum class SigningAlgorithm : std::uint8_t { Ecdsa, Ed25519 };
std::string_view to_string(SigningAlgorithm algorithm);
/// Exactly "ecdsa" or "ed25519".
[[nodiscard]] std::optional<SigningAlgorithm> parse_signing_algorithm(std::string_view text);

/// `model:request:response`, hashes in lowercase hex; two parts, without the model, in the form of
/// 2024. A model's name may hold colons: the hashes are the last two parts.
struct SignedText {
  std::optional<std::string> model;
  Digest request;   ///< SHA-256 of the body as it came; of `path?query` where there is none
  Digest response;  ///< SHA-256 of all bytes sent, of a stream with its framing

  bool operator==(const SignedText&) const = default;
};

[[nodiscard]] std::string to_text(const SignedText& text);
[[nodiscard]] std::optional<SignedText> parse_signed_text(std::string_view text);

/// What the endpoint serves.
struct ChatSignature {
  std::string text;
  std::string signature;        ///< 0x and 65 bytes r, s, v; or 64 bytes of Ed25519. Lowercase hex
  std::string signing_address;  ///< 0x and 20 bytes; or the Ed25519 public key
  SigningAlgorithm algorithm = SigningAlgorithm::Ecdsa;
};

/// {"text":…,"signature":…,"signing_address":…,"signing_algo":…}
[[nodiscard]] std::string to_json(const ChatSignature& signature);

enum class SignatureError : std::uint8_t { NotJson, BadField, BadText, BadSignature };
std::string_view to_string(SignatureError error);

inline constexpr std::size_t kChatSignatureBytesMax = 16384;

/// Reads what to_json() wrote, or another server did, and checks that the address signed the text:
/// the hashes in it are the caller's to compare. Members that we don't know are passed over; the
/// address may be in mixed case (EIP-55).
[[nodiscard]] Result<SignedText, SignatureError> verify_chat_signature(std::string_view json);

/// The node's two keys of this API. Threads: const after construction; callable from any.
class LegacySigner {
 public:
  LegacySigner(EcdsaKey ecdsa, Ed25519Key ed25519)
      : ecdsa_(std::move(ecdsa)), ed25519_(std::move(ed25519)) {}

  [[nodiscard]] ChatSignature sign(const SignedText& text, SigningAlgorithm algorithm) const;

  /// 20 or 32 bytes, and as text.
  [[nodiscard]] Bytes address_bytes(SigningAlgorithm algorithm) const;
  [[nodiscard]] std::string address(SigningAlgorithm algorithm) const;
  /// Hex: 64 bytes x, y; or 32 bytes.
  [[nodiscard]] std::string public_key(SigningAlgorithm algorithm) const;

  /// Clients encrypt to the keys that sign (field_encryption.h).
  [[nodiscard]] const EcdsaKey& ecdsa() const { return ecdsa_; }

  [[nodiscard]] const Ed25519Key& ed25519() const { return ed25519_; }

 private:
  EcdsaKey ecdsa_;
  Ed25519Key ed25519_;
};

}  // namespace nostril::face
