#pragma once

#include "attestation/event_log.h"
#include "base/bytes.h"
#include "base/result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The container that newer dstack guests answer with ("attestation"), version 0, in SCALE:
/// integers little-endian; a vector is its count and then its elements. A count is 1, 2 or 4 bytes
/// by its lowest two bits (0, 1, 2; shifted out), in the shortest form that holds it.
///
///     0   1  version, 0
///     1   1  what it is from: 0 TDX, 3 SEV-SNP
///   TDX:     quote, bytes
///            events: { register u32, type u32, digest bytes, name bytes, payload bytes }
///   SNP:     report, bytes
///            certificates: PEM each, issuer first, the report's signer last
///            mr-config document, bytes
///   both:    runtime events: { name bytes, payload bytes }
///            report_data, 64
///            configuration of the machine, text
///
/// A "lite" container holds only the events that vary; its registers 0 to 2 do not replay.
namespace nostril::attestation {

inline constexpr std::size_t kDstackContainerBytesMax = 1U << 20U;

struct DstackContainer {
  enum class Platform : std::uint8_t { Tdx, Snp };

  Platform platform = Platform::Tdx;
  /// Quote or report.
  Bytes evidence;
  /// TDX: as check_event() finds it, or why not.
  Result<EventLog, EventLogError> log;
  /// SNP.
  std::vector<std::string> certificates;
  std::string mr_config;
  /// Runtime events a second time; on TDX those of the log, on SNP nobody's word.
  EventLog runtime_events;
  std::array<std::uint8_t, 64> report_data{};
};

/// Nothing when a byte is too few, too many, or in another form.
std::optional<DstackContainer> parse_dstack_container(ByteSpan bytes);

}  // namespace nostril::attestation
