#pragma once

#include "attestation/quote_proof.h"
#include "base/bytes.h"
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace nostril::attestation {

inline constexpr std::size_t kTdReport10Bytes = 584;
inline constexpr std::size_t kTdReport15Bytes = 648;

/// The TD report; offsets in attestation/tdx_quote.cpp.
struct TdReport {
  std::array<std::uint8_t, 16> tee_tcb_svn{};
  Measurement mrsignerseam{};
  std::array<std::uint8_t, 8> seam_attributes{};
  /// Little-endian: bit 0 debug, 28 SEPT_VE_DISABLE, 29 migratable.
  std::uint64_t td_attributes = 0;
  Measurements measurements;
  std::array<std::uint8_t, 64> report_data{};
  /// TD 1.5 only, else zero.
  std::array<std::uint8_t, 16> tee_tcb_svn2{};
  bool is_td15 = false;
};

/// A quote taken apart. Borrows from the bytes given to parse_tdx_quote().
struct TdxQuoteView : QuoteProof {
  TdReport td;
};

/// Strict parser of Intel TDX quotes, versions 4 and 5 (Intel TDX DCAP Quoting Library API,
/// appendix 3). It takes apart and judges nothing but the form. Integers are little-endian.
///
///   version 4                      version 5
///     0   48  header                 0   48  header
///    48  584  TD report 1.0         48    2  body type: 2 = TD 1.0, 3 = TD 1.5
///   632    4  signature data size   50    4  body size: 584 or 648, by the type
///                                   54       TD report, then the signature data size
///
/// Signature data, exactly as long as its size says:
///     0   64  signature of everything before the signature data size, raw r||s
///    64   64  attestation public key, x||y on P-256
///   128    2  certification type, 6
///   130    4  size of the rest, exactly
///   134       certified key, attestation/quote_proof.h
///
/// After it: zero bytes only (dstack and Google Cloud pad), up to kQuoteBytesMax.
Result<TdxQuoteView, QuoteError> parse_tdx_quote(ByteSpan quote);

}  // namespace nostril::attestation
