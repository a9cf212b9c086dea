#pragma once

#include "attestation/evidence.h"
#include "attestation/snp_report.h"
#include "attestation/snp_verify.h"
#include "attestation/x509.h"
#include "base/bytes.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What the services of Intel and AMD are asked about a machine, and their answers taken apart: for
/// who fetches. Pure; nothing here is verified.
namespace nostril::attestation {

/// Intel's service; a PCCS of one's own has the same paths.
inline constexpr const char* kIntelServiceUrl = "https://api.trustedservices.intel.com";
inline constexpr const char* kIntelRootCrlUrl =
    "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";
/// AMD's key server.
inline constexpr const char* kAmdServiceUrl = "https://kdsintf.amd.com";

/// Headers with the issuer chain, PEM, percent-encoded.
inline constexpr const char* kTcbInfoChainHeader = "TCB-Info-Issuer-Chain";
inline constexpr const char* kQeIdentityChainHeader = "SGX-Enclave-Identity-Issuer-Chain";

/// A TDX quote's platform, from its PCK certificate.
struct IntelPlatform {
  std::vector<Certificate> chain;  ///< leaf, PCK CA, root
  std::array<std::uint8_t, 6> fmspc{};
  std::string ca;  ///< "platform" or "processor"
};

std::optional<IntelPlatform> intel_platform(ByteSpan quote);

/// Paths below the service's URL.
std::string intel_tcb_path(const IntelPlatform& platform);
std::string intel_qe_identity_path();
std::string intel_pck_crl_path(const IntelPlatform& platform);
/// Of the VCEK at the reported TCB; nothing for a VLEK, a masked chip, or a report of version 2,
/// which does not say its product.
std::optional<std::string> amd_vcek_path(const SnpReport& report);
/// Of the CRL of the ARK.
std::string amd_crl_path(SnpSigner signer, SnpProduct product);

/// An answer {"<member>":{…},"signature":"<128 hex>"} taken apart: the exact text of the object,
/// which is what is signed, and the signature. Nothing for another form.
struct SignedAnswer {
  std::string text;
  std::array<std::uint8_t, 64> signature{};
};

std::optional<SignedAnswer> parse_signed_answer(std::string_view body, std::string_view member);

/// Into the collateral: false, and nothing, for an answer of another form.
bool put_tcb_info(Collateral& out, ByteSpan body, std::string chain);
bool put_qe_identity(Collateral& out, ByteSpan body, std::string chain);

/// A CRL's DER from an answer: DER, or the hex of it, as a PCCS answers.
Bytes crl_from_answer(ByteSpan body);

}  // namespace nostril::attestation
