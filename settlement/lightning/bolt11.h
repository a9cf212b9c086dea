#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "schnorr/ecdsa_check.h"
#include "schnorr/types.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Lightning: invoices, wallet connections and the sums that stand behind a channel. Pure.
/// spec/13-lightning.md. Threads: any; an object belongs to one thread.
namespace nostril::settlement::lightning {

/// SHA-256 of a payment's preimage: its one name on both sides.
using PaymentHash = Digest;

/// Millisatoshi. All coins there will ever be are 2.1e18 of them.
using Msat = std::uint64_t;
inline constexpr Msat kMsatMax = 2'100'000'000'000'000'000ULL;

enum class Network : std::uint8_t { Bitcoin, Testnet, Signet, Regtest };
/// As an invoice spells it: bc, tb, tbs, bcrt.
std::string_view to_string(Network network);
[[nodiscard]] std::optional<Network> parse_network(std::string_view text);

enum class Bolt11Error : std::uint8_t {
  BadBech32,
  BadPrefix,     ///< no "ln", or a network that is not known
  BadAmount,     ///< no canonical number, an unknown multiplier, below a millisatoshi, too much
  TooShort,      ///< no place for time and signature
  BadField,      ///< a field ends behind the data, or its padding is not zero
  DoubleField,   ///< one that may stand once stands twice
  MissingField,  ///< payment hash, payment secret, or what is paid for
  BadNumber,     ///< expiry, CLTV
  BadFeature,    ///< an even feature bit that is not known: it must be understood
  BadSignature,  ///< of nobody, or not of the payee that is named
};
std::string_view to_string(Bolt11Error error);

struct RouteHop {
  CompressedPublicKey node;
  std::uint64_t channel = 0;  ///< short channel id
  std::uint32_t fee_base_msat = 0;
  std::uint32_t fee_millionths = 0;
  std::uint16_t cltv_delta = 0;

  bool operator==(const RouteHop&) const = default;
};

/// An invoice (BOLT 11), whose signature was right.
struct Invoice {
  Network network = Network::Bitcoin;
  std::optional<Msat> amount;  ///< none: the payer chooses
  std::int64_t created_at = 0;
  std::int64_t expiry_s = 3600;
  PaymentHash payment_hash;
  Digest payment_secret;
  std::optional<std::string> description;  ///< UTF-8 or whatever its maker wrote: bytes
  std::optional<Digest> description_hash;
  Bytes metadata;
  std::uint64_t min_final_cltv = 18;
  std::vector<std::uint32_t> features;  ///< bits that are set, ascending
  std::vector<std::vector<RouteHop>> routes;
  CompressedPublicKey payee;

  [[nodiscard]] std::int64_t expires_at() const { return created_at + expiry_s; }

  bool operator==(const Invoice&) const = default;
};

struct Bolt11Limits {
  static constexpr std::size_t kCharactersMax = 4096;  ///< a QR code holds 4296
  static constexpr std::int64_t kExpirySMax = 366LL * 24 * 3600;
  static constexpr std::uint64_t kCltvMax = 0xFFFF;
  static constexpr std::size_t kRoutesMax = 16;
  static constexpr std::size_t kFeatureBitMax = 1023;
};

/// All upper or all lower case. Stricter than the specification where a reader may choose: no field
/// that counts may stand twice (but routes and fallback addresses), padding must be zero, and an
/// invoice says what it is for. Fields of unknown names, and those whose length is not that of
/// their name, are skipped as it says.
[[nodiscard]] Result<Invoice, Bolt11Error> parse_bolt11(std::string_view text);

}  // namespace nostril::settlement::lightning
