#include "events/nip19.h"

#include "events/bech32.h"
#include "events/kinds.h"
#include "events/text.h"
#include "schnorr/secret.h"

#include <algorithm>

namespace nostril::nip19 {

namespace {

// TLV types, and what `Special` means, by NIP-19: the key, the id or the d tag that is named.
enum class Tlv : std::uint8_t { Special = 0, Relay = 1, Author = 2, Kind = 3 };

constexpr std::size_t kTlvValueBytesMax = 255;
// 5,000 characters less prefix, separator and checksum, as 8-bit bytes.
constexpr std::size_t kTlvBytesMax = (kBech32CharactersMax - 16) * 5 / 8;

struct Fields {
  std::optional<ByteSpan> special;
  std::vector<std::string> relays;
  std::optional<PublicKey> author;
  std::optional<std::uint32_t> kind;
};

bool is_relay_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

std::optional<std::uint32_t> read_kind(ByteSpan value) {
  if (value.size() != 4 || value[0] != 0 || value[1] != 0) return std::nullopt;
  return static_cast<std::uint32_t>(value[2]) << 8 | value[3];
}

/// One TLV into `out`. False when its size is wrong or a single one stands twice; types of later
/// versions are ignored, as NIP-19 asks.
bool read_field(std::uint8_t type, ByteSpan value, Fields& out) {
  switch (static_cast<Tlv>(type)) {
    case Tlv::Special:
      if (out.special) return false;
      out.special = value;
      return true;
    case Tlv::Relay:
      if (!is_relay_text(as_text(value))) return false;
      out.relays.emplace_back(as_text(value));
      return true;
    case Tlv::Author:
      if (out.author) return false;
      out.author = PublicKey::from(value);
      return out.author.has_value();
    case Tlv::Kind:
      if (out.kind) return false;
      out.kind = read_kind(value);
      return out.kind.has_value();
  }
  return true;
}

std::optional<Fields> read_fields(ByteSpan data) {
  Fields out;
  while (!data.empty()) {
    if (data.size() < 2 || data.size() - 2 < data[1]) return std::nullopt;
    if (!read_field(data[0], data.subspan(2, data[1]), out)) return std::nullopt;
    data = data.subspan(2 + std::size_t{data[1]});
  }
  if (!out.special) return std::nullopt;
  return out;
}

Result<Entity, Error> read_nprofile(ByteSpan data) {
  auto fields = read_fields(data);
  if (!fields) return failure(Error::BadData);
  const auto key = PublicKey::from(*fields->special);
  if (!key) return failure(Error::BadData);
  return Nprofile{*key, std::move(fields->relays)};
}

Result<Entity, Error> read_nevent(ByteSpan data) {
  auto fields = read_fields(data);
  if (!fields) return failure(Error::BadData);
  const auto id = EventId::from(*fields->special);
  if (!id) return failure(Error::BadData);
  return Nevent{*id, std::move(fields->relays), fields->author, fields->kind};
}

Result<Entity, Error> read_naddr(ByteSpan data) {
  auto fields = read_fields(data);
  if (!fields || !fields->author || !fields->kind) return failure(Error::BadData);
  const std::string_view identifier = as_text(*fields->special);
  if (!is_event_text(identifier)) return failure(Error::BadData);
  return Naddr{std::string(identifier), *fields->author, *fields->kind, std::move(fields->relays)};
}

template <typename T, typename Value>
Result<Entity, Error> read_plain(ByteSpan data) {
  const auto value = Value::from(data);
  if (!value) return failure(Error::BadData);
  return T{*value};
}

Result<Entity, Error> read_nsec(ByteSpan data) {
  if (data.size() != 32) return failure(Error::BadData);
  return Nsec{SecretBytes<32>(data.first<32>())};
}

Result<Entity, Error> read_data(std::string_view prefix, ByteSpan data) {
  if (prefix == "npub") return read_plain<Npub, PublicKey>(data);
  if (prefix == "nsec") return read_nsec(data);
  if (prefix == "note") return read_plain<Note, EventId>(data);
  if (prefix == "nprofile") return read_nprofile(data);
  if (prefix == "nevent") return read_nevent(data);
  if (prefix == "naddr") return read_naddr(data);
  return failure(Error::UnknownPrefix);
}

Error to_error(Bech32Error error) {
  switch (error) {
    case Bech32Error::BadForm:
      return Error::NotBech32;
    case Bech32Error::BadChecksum:
      return Error::BadChecksum;
    case Bech32Error::BadPadding:
      break;
  }
  return Error::BadData;
}

void put(Bytes& out, Tlv type, ByteSpan value) {
  out.push_back(static_cast<std::uint8_t>(type));
  out.push_back(static_cast<std::uint8_t>(value.size()));
  out.insert(out.end(), value.begin(), value.end());
}

void put_kind(Bytes& out, std::uint32_t kind) {
  const std::array<std::uint8_t, 4> bytes = {
      static_cast<std::uint8_t>(kind >> 24), static_cast<std::uint8_t>(kind >> 16),
      static_cast<std::uint8_t>(kind >> 8), static_cast<std::uint8_t>(kind)};
  put(out, Tlv::Kind, bytes);
}

/// Relays are hints: one that has no form in NIP-19 or no room is left out.
void put_relays(Bytes& out, const std::vector<std::string>& relays) {
  for (const std::string& relay : relays) {
    if (relay.size() > kTlvValueBytesMax || !is_relay_text(relay)) continue;
    if (out.size() + 2 + relay.size() > kTlvBytesMax) return;
    put(out, Tlv::Relay, as_bytes(relay));
  }
}

}  // namespace

std::string_view to_string(Error error) {
  switch (error) {
    case Error::NotBech32:
      return "not lowercase bech32";
    case Error::BadChecksum:
      return "the checksum is wrong: a typing error?";
    case Error::UnknownPrefix:
      return "not a NIP-19 prefix that we know";
    case Error::BadData:
      return "the code's data is malformed";
  }
  return "unknown";
}

Result<Entity, Error> decode(std::string_view code) {
  auto bech32 = decode_bech32(code);
  if (!bech32) return failure(to_error(bech32.error()));
  auto entity = read_data(bech32->prefix, bech32->data);
  wipe(bech32->data);  // may have been a secret key
  return entity;
}

std::string encode(const Npub& value) {
  return encode_bech32("npub", value.key.span());
}

std::string encode(const Nsec& value) {
  return encode_bech32("nsec", value.secret.expose());
}

std::string encode(const Note& value) {
  return encode_bech32("note", value.id.span());
}

// The order special, author, kind, relays keeps what is needed in front of what may be cut.

std::string encode(const Nprofile& value) {
  Bytes data;
  put(data, Tlv::Special, value.key.span());
  put_relays(data, value.relays);
  return encode_bech32("nprofile", data);
}

std::string encode(const Nevent& value) {
  Bytes data;
  put(data, Tlv::Special, value.id.span());
  if (value.author) put(data, Tlv::Author, value.author->span());
  if (value.kind) put_kind(data, *value.kind);
  put_relays(data, value.relays);
  return encode_bech32("nevent", data);
}

std::string encode(const Naddr& value) {
  if (value.identifier.size() > kTlvValueBytesMax) return {};
  Bytes data;
  put(data, Tlv::Special, as_bytes(value.identifier));
  put(data, Tlv::Author, value.author.span());
  put_kind(data, value.kind);
  put_relays(data, value.relays);
  return encode_bech32("naddr", data);
}

}  // namespace nostril::nip19
