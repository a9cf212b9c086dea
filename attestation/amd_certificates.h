#pragma once

#include <string>
#include <string_view>

namespace nostril::attestation {

/// The intermediate and root certificates of AMD's key server for an issuer of VCEKs or VLEKs,
/// "SEV-Milan", "SEV-VLEK-Turin", …: PEM, the issuer, then its ARK. Empty for any other name.
/// They are here so that a report needs no file but the VCEK; trust is by TrustRoots alone.
std::string amd_issuer_chain(std::string_view issuer_common_name);

}  // namespace nostril::attestation
