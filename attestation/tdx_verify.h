#pragma once

#include "attestation/tdx_quote.h"
#include "attestation/trust_roots.h"
#include "attestation/x509.h"
#include "base/result.h"

#include <array>
#include <string_view>
#include <vector>

/// The signatures of an Intel quote, from the statement up to the root:
///
///   root -> PCK CA -> PCK leaf -> QE report -> attestation key -> quote
///
/// Each step is a function of its own so that verify() can say which one failed. Pure.
namespace nostril::attestation {

/// Names of the parts below a root, by its class: a test root signs nothing under Intel's names.
/// All but the last two are subject common names.
struct ChainNames {
  std::string_view pck_leaf;
  std::string_view platform_ca;
  std::string_view processor_ca;
  std::string_view tcb_signing;
  /// MRSIGNER of the quoting enclaves for TDs and for enclaves.
  std::array<std::uint8_t, 32> qe_signer;
  std::array<std::uint8_t, 32> sgx_qe_signer;
};

ChainNames chain_names(TrustRoots::Class root_class);

/// FMSPC of simulated platforms; no genuine one has it.
inline constexpr std::array<std::uint8_t, 6> kSimulatorFmspc = {0x51, 0x4d, 0, 0, 0, 0};

/// A chain that ends in a trusted root.
struct TrustedChain {
  std::vector<Certificate> certificates;  ///< leaf first, root last
  TrustRoots::Class root_class = TrustRoots::Class::Genuine;

  [[nodiscard]] const Certificate& leaf() const { return certificates.front(); }

  [[nodiscard]] const Certificate& root() const { return certificates.back(); }
};

/// Parses a PEM chain and checks everything but names and revocation.
Result<TrustedChain, ChainError> check_trusted_chain(std::string_view pem, std::size_t length,
                                                     const TrustRoots& roots, UnixTime now,
                                                     ChainCache& cache);

/// PCK leaf, PCK CA, root; names checked. Revocation is collateral's work.
Result<TrustedChain, ChainError> check_pck_chain(std::string_view pem, const TrustRoots& roots,
                                                 UnixTime now, ChainCache& cache);

/// The PCK leaf signed the QE report.
bool check_qe_report_signature(const QuoteProof& quote, const Certificate& pck_leaf);

/// QE report data == SHA-256(attestation key || authentication data) || 32 zero bytes.
bool check_qe_report_data(const QuoteProof& quote);

/// The attestation key signed header and body.
bool check_quote_signature(const QuoteProof& quote);

}  // namespace nostril::attestation
