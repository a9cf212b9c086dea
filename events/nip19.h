#pragma once

#include "base/result.h"
#include "events/event.h"
#include "schnorr/secret.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nostril {

/// NIP-19 codes: bech32 (not bech32m) without the 90-character limit, 5,000 at most. Secret keys
/// (nsec) stay bytes here and go to Keypair::from_secret; the text that encode() makes of one is
/// the caller's to keep secret. Lowercase only. TLV: unknown types are ignored; a known one of the
/// wrong size or a second special, author or kind is refused; relays are printable ASCII,
/// identifiers UTF-8 without U+0000, kinds 65535 at most.
namespace nip19 {

struct Npub {
  PublicKey key;
};

struct Nsec {
  SecretBytes<32> secret;
};

struct Note {
  EventId id;
};

struct Nprofile {
  PublicKey key;
  std::vector<std::string> relays;
};

struct Nevent {
  EventId id;
  std::vector<std::string> relays;
  std::optional<PublicKey> author;
  std::optional<std::uint32_t> kind;
};

struct Naddr {
  std::string identifier;
  PublicKey author;
  std::uint32_t kind = 0;
  std::vector<std::string> relays;
};

using Entity = std::variant<Npub, Nsec, Note, Nprofile, Nevent, Naddr>;

enum class Error : std::uint8_t { NotBech32, BadChecksum, UnknownPrefix, BadData };
std::string_view to_string(Error error);

[[nodiscard]] Result<Entity, Error> decode(std::string_view code);
[[nodiscard]] std::string encode(const Npub& value);
[[nodiscard]] std::string encode(const Nsec& value);
[[nodiscard]] std::string encode(const Note& value);
/// Relays over 255 bytes, or beyond the code's 5,000 characters, are left out: they are hints.
[[nodiscard]] std::string encode(const Nprofile& value);
[[nodiscard]] std::string encode(const Nevent& value);
/// Empty when the identifier is over 255 bytes: NIP-19 has no form for it.
[[nodiscard]] std::string encode(const Naddr& value);

}  // namespace nip19

}  // namespace nostril
