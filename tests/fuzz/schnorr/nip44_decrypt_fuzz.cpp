#include "base/base64.h"
#include "base/check.h"
#include "schnorr/hash.h"
#include "schnorr/nip44.h"

#include <algorithm>

namespace {

using nostril::Bytes;
using nostril::ByteSpan;

/// The first byte picks: the input as it is, or the input as ciphertext under a right MAC, so that
/// what follows the MAC is reached.
std::string payload_from(const nostril::ConversationKey& key, ByteSpan input) {
  if (input.empty() || input[0] % 2 == 0) {
    return std::string(nostril::as_text(input.subspan(std::min<std::size_t>(1, input.size()))));
  }
  const Bytes nonce(32, input[0]);
  Bytes keys(76);
  nostril::hkdf_expand(ByteSpan(key.expose()), nonce, keys);
  Bytes payload{2};
  payload.insert(payload.end(), nonce.begin(), nonce.end());
  payload.insert(payload.end(), input.begin() + 1, input.end());
  const auto mac = nostril::hmac_sha256(ByteSpan(keys).subspan(44), ByteSpan(payload).subspan(1));
  payload.insert(payload.end(), mac.bytes.begin(), mac.bytes.end());
  return nostril::encode_base64(payload);
}

}  // namespace

/// What is accepted must encrypt to the same payload again: one plaintext and nonce, one text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const nostril::ConversationKey key{nostril::SecretBytes<32>()};
  const std::string payload = payload_from(key, {data, size});
  const auto plaintext = nostril::nip44_decrypt(key, payload);
  if (!plaintext) return 0;
  const auto bytes = nostril::decode_base64(payload);
  CHECK(bytes.has_value());
  std::array<std::uint8_t, 32> nonce{};
  std::copy_n(bytes->begin() + 1, nonce.size(), nonce.begin());
  CHECK(nostril::nip44_encrypt_with_nonce(key, *plaintext, nonce) == payload);
  return 0;
}
