#pragma once

#include "base/result.h"
#include "events/event.h"
#include "events/inference.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Kind 31473: what an auditor says of images, compose files, weights and machines. Page and exact
/// bytes: spec/11-known-good.md. parse is build's strict inverse and trusts neither id nor
/// signature: give it the event of a VerifiedEvent. Threads: pure functions, any.
namespace nostril {

/// Written as text; the numbers are ours alone.
enum class KnownSubject : std::uint8_t { Image, Compose, Weights, Machine };
inline constexpr std::size_t kKnownSubjectCount = 4;
std::string_view to_string(KnownSubject subject);

/// "mrtd=00…": a name of the table below and so many bytes in lowercase hex.
struct KnownPart {
  std::string name;
  std::string value;

  bool operator==(const KnownPart&) const = default;
};

struct KnownGoodEntry {
  bool allow = true;
  KnownSubject subject = KnownSubject::Image;
  std::vector<KnownPart> parts;  ///< in the table's order; all must be true of the evidence
  std::string model;             ///< weights: of which model; empty only when denied
  std::string reason;

  bool operator==(const KnownGoodEntry&) const = default;
};

struct KnownGoodList {
  // From the event itself; build reads created_at and auditor, ignores id.
  EventId id;
  PublicKey auditor;
  std::int64_t created_at = 0;

  std::string name;  ///< d; a newer event of this name replaces the list as a whole
  std::vector<KnownGoodEntry> entries;
  std::int64_t expires_at = 0;  ///< NIP-40

  bool operator==(const KnownGoodList&) const = default;
};

struct KnownGoodLimits {
  static constexpr std::size_t kEntriesMax =
      256;  ///< of full images: about 170 KiB; see events' own
  static constexpr std::size_t kNameBytesMax = 64;
  static constexpr std::size_t kReasonBytesMax = 200;
  static constexpr std::size_t kSerialBytesMax = 64;
};

/// The value is lowercase hex of the part's size:
///   48: mrtd rtmr0 rtmr1 rtmr2 rtmr3 mrconfigid measurement    32: host_data compose weights
///   16: ppid    64: chip_id    1 to 64: gpu_serial
[[nodiscard]] bool is_known_part(const KnownPart& part);

/// Sorts into the table's order; false when a part is unknown, malformed or there twice, or when
/// together they are nothing that can be said of the subject:
///   image    mrtd or measurement, and any others but weights and machines
///   compose, weights: exactly that part;  machine: exactly one of ppid, chip_id, gpu_serial
[[nodiscard]] bool make_canonical(std::vector<KnownPart>& parts, KnownSubject subject);

/// "name=hex,name=hex" as it stands in the event; the inverse takes no other spelling.
[[nodiscard]] std::string to_text(const std::vector<KnownPart>& parts);
[[nodiscard]] Result<std::vector<KnownPart>, InferenceError> parse_known_parts(
    std::string_view text);

/// CHECKs that what it writes would parse.
[[nodiscard]] EventDraft build_known_good(const KnownGoodList& list);
[[nodiscard]] Result<KnownGoodList, InferenceError> parse_known_good(const Event& event);

}  // namespace nostril
