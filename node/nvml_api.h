#pragma once

#include <array>
#include <cstdint>

/// The part of NVML (NVIDIA Management Library) that gives evidence: its C structures as the driver
/// has them. No header of NVIDIA's is needed to build.
namespace nostril::node::nvml {

inline constexpr int kSuccess = 0;
inline constexpr int kNotSupported = 3;
inline constexpr unsigned kFeatureOn = 1;
/// NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE and those of device names and VBIOS versions are at most
/// this.
inline constexpr unsigned kTextBytes = 96;

struct ConfComputeState {
  unsigned environment;
  unsigned cc_feature;
  unsigned dev_tools_mode;
};

struct GpuCertificate {
  unsigned chain_bytes;
  unsigned attestation_chain_bytes;
  std::array<std::uint8_t, 0x1000> chain;
  std::array<std::uint8_t, 0x1400> attestation_chain;  ///< PEM, leaf first
};

struct GpuReport {
  unsigned has_cec_report;
  unsigned report_bytes;
  unsigned cec_report_bytes;
  std::array<std::uint8_t, 0x20> nonce;  ///< in
  std::array<std::uint8_t, 0x2000> report;
  std::array<std::uint8_t, 0x1000> cec_report;
};

using Device = void*;

extern "C" {
using Init = int (*)();
using Shutdown = int (*)();
using GetCount = int (*)(unsigned*);
using GetDevice = int (*)(unsigned, Device*);
using GetState = int (*)(ConfComputeState*);
using GetCertificate = int (*)(Device, GpuCertificate*);
using GetReady = int (*)(unsigned*);
using GetDriver = int (*)(char*, unsigned);
using GetDeviceText = int (*)(Device, char*, unsigned);
using GetReport = int (*)(Device, GpuReport*);
}

}  // namespace nostril::node::nvml
