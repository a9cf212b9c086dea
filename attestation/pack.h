#pragma once

#include "attestation/evidence.h"
#include "base/bytes.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// Evidence as the content of event 31471: base85(zstd(container)), base/base85.h. Pure functions.
///
/// Container, integers big-endian:
///
///   off  size  field
///     0     4  "NATT"
///     4     1  version, 2
///     5        sections until the end, types ascending, each: type u8, length u32, bytes
///
///   type  bytes; * text, folded (fold.h)                 times
///      1  kind, ASCII, 1 to 16                           1
///      2  statement, 214 (attestation/statement.h)       1
///      3* CPU quote or SNP report                        1
///      4  GPU report, in index order                     0 to 16
///      5  a GPU's certificates, DER joined, same order   at most one a report
///      6* NVIDIA's reference manifest                    0 to 4
///      7  NVSwitch report                               0 to 16; 7 to 9: with 4 only
///      8  a switch's certificates, as 5                 at most one a report
///      9  OCSP answer, DER                              0 to 64
///     10  document that is named, not held: kind u8, SHA-256, name, 1 to 64 (vendor_documents.h);
///         kinds ascending: 6, with 4 and without 6       0 to 4
///         9, with 4 and without 9                        0 or 1
///         16, without 16 to 23 and not with SNP          0 or 1
///     16* TCB info, exact text                           0 or 1; 16 to 23: all or none
///     17  TCB info signature, 64
///     18* TCB info issuer chain, PEM
///     19* QE identity, exact text
///     20  QE identity signature, 64
///     21* QE identity issuer chain, PEM
///     22  root CA CRL, DER
///     23  PCK CRL, DER
///     24* event log, JSON, 1 byte or more                0 or 1
///     25* app-compose.json, text, 1 byte or more         0 or 1, with 24 only
///     26  VCEK or VLEK certificate, DER                  kinds of SNP: 26 to 28 once each,
///     27* its issuer chain, PEM                          and none of 16 to 23;
///     28  CRL of the ARK, DER                            other kinds: none
///     29* model manifest, text, 1 byte or more           0 or 1
///     30* mr-config document, text, 1 byte or more       0 or 1, with 24 only
///
/// Any other type, order, count or size is refused: two packings of one evidence differ only in
/// their compression. Version 1 is read, too, no longer written: base64, no text folded, no
/// type 10.
namespace nostril::attestation {

struct PackLimits {
  /// Of the event's content, before anything is decoded.
  std::size_t packed_bytes_max = 512U << 10U;
  /// Of the container; the zstd frame must state its size, and it is checked before decompression.
  std::size_t container_bytes_max = 4U << 20U;
};

enum class PackError : std::uint8_t {
  TooLarge,
  BadText,
  BadZstd,
  BadContainer,
};

std::string_view to_string(PackError error);

/// `evidence` must be within_limits(); a negative expiry in its statement would not unpack.
std::string pack_evidence(const Evidence& evidence);

Result<Evidence, PackError> unpack_evidence(std::string_view packed, const PackLimits& limits = {});

/// One document, or what is to be measured, in the same way: base85(zstd(bytes)).
std::string pack_bytes(ByteSpan bytes);
Result<Bytes, PackError> unpack_bytes(std::string_view packed, const PackLimits& limits = {});

}  // namespace nostril::attestation
