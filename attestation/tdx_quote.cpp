#include "attestation/tdx_quote.h"

#include "attestation/byte_reader.h"

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::uint16_t kKeyTypeEcdsaP256 = 2;
constexpr std::uint32_t kTeeTypeTdx = 0x81;
constexpr std::uint16_t kBodyTypeTd10 = 2;
constexpr std::uint16_t kBodyTypeTd15 = 3;
constexpr std::uint16_t kCertificationQeReport = 6;
constexpr std::uint16_t kCertificationPemChain = 5;

///   off size field             off size field          off size field
///     0   16 tee_tcb_svn       128    8 xfam           328 4*48 rtmr0..3
///    16   48 mrseam            136   48 mrtd           520   64 report_data
///    64   48 mrsignerseam      184   48 mrconfigid     584   16 tee_tcb_svn2 (1.5)
///   112    8 seamattributes    232   48 mrowner        600   48 mrservicetd (1.5)
///   120    8 tdattributes      280   48 mrownerconfig
TdReport parse_td_report(ByteSpan body) {
  ByteReader reader(body);
  TdReport td;
  Measurements& m = td.measurements;
  reader.take_into(td.tee_tcb_svn);
  reader.take_into(m.mrseam);
  reader.take_into(td.mrsignerseam);
  reader.take_into(td.seam_attributes);
  td.td_attributes = reader.take_le<std::uint64_t>();
  reader.take(8);  // xfam: which CPU state the TD may use; nothing to judge
  reader.take_into(m.mrtd);
  reader.take_into(m.mrconfigid);
  reader.take_into(m.mrowner);
  reader.take_into(m.mrownerconfig);
  for (Measurement& rtmr : m.rtmr) reader.take_into(rtmr);
  reader.take_into(td.report_data);
  if (body.size() == kTdReport15Bytes) {
    td.is_td15 = true;
    reader.take_into(td.tee_tcb_svn2);
    reader.take_into(m.mrservicetd);
  }
  return td;
}

///    0 16 cpusvn, 16 4 miscselect, 48 16 attributes, 64 32 mrenclave, 128 32 mrsigner,
///    256 2 isvprodid, 258 2 isvsvn, 320 64 report_data; the rest is reserved
EnclaveReport parse_enclave_report(ByteSpan body) {
  ByteReader reader(body);
  EnclaveReport qe;
  reader.take(16);
  reader.take_into(qe.miscselect);
  reader.take(28);
  reader.take_into(qe.attributes);
  reader.take(32 + 32);
  reader.take_into(qe.mrsigner);
  reader.take(96);
  qe.isv_prod_id = reader.take_le<std::uint16_t>();
  qe.isv_svn = reader.take_le<std::uint16_t>();
  reader.take(60);
  reader.take_into(qe.report_data);
  return qe;
}

/// Reads the header; leaves `reader` at the body.
std::optional<QuoteError> parse_header(ByteReader& reader, TdxQuoteView& out) {
  out.version = reader.take_le<std::uint16_t>();
  const auto key_type = reader.take_le<std::uint16_t>();
  const auto tee_type = reader.take_le<std::uint32_t>();
  reader.take(4);  // reserved; signed, informational
  reader.take_into(out.qe_vendor);
  reader.take(20);  // user data; signed, informational
  if (!reader.ok()) return QuoteError::Truncated;
  if (out.version != 4 && out.version != 5) return QuoteError::UnsupportedVersion;
  if (key_type != kKeyTypeEcdsaP256) return QuoteError::UnsupportedKeyType;
  if (tee_type != kTeeTypeTdx) return QuoteError::UnsupportedTee;
  if (out.qe_vendor != kIntelQeVendor && out.qe_vendor != kSimulatorQeVendor) {
    return QuoteError::UnknownVendor;
  }
  return std::nullopt;
}

/// Reads version 5's body descriptor and the TD report.
std::optional<QuoteError> parse_body(ByteReader& reader, TdxQuoteView& out) {
  std::size_t body_bytes = kTdReport10Bytes;
  if (out.version == 5) {
    const auto type = reader.take_le<std::uint16_t>();
    const auto size = reader.take_le<std::uint32_t>();
    if (!reader.ok()) return QuoteError::Truncated;
    if (type != kBodyTypeTd10 && type != kBodyTypeTd15) return QuoteError::BodyMismatch;
    body_bytes = type == kBodyTypeTd10 ? kTdReport10Bytes : kTdReport15Bytes;
    if (size != body_bytes) return QuoteError::BodyMismatch;
  }
  const ByteSpan body = reader.take(body_bytes);
  if (!reader.ok()) return QuoteError::Truncated;
  out.td = parse_td_report(body);
  return std::nullopt;
}

std::optional<QuoteError> parse_signature_data(ByteSpan data, TdxQuoteView& out) {
  ByteReader reader(data);
  out.signature = reader.take(64);
  out.attestation_key = reader.take(64);
  const auto outer_type = reader.take_le<std::uint16_t>();
  const auto outer_bytes = reader.take_le<std::uint32_t>();
  if (!reader.ok()) return QuoteError::Truncated;
  if (outer_type != kCertificationQeReport) return QuoteError::UnsupportedCertification;
  if (outer_bytes != reader.rest().size()) return QuoteError::SizeMismatch;

  out.qe_report = reader.take(kEnclaveReportBytes);
  out.qe_report_signature = reader.take(64);
  out.qe_auth_data = reader.take(reader.take_le<std::uint16_t>());
  const auto inner_type = reader.take_le<std::uint16_t>();
  const auto inner_bytes = reader.take_le<std::uint32_t>();
  if (!reader.ok()) return QuoteError::Truncated;
  if (inner_type != kCertificationPemChain) return QuoteError::UnsupportedCertification;
  if (inner_bytes != reader.rest().size()) return QuoteError::SizeMismatch;

  out.qe = parse_enclave_report(out.qe_report);
  out.pck_chain = as_text(reader.rest());
  if (out.pck_chain.ends_with('\0')) out.pck_chain.remove_suffix(1);
  return std::nullopt;
}

}  // namespace

std::string_view to_string(QuoteError error) {
  switch (error) {
    case QuoteError::TooLarge:
      return "quote too large";
    case QuoteError::Truncated:
      return "quote too short";
    case QuoteError::UnsupportedVersion:
      return "quote version not supported";
    case QuoteError::UnsupportedKeyType:
      return "attestation key type not supported";
    case QuoteError::UnsupportedTee:
      return "not a TDX quote";
    case QuoteError::UnknownVendor:
      return "unknown quoting enclave vendor";
    case QuoteError::BodyMismatch:
      return "body type and size do not agree";
    case QuoteError::UnsupportedCertification:
      return "certification data type not supported";
    case QuoteError::SizeMismatch:
      return "inner size does not match";
    case QuoteError::TrailingBytes:
      return "non-zero bytes after the quote";
  }
  return "unknown";
}

Result<TdxQuoteView, QuoteError> parse_tdx_quote(ByteSpan quote) {
  if (quote.size() > kQuoteBytesMax) return failure(QuoteError::TooLarge);
  ByteReader reader(quote);
  TdxQuoteView out;
  if (const auto error = parse_header(reader, out)) return failure(*error);
  if (const auto error = parse_body(reader, out)) return failure(*error);
  out.signed_part = quote.first(quote.size() - reader.rest().size());

  const auto signature_bytes = reader.take_le<std::uint32_t>();
  const ByteSpan signature_data = reader.take(signature_bytes);
  if (!reader.ok()) return failure(QuoteError::Truncated);
  if (const auto error = parse_signature_data(signature_data, out)) return failure(*error);

  const ByteSpan padding = reader.rest();
  const bool zeros = std::all_of(padding.begin(), padding.end(), [](auto b) { return b == 0; });
  if (!zeros) return failure(QuoteError::TrailingBytes);
  return out;
}

}  // namespace nostril::attestation
