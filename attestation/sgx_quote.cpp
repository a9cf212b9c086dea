#include "attestation/sgx_quote.h"

namespace nostril::attestation {

namespace {

constexpr std::uint16_t kVersion = 3;
constexpr std::uint32_t kTeeTypeSgx = 0;

}  // namespace

Result<SgxQuoteView, QuoteError> parse_sgx_quote(ByteSpan quote) {
  if (quote.size() > kQuoteBytesMax) return failure(QuoteError::TooLarge);
  ByteReader reader(quote);
  SgxQuoteView out;
  if (const auto error = read_quote_header(reader, {kVersion}, kTeeTypeSgx, out)) {
    return failure(*error);
  }
  const ByteSpan body = reader.take(kEnclaveReportBytes);
  if (!reader.ok()) return failure(QuoteError::Truncated);
  out.enclave = parse_enclave_report(body);
  out.signed_part = quote.first(quote.size() - reader.rest().size());

  const auto signature_bytes = reader.take_le<std::uint32_t>();
  ByteReader data(reader.take(signature_bytes));
  if (!reader.ok()) return failure(QuoteError::Truncated);
  out.signature = data.take(64);
  out.attestation_key = data.take(64);
  if (const auto error = read_certified_key(data, out)) return failure(*error);
  if (const auto error = read_padding(reader)) return failure(*error);
  return out;
}

bool is_sgx_quote(ByteSpan quote) {
  ByteReader reader(quote);
  return reader.take_le<std::uint16_t>() == kVersion && reader.ok();
}

}  // namespace nostril::attestation
