#include "attestation/evidence.h"
#include "attestation/gpu_verify.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/evidence_files.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <stdexcept>
#include <vector>

namespace nostril::client::cli {

namespace {

/// NVIDIA's roots; a root named by hand replaces that of the devices. Manifests under NVIDIA's own
/// root are sound whatever the device is, so that one stays.
attestation::TrustRoots gpu_roots(const EvidenceOptions& options) {
  return roots_of(options, attestation::TrustRoots::nvidia_devices)
      .joined(attestation::TrustRoots::nvidia_manifests());
}

std::vector<Bytes> read_all(const std::vector<std::string>& paths) {
  std::vector<Bytes> out;
  out.reserve(paths.size());
  for (const std::string& path : paths) out.push_back(read_bytes(path));
  return out;
}

/// Each report with its chain, by their order.
std::vector<attestation::GpuEvidence> read_pairs(const std::vector<std::string>& reports,
                                                 const std::vector<std::string>& chains,
                                                 std::string_view what) {
  if (reports.size() != chains.size() || reports.size() > attestation::kGpuReportCountMax) {
    throw std::runtime_error(
        fmt::format("{} reports and {} chains of {}; wanted: one for one, {} "
                    "at most",
                    reports.size(), chains.size(), what, attestation::kGpuReportCountMax));
  }
  std::vector<attestation::GpuEvidence> out;
  for (std::size_t i = 0; i < reports.size(); ++i) {
    out.push_back({read_bytes(reports[i]), read_bytes(chains[i])});
  }
  return out;
}

Judged gpu_verdict(std::int64_t now_s, const EvidenceOptions& options) {
  VerifyPolicy policy = read_policy(options, now_s);
  policy.gpu.nonce = read_nonce(options.nonce);
  const auto gpus = read_pairs(options.gpu_reports, options.gpu_chains, "GPUs");
  const auto switches = read_pairs(options.switch_reports, options.switch_chains, "NVSwitches");
  policy.gpu.ocsp_nonce = read_nonce(options.ocsp_nonce);
  const std::vector<Bytes> rims = read_all(options.rims);
  const std::vector<Bytes> ocsp = read_all(options.ocsp);
  return {
      attestation::verify_gpus({gpus, rims, gpu_roots(options), now_s, policy.gpu, ocsp, switches}),
      chains_of_gpus(gpus, switches, rims)};
}

}  // namespace

int verify_gpu(Process& process, const EvidenceOptions& options) {
  return judge_files(process, options, options.gpu_reports.front(), gpu_verdict);
}

void add_verify_gpu(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = add_evidence_command(verify_app, "gpu",
                                   "the reports of a machine's NVIDIA GPUs and NVSwitches",
                                   verify_gpu, o, run);
  const auto add_files = [app](const char* name, std::vector<std::string>& files,
                               const char* what) {
    return app->add_option(name, files, what)->allow_extra_args(false);
  };
  add_files("--report", o.evidence.gpu_reports,
            "raw report: SPDM request and response; again for each GPU")
      ->required();
  add_files("--chain", o.evidence.gpu_chains,
            "its five certificates, leaf first: PEM or DER; again, in the order of the reports")
      ->required();
  add_files("--switch-report", o.evidence.switch_reports,
            "the same of an NVSwitch; again for each");
  add_files("--switch-chain", o.evidence.switch_chains,
            "its five certificates; again, in the order of the reports");
  add_rim_option(*app, o.evidence);
  app->add_option("--ocsp", o.evidence.ocsp, "OCSP answer (DER) about a certificate; once each");
  app->add_option("--ocsp-nonce", o.evidence.ocsp_nonce, "hex: what those answers must carry");
}

}  // namespace nostril::client::cli
