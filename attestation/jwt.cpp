#include "attestation/jwt.h"

#include "base/base64.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::size_t kSignatureBytes = 96;
constexpr std::size_t kKidBytesMax = 256;
constexpr std::size_t kCoordinateBytes = 48;

/// Takes the part before the next dot off the front.
std::optional<std::string_view> take_part(std::string_view& text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view part = text.substr(0, dot);
  text.remove_prefix(dot + 1);
  return part;
}

std::optional<Json> decode_object(std::string_view part) {
  const auto bytes = decode_base64url(part);
  if (!bytes) return std::nullopt;
  auto json = Json::parse(as_text(*bytes));
  if (!json || !json->is_object()) return std::nullopt;
  return std::move(*json);
}

/// "alg" and "kid", and "typ" at most; what it says of the key id goes to `kid`.
std::optional<JwtError> read_header(const Json& header, std::string& kid) {
  if (header.find_string("alg") != "ES384") return JwtError::WrongAlgorithm;
  for (const auto& [name, value] : header.members()) {
    const bool known = name == "alg" || name == "kid" || (name == "typ" && value.string() == "JWT");
    if (!known) return JwtError::BadHeader;
  }
  kid = header.find_string("kid").value_or("");
  if (kid.empty() || kid.size() > kKidBytesMax) return JwtError::BadHeader;
  return std::nullopt;
}

/// x||y of a P-384 key; empty for another.
Bytes coordinates(const Certificate& certificate) {
  EVP_PKEY* key = p384_key_of(certificate);
  Bytes point(1 + 2 * kCoordinateBytes);
  std::size_t size = 0;
  const bool ok = key != nullptr &&
                  EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                                  point.size(), &size) == 1 &&
                  size == point.size() && point.front() == 4;
  ERR_clear_error();
  return ok ? Bytes(point.begin() + 1, point.end()) : Bytes{};
}

Bytes stated_coordinates(const Json& key) {
  const auto x = decode_base64url(key.find_string("x").value_or(""));
  const auto y = decode_base64url(key.find_string("y").value_or(""));
  if (!x || !y || x->size() != kCoordinateBytes || y->size() != kCoordinateBytes) return {};
  Bytes out(*x);
  out.insert(out.end(), y->begin(), y->end());
  return out;
}

Result<std::vector<Certificate>, KeyError> read_chain(const Json* x5c) {
  if (x5c == nullptr || x5c->items().empty() || x5c->items().size() > kChainCountMax) {
    return failure(KeyError::BadChain);
  }
  std::vector<Certificate> out;
  for (const Json& item : x5c->items()) {
    const auto der = decode_base64(item.string().value_or(""));
    auto certificate = der ? parse_certificate(*der) : std::nullopt;
    if (!certificate) return failure(KeyError::BadChain);
    out.push_back(std::move(*certificate));
  }
  return out;
}

}  // namespace

std::string_view to_string(JwtError error) {
  switch (error) {
    case JwtError::TooLarge:
      return "token too large";
    case JwtError::Malformed:
      return "malformed token";
    case JwtError::WrongAlgorithm:
      return "token of another algorithm than ES384";
    case JwtError::BadHeader:
      return "token header without a key id, or with more than that";
  }
  return "unknown";
}

std::string_view to_string(KeyError error) {
  switch (error) {
    case KeyError::BadSet:
      return "malformed key set";
    case KeyError::UnknownKey:
      return "key not in the set";
    case KeyError::DoubleKey:
      return "key twice in the set";
    case KeyError::BadKey:
      return "not a P-384 key, or not its certificate's";
    case KeyError::BadChain:
      return "malformed certificates of the key";
  }
  return "unknown";
}

Result<Jwt, JwtError> Jwt::parse(std::string_view text) {
  if (text.size() > kJwtBytesMax) return failure(JwtError::TooLarge);
  std::string_view rest = text;
  const auto header_part = take_part(rest);
  const auto claims_part = take_part(rest);
  if (!header_part || !claims_part) return failure(JwtError::Malformed);
  const auto header = decode_object(*header_part);
  if (!header) return failure(JwtError::Malformed);
  Jwt out;
  if (const auto error = read_header(*header, out.kid)) return failure(*error);
  auto claims = decode_object(*claims_part);
  const auto signature = decode_base64url(rest);
  if (!claims || !signature || signature->size() != kSignatureBytes) {
    return failure(JwtError::Malformed);
  }
  out.signed_part = text.substr(0, text.size() - rest.size() - 1);
  out.claims = std::move(*claims);
  std::copy(signature->begin(), signature->end(), out.signature.begin());
  return out;
}

Result<KeySet, KeyError> KeySet::parse(std::string_view text) {
  if (text.size() > kKeySetBytesMax) return failure(KeyError::BadSet);
  const auto json = Json::parse(text);
  const Json* keys = json ? json->find("keys") : nullptr;
  if (keys == nullptr || !keys->is_array() || keys->items().size() > kKeySetCountMax) {
    return failure(KeyError::BadSet);
  }
  KeySet out;
  out.keys_ = *keys;
  return out;
}

Result<std::vector<Certificate>, KeyError> KeySet::find(std::string_view kid) const {
  const Json* key = nullptr;
  for (const Json& item : keys_.items()) {
    if (item.find_string("kid") != kid) continue;
    if (key != nullptr) return failure(KeyError::DoubleKey);
    key = &item;
  }
  if (key == nullptr) return failure(KeyError::UnknownKey);
  if (key->find_string("kty") != "EC" || key->find_string("crv") != "P-384") {
    return failure(KeyError::BadKey);
  }
  auto chain = read_chain(key->find("x5c"));
  if (!chain) return failure(chain.error());
  const Bytes own = coordinates(chain->front());
  if (own.empty() || own != stated_coordinates(*key)) return failure(KeyError::BadKey);
  return chain;
}

}  // namespace nostril::attestation
