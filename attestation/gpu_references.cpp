#include "attestation/gpu_references.h"

#include "attestation/checklist.h"
#include "attestation/gpu_report.h"

#include <fmt/format.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::uint8_t kNvdec0Index = 35;

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&lower](char x, char y) { return lower(x) == lower(y); });
}

JudgedRim judge(const ParsedRim& manifest, RimKind kind, const TrustRoots& roots, UnixTime now,
                const RimPolicy& policy, ChainCache& cache) {
  JudgedRim out;
  Checklist checks(out.checks);
  list_rim_checks(checks, kind);
  out.verified = examine_rim(manifest, kind, roots, now, policy, checks, out.claims, cache);
  return out;
}

void compare(const SpdmReport& report, const Rim& rim, bool nvdec0, GpuComparison& out) {
  for (const RimMeasurement& wanted : rim.measurements) {
    if (wanted.index == kNvdec0Index && !nvdec0) continue;
    const Measurement* found = report.measurement(wanted.index);
    const auto& accepted = wanted.accepted;
    ++out.compared_count;
    if (found == nullptr || std::find(accepted.begin(), accepted.end(), *found) == accepted.end()) {
      out.mismatches.push_back(wanted.index);
    }
  }
}

std::string without_dots(std::string version) {
  version.erase(std::remove(version.begin(), version.end(), '.'), version.end());
  return version;
}

}  // namespace

std::string rim_id(RimKind kind, const GpuReport& report, std::string_view chip) {
  if (kind == RimKind::Driver) {
    return fmt::format("NV_GPU_{}DRIVER_{}_{}", chip.starts_with("GH") ? "" : "CC_", chip,
                       report.driver);
  }
  return fmt::format("NV_GPU_VBIOS_{}_{}_{}_{}", report.project, report.project_sku,
                     report.chip_sku, without_dots(report.vbios));
}

std::string switch_rim_id(const SwitchReport& report) {
  // Project, SKU and chip SKU of the only switch there is: its report does not say them.
  return "NV_SWITCH_BIOS_5612_0002_890_" + without_dots(report.vbios);
}

GpuReferences::GpuReferences(std::span<const Bytes> manifests, const TrustRoots& roots,
                             UnixTime now, const RimPolicy& policy)
    : roots_(roots), now_(now), policy_(policy) {
  for (const Bytes& manifest : manifests) {
    auto rim = ParsedRim::parse(manifest);
    if (rim) {
      entries_.push_back({std::move(*rim), std::nullopt});
    } else {
      ++unreadable_count_;
    }
  }
}

const JudgedRim* GpuReferences::find(RimKind kind, std::string_view version,
                                     std::string_view product, ChainCache& cache) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& candidate) {
    const Rim& rim = candidate.unverified.rim();
    return rim.kind == kind && equal_ignoring_case(rim.version, version) && rim.product == product;
  });
  if (entry == entries_.end()) return nullptr;
  if (!entry->judged) {
    entry->judged = judge(entry->unverified, kind, roots_, now_, policy_, cache);
  }
  return &*entry->judged;
}

GpuComparison compare_measurements(const GpuReport& report, const Rim* driver, const Rim* vbios) {
  GpuComparison out;
  for (const Rim* rim : {driver, vbios}) {
    if (rim != nullptr) compare(report, *rim, report.nvdec0, out);
  }
  std::sort(out.mismatches.begin(), out.mismatches.end());
  if (driver == nullptr || vbios == nullptr) return out;
  for (const RimMeasurement& measurement : driver->measurements) {
    if (vbios->find(measurement.index) != nullptr) out.overlaps.push_back(measurement.index);
  }
  return out;
}

GpuComparison compare_measurements(const SpdmReport& report, const Rim& bios) {
  GpuComparison out;
  compare(report, bios, true, out);
  return out;
}

}  // namespace nostril::attestation
