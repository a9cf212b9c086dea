#include "events/nip49.h"

#include "events/bech32.h"

#include <algorithm>

namespace nostril {

namespace {
constexpr std::string_view kPrefix = "ncryptsec";
}

Result<EncryptedKey, nip19::Error> decode_ncryptsec(std::string_view code) {
  const auto bech32 = decode_bech32(code);
  if (!bech32) {
    return failure(bech32.error() == Bech32Error::BadChecksum ? nip19::Error::BadChecksum
                                                              : nip19::Error::NotBech32);
  }
  if (bech32->prefix != kPrefix) return failure(nip19::Error::UnknownPrefix);
  if (bech32->data.size() != kEncryptedKeyBytes) return failure(nip19::Error::BadData);
  EncryptedKey out{};
  std::ranges::copy(bech32->data, out.begin());
  return out;
}

std::string encode_ncryptsec(const EncryptedKey& key) {
  return encode_bech32(kPrefix, key);
}

}  // namespace nostril
