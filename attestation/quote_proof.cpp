#include "attestation/quote_proof.h"

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::uint16_t kKeyTypeEcdsaP256 = 2;
constexpr std::uint16_t kCertificationPemChain = 5;

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
      return "quote of another TEE";
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

///    0 16 cpusvn, 16 4 miscselect, 48 16 attributes, 64 32 mrenclave, 128 32 mrsigner,
///    256 2 isvprodid, 258 2 isvsvn, 320 64 report_data; the rest is reserved
EnclaveReport parse_enclave_report(ByteSpan body) {
  ByteReader reader(body);
  EnclaveReport qe;
  reader.take(16);
  reader.take_into(qe.miscselect);
  reader.take(28);
  reader.take_into(qe.attributes);
  reader.take_into(qe.mrenclave);
  reader.take(32);
  reader.take_into(qe.mrsigner);
  reader.take(96);
  qe.isv_prod_id = reader.take_le<std::uint16_t>();
  qe.isv_svn = reader.take_le<std::uint16_t>();
  reader.take(60);
  reader.take_into(qe.report_data);
  return qe;
}

std::optional<QuoteError> read_quote_header(ByteReader& reader,
                                            std::initializer_list<std::uint16_t> versions,
                                            std::uint32_t tee_type, QuoteProof& out) {
  out.version = reader.take_le<std::uint16_t>();
  const auto key_type = reader.take_le<std::uint16_t>();
  const auto tee = reader.take_le<std::uint32_t>();
  reader.take(4);
  reader.take_into(out.qe_vendor);
  reader.take(20);
  if (!reader.ok()) return QuoteError::Truncated;
  if (std::find(versions.begin(), versions.end(), out.version) == versions.end()) {
    return QuoteError::UnsupportedVersion;
  }
  if (key_type != kKeyTypeEcdsaP256) return QuoteError::UnsupportedKeyType;
  if (tee != tee_type) return QuoteError::UnsupportedTee;
  if (out.qe_vendor != kIntelQeVendor && out.qe_vendor != kSimulatorQeVendor) {
    return QuoteError::UnknownVendor;
  }
  return std::nullopt;
}

std::optional<QuoteError> read_certified_key(ByteReader& reader, QuoteProof& out) {
  out.qe_report = reader.take(kEnclaveReportBytes);
  out.qe_report_signature = reader.take(64);
  out.qe_auth_data = reader.take(reader.take_le<std::uint16_t>());
  const auto type = reader.take_le<std::uint16_t>();
  const auto bytes = reader.take_le<std::uint32_t>();
  if (!reader.ok()) return QuoteError::Truncated;
  if (type != kCertificationPemChain) return QuoteError::UnsupportedCertification;
  if (bytes != reader.rest().size()) return QuoteError::SizeMismatch;
  out.qe = parse_enclave_report(out.qe_report);
  out.pck_chain = as_text(reader.take(bytes));
  if (out.pck_chain.ends_with('\0')) out.pck_chain.remove_suffix(1);
  return std::nullopt;
}

std::optional<QuoteError> read_padding(ByteReader& reader) {
  if (!reader.take_zeros(reader.rest().size())) return QuoteError::TrailingBytes;
  return std::nullopt;
}

}  // namespace nostril::attestation
