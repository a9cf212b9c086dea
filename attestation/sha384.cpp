// OpenSSL 3 calls the block functions deprecated in favour of EVP, which allocates for each use.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "attestation/sha384.h"

#include <openssl/sha.h>

namespace nostril::attestation {

std::array<std::uint8_t, 48> sha384(std::initializer_list<ByteSpan> parts) {
  SHA512_CTX state;
  SHA384_Init(&state);
  for (const ByteSpan part : parts) SHA384_Update(&state, part.data(), part.size());
  std::array<std::uint8_t, 48> out{};
  SHA384_Final(out.data(), &state);
  return out;
}

std::array<std::uint8_t, 64> sha512(std::initializer_list<ByteSpan> parts) {
  SHA512_CTX state;
  SHA512_Init(&state);
  for (const ByteSpan part : parts) SHA512_Update(&state, part.data(), part.size());
  std::array<std::uint8_t, 64> out{};
  SHA512_Final(out.data(), &state);
  return out;
}

}  // namespace nostril::attestation
