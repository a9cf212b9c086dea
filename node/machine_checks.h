#pragma once

#include "attestation/trust_roots.h"
#include "attestation/verify.h"
#include "base/finding.h"
#include "base/rng.h"
#include "net/loop.h"
#include "node/config.h"
#include "node/evidence_source.h"

#include <cstdint>
#include <filesystem>
#include <string>

/// What `nostril-node doctor` looks at on the machine itself. They change nothing that the node
/// would not make at its start, and nothing of a node that runs. Threads: the caller's, which waits
/// for the machine and the vendors' services.
namespace nostril::node {

/// Clients' terms, and the time.
struct Judge {
  attestation::TrustRoots roots = attestation::TrustRoots::vendors();
  attestation::Policy policy;
  std::int64_t now_s = 0;
};

/// What can't be offered as it is configured.
[[nodiscard]] Findings check_settings(const NodeConfig& config);

/// Which TEE there is, a trial quote, and what verify() says of it.
[[nodiscard]] Findings check_evidence(const NodeConfig& config, const Judge& judge, Rng& rng);

/// A trial of `source`: "evidence" and "collateral".
[[nodiscard]] Findings try_evidence(EvidenceSource& source, Judge judge, Rng& rng);

/// GPUs: modes, driver, VBIOS. `pci`: where the kernel lists devices, so that a GPU without a
/// driver is seen. `has_tee`: a GPU beside it must be confidential.
[[nodiscard]] Finding check_gpus(const std::string& library, bool has_tee,
                                 const std::filesystem::path& pci = "/sys/bus/pci/devices");

/// The node's folder: owner, rights, room, and what one sync costs, for records and receipts wait
/// for it.
[[nodiscard]] Findings check_data(const std::filesystem::path& data);

/// The journal of records and receipts, and what payers owe by it.
[[nodiscard]] Finding check_journal(const std::filesystem::path& data, net::Loop& loop);

}  // namespace nostril::node
