#include "attestation/tdx_quote.h"

namespace nostril::attestation {

namespace {

constexpr std::uint32_t kTeeTypeTdx = 0x81;
constexpr std::uint16_t kBodyTypeTd10 = 2;
constexpr std::uint16_t kBodyTypeTd15 = 3;
constexpr std::uint16_t kCertificationQeReport = 6;

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
  return read_certified_key(reader, out);
}

}  // namespace

Result<TdxQuoteView, QuoteError> parse_tdx_quote(ByteSpan quote) {
  if (quote.size() > kQuoteBytesMax) return failure(QuoteError::TooLarge);
  ByteReader reader(quote);
  TdxQuoteView out;
  if (const auto error = read_quote_header(reader, {4, 5}, kTeeTypeTdx, out)) {
    return failure(*error);
  }
  if (const auto error = parse_body(reader, out)) return failure(*error);
  out.signed_part = quote.first(quote.size() - reader.rest().size());

  const auto signature_bytes = reader.take_le<std::uint32_t>();
  const ByteSpan signature_data = reader.take(signature_bytes);
  if (!reader.ok()) return failure(QuoteError::Truncated);
  if (const auto error = parse_signature_data(signature_data, out)) return failure(*error);

  if (const auto error = read_padding(reader)) return failure(*error);
  return out;
}

}  // namespace nostril::attestation
