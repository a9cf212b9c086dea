#pragma once

#include "attestation/verdict.h"
#include "base/bytes.h"
#include "base/json.h"
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The log of what was measured into the four runtime registers (RTMR) of a TD, as dstack's guest
/// agent hands it over. The log itself is nobody's word: replayed, it must give the registers that
/// the quote signs. Pure.
///
/// JSON, an array of events, or a string that holds its text (both are in use):
///
///   imr            integer 0 to 3     the register
///   event_type     integer            32 bits; 0x08000001 is dstack's own runtime event
///   digest         hex, 96 or 0       what the register was extended with
///   event          printable ASCII    name of a runtime event; of others "" or an ACPI table
///   event_payload  hex                may be left out ("lite") where the digest is there
///   version        integer 1 or 2     optional; how a runtime event's digest is made
///
/// No other member, no member twice, none but `version` missing, hex in lower case.
///
/// What a digest covers, by event type:
///   0x08000001   SHA-384(type as 4 bytes little-endian, ":", name, ":", payload)
///                version 2: SHA-384({"name":…,"payload":hex,"type":134217729})
///   0x4, 0x80000001, 0x80000007   SHA-384(payload): separators, EFI variables, EFI actions
///   others       bytes that the log does not hold (firmware, kernel, ACPI tables)
///
/// The first two are always made anew; a digest that is given must agree. Of the others only the
/// digest is kept: their payload is not covered by anything, so nobody gets to see it.
namespace nostril::attestation {

inline constexpr std::size_t kEventLogBytesMax = 1U << 20U;
inline constexpr std::size_t kEventCountMax = 4096;
inline constexpr std::size_t kEventNameBytesMax = 128;
inline constexpr std::size_t kEventPayloadBytesMax = 64U << 10U;

inline constexpr std::uint32_t kRuntimeEventType = 0x08000001;
inline constexpr std::uint8_t kRuntimeRegister = 3;

enum class EventLogError : std::uint8_t {
  NotJson,
  TooLarge,
  TooManyEvents,
  Malformed,       ///< a member is missing, unknown or of another type
  WrongRegister,   ///< runtime events belong into register 3, and nothing else does
  UnknownName,     ///< a name where no digest covers it
  NoDigest,        ///< of an event whose digest can't be made anew
  DigestMismatch,  ///< the digest given is not that of name and payload
};

std::string_view to_string(EventLogError error);

struct LoggedEvent {
  std::uint8_t imr = 0;
  std::uint32_t type = 0;
  /// What the register was extended with.
  Measurement digest{};
  /// The log itself named the digest.
  bool digest_given = false;
  /// How the digest of a runtime event is made.
  std::uint8_t version = 1;
  /// Runtime events only, else empty.
  std::string name;
  Bytes payload;

  [[nodiscard]] bool is_runtime() const { return type == kRuntimeEventType; }

  bool operator==(const LoggedEvent&) const = default;
};

using EventLog = std::vector<LoggedEvent>;

/// One event before its digest is known to be right.
struct RawEvent {
  std::uint32_t imr = 0;
  std::uint32_t type = 0;
  ByteSpan digest;  ///< 48 bytes or none
  std::string_view name;
  ByteSpan payload;
  std::int64_t version = 1;
};

/// The rules above for one event, whatever it was read from.
Result<LoggedEvent, EventLogError> check_event(const RawEvent& raw);

Result<EventLog, EventLogError> parse_event_log(std::string_view json);
/// The same of a value inside a larger document.
Result<EventLog, EventLogError> read_event_log(const Json& value);

/// A runtime event as a guest writes it.
LoggedEvent make_runtime_event(std::string_view name, ByteSpan payload);

/// The log as JSON in the form above, payloads of firmware events empty and their digests
/// always there; replays to the same.
std::string to_json(const EventLog& log);

/// RTMR[i] = SHA-384(RTMR[i], digest), from 48 zero bytes, event by event.
std::array<Measurement, 4> replay(const EventLog& log);

/// What dstack's boot put on record in register 3.
struct BootRecord {
  std::array<std::uint8_t, 20> app_id{};
  Digest compose_hash;
  /// Names what the KMS gave the instance; some have none.
  std::string instance_id;
  std::optional<Digest> os_image_hash;
  /// "kms", "local-sgx", …; empty when not on record.
  std::string key_provider;
  Bytes key_provider_id;
  /// Names of all runtime events, in order.
  std::vector<std::string> events;
  /// Those after system-ready: they may be any application's word.
  std::vector<std::string> late_events;
};

enum class BootError : std::uint8_t {
  NotReady,    ///< no system-ready
  Missing,     ///< app-id or compose-hash
  Doubled,     ///< a name stands twice before system-ready
  BadPayload,  ///< size or form
};

std::string_view to_string(BootError error);

/// Only events before the first system-ready count, each name once: what comes later may be said
/// by any container.
Result<BootRecord, BootError> read_boot_record(const EventLog& log);

}  // namespace nostril::attestation
