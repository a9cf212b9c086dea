#pragma once

#include "attestation/evidence.h"
#include "attestation/vendor_services.h"
#include "base/bytes.h"
#include "base/result.h"
#include "net/loop.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What Intel and AMD say about the machines of a provider's report, asked for now. They learn
/// which platform somebody looks at: only when the user says so.
namespace nostril::client {

struct CollateralCall {
  std::string intel_url = attestation::kIntelServiceUrl;  ///< or a PCCS
  std::string intel_root_crl_url = attestation::kIntelRootCrlUrl;
  std::string amd_url = attestation::kAmdServiceUrl;
  std::string ca_file;            ///< PEM roots of https; empty: the system's
  std::uint64_t ms_max = 30'000;  ///< of each document
};

struct FetchedCollateral {
  std::vector<attestation::Collateral> intel;  ///< one a platform
  Bytes vek;                                   ///< VCEK certificate, DER; empty: none is needed
  Bytes crl;                                   ///< of AMD's ARK
};

/// Documents of one report: four a platform and two for AMD.
inline constexpr std::size_t kFetchedPlatformsMax = 4;

/// For every machine in `report` that does not bring its own. Nothing of the answers is verified
/// but their form: the verdict does that. Runs `loop`. An error is a line for the user, and names
/// the document.
[[nodiscard]] Result<FetchedCollateral, std::string> fetch_collateral(net::Loop& loop,
                                                                      std::string_view report,
                                                                      ByteSpan nonce,
                                                                      const CollateralCall& call);

}  // namespace nostril::client
