#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "events/event.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nostril {

/// NIP-19 codes: bech32 (not bech32m) without the 90-character limit, 5,000 at most. Secret keys
/// (nsec) stay bytes here and go to Keypair::from_secret.
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
[[nodiscard]] std::string encode(const Nprofile& value);
[[nodiscard]] std::string encode(const Nevent& value);
[[nodiscard]] std::string encode(const Naddr& value);

}  // namespace nip19

}  // namespace nostril
