#pragma once

#include "attestation/evidence.h"
#include "attestation/tcb_info.h"
#include "attestation/tdx_quote.h"
#include "attestation/tdx_verify.h"

#include <optional>

/// Proof that collateral is the root's word, and what it says about a platform. Pure.
namespace nostril::attestation {

/// A signed document and the chain (signer, root) that vouches for it.
template <typename Document>
struct Vouched {
  Document document;
  TrustedChain chain;
};

/// Issuer chain, the signer's name, the signature over the exact text, the form, and the dates
/// (inclusive). The chain must end in `root`, the one the quote's own chain ends in.
Result<Vouched<TcbInfo>, CollateralError> check_tcb_info(const Collateral& collateral, IntelTee tee,
                                                         const TrustRoots& roots,
                                                         const Certificate& root, UnixTime now,
                                                         ChainCache& cache);
Result<Vouched<QeIdentity>, CollateralError> check_qe_identity(const Collateral& collateral,
                                                               IntelTee tee,
                                                               const TrustRoots& roots,
                                                               const Certificate& root,
                                                               UnixTime now, ChainCache& cache);

inline Result<Vouched<TcbInfo>, CollateralError> check_tcb_info(const Collateral& collateral,
                                                                IntelTee tee,
                                                                const TrustRoots& roots,
                                                                const Certificate& root,
                                                                UnixTime now) {
  ChainCache cache;
  return check_tcb_info(collateral, tee, roots, root, now, cache);
}

inline Result<Vouched<QeIdentity>, CollateralError> check_qe_identity(const Collateral& collateral,
                                                                      IntelTee tee,
                                                                      const TrustRoots& roots,
                                                                      const Certificate& root,
                                                                      UnixTime now) {
  ChainCache cache;
  return check_qe_identity(collateral, tee, roots, root, now, cache);
}

/// Both CRLs: the root's for PCK CA and TCB signers, the PCK CA's for the leaf. No CRL of an issuer
/// is a failure. Until when both are current.
Result<UnixTime, CrlError> check_revocation(const Collateral& collateral, const TrustedChain& pck,
                                            const Certificate& tcb_signer,
                                            const Certificate& qe_signer, UnixTime now);

/// The quoting enclave is the one `identity` describes: the level it reaches, or nothing.
const SvnLevel* match_qe(const QeIdentity& identity, const EnclaveReport& qe);

enum class TcbError : std::uint8_t {
  WrongPlatform,       ///< FMSPC or PCE id is another's
  NotSupported,        ///< below every platform level
  ModuleUnknown,       ///< no identity of this TDX module version
  ModuleNotSupported,  ///< below every level of the module
  ModuleMismatch,      ///< MRSIGNERSEAM or SEAM attributes
};

std::string_view to_string(TcbError error);

struct TcbEvaluation {
  TcbStatus status = TcbStatus::Revoked;
  TcbStatus module_status = TcbStatus::Revoked;
  UnixTime date = 0;                    ///< of the platform's level; 0: not stated
  std::vector<std::string> advisories;  ///< sorted, each once
};

/// Intel's rules as its Quote Verification Library applies them (TcbLevelCheck, TdxModuleCheck,
/// TDRelaunchCheck): the platform's level, merged with the module's and the quoting enclave's.
Result<TcbEvaluation, TcbError> evaluate_tcb(const TcbInfo& info, const SgxExtension& platform,
                                             const TdReport& td, const SvnLevel& qe_level);

/// The same of an SGX platform: its level, merged with the quoting enclave's.
Result<TcbEvaluation, TcbError> evaluate_sgx_tcb(const TcbInfo& info, const SgxExtension& platform,
                                                 const SvnLevel& qe_level);

/// `a` made worse by the status of a part: UpToDate, OutOfDate or Revoked.
TcbStatus converge(TcbStatus a, TcbStatus part);

}  // namespace nostril::attestation
