#include "node/nscq.h"

#include "attestation/evidence.h"
#include "attestation/gpu_certificates.h"
#include "node/nscq_api.h"
#include "node/shared_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace nostril::node {

namespace {

using Answers = std::vector<GpuAnswer>;

/// What one observation brought; the callbacks of a C library fill it and must not throw.
struct Observed {
  nscq::Code code = 0;
  bool oversized = false;
  std::vector<nscq::Uuid> uuids;
  Bytes bytes;

  template <std::size_t N>
  void put(nscq::Code answer, const std::array<std::uint8_t, N>& from, std::size_t count) noexcept {
    code = answer;
    oversized = count > N;
    if (answer >= 0 && !oversized) bytes.assign(from.begin(), from.begin() + count);
  }
};

void on_uuid(const nscq::Uuid* /*device*/, nscq::Code code, const nscq::Uuid* uuid,
             void* user) noexcept {
  auto& out = *static_cast<Observed*>(user);
  if (code < 0 || uuid == nullptr) {
    out.code = code < 0 ? code : nscq::Code{-1};
  } else if (out.uuids.size() <= attestation::kSwitchCountMax) {
    out.uuids.push_back(*uuid);
  }
}

void on_certificate(const nscq::Uuid* /*device*/, nscq::Code code, nscq::Certificate certificate,
                    void* user) noexcept {
  static_cast<Observed*>(user)->put(code, certificate.chain, certificate.chain_bytes);
}

void on_report(const nscq::Uuid* /*device*/, nscq::Code code, nscq::Report report,
               void* user) noexcept {
  static_cast<Observed*>(user)->put(code, report.report, report.report_bytes);
}

/// The library with a session while this lives.
class Nscq {
 public:
  static Result<std::unique_ptr<Nscq>, std::string> open(const std::string& path) {
    SharedLibrary library(path);
    if (!library) {
      return failure(path +
                     ": is not there; the GPUs name NVSwitches, so clients want their "
                     "reports: install NVIDIA's NSCQ library");
    }
    auto out = std::unique_ptr<Nscq>(new Nscq(std::move(library)));
    if (!out->complete()) return failure(path + ": lacks the functions of NSCQ 2");
    const auto made = out->create_(nscq::kMountDevices);
    if (made.code < 0) {
      return failure(fmt::format("{}: no session (NSCQ error {})", path, made.code));
    }
    out->session_ = made.session;
    return out;
  }

  ~Nscq() {
    if (session_ != nullptr) destroy_(session_);
  }

  Nscq(const Nscq&) = delete;
  Nscq& operator=(const Nscq&) = delete;
  Nscq(Nscq&&) = delete;
  Nscq& operator=(Nscq&&) = delete;

  /// How paths name the switches.
  [[nodiscard]] Result<std::vector<std::string>, std::string> labels() const {
    const auto seen = observe<nscq::OnUuid>(nscq::kUuidsPath, on_uuid);
    if (!seen) return failure("NVSwitches can't be listed " + seen.error());
    std::vector<std::string> out;
    for (const nscq::Uuid& uuid : seen->uuids) {
      nscq::Label label{};
      const nscq::Code code = to_label_(&uuid, &label, 0);
      const auto end = std::find(label.text.begin(), label.text.end(), '\0');
      if (code < 0 || end == label.text.end()) {
        return failure(fmt::format("an NVSwitch has no name (NSCQ error {})", code));
      }
      out.emplace_back(label.text.begin(), end);
    }
    return out;
  }

  [[nodiscard]] Result<GpuAnswer, std::string> ask(const std::string& label,
                                                   const Digest& nonce) const {
    const std::string root = "/" + label;
    const auto certificate =
        observe<nscq::OnCertificate>(root + nscq::kCertificatePath, on_certificate);
    if (!certificate) return failure(problem(label, "certificates", certificate.error()));
    auto chain = attestation::parse_gpu_chain(certificate->bytes);
    if (!chain) return failure(problem(label, "certificates", "that can be read"));
    auto input = nonce.bytes;
    const nscq::Code code = set_input_(session_, 0, input.data(), input.size());
    if (code < 0) return failure(problem(label, "heed to a nonce", error_text(code)));
    const auto report = observe<nscq::OnReport>(root + nscq::kReportPath, on_report);
    if (!report) return failure(problem(label, "report", report.error()));
    return GpuAnswer{report->bytes, attestation::join_chain(*chain)};
  }

 private:
  explicit Nscq(SharedLibrary library)
      : library_(std::move(library)),
        create_(library_.find<nscq::CreateSession>("nscq_session_create")),
        destroy_(library_.find<nscq::DestroySession>("nscq_session_destroy")),
        observe_(library_.find<nscq::ObservePath>("nscq_session_path_observe")),
        set_input_(library_.find<nscq::SetInput>("nscq_session_set_input")),
        to_label_(library_.find<nscq::UuidToLabel>("nscq_uuid_to_label")) {}

  [[nodiscard]] bool complete() const {
    return create_ != nullptr && destroy_ != nullptr && observe_ != nullptr &&
           set_input_ != nullptr && to_label_ != nullptr;
  }

  template <typename Function>
  [[nodiscard]] Result<Observed, std::string> observe(const std::string& path,
                                                      Function callback) const {
    Observed out;
    const nscq::Code code =
        observe_(session_, path.c_str(), reinterpret_cast<nscq::Callback>(callback), &out, 0);
    if (code < 0 || out.code < 0) return failure(error_text(std::min(code, out.code)));
    if (out.oversized) return failure(std::string("of a size beyond the library's own buffers"));
    return out;
  }

  static std::string error_text(nscq::Code code) { return fmt::format("(NSCQ error {})", code); }

  static std::string problem(const std::string& label, const char* what, const std::string& why) {
    return fmt::format("NVSwitch {} gives no {} {}", label, what, why);
  }

  SharedLibrary library_;
  nscq::CreateSession create_;
  nscq::DestroySession destroy_;
  nscq::ObservePath observe_;
  nscq::SetInput set_input_;
  nscq::UuidToLabel to_label_;
  nscq::Session session_ = nullptr;
};

}  // namespace

Result<std::vector<GpuAnswer>, std::string> switch_reports(const Digest& nonce,
                                                           const std::string& library) {
  const auto nscq = Nscq::open(library);
  if (!nscq) return failure(nscq.error());
  const auto labels = (*nscq)->labels();
  if (!labels) return failure(labels.error());
  if (labels->size() > attestation::kSwitchCountMax) {
    return failure(std::string("more NVSwitches than evidence carries"));
  }
  Answers out;
  for (const std::string& label : *labels) {
    auto answer = (*nscq)->ask(label, nonce);
    if (!answer) return failure(answer.error());
    out.push_back(std::move(*answer));
  }
  return out;
}

}  // namespace nostril::node
