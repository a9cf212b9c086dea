#pragma once

#include "attestation/checklist.h"
#include "attestation/sgx_quote.h"
#include "attestation/tcb_info.h"
#include "attestation/tdx_quote.h"
#include "attestation/verify.h"

#include <optional>
#include <string>
#include <vector>

/// The checks of a TDX or SGX quote and its collateral, whatever the quote was made for. verify()
/// adds those of a statement. Pure.
namespace nostril::attestation {

/// Borrowed for the call.
struct IntelInput {
  const Collateral* collateral;  ///< null: none
  const TrustRoots& roots;
  UnixTime now;
  const Policy& policy;
};

/// `wants_nonce`: report_data must be looked at.
void list_intel_checks(Checklist& checks, const Policy& policy, bool wants_nonce, IntelTee tee);

/// Records quote_format. The view borrows from `bytes`.
std::optional<TdxQuoteView> examine_tdx_format(ByteSpan bytes, Checklist& checks);
std::optional<SgxQuoteView> examine_sgx_format(ByteSpan bytes, Checklist& checks);

/// Records all the others but report_data, and fills the verdict's claims. Which kind of root the
/// quote's chain ends in; nothing when it ends in none that is trusted.
std::optional<TrustRoots::Class> examine_tdx(const TdxQuoteView& quote, const IntelInput& input,
                                             Verdict& verdict);
std::optional<TrustRoots::Class> examine_sgx(const SgxQuoteView& quote, const IntelInput& input,
                                             Verdict& verdict);

/// Registers that an image of the caller's own allowed_measurements, which this is, names.
std::vector<std::string> fixed_registers(const Policy& policy, const Verdict& verdict);

}  // namespace nostril::attestation
