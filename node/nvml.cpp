#include "node/nvml.h"

#include "attestation/evidence.h"
#include "attestation/gpu_certificates.h"
#include "node/nvml_api.h"
#include "node/shared_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

namespace nostril::node {

namespace {

using Answers = std::vector<GpuAnswer>;

/// The library, initialised while this lives.
class Nvml {
 public:
  /// Nothing when there is no library, no driver or no symbol of it.
  static std::unique_ptr<Nvml> open(const std::string& path) {
    SharedLibrary library(path);
    if (!library) return nullptr;
    auto out = std::unique_ptr<Nvml>(new Nvml(std::move(library)));
    return out->ready_ ? std::move(out) : nullptr;
  }

  ~Nvml() {
    if (ready_) shutdown_();
  }

  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  Nvml(Nvml&&) = delete;
  Nvml& operator=(Nvml&&) = delete;

  [[nodiscard]] unsigned count() const {
    unsigned out = 0;
    return count_(&out) == nvml::kSuccess ? out : 0;
  }

  /// Nothing when the driver does not know of confidential computing.
  [[nodiscard]] std::optional<nvml::ConfComputeState> state() const {
    nvml::ConfComputeState out{};
    if (state_ == nullptr || state_(&out) != nvml::kSuccess) return std::nullopt;
    return out;
  }

  [[nodiscard]] std::optional<bool> is_ready() const {
    unsigned out = 0;
    if (is_ready_ == nullptr || is_ready_(&out) != nvml::kSuccess) return std::nullopt;
    return out != 0;
  }

  [[nodiscard]] std::string driver() const {
    return read_text([this](char* out, unsigned bytes) {
      return driver_ == nullptr ? nvml::kNotSupported : driver_(out, bytes);
    });
  }

  [[nodiscard]] GpuDevice device(unsigned index) const {
    nvml::Device handle = nullptr;
    if (device_(index, &handle) != nvml::kSuccess) return {};
    const auto text = [handle](nvml::GetDeviceText what) {
      return read_text([handle, what](char* out, unsigned bytes) {
        return what == nullptr ? nvml::kNotSupported : what(handle, out, bytes);
      });
    };
    return {text(name_), text(vbios_)};
  }

  [[nodiscard]] Result<GpuAnswer, std::string> ask(unsigned index, const Digest& nonce) const {
    nvml::Device device = nullptr;
    if (const int error = device_(index, &device); error != nvml::kSuccess) {
      return failure(problem(index, "can't be opened", error));
    }
    const auto report = std::make_unique<nvml::GpuReport>();
    report->nonce = nonce.bytes;
    const auto certificate = std::make_unique<nvml::GpuCertificate>();
    if (report_ == nullptr || certificate_ == nullptr) {
      return failure(problem(index, "has a driver without attestation", nvml::kNotSupported));
    }
    if (const int error = certificate_(device, certificate.get()); error != nvml::kSuccess) {
      return failure(problem(index, "gives no certificates", error));
    }
    if (const int error = report_(device, report.get()); error != nvml::kSuccess) {
      return failure(problem(index, "gives no report", error));
    }
    if (report->report_bytes > report->report.size() ||
        certificate->attestation_chain_bytes > certificate->attestation_chain.size()) {
      return failure(problem(index, "says sizes beyond the driver's own buffers", 0));
    }
    const auto chain = attestation::parse_gpu_chain(
        ByteSpan(certificate->attestation_chain).first(certificate->attestation_chain_bytes));
    if (!chain) return failure(problem(index, "gives certificates that are none", 0));
    const ByteSpan bytes = ByteSpan(report->report).first(report->report_bytes);
    return GpuAnswer{Bytes(bytes.begin(), bytes.end()), attestation::join_chain(*chain)};
  }

 private:
  explicit Nvml(SharedLibrary library)
      : library_(std::move(library)),
        shutdown_(library_.find<nvml::Shutdown>("nvmlShutdown")),
        count_(library_.find<nvml::GetCount>("nvmlDeviceGetCount_v2")),
        device_(library_.find<nvml::GetDevice>("nvmlDeviceGetHandleByIndex_v2")),
        state_(library_.find<nvml::GetState>("nvmlSystemGetConfComputeState")),
        is_ready_(library_.find<nvml::GetReady>("nvmlSystemGetConfComputeGpusReadyState")),
        driver_(library_.find<nvml::GetDriver>("nvmlSystemGetDriverVersion")),
        name_(library_.find<nvml::GetDeviceText>("nvmlDeviceGetName")),
        vbios_(library_.find<nvml::GetDeviceText>("nvmlDeviceGetVbiosVersion")),
        certificate_(library_.find<nvml::GetCertificate>("nvmlDeviceGetConfComputeGpuCertificate")),
        report_(library_.find<nvml::GetReport>("nvmlDeviceGetConfComputeGpuAttestationReport")) {
    const auto init = library_.find<nvml::Init>("nvmlInit_v2");
    const bool complete =
        init != nullptr && shutdown_ != nullptr && count_ != nullptr && device_ != nullptr;
    ready_ = complete && init() == nvml::kSuccess;
  }

  template <typename Ask>
  static std::string read_text(Ask read_into) {
    std::array<char, nvml::kTextBytes> out{};
    if (read_into(out.data(), nvml::kTextBytes) != nvml::kSuccess) return {};
    out.back() = '\0';
    return out.data();
  }

  static std::string problem(unsigned index, const char* what, int error) {
    return fmt::format(
        "GPU {} {} (NVML error {}); is confidential computing on, and its driver one "
        "that attests (550 or later)?",
        index, what, error);
  }

  SharedLibrary library_;
  nvml::Shutdown shutdown_;
  nvml::GetCount count_;
  nvml::GetDevice device_;
  nvml::GetState state_;
  nvml::GetReady is_ready_;
  nvml::GetDriver driver_;
  nvml::GetDeviceText name_;
  nvml::GetDeviceText vbios_;
  nvml::GetCertificate certificate_;
  nvml::GetReport report_;
  bool ready_ = false;
};

}  // namespace

Result<std::vector<GpuAnswer>, std::string> gpu_reports(const Digest& nonce,
                                                        const std::string& library) {
  const auto nvml = Nvml::open(library);
  if (!nvml) return Answers{};
  const auto state = nvml->state();
  if (!state || state->cc_feature != nvml::kFeatureOn) return Answers{};
  if (state->dev_tools_mode != 0) {
    return failure(std::string("the GPUs are in development mode, which clients refuse"));
  }
  const unsigned count = nvml->count();
  if (count > attestation::kGpuReportCountMax) {
    return failure(fmt::format("{} GPUs are more than evidence carries", count));
  }
  Answers out;
  for (unsigned index = 0; index < count; ++index) {
    auto answer = nvml->ask(index, nonce);
    if (!answer) return failure(answer.error());
    out.push_back(std::move(*answer));
  }
  return out;
}

GpuSummary summarise_gpus(const std::string& library) {
  GpuSummary out;
  const auto nvml = Nvml::open(library);
  if (!nvml) return out;
  out.has_library = true;
  out.driver = nvml->driver();
  const unsigned count = std::min<unsigned>(nvml->count(), attestation::kGpuReportCountMax);
  for (unsigned index = 0; index < count; ++index) out.devices.push_back(nvml->device(index));
  if (const auto state = nvml->state()) {
    out.confidential = state->cc_feature == nvml::kFeatureOn;
    out.development = state->dev_tools_mode != 0;
  }
  out.ready = nvml->is_ready();
  return out;
}

}  // namespace nostril::node
