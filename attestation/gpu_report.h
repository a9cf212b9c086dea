#pragma once

#include "attestation/verdict.h"
#include "base/bytes.h"
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::attestation {

/// Strict parser of the attestation reports of NVIDIA GPUs, Hopper and Blackwell: a
/// GET_MEASUREMENTS request of SPDM 1.1 (DMTF DSP0274) and its response, as NVML hands them out. It
/// takes apart and judges nothing but the form. Integers are little-endian.
///
///   off   size  field                          off     size  field
///    00      4  11 e0 01 ff: all, signed        29        1  count of blocks, 1 to 254
///    04     32  nonce of the verifier           2a        3  bytes of all blocks, n
///    24      1  slot, 0 to 7                    2d        n  blocks, ascending by index
///    25      4  11 60 00 slot                   2d+n     32  nonce of the GPU
///                                               4d+n      2  bytes of the opaque data, m
///                                               4f+n      m  opaque fields
///                                               4f+n+m   96  signature r||s, big-endian
///
/// The signature is over everything before it: the request too. A block:
///
///   0  1  index, from 1 on             4   1  type; bit 7 clear: a digest
///   1  1  1: of the form of DMTF       5   2  48
///   2  2  51                           7  48  SHA-384 digest
///
/// An opaque field is type u16, length u16, value; no type twice. Types that are read (others are
/// passed over, they are signed all the same):
///
///    3  driver version, text         20  FWID, 48: digest of the firmware that holds the key
///    6  VBIOS version, 8             21  protected PCIe, 1: 0xaa on, 0x55 off
///   11  NVDEC0, 1: 0xaa on, 0x55 off 22  PDI of the NVSwitch at each link, 8 each
///   15  chip SKU, text               34  version of the opaque data, u16: 0 or 1
///   17  project, text                36  features, u16: 0 multi-GPU passthrough, 1 single GPU,
///   18  project SKU, text                2 protected PCIe
///
/// Text is printable ASCII, then one zero byte or more. 3, 6 and 11 must be there.
inline constexpr std::size_t kGpuReportBytesMin = 0x4f + 96;

enum class GpuReportError : std::uint8_t {
  WrongSize,        ///< too short, too long, or lengths that do not add up to the whole
  NotMeasurements,  ///< not a request for all measurements, signed, and its answer
  BadBlock,         ///< a block of another form or out of order
  BadOpaque,        ///< an opaque field twice, missing, or of the wrong form
};

std::string_view to_string(GpuReportError error);

/// The VBIOS as NVIDIA writes it, "96.00.9F.00.01": of the bytes in reverse their second half, then
/// the last of the first half.
std::string gpu_vbios_text(std::span<const std::uint8_t, 8> field);

struct GpuMeasurement {
  /// From 0 on, as reference values count: one less than in the block.
  std::uint8_t index = 0;
  Measurement value{};
};

enum class GpuFeatures : std::uint8_t { MultiGpuPassthrough = 0, SingleGpu = 1, ProtectedPcie = 2 };

std::string_view to_string(GpuFeatures features);

/// What reports of GPUs and of NVSwitches have in common. `signed_part` borrows from the bytes
/// given.
struct SpdmReport {
  std::array<std::uint8_t, 32> nonce{};
  std::array<std::uint8_t, 32> device_nonce{};
  /// Ascending by index.
  std::vector<GpuMeasurement> measurements;
  ByteSpan signed_part;
  std::array<std::uint8_t, 96> signature{};

  /// The digest at this index (from 0 on), or nullptr.
  [[nodiscard]] const Measurement* measurement(std::uint8_t index) const;
};

/// Names a device among those of a board.
using Pdi = std::array<std::uint8_t, 8>;

/// A report taken apart.
struct GpuReport : SpdmReport {
  std::string driver;
  /// As NVIDIA writes it: "96.00.9F.00.01".
  std::string vbios;
  std::string chip_sku;
  std::string project;
  std::string project_sku;
  bool nvdec0 = false;
  std::optional<Measurement> fwid;
  std::optional<bool> protected_pcie;
  std::vector<Pdi> switches;
  std::optional<std::uint16_t> opaque_version;
  std::optional<GpuFeatures> features;
};

Result<GpuReport, GpuReportError> parse_gpu_report(ByteSpan report);

/// The report of an NVSwitch: the same but for the opaque fields, of which are read, and must be
/// there:
///
///    6  BIOS version, 14 characters: "96.10.55.00.01"
///   22  its own PDI, 8
///   26  PDI of the eight GPUs, 8 each, then at which of them each of 64 ports ends, 1 each
///
/// 23, 24 and 25 are ports that are off, position and lock; what their values mean is not known
/// here, so they are not judged. A switch names no driver, no firmware of the key (FWID) and no
/// mode.
struct SwitchReport : SpdmReport {
  std::string vbios;
  Pdi pdi{};
  std::array<Pdi, 8> gpus{};
};

Result<SwitchReport, GpuReportError> parse_switch_report(ByteSpan report);

}  // namespace nostril::attestation
