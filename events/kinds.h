#pragma once

#include <cstdint>

namespace nostril {

enum class KindClass : std::uint8_t { Regular, Replaceable, Ephemeral, Addressable };

/// NIP-01's ranges.
constexpr KindClass kind_class(std::uint32_t kind) {
  if (kind == 0 || kind == 3 || (kind >= 10000 && kind < 20000)) return KindClass::Replaceable;
  if (kind >= 20000 && kind < 30000) return KindClass::Ephemeral;
  if (kind >= 30000 && kind < 40000) return KindClass::Addressable;
  return KindClass::Regular;
}

inline constexpr std::uint32_t kKindMax = 65535;

namespace kinds {
inline constexpr std::uint32_t kProfile = 0;
inline constexpr std::uint32_t kFollows = 3;   ///< NIP-02
inline constexpr std::uint32_t kDeletion = 5;  ///< NIP-09
inline constexpr std::uint32_t kRepost = 6;    ///< NIP-18
inline constexpr std::uint32_t kGenericRepost = 16;
inline constexpr std::uint32_t kVanish = 62;      ///< NIP-62
inline constexpr std::uint32_t kGiftWrap = 1059;  ///< NIP-59: signed by a key that nobody keeps
inline constexpr std::uint32_t kReport = 1984;    ///< NIP-56; ours: spec/14-reputation.md
inline constexpr std::uint32_t kLabel = 1985;     ///< NIP-32; the same
inline constexpr std::uint32_t kRelayList = 10002;
inline constexpr std::uint32_t kTrustedProviders = 10040;  ///< NIP-85
inline constexpr std::uint32_t kAuth = 22242;              ///< NIP-42; never stored, never sent on
inline constexpr std::uint32_t kTrustedAssertion = 30382;  ///< NIP-85
// Ours: spec/02-kinds.md.
inline constexpr std::uint32_t kStoredFrame = 1470;
inline constexpr std::uint32_t kRecord = 1471;
inline constexpr std::uint32_t kReceipt = 1472;
inline constexpr std::uint32_t kChannelOrder = 1473;
inline constexpr std::uint32_t kBeacon = 1474;
inline constexpr std::uint32_t kModelRequest = 21470;
inline constexpr std::uint32_t kOfferReply = 21471;
inline constexpr std::uint32_t kFrame = 21472;
inline constexpr std::uint32_t kOffer = 31470;
inline constexpr std::uint32_t kAttestation = 31471;
inline constexpr std::uint32_t kKnownGood = 31473;
inline constexpr std::uint32_t kDocument = 31474;
}  // namespace kinds

}  // namespace nostril
