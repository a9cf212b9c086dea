#include "face/legacy_signature.h"

#include "base/hex.h"

#include "face/text.h"

namespace nostril::face {

namespace {

constexpr std::size_t kHashChars = 2 * Digest::kSize;

bool verify_ecdsa(std::string_view text, std::string_view address, std::string_view signature) {
  const auto expected = from_hex<EthereumAddress>(ascii_lower(without_0x(address)));
  const auto bytes = from_hex<EthereumSignature>(without_0x(signature));
  if (!expected || !bytes) return false;
  return recover_personal(text, *bytes) == *expected;
}

bool verify_ed25519_text(std::string_view text, std::string_view address,
                         std::string_view signature) {
  const auto key = from_hex<Ed25519PublicKey>(address);
  const auto bytes = from_hex<Ed25519Signature>(signature);
  return key && bytes && ed25519_verify(*key, as_bytes(text), *bytes);
}

}  // namespace

std::string_view to_string(SigningAlgorithm algorithm) {
  return algorithm == SigningAlgorithm::Ecdsa ? "ecdsa" : "ed25519";
}

std::optional<SigningAlgorithm> parse_signing_algorithm(std::string_view text) {
  if (text == "ecdsa") return SigningAlgorithm::Ecdsa;
  if (text == "ed25519") return SigningAlgorithm::Ed25519;
  return std::nullopt;
}

std::string to_text(const SignedText& text) {
  std::string out;
  if (text.model) out = *text.model + ":";
  append_hex(out, text.request.bytes);
  out += ':';
  append_hex(out, text.response.bytes);
  return out;
}

std::optional<SignedText> parse_signed_text(std::string_view text) {
  constexpr std::size_t kTail = 2 * kHashChars + 1;
  if (text.size() < kTail) return std::nullopt;
  const std::string_view tail = text.substr(text.size() - kTail);
  const auto request = from_hex<Digest>(tail.substr(0, kHashChars));
  const auto response = from_hex<Digest>(tail.substr(kHashChars + 1));
  if (!request || !response || tail[kHashChars] != ':') return std::nullopt;
  SignedText out;
  out.request = *request;
  out.response = *response;
  if (text.size() == kTail) return out;
  const std::string_view head = text.substr(0, text.size() - kTail);
  if (head.size() < 2 || head.back() != ':') return std::nullopt;
  out.model = head.substr(0, head.size() - 1);
  return out;
}

std::string to_json(const ChatSignature& signature) {
  JsonWriter out;
  out.begin_object().key("text").string(signature.text);
  out.key("signature").string(signature.signature);
  out.key("signing_address").string(signature.signing_address);
  out.key("signing_algo").string(to_string(signature.algorithm)).end_object();
  return std::move(out).take();
}

std::string_view to_string(SignatureError error) {
  switch (error) {
    case SignatureError::NotJson:
      return "not JSON";
    case SignatureError::BadField:
      return "a member is missing or of another type";
    case SignatureError::BadText:
      return "the signed text does not end with two hashes";
    case SignatureError::BadSignature:
      return "the address did not sign the text";
  }
  return "unknown";
}

Result<SignedText, SignatureError> verify_chat_signature(std::string_view json) {
  JsonLimits limits;
  limits.bytes_max = kChatSignatureBytesMax;
  const auto document = Json::parse(json, limits);
  if (!document) return failure(SignatureError::NotJson);
  const auto text = document->find_string("text");
  const auto signature = document->find_string("signature");
  const auto address = document->find_string("signing_address");
  const auto named = document->find_string("signing_algo");
  const auto algorithm = named ? parse_signing_algorithm(*named) : std::nullopt;
  if (!text || !signature || !address || !algorithm) return failure(SignatureError::BadField);
  auto parsed = parse_signed_text(*text);
  if (!parsed) return failure(SignatureError::BadText);
  const bool valid = *algorithm == SigningAlgorithm::Ecdsa
                         ? verify_ecdsa(*text, *address, *signature)
                         : verify_ed25519_text(*text, *address, *signature);
  if (!valid) return failure(SignatureError::BadSignature);
  return *std::move(parsed);
}

ChatSignature LegacySigner::sign(const SignedText& text, SigningAlgorithm algorithm) const {
  ChatSignature out;
  out.text = to_text(text);
  out.signing_address = address(algorithm);
  out.algorithm = algorithm;
  if (algorithm == SigningAlgorithm::Ecdsa) {
    out.signature = "0x" + encode_hex(ecdsa_.sign_personal(out.text));
  } else {
    out.signature = encode_hex(ed25519_.sign(as_bytes(out.text)));
  }
  return out;
}

Bytes LegacySigner::address_bytes(SigningAlgorithm algorithm) const {
  if (algorithm == SigningAlgorithm::Ed25519) {
    const auto& bytes = ed25519_.public_key().bytes;
    return {bytes.begin(), bytes.end()};
  }
  const EthereumAddress address = ecdsa_.address();
  return {address.bytes.begin(), address.bytes.end()};
}

std::string LegacySigner::address(SigningAlgorithm algorithm) const {
  const std::string hex = encode_hex(address_bytes(algorithm));
  return algorithm == SigningAlgorithm::Ecdsa ? "0x" + hex : hex;
}

std::string LegacySigner::public_key(SigningAlgorithm algorithm) const {
  if (algorithm == SigningAlgorithm::Ed25519) return encode_hex(ed25519_.public_key());
  return encode_hex(ByteSpan(ecdsa_.public_key().bytes).subspan(1));
}

}  // namespace nostril::face
