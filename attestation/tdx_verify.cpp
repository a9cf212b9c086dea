#include "attestation/tdx_verify.h"

#include "attestation/ecdsa.h"
#include "schnorr/hash.h"

#include <algorithm>

namespace nostril::attestation {

namespace {

/// As in Intel's QE identity for TD_QE; the same since the first one.
constexpr std::array<std::uint8_t, 32> kIntelQeSigner = {
    0xdc, 0x9e, 0x2a, 0x7c, 0x6f, 0x94, 0x8f, 0x17, 0x47, 0x4e, 0x34, 0xa7, 0xfc, 0x43, 0xed, 0x03,
    0x0f, 0x7c, 0x15, 0x63, 0xf1, 0xba, 0xbd, 0xdf, 0x63, 0x40, 0xc8, 0x2e, 0x0e, 0x54, 0xa8, 0xc5};

/// As in Intel's QE identity for QE.
constexpr std::array<std::uint8_t, 32> kIntelSgxQeSigner = {
    0x8c, 0x4f, 0x57, 0x75, 0xd7, 0x96, 0x50, 0x3e, 0x96, 0x13, 0x7f, 0x77, 0xc6, 0x8a, 0x82, 0x9a,
    0x00, 0x56, 0xac, 0x8d, 0xed, 0x70, 0x14, 0x0b, 0x08, 0x1b, 0x09, 0x44, 0x90, 0xc5, 0x7b, 0xff};

}  // namespace

ChainNames chain_names(TrustRoots::Class root_class) {
  if (root_class == TrustRoots::Class::Test) {
    return {"NOSTRIL TEST PCK Certificate",
            "NOSTRIL TEST PCK Platform CA",
            "NOSTRIL TEST PCK Processor CA",
            "NOSTRIL TEST TCB Signing",
            sha256("nostril simulated quoting enclave signer").bytes,
            sha256("nostril simulated SGX quoting enclave signer").bytes};
  }
  return {"Intel SGX PCK Certificate",
          "Intel SGX PCK Platform CA",
          "Intel SGX PCK Processor CA",
          "Intel SGX TCB Signing",
          kIntelQeSigner,
          kIntelSgxQeSigner};
}

Result<TrustedChain, ChainError> check_trusted_chain(std::string_view pem, std::size_t length,
                                                     const TrustRoots& roots, UnixTime now,
                                                     ChainCache& cache) {
  auto certificates = parse_pem_chain(pem, cache);
  if (!certificates) return failure(certificates.error());
  if (certificates->size() != length) return failure(ChainError::WrongLength);
  const auto root_class = roots.classify(certificates->back().der);
  if (!root_class) return failure(ChainError::UntrustedRoot);
  if (const auto error = check_chain(*certificates, Algorithms::Intel, now, cache)) {
    return failure(*error);
  }
  return TrustedChain{std::move(*certificates), *root_class};
}

Result<TrustedChain, ChainError> check_pck_chain(std::string_view pem, const TrustRoots& roots,
                                                 UnixTime now, ChainCache& cache) {
  auto chain = check_trusted_chain(pem, 3, roots, now, cache);
  if (!chain) return chain;
  const ChainNames names = chain_names(chain->root_class);
  if (common_name(chain->leaf()) != names.pck_leaf) return failure(ChainError::WrongName);
  const std::string ca = common_name(chain->certificates[1]);
  if (ca != names.platform_ca && ca != names.processor_ca) return failure(ChainError::WrongName);
  return chain;
}

bool check_qe_report_signature(const QuoteProof& quote, const Certificate& pck_leaf) {
  return verify_p256(p256_key_of(pck_leaf), quote.qe_report, quote.qe_report_signature.first<64>());
}

bool check_qe_report_data(const QuoteProof& quote) {
  Sha256 hash;
  hash.update(quote.attestation_key).update(quote.qe_auth_data);
  std::array<std::uint8_t, 64> wanted{};
  const Digest digest = hash.finish();
  std::copy(digest.bytes.begin(), digest.bytes.end(), wanted.begin());
  return quote.qe.report_data == wanted;
}

bool check_quote_signature(const QuoteProof& quote) {
  const PkeyPtr key = ec_public_key(EcCurve::P256, quote.attestation_key);
  return verify_p256(key.get(), quote.signed_part, quote.signature.first<64>());
}

}  // namespace nostril::attestation
