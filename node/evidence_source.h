#pragma once

#include "attestation/evidence.h"
#include "attestation/statement.h"
#include "base/result.h"
#include "base/rng.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

/// Makes evidence that commits to a statement. Threads: one.
class EvidenceSource {
 public:
  virtual ~EvidenceSource() = default;
  EvidenceSource(const EvidenceSource&) = delete;
  EvidenceSource& operator=(const EvidenceSource&) = delete;

  /// Up to a second with real hardware. The error is one line for the operator.
  [[nodiscard]] virtual Result<attestation::Evidence, std::string> evidence(
      const attestation::Statement& statement, std::int64_t now_s) = 0;
  /// The offer's `tee` tag.
  [[nodiscard]] virtual std::string_view tee() const = 0;
  [[nodiscard]] virtual bool simulated() const = 0;

 protected:
  EvidenceSource() = default;
};

/// `backend` "sim": the simulator, its root written to `data`/sim-root.der for clients that ask for
/// it and the same at each start (`data`/sim-seed); refused on a machine with a real TEE. "tdx":
/// quotes by Linux' configfs-tsm. There is no default: what a node proves is chosen by name.
[[nodiscard]] Result<std::unique_ptr<EvidenceSource>, std::string> make_evidence_source(
    std::string_view backend, const std::filesystem::path& data, Rng& rng);

/// Paths of TEE interfaces that exist on this machine, for `nostril-node doctor`.
[[nodiscard]] std::vector<std::string> tee_interfaces();

}  // namespace nostril::node
