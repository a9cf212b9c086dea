#pragma once

#include "attestation/rim.h"
#include "attestation/trust_roots.h"
#include "attestation/verdict.h"
#include "attestation/x509.h"
#include "base/bytes.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The reference manifests of one verdict. Each is judged at most once, however many GPUs it
/// serves, and only when a GPU asks for it.
namespace nostril::attestation {

struct GpuReport;
struct SwitchReport;

/// How NVIDIA's service names the manifest that fits: for who fetches it. Text of the report goes
/// into it as it is.
std::string rim_id(RimKind kind, const GpuReport& report, std::string_view chip);

/// The same of an NVSwitch's BIOS; all are kSwitchChip.
std::string switch_rim_id(const SwitchReport& report);

inline constexpr std::string_view kSwitchChip = "LS10";

/// A manifest with what was found of it.
struct JudgedRim {
  std::vector<Check> checks;
  std::vector<Claim> claims;
  std::optional<VerifiedRim> verified;
};

/// Threads: one. Borrows the roots.
class GpuReferences {
 public:
  GpuReferences(std::span<const Bytes> manifests, const TrustRoots& roots, UnixTime now,
                const RimPolicy& policy);

  /// The manifest of this kind, for this version (letters of either case) of this chip; nullptr
  /// when none was given. Of several the first.
  const JudgedRim* find(RimKind kind, std::string_view version, std::string_view product,
                        ChainCache& cache);

  [[nodiscard]] std::size_t count() const { return entries_.size() + unreadable_count_; }

  /// Manifests that are none: of them not even the kind is known.
  [[nodiscard]] std::size_t unreadable_count() const { return unreadable_count_; }

 private:
  struct Entry {
    ParsedRim unverified;
    std::optional<JudgedRim> judged;
  };

  const TrustRoots& roots_;
  const UnixTime now_;
  const RimPolicy policy_;
  std::vector<Entry> entries_;
  std::size_t unreadable_count_ = 0;
};

/// Reference values against a report's: the outcome of the comparison.
struct GpuComparison {
  std::size_t compared_count = 0;
  /// Ascending: what the report lacks or has otherwise; and what both manifests claim.
  std::vector<std::uint8_t> mismatches;
  std::vector<std::uint8_t> overlaps;
};

struct SpdmReport;

/// Every value of both manifests must be in the report, as one of those they accept. Index 35
/// belongs to the video decoder NVDEC0 and is not looked at while that is off: it is then not
/// measured. A manifest may be null: the other is compared alone.
GpuComparison compare_measurements(const GpuReport& report, const Rim* driver, const Rim* vbios);

/// The same of an NVSwitch with its one manifest; nothing is left out.
GpuComparison compare_measurements(const SpdmReport& report, const Rim& bios);

}  // namespace nostril::attestation
