#pragma once

#include "attestation/quote_proof.h"
#include "base/result.h"

namespace nostril::attestation {

/// A quote taken apart. Borrows from the bytes given to parse_sgx_quote().
struct SgxQuoteView : QuoteProof {
  EnclaveReport enclave;
};

/// Strict parser of Intel SGX quotes, version 3.
///
///     0   48  header
///    48  384  enclave report
///   432    4  signature data size
///   436   64  signature of bytes 0 to 431, raw r||s
///   500   64  attestation public key, x||y on P-256
///   564       certified key, attestation/quote_proof.h
///
/// After it: zero bytes only, up to kQuoteBytesMax.
Result<SgxQuoteView, QuoteError> parse_sgx_quote(ByteSpan quote);

/// The bytes begin as a quote of version 3 does: it is parse_sgx_quote() that must read them.
bool is_sgx_quote(ByteSpan quote);

}  // namespace nostril::attestation
