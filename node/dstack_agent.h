#pragma once

#include "attestation/event_log.h"
#include "attestation/evidence.h"
#include "base/bytes.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

/// dstack's guest agent: HTTP/1.1 on a Unix socket inside the guest, POST with JSON both ways.
namespace nostril::node {

/// Answer to /GetQuote.
struct DstackQuote {
  Bytes quote;
  std::string event_log;  ///< JSON text as it came; may be empty
  std::string vm_config;  ///< JSON text; may be empty
};

/// What of /Info is of use.
struct DstackInfo {
  std::string app_compose;  ///< exact text of the compose file; may be empty
};

/// Answer to /Attest on an SEV-SNP guest.
struct DstackReport {
  attestation::SnpCertificates certificates;
  Bytes report;
  std::string mr_config;  ///< the document whose digest is HOST_DATA
  attestation::EventLog events;
};

inline constexpr std::size_t kDstackReplyBytesMax = 2U << 20U;
inline constexpr std::size_t kDstackEventLogBytesMax = 512U << 10U;

/// Pure. The reply must repeat `report_data` if it has that member. An empty quote is refused: such
/// an agent runs on another TEE than TDX. The error is one line for the operator.
[[nodiscard]] Result<DstackQuote, std::string> parse_dstack_quote(
    std::string_view json, std::span<const std::uint8_t, 64> report_data);
[[nodiscard]] Result<DstackInfo, std::string> parse_dstack_info(std::string_view json);

/// Pure. {"attestation": hex of a container (attestation/dstack_container.h)}; of another platform
/// than SEV-SNP, or over other `report_data`, it is refused.
[[nodiscard]] Result<DstackReport, std::string> parse_dstack_report(
    std::string_view json, std::span<const std::uint8_t, 64> report_data);

/// As below, of an SEV-SNP guest.
[[nodiscard]] Result<attestation::AppDocuments, std::string> dstack_snp_app(
    const DstackReport& report, const DstackInfo& info);

/// What a client judges the application by: the log without what its digests don't cover (ACPI
/// tables) and without the digests that follow from names, the compose text, the document of
/// MRCONFIGID. Pure. The error says what can't be handed over, for the operator.
[[nodiscard]] Result<attestation::AppDocuments, std::string> dstack_app(const DstackQuote& quote,
                                                                        const DstackInfo& info);

/// Asks the agent behind `socket`. Both wait for the answer, up to `kDstackMsMax` milliseconds.
inline constexpr std::uint64_t kDstackMsMax = 30'000;
[[nodiscard]] Result<DstackQuote, std::string> dstack_quote(
    const std::filesystem::path& socket, std::span<const std::uint8_t, 64> report_data,
    std::uint64_t ms_max = kDstackMsMax);
[[nodiscard]] Result<DstackReport, std::string> dstack_report(
    const std::filesystem::path& socket, std::span<const std::uint8_t, 64> report_data,
    std::uint64_t ms_max = kDstackMsMax);
[[nodiscard]] Result<DstackInfo, std::string> dstack_info(const std::filesystem::path& socket,
                                                          std::uint64_t ms_max = kDstackMsMax);

}  // namespace nostril::node
