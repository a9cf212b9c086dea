#pragma once

#include <array>
#include <cstdint>

/// The part of NSCQ (NVIDIA's NVSwitch Configuration and Query library, interface 2) that gives
/// evidence: its C structures, as the library hands them to callbacks, by value. No header of
/// NVIDIA's is needed to build.
namespace nostril::node::nscq {

/// 0 is success, above it success with a warning, below an error.
using Code = std::int8_t;

inline constexpr std::uint32_t kMountDevices = 1;
inline constexpr const char* kUuidsPath = "/drv/nvswitch/{device}/uuid";
/// Behind "/" and the switch's label.
inline constexpr const char* kCertificatePath = "/config/certificate";
inline constexpr const char* kReportPath = "/config/attestation_report";

struct Uuid {
  std::array<std::uint8_t, 16> bytes;
};

struct Label {
  std::array<char, 64> text;
};

struct Report {
  std::uint32_t report_bytes;
  std::array<std::uint8_t, 0x2000> report;
};

struct Certificate {
  std::array<std::uint8_t, 0x1400> chain;  ///< PEM, leaf first
  std::uint32_t chain_bytes;
};

using Session = void*;

struct SessionResult {
  Code code;
  Session session;
};

using Callback = void (*)();

extern "C" {
using CreateSession = SessionResult (*)(std::uint32_t flags);
using DestroySession = void (*)(Session);
/// Calls back before it returns, once for each thing that the path names.
using ObservePath = Code (*)(Session, const char* path, Callback, void* user, std::uint32_t flags);
using SetInput = Code (*)(Session, std::uint32_t flags, void* input, std::uint32_t bytes);
using UuidToLabel = Code (*)(const Uuid*, Label*, std::uint32_t flags);

using OnUuid = void (*)(const Uuid* device, Code, const Uuid* uuid, void* user);
using OnCertificate = void (*)(const Uuid* device, Code, Certificate, void* user);
using OnReport = void (*)(const Uuid* device, Code, Report, void* user);
}

}  // namespace nostril::node::nscq
