#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace nostril::node {

/// /dev/sev-guest at the system-call boundary; a test's twin replays recordings. Threads: one.
class SevGuestDevice {
 public:
  virtual ~SevGuestDevice() = default;
  SevGuestDevice(const SevGuestDevice&) = delete;
  SevGuestDevice& operator=(const SevGuestDevice&) = delete;

  /// ioctl(2) with a struct snp_guest_request_ioctl: 0 or an errno.
  virtual int request(unsigned long number, void* argument) = 0;

 protected:
  SevGuestDevice() = default;
};

/// The error is one line for the operator.
[[nodiscard]] Result<std::unique_ptr<SevGuestDevice>, std::string> open_sev_guest(
    const std::filesystem::path& path);

struct SevGuestReport {
  Bytes report;
  Bytes certificates;  ///< the host's table (node/snp_certificate_table.h); may be empty
};

/// An extended report of VMPL 0 over these 64 bytes. Waits a moment, a few times, when the host
/// limits how often guests may ask. The error is one line for the operator.
[[nodiscard]] Result<SevGuestReport, std::string> sev_guest_report(
    SevGuestDevice& device, std::span<const std::uint8_t, 64> report_data);

}  // namespace nostril::node
