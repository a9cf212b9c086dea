#pragma once

#include "base/result.h"
#include "events/nip19.h"
#include "schnorr/encrypted_key.h"

#include <string>
#include <string_view>

namespace nostril {

/// NIP-49's text of an encrypted key: bech32 "ncryptsec1…" of its 91 bytes. Pure.
[[nodiscard]] Result<EncryptedKey, nip19::Error> decode_ncryptsec(std::string_view code);
[[nodiscard]] std::string encode_ncryptsec(const EncryptedKey& key);

}  // namespace nostril
