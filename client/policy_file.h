#pragma once

#include "attestation/gpu_verify.h"
#include "attestation/nras.h"
#include "attestation/snp_verify.h"
#include "attestation/verify.h"

#include <string>
#include <string_view>

namespace nostril::client {

/// What `nostril verify` accepts, from a TOML file. What the file does not name keeps its default,
/// which refuses.
struct VerifyPolicy {
  attestation::Policy tdx;
  attestation::SnpPolicy snp;
  attestation::GpuPolicy gpu;
  attestation::NrasPolicy nras;
};

/// `name` is what errors call the text. Throws ConfigError: an unknown key, a malformed value.
///
///   level_min = "declared"        # or image_measured
///   [tdx]
///   accepted_tcb_statuses = ["SWHardeningNeeded"]
///   images = ["mrtd=HEX, rtmr1=HEX, rtmr2=HEX, mrconfigid=HEX"]    # only mrtd must be there
///   [snp]
///   tcb_minimums = ["product=Milan, bl=4, tee=0, snp=23, ucode=213"]
///   platform_required = ["alias_check"]
///
/// All keys: print_verify_policy().
[[nodiscard]] VerifyPolicy parse_verify_policy(std::string_view toml, const std::string& name);

/// The defaults as a commented file.
[[nodiscard]] std::string print_verify_policy();

}  // namespace nostril::client
