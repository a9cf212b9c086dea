#pragma once

#include "attestation/evidence.h"
#include "attestation/statement.h"
#include "base/result.h"
#include "base/rng.h"
#include "node/nscq.h"
#include "node/nvml.h"
#include "node/tee_paths.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

/// GPUs, in index order, and the NVSwitches between them.
struct BoardAnswer {
  std::vector<GpuAnswer> gpus;
  std::vector<GpuAnswer> switches;
};

struct BoardDocuments {
  std::vector<Bytes> manifests;  ///< reference manifests
  std::vector<Bytes> ocsp;       ///< OCSP answers
};

/// Makes evidence that commits to a statement. Threads: one at a time, any.
class EvidenceSource {
 public:
  virtual ~EvidenceSource() = default;
  EvidenceSource(const EvidenceSource&) = delete;
  EvidenceSource& operator=(const EvidenceSource&) = delete;

  /// Waits for the machine: up to a second with real hardware, up to a minute when the host
  /// is in trouble. Without collateral, but for what comes with the answer. The error is one line
  /// for the operator.
  [[nodiscard]] virtual Result<attestation::Evidence, std::string> evidence(
      const attestation::Statement& statement, std::int64_t now_s) = 0;

  /// The machine's quote over 64 bytes of whoever asks, for verifiers of other services' forms
  /// (face/): without statement, GPUs and collateral. Waits as evidence() does.
  [[nodiscard]] virtual Result<attestation::Evidence, std::string> quote(
      std::span<const std::uint8_t, 64> report_data, std::int64_t now_s) {
    static_cast<void>(report_data);
    static_cast<void>(now_s);
    return failure(std::string("this source makes no quotes over foreign data"));
  }

  /// Reports of the machine's GPUs and NVSwitches over `nonce`: what the statement's gpu_evidence
  /// is a digest of, so they are asked before. None without GPUs, or where they can't attest.
  [[nodiscard]] virtual Result<BoardAnswer, std::string> board(const Digest& nonce) {
    static_cast<void>(nonce);
    return BoardAnswer{};
  }

  /// NVIDIA's word about these, as much as can be had.
  [[nodiscard]] virtual BoardDocuments board_documents(const BoardAnswer& board,
                                                       std::int64_t now_s) {
    static_cast<void>(board);
    static_cast<void>(now_s);
    return {};
  }

  /// The CPU's part of the offer's `tee` tag, for the log.
  [[nodiscard]] virtual std::string_view tee() const = 0;
  [[nodiscard]] virtual bool simulated() const = 0;

 protected:
  EvidenceSource() = default;
};

/// All that `source` has, committing to `statement`: GPUs are asked first, since the CPU's quote
/// commits to their reports.
[[nodiscard]] Result<attestation::Evidence, std::string> whole_evidence(
    EvidenceSource& source, attestation::Statement statement, std::int64_t now_s);

struct EvidenceSettings {
  /// "dstack", "tsm", "sev-guest", "simulated", or "auto": the first of the first three that this
  /// machine has. Nothing but its own name chooses the simulator.
  std::string source = "auto";
  std::string simulated_platform = "tdx";
  std::string simulated_compose;  ///< file: app-compose.json of the simulated boot; empty: ours
  TeePaths paths;
  std::string nvml_library = kNvmlLibrary;  ///< empty: GPUs are not asked
  std::string nscq_library = kNscqLibrary;  ///< empty: NVSwitches are not asked
  std::size_t simulated_gpus = 0;
  std::size_t simulated_switches = 0;
};

/// What would be taken, and why not the others. For `nostril-node doctor`.
struct EvidenceChoice {
  std::string source;              ///< "dstack", "tsm", "sev-guest", "simulated"; empty: none
  std::vector<std::string> notes;  ///< lines for the operator: what was looked at, what to do
};

/// Looks, and asks configfs who answers there; makes no evidence.
[[nodiscard]] EvidenceChoice choose_evidence(const EvidenceSettings& settings);

/// The chosen source. `data` is the node's folder. Simulated evidence is refused on a machine with
/// any interface of a real TEE. The error is for the operator and says what to do.
[[nodiscard]] Result<std::unique_ptr<EvidenceSource>, std::string> make_evidence_source(
    const EvidenceSettings& settings, const std::filesystem::path& data, Rng& rng);

}  // namespace nostril::node
