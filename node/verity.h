#pragma once

#include "attestation/verity.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct dm_ioctl;

/// The dm-verity device that a model's weights are mounted from, as the kernel has it: a twin of
/// /dev/mapper/control stands behind its one function in tests.
namespace nostril::node {

class DeviceMapper {
 public:
  virtual ~DeviceMapper() = default;
  DeviceMapper(const DeviceMapper&) = delete;
  DeviceMapper& operator=(const DeviceMapper&) = delete;

  /// ioctl(2) on the control device; errno, or 0.
  [[nodiscard]] virtual int request(unsigned long number, dm_ioctl* data) = 0;

 protected:
  DeviceMapper() = default;
};

/// The error is one line for the operator.
[[nodiscard]] Result<std::unique_ptr<DeviceMapper>, std::string> open_device_mapper(
    const std::filesystem::path& path = "/dev/mapper/control");

/// Parameters of a "verity" target as a table prints them:
///
///   1 <data device> <hash device> <data block> <hash block> <data blocks> <hash start> sha256
///   <root> <salt or "-"> [<count> <option>…]
///
/// Refused: another hash type or algorithm; the options ignore_corruption (blocks are read that are
/// not what the root says) and check_at_most_once (the host may change them after the first read);
/// and every option that is not known to keep the root's word: those are restart_on_corruption,
/// panic_on_corruption, restart_on_error, panic_on_error, ignore_zero_blocks,
/// try_verify_in_tasklet, root_hash_sig_key_desc and forward error correction. Pure.
[[nodiscard]] Result<attestation::VerityDevice, std::string> parse_verity_table(
    std::string_view parameters);

/// The number of the device below a path: st_dev. For tests.
using DeviceOf = std::function<Result<std::uint64_t, std::string>(const std::filesystem::path&)>;

/// The device below `folder`, the mount of the weights, which holds every file in it: one active
/// verity target over all of the device, read-only, in which no corruption was found. The files
/// themselves are not read. The error is one line for the operator.
[[nodiscard]] Result<attestation::VerityDevice, std::string> verity_below(
    DeviceMapper& mapper, const std::filesystem::path& folder);
[[nodiscard]] Result<attestation::VerityDevice, std::string> verity_below(
    DeviceMapper& mapper, const std::filesystem::path& folder, const DeviceOf& device_of);

}  // namespace nostril::node
