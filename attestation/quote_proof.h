#pragma once

#include "attestation/byte_reader.h"
#include "attestation/evidence.h"
#include "attestation/verdict.h"
#include "base/bytes.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

/// What all of Intel's quotes share: the header, and the way from the quote's signature to a PCK
/// certificate (Intel TDX and SGX DCAP Quoting Library API, quote formats 3 to 5).
///
/// Header, 48 bytes:
///     0    2  version
///     2    2  attestation key type, 2 (ECDSA P-256)
///     4    4  TEE: 0 SGX, 0x81 TDX
///     8    4  version 3: SVNs of QE and PCE, else reserved; informational
///    12   16  QE vendor id
///    28   20  user data; informational
///
/// Certified key, wherever it stands, to the end of the signature data:
///     0  384  QE report
///   384   64  QE report signature, raw r||s
///   448    2  size of the authentication data (a), then the data
///   450+a  2  certification type, 5 (PEM chain: PCK leaf, PCK CA, root)
///   452+a  4  size of the chain, which ends the signature data
namespace nostril::attestation {

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

inline constexpr std::size_t kEnclaveReportBytes = 384;

/// The report of an enclave: the quoting one, and that of an SGX quote.
struct EnclaveReport {
  std::array<std::uint8_t, 4> miscselect{};
  /// Byte 0, bit 1: debug.
  std::array<std::uint8_t, 16> attributes{};
  std::array<std::uint8_t, 32> mrenclave{};
  std::array<std::uint8_t, 32> mrsigner{};
  std::uint16_t isv_prod_id = 0;
  std::uint16_t isv_svn = 0;
  std::array<std::uint8_t, 64> report_data{};
};

inline constexpr std::uint8_t kEnclaveDebug = 0x02;

/// Why a quote is its platform's word. Spans borrow from the quote's bytes.
struct QuoteProof {
  std::uint16_t version = 0;
  std::array<std::uint8_t, 16> qe_vendor{};
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

EnclaveReport parse_enclave_report(ByteSpan body);

/// The steps of the parsers; each leaves the reader behind what it read.
std::optional<QuoteError> read_quote_header(ByteReader& reader,
                                            std::initializer_list<std::uint16_t> versions,
                                            std::uint32_t tee_type, QuoteProof& out);
std::optional<QuoteError> read_certified_key(ByteReader& reader, QuoteProof& out);
/// Zero bytes only (dstack and Google Cloud pad).
std::optional<QuoteError> read_padding(ByteReader& reader);

}  // namespace nostril::attestation
