#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "schnorr/types.h"

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

/// One line for `doctor`: what there is.
[[nodiscard]] std::string describe_gpus(const std::string& library = kNvmlLibrary);

}  // namespace nostril::node
