#include "settlement/lightning/bolt11.h"

#include "events/amount.h"
#include "events/bech32.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <span>
#include <utility>

namespace nostril::settlement::lightning {

namespace {

using Groups = std::span<const std::uint8_t>;  // of five bits

constexpr std::array<std::string_view, 4> kNetworkNames = {"bc", "tb", "tbs", "bcrt"};

constexpr std::size_t kTimeGroups = 7;
constexpr std::size_t kSignatureGroups = 104;
constexpr std::size_t kDigestGroups = 52;
constexpr std::size_t kKeyGroups = 53;
constexpr std::size_t kHopBytes = 51;

/// Values of the letters that name fields.
using Field = std::uint8_t;
constexpr Field kPaymentHash = 1;       // p
constexpr Field kRoute = 3;             // r
constexpr Field kFeatures = 5;          // 9
constexpr Field kExpiry = 6;            // x
constexpr Field kDescription = 13;      // d
constexpr Field kPaymentSecret = 16;    // s
constexpr Field kPayee = 19;            // n
constexpr Field kDescriptionHash = 23;  // h
constexpr Field kCltv = 24;             // c
constexpr Field kMetadata = 27;         // m

/// Bits that a payer understands, or whose meaning is its wallet's to know: all that are given out
/// for invoices (BOLT 9, "9" in the context column).
constexpr std::array<std::uint32_t, 7> kKnownEvenFeatures = {
    8,    // var_onion_optin
    14,   // payment_secret
    16,   // basic_mpp
    24,   // option_route_blinding
    36,   // the same, at times
    48,   // option_payment_metadata
    262,  // bLIP 25 and its like: extra fees
};

/// Appends the whole bytes that `groups` hold; what is left over, in the highest bits of a byte.
std::uint8_t append_bytes(Bytes& out, Groups groups) {
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const std::uint8_t group : groups) {
    bits = (bits << 5 | group) & 0xfff;
    count += 5;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<std::uint8_t>(bits >> count));
  }
  return static_cast<std::uint8_t>(bits << (8 - count));
}

/// Nothing when what is left over is not zero.
std::optional<Bytes> to_bytes(Groups groups) {
  Bytes out;
  out.reserve(groups.size() * 5 / 8);
  if (append_bytes(out, groups) != 0) return std::nullopt;
  return out;
}

/// What is signed: the prefix, then the data with zero bits up to a whole byte.
Digest signed_digest(std::string_view prefix, Groups groups) {
  Bytes message(prefix.begin(), prefix.end());
  const std::uint8_t rest = append_bytes(message, groups);
  if (groups.size() * 5 % 8 != 0) message.push_back(rest);
  return sha256(message);
}

/// Big-endian; nothing above `max`, so it can't overflow.
std::optional<std::uint64_t> to_number(Groups groups, std::uint64_t max) {
  std::uint64_t out = 0;
  for (const std::uint8_t group : groups) {
    if (out > (max >> 5)) return std::nullopt;
    out = out << 5 | group;
  }
  if (out > max) return std::nullopt;
  return out;
}

std::uint64_t big_endian(ByteSpan bytes) {
  std::uint64_t out = 0;
  for (const std::uint8_t byte : bytes) out = out << 8 | byte;
  return out;
}

/// "2500u": hundreds of millions, hundreds of thousands, hundreds, or tenths of a millisatoshi.
std::optional<Msat> read_amount(std::string_view text) {
  constexpr Msat kBitcoin = 100'000'000'000;
  Msat unit = kBitcoin;
  bool tenths = false;
  if (text.back() < '0' || text.back() > '9') {
    switch (text.back()) {
      case 'm':
        unit = kBitcoin / 1'000;
        break;
      case 'u':
        unit = kBitcoin / 1'000'000;
        break;
      case 'n':
        unit = kBitcoin / 1'000'000'000;
        break;
      case 'p':
        unit = 1;
        tenths = true;
        break;
      default:
        return std::nullopt;
    }
    text.remove_suffix(1);
  }
  auto number = parse_decimal(text, Uint128{kMsatMax} * 10);
  if (!number || *number == 0) return std::nullopt;
  if (tenths && *number % 10 != 0) return std::nullopt;
  const Uint128 msat = tenths ? *number / 10 : *number * unit;
  if (msat > kMsatMax) return std::nullopt;
  return static_cast<Msat>(msat);
}

class Reader {
 public:
  explicit Reader(Invoice& out) : out_(out) {}

  std::optional<Bolt11Error> prefix(std::string_view text) {
    if (!text.starts_with("ln")) return Bolt11Error::BadPrefix;
    text.remove_prefix(2);
    const std::size_t letters = std::min(text.find_first_of("0123456789"), text.size());
    const auto network = parse_network(text.substr(0, letters));
    if (!network) return Bolt11Error::BadPrefix;
    out_.network = *network;
    text.remove_prefix(letters);
    if (text.empty()) return std::nullopt;
    out_.amount = read_amount(text);
    return out_.amount ? std::nullopt : std::optional(Bolt11Error::BadAmount);
  }

  std::optional<Bolt11Error> fields(Groups data) {
    while (!data.empty()) {
      if (data.size() < 3) return Bolt11Error::BadField;
      const std::uint8_t name = data[0];
      const std::size_t length = std::size_t{data[1]} * 32 + data[2];
      data = data.subspan(3);
      if (length > data.size()) return Bolt11Error::BadField;
      if (const auto error = field(name, data.first(length))) return error;
      data = data.subspan(length);
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<Bolt11Error> missing() const {
    const bool whole =
        has(kPaymentHash) && has(kPaymentSecret) && (has(kDescription) != has(kDescriptionHash));
    return whole ? std::nullopt : std::optional(Bolt11Error::MissingField);
  }

  [[nodiscard]] bool names_payee() const { return has(kPayee); }

 private:
  [[nodiscard]] bool has(Field name) const { return seen_.at(name); }

  /// The first of this name, with zeros behind its last byte.
  template <typename Take>
  std::optional<Bolt11Error> once(Field name, Groups data, Take take) {
    if (std::exchange(seen_.at(name), true)) return Bolt11Error::DoubleField;
    auto bytes = to_bytes(data);
    if (!bytes) return Bolt11Error::BadField;
    take(std::move(*bytes));
    return std::nullopt;
  }

  std::optional<Bolt11Error> digest(Field name, Groups data, Digest& out) {
    if (data.size() != kDigestGroups) return std::nullopt;
    return once(name, data, [&out](const Bytes& bytes) { out = *Digest::from(bytes); });
  }

  template <typename T>
  std::optional<Bolt11Error> number(Field name, Groups data, std::uint64_t max, T& out) {
    if (std::exchange(seen_.at(name), true)) return Bolt11Error::DoubleField;
    const auto value = to_number(data, max);
    if (!value) return Bolt11Error::BadNumber;
    out = static_cast<T>(*value);
    return std::nullopt;
  }

  std::optional<Bolt11Error> field(std::uint8_t name, Groups data) {
    switch (name) {
      case kPaymentHash:
        return digest(kPaymentHash, data, out_.payment_hash);
      case kPaymentSecret:
        return digest(kPaymentSecret, data, out_.payment_secret);
      case kDescriptionHash:
        if (data.size() == kDigestGroups) out_.description_hash.emplace();
        return digest(kDescriptionHash, data,
                      out_.description_hash ? *out_.description_hash : unused_);
      case kPayee:
        if (data.size() != kKeyGroups) return std::nullopt;
        return once(kPayee, data,
                    [this](const Bytes& bytes) { out_.payee = *CompressedPublicKey::from(bytes); });
      case kDescription:
        return once(kDescription, data, [this](const Bytes& bytes) {
          out_.description = std::string(bytes.begin(), bytes.end());
        });
      case kMetadata:
        return once(kMetadata, data, [this](Bytes bytes) { out_.metadata = std::move(bytes); });
      case kExpiry:
        return number(kExpiry, data, Bolt11Limits::kExpirySMax, out_.expiry_s);
      case kCltv:
        return number(kCltv, data, Bolt11Limits::kCltvMax, out_.min_final_cltv);
      case kFeatures:
        return features(data);
      case kRoute:
        return route(data);
      default:
        return std::nullopt;
    }
  }

  std::optional<Bolt11Error> features(Groups data) {
    if (std::exchange(seen_.at(kFeatures), true)) return Bolt11Error::DoubleField;
    for (std::size_t bit = 0; bit < data.size() * 5; ++bit) {
      const std::uint8_t group = data[data.size() - 1 - bit / 5];
      if ((group >> (bit % 5) & 1U) == 0) continue;
      const bool known = std::ranges::find(kKnownEvenFeatures, bit) != kKnownEvenFeatures.end();
      if (bit > Bolt11Limits::kFeatureBitMax || (bit % 2 == 0 && !known)) {
        return Bolt11Error::BadFeature;
      }
      out_.features.push_back(static_cast<std::uint32_t>(bit));
    }
    return std::nullopt;
  }

  std::optional<Bolt11Error> route(Groups data) {
    const auto bytes = to_bytes(data);
    if (!bytes || bytes->empty() || bytes->size() % kHopBytes != 0 ||
        out_.routes.size() == Bolt11Limits::kRoutesMax) {
      return Bolt11Error::BadField;
    }
    auto& hops = out_.routes.emplace_back();
    for (ByteSpan rest = *bytes; !rest.empty(); rest = rest.subspan(kHopBytes)) {
      RouteHop hop;
      hop.node = *CompressedPublicKey::from(rest.first(33));
      hop.channel = big_endian(rest.subspan(33, 8));
      hop.fee_base_msat = static_cast<std::uint32_t>(big_endian(rest.subspan(41, 4)));
      hop.fee_millionths = static_cast<std::uint32_t>(big_endian(rest.subspan(45, 4)));
      hop.cltv_delta = static_cast<std::uint16_t>(big_endian(rest.subspan(49, 2)));
      hops.push_back(hop);
    }
    return std::nullopt;
  }

  Invoice& out_;
  Digest unused_;
  std::array<bool, 32> seen_{};
};

/// The case of letters carries nothing, but must be one; nothing when it is both.
std::optional<std::string> to_lower_case(std::string_view text) {
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const bool upper = std::ranges::any_of(text, is_upper);
  if (upper && std::ranges::any_of(text, is_lower)) return std::nullopt;
  std::string out(text);
  if (!upper) return out;
  for (char& c : out) c = is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

bool check_signature(Invoice& invoice, bool payee_named, const Digest& digest, ByteSpan bytes) {
  const std::span<const std::uint8_t, 64> signature(bytes.data(), 64);
  if (payee_named) return verify_ecdsa(digest, signature, invoice.payee);
  const auto recovered = recover_ecdsa(digest, signature, bytes[64]);
  if (recovered) invoice.payee = *recovered;
  return recovered.has_value();
}

}  // namespace

std::string_view to_string(Network network) {
  return kNetworkNames[static_cast<std::size_t>(network)];
}

std::optional<Network> parse_network(std::string_view text) {
  const auto found = std::ranges::find(kNetworkNames, text);
  if (found == kNetworkNames.end()) return std::nullopt;
  return static_cast<Network>(found - kNetworkNames.begin());
}

std::string_view to_string(Bolt11Error error) {
  switch (error) {
    case Bolt11Error::BadBech32:
      return "not bech32";
    case Bolt11Error::BadPrefix:
      return "of no known network";
    case Bolt11Error::BadAmount:
      return "a bad amount";
    case Bolt11Error::TooShort:
      return "too short";
    case Bolt11Error::BadField:
      return "a malformed field";
    case Bolt11Error::DoubleField:
      return "a field stands twice";
    case Bolt11Error::MissingField:
      return "a required field is missing";
    case Bolt11Error::BadNumber:
      return "a number out of range";
    case Bolt11Error::BadFeature:
      return "it requires a feature that is not known";
    case Bolt11Error::BadSignature:
      return "a bad signature";
  }
  return "unknown";
}

Result<Invoice, Bolt11Error> parse_bolt11(std::string_view text) {
  if (text.size() > Bolt11Limits::kCharactersMax) return failure(Bolt11Error::BadBech32);
  const auto lower = to_lower_case(text);
  if (!lower) return failure(Bolt11Error::BadBech32);
  const auto code = decode_bech32_groups(*lower, Bolt11Limits::kCharactersMax);
  if (!code) return failure(Bolt11Error::BadBech32);
  Invoice out;
  Reader reader(out);
  if (const auto error = reader.prefix(code->prefix)) return failure(*error);
  const Groups all = code->groups;
  if (all.size() < kTimeGroups + kSignatureGroups) return failure(Bolt11Error::TooShort);
  const Groups data = all.first(all.size() - kSignatureGroups);
  out.created_at = static_cast<std::int64_t>(*to_number(data.first(kTimeGroups), 1ULL << 35));
  if (const auto error = reader.fields(data.subspan(kTimeGroups))) return failure(*error);
  if (const auto error = reader.missing()) return failure(*error);
  const auto signature = to_bytes(all.last(kSignatureGroups));
  if (!signature ||
      !check_signature(out, reader.names_payee(), signed_digest(code->prefix, data), *signature)) {
    return failure(Bolt11Error::BadSignature);
  }
  return out;
}

}  // namespace nostril::settlement::lightning
