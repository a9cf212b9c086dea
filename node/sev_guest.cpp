#include "node/sev_guest.h"

#include "attestation/byte_reader.h"
#include "attestation/snp_report.h"
#include "base/file.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <linux/sev-guest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

namespace nostril::node {

namespace {

std::string error_text(int error) {
  return std::generic_category().message(error);
}

/// Whole pages, as the driver wants them, and the most that it takes.
constexpr std::uint32_t kTableBytes = 16U << 10U;
/// GHCB specification: exit information of the hypervisor.
constexpr std::uint32_t kTableTooSmall = 1;
constexpr std::uint32_t kBusy = 2;
constexpr int kTries = 5;
constexpr std::chrono::milliseconds kBusyWait{200};
constexpr std::size_t kReservedBytes = 24;  // between the report's size and the report

class Device final : public SevGuestDevice {
 public:
  explicit Device(UniqueFd fd) : fd_(std::move(fd)) {}

  int request(unsigned long number, void* argument) override {
    return ioctl(fd_.get(), number, argument) == 0 ? 0 : errno;
  }

 private:
  UniqueFd fd_;
};

/// Status u32, report size u32, 24 reserved bytes, report; little-endian.
Result<Bytes, std::string> take_report(const snp_report_resp& response) {
  attestation::ByteReader reader(ByteSpan(response.data, sizeof(response.data)));
  const auto status = reader.take_le<std::uint32_t>();
  const auto size = reader.take_le<std::uint32_t>();
  reader.take(kReservedBytes);
  if (status != 0) {
    return failure(fmt::format("/dev/sev-guest: the firmware refuses, status {}", status));
  }
  if (size != attestation::kSnpReportBytes) {
    return failure(fmt::format("/dev/sev-guest: a report of {} bytes, not {}", size,
                               attestation::kSnpReportBytes));
  }
  const ByteSpan report = reader.take(size);
  return Bytes(report.begin(), report.end());
}

std::string problem(int error, const snp_guest_request_ioctl& request) {
  const char* advice = error == EACCES || error == EPERM
                           ? "run as root, or give this user the device"
                           : "is this an SNP guest, and not after a failed request?";
  return fmt::format("/dev/sev-guest: {}, firmware {:#x}, host {:#x} ({})", error_text(error),
                     request.fw_error, request.vmm_error, advice);
}

}  // namespace

Result<std::unique_ptr<SevGuestDevice>, std::string> open_sev_guest(
    const std::filesystem::path& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.is_open()) {
    return failure(fmt::format("{}: {} (run as root, or give this user the device)", path.string(),
                               error_text(errno)));
  }
  return std::make_unique<Device>(std::move(fd));
}

Result<SevGuestReport, std::string> sev_guest_report(
    SevGuestDevice& device, std::span<const std::uint8_t, 64> report_data) {
  snp_ext_report_req question{};
  std::ranges::copy(report_data, std::begin(question.data.user_data));
  snp_report_resp response{};
  Bytes table(kTableBytes);
  snp_guest_request_ioctl request{};
  for (int i = 0; i < kTries; ++i) {
    question.certs_address = reinterpret_cast<std::uintptr_t>(table.data());
    question.certs_len = kTableBytes;
    request = {};
    request.msg_version = 1;
    request.req_data = reinterpret_cast<std::uintptr_t>(&question);
    request.resp_data = reinterpret_cast<std::uintptr_t>(&response);
    const int error = device.request(SNP_GET_EXT_REPORT, &request);
    if (error == 0) {
      auto report = take_report(response);
      if (!report) return failure(report.error());
      return SevGuestReport{std::move(*report), std::move(table)};
    }
    if (request.vmm_error == kTableTooSmall) {
      return failure(
          fmt::format("/dev/sev-guest: the host's certificate table has {} bytes, more "
                      "than the driver takes",
                      question.certs_len));
    }
    if (request.vmm_error != kBusy && error != EAGAIN && error != EINTR) {
      return failure(problem(error, request));
    }
    std::this_thread::sleep_for(kBusyWait);
  }
  return failure(problem(EAGAIN, request));
}

}  // namespace nostril::node
