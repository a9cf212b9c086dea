#pragma once

#include "attestation/evidence.h"
#include "attestation/verdict.h"
#include "base/bytes.h"
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace nostril::attestation {

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
///   134  384  QE report
///   518   64  QE report signature, raw r||s
///   582    2  size of the authentication data (a), then the data
///   584+a  2  certification type, 5 (PEM chain: PCK leaf, PCK CA, root)
///   586+a  4  size of the chain, which ends the signature data
///
/// After it: zero bytes only (dstack and Google Cloud pad), up to kQuoteBytesMax.
enum class QuoteError : std::uint8_t {
  TooLarge,
  Truncated,
  UnsupportedVersion,
  UnsupportedKeyType,
  UnsupportedTee,
  UnknownVendor,
  BodyMismatch,
  UnsupportedCertification,
  SizeMismatch,
  TrailingBytes,
};

std::string_view to_string(QuoteError error);

/// QE vendor ids: Intel's, and the one that only the simulator writes.
inline constexpr std::array<std::uint8_t, 16> kIntelQeVendor = {
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};
inline constexpr std::array<std::uint8_t, 16> kSimulatorQeVendor = {
    'N', 'O', 'T', '-', 'A', '-', 'T', 'E', 'E', '-', 'n', 'o', 's', 't', 'r', 'l'};

inline constexpr std::size_t kTdReport10Bytes = 584;
inline constexpr std::size_t kTdReport15Bytes = 648;
inline constexpr std::size_t kEnclaveReportBytes = 384;

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

/// The report of the quoting enclave (an SGX enclave report).
struct EnclaveReport {
  std::array<std::uint8_t, 4> miscselect{};
  std::array<std::uint8_t, 16> attributes{};
  std::array<std::uint8_t, 32> mrsigner{};
  std::uint16_t isv_prod_id = 0;
  std::uint16_t isv_svn = 0;
  std::array<std::uint8_t, 64> report_data{};
};

/// A quote taken apart. Spans borrow from the bytes given to parse_tdx_quote().
struct TdxQuoteView {
  std::uint16_t version = 0;
  std::array<std::uint8_t, 16> qe_vendor{};
  TdReport td;
  /// What the quote signature covers.
  ByteSpan signed_part;
  ByteSpan signature;        // 64
  ByteSpan attestation_key;  // 64
  EnclaveReport qe;
  ByteSpan qe_report;            // 384
  ByteSpan qe_report_signature;  // 64
  ByteSpan qe_auth_data;
  /// PEM text of the chain, without the optional NUL that ends it.
  std::string_view pck_chain;
};

Result<TdxQuoteView, QuoteError> parse_tdx_quote(ByteSpan quote);

}  // namespace nostril::attestation
