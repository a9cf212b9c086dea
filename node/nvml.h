#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "schnorr/types.h"

#include <optional>
#include <string>
#include <vector>

namespace nostril::node {

/// What one GPU says of itself.
struct GpuAnswer {
  Bytes report;  ///< SPDM request and response (attestation/gpu_report.h)
  Bytes chain;   ///< five certificates, DER joined (attestation/gpu_certificates.h)
};

inline constexpr const char* kNvmlLibrary = "libnvidia-ml.so.1";

/// Reports of all GPUs over `nonce`, in index order, by NVIDIA's management library, which is
/// loaded for the call. No library, no GPU, or confidential computing off: none. A GPU in
/// confidential mode that gives no report, or development mode, is an error: one line for the
/// operator. Threads: one at a time in a process. About a second a GPU.
[[nodiscard]] Result<std::vector<GpuAnswer>, std::string> gpu_reports(
    const Digest& nonce, const std::string& library = kNvmlLibrary);

struct GpuDevice {
  std::string name;   ///< empty: the driver does not say
  std::string vbios;  ///< likewise
};

/// What `doctor` says of the GPUs. Nothing here is evidence.
struct GpuSummary {
  bool has_library = false;  ///< NVIDIA's library is there and its driver answers
  std::string driver;        ///< version
  std::vector<GpuDevice> devices;
  bool confidential = false;  ///< confidential computing is on
  bool development = false;   ///< in its development mode, which protects nothing
  /// The driver lets work onto the GPUs (`nvidia-smi conf-compute -srs 1`); nothing when it does
  /// not say.
  std::optional<bool> ready;
};

[[nodiscard]] GpuSummary summarise_gpus(const std::string& library = kNvmlLibrary);

}  // namespace nostril::node
