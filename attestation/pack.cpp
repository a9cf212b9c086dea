#include "attestation/pack.h"

#include "attestation/model_manifest.h"
#include "attestation/ocsp.h"
#include "attestation/rim.h"
#include "attestation/sections.h"
#include "base/base64.h"
#include "base/base85.h"
#include "base/bytes.h"
#include "base/check.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace nostril::attestation {

namespace {

constexpr std::array<std::uint8_t, 4> kMagic = {'N', 'A', 'T', 'T'};
constexpr std::size_t kHeadBytes = kMagic.size() + 1;
/// 1: text plain, in base64, names no document; read, no longer written.
constexpr std::uint8_t kVersion1 = 1;
constexpr std::uint8_t kVersion2 = 2;
/// What every zstd frame in base64 begins with; in base 85 it begins otherwise.
constexpr std::string_view kBase64Start = "KLUv/";
constexpr std::size_t kDocumentHeadBytes = 1 + sizeof(Digest::bytes);
constexpr int kZstdLevel = 19;  // made every few minutes, read by every client

/// Kind of document u8, its SHA-256, its name.
Bytes encode_document(const NamedDocument& document) {
  Bytes out = {static_cast<std::uint8_t>(document.kind)};
  out.insert(out.end(), document.sha256.bytes.begin(), document.sha256.bytes.end());
  const ByteSpan name = as_bytes(document.name);
  out.insert(out.end(), name.begin(), name.end());
  return out;
}

/// What may be named is looked at by within_limits().
std::optional<NamedDocument> decode_document(ByteSpan bytes) {
  if (bytes.size() <= kDocumentHeadBytes) return std::nullopt;
  NamedDocument out;
  out.kind = static_cast<DocumentKind>(bytes.front());
  const ByteSpan digest = bytes.subspan(1, out.sha256.bytes.size());
  std::copy(digest.begin(), digest.end(), out.sha256.bytes.begin());
  out.name = as_text(bytes.subspan(kDocumentHeadBytes));
  return out;
}

void add_text(SectionWriter& out, Section type, std::string_view text) {
  if (!text.empty()) out.add(type, as_bytes(text));
}

void add_board(SectionWriter& out, const Evidence& evidence) {
  out.add(Section::GpuReport, evidence.gpu_reports);
  out.add(Section::GpuChain, evidence.gpu_chains);
  out.add(Section::GpuManifest, evidence.gpu_manifests);
  out.add(Section::SwitchReport, evidence.switch_reports);
  out.add(Section::SwitchChain, evidence.switch_chains);
  out.add(Section::OcspAnswer, evidence.ocsp_answers);
}

Bytes container_of(const Evidence& evidence) {
  SectionWriter out(Texts::Folded);
  out.add(Section::Kind, as_bytes(evidence.kind));
  out.add(Section::Statement, encode_statement(evidence.statement));
  out.add(Section::CpuQuote, evidence.cpu_quote);
  add_board(out, evidence);
  for (const NamedDocument& document : evidence.documents) {
    out.add(Section::NamedDocument, encode_document(document));
  }
  if (evidence.collateral) out.add(*evidence.collateral);
  if (evidence.app) {
    add_text(out, Section::EventLog, evidence.app->event_log);
    add_text(out, Section::Compose, evidence.app->compose);
  }
  if (evidence.snp) {
    out.add(Section::SnpVek, evidence.snp->vek);
    out.add(Section::SnpChain, as_bytes(evidence.snp->chain));
    out.add(Section::SnpCrl, evidence.snp->crl);
  }
  add_text(out, Section::Manifest, evidence.manifest);
  if (evidence.app) add_text(out, Section::MrConfig, evidence.app->mr_config);
  Bytes container(kMagic.begin(), kMagic.end());
  container.push_back(kVersion2);
  const Bytes sections = std::move(out).take();
  container.insert(container.end(), sections.begin(), sections.end());
  return container;
}

SnpCertificates read_certificates(SectionReader& reader) {
  SnpCertificates out;
  reader.take(Section::SnpVek, kVekBytesMax, out.vek);
  reader.take(Section::SnpChain, kIssuerChainBytesMax, out.chain);
  reader.take(Section::SnpCrl, kCrlBytesMax, out.crl);
  return out;
}

/// What there is beside reports of GPUs only.
void read_switches(SectionReader& reader, Evidence& out) {
  reader.take(Section::SwitchReport, kSwitchCountMax, kGpuReportBytesMax, out.switch_reports);
  reader.take(Section::SwitchChain, out.switch_reports.size(), kGpuChainBytesMax,
              out.switch_chains);
  reader.take(Section::OcspAnswer, kOcspCountMax, kOcspBytesMax, out.ocsp_answers);
}

void read_documents(SectionReader& reader, Evidence& out) {
  std::vector<Bytes> documents;
  reader.take(Section::NamedDocument, kDocumentCountMax, kDocumentHeadBytes + kDocumentNameBytesMax,
              documents);
  for (const Bytes& bytes : documents) {
    auto document = decode_document(bytes);
    if (!document) return reader.fail();
    // Some held and some named would be two packings of one board.
    if (document->kind == DocumentKind::Manifest && !out.gpu_manifests.empty())
      return reader.fail();
    out.documents.push_back(std::move(*document));
  }
}

void read_app(SectionReader& reader, Evidence& out) {
  if (!reader.is_next(Section::EventLog)) return;
  out.app.emplace();
  reader.take_text(Section::EventLog, kAppLogBytesMax, out.app->event_log);
  reader.take_text(Section::Compose, kAppComposeBytesMax, out.app->compose);
}

Result<Evidence, PackError> read_sections(SectionReader reader, std::uint8_t version) {
  Evidence out;
  Bytes statement_bytes;
  reader.take(Section::Kind, kKindBytesMax, out.kind);
  reader.take(Section::Statement, kStatementBytes, statement_bytes);
  reader.take(Section::CpuQuote, kQuoteBytesMax, out.cpu_quote);
  reader.take(Section::GpuReport, kGpuReportCountMax, kGpuReportBytesMax, out.gpu_reports);
  reader.take(Section::GpuChain, out.gpu_reports.size(), kGpuChainBytesMax, out.gpu_chains);
  reader.take(Section::GpuManifest, kGpuManifestCountMax, kRimBytesMax, out.gpu_manifests);
  if (!out.gpu_reports.empty()) read_switches(reader, out);
  if (version == kVersion2) read_documents(reader, out);
  const bool snp = is_snp_kind(out.kind);
  if (!snp && reader.is_next(Section::TcbInfo)) out.collateral = reader.take_collateral();
  read_app(reader, out);
  if (snp) out.snp = read_certificates(reader);
  reader.take_text(Section::Manifest, kManifestTextBytesMax, out.manifest);
  if (out.app) reader.take_text(Section::MrConfig, kMrConfigBytesMax, out.app->mr_config);
  const auto statement = decode_statement(statement_bytes);
  if (!reader.ok() || !reader.at_end() || !statement || !within_limits(out)) {
    return failure(PackError::BadContainer);
  }
  out.statement = *statement;
  return out;
}

Result<Evidence, PackError> read_container(ByteSpan container, std::uint8_t version) {
  if (container.size() < kHeadBytes ||
      !std::equal(kMagic.begin(), kMagic.end(), container.begin()) ||
      container[kMagic.size()] != version) {
    return failure(PackError::BadContainer);
  }
  const Texts texts = version == kVersion2 ? Texts::Folded : Texts::Plain;
  return read_sections(SectionReader(container.subspan(kHeadBytes), texts), version);
}

Bytes compress(ByteSpan container) {
  Bytes out(ZSTD_compressBound(container.size()));
  const std::size_t size =
      ZSTD_compress(out.data(), out.size(), container.data(), container.size(), kZstdLevel);
  CHECK(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

/// One zstd frame that states its size, and nothing after it.
Result<Bytes, PackError> decompress(ByteSpan frame, std::size_t bytes_max) {
  const unsigned long long size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR) {
    return failure(PackError::BadZstd);
  }
  if (size > bytes_max) return failure(PackError::TooLarge);
  if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) {
    return failure(PackError::BadZstd);
  }
  Bytes out(size);
  const std::size_t got = ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(got) != 0 || got != out.size()) return failure(PackError::BadZstd);
  return out;
}

}  // namespace

std::string_view to_string(PackError error) {
  switch (error) {
    case PackError::TooLarge:
      return "evidence too large";
    case PackError::BadText:
      return "evidence is neither base 85 nor base64";
    case PackError::BadZstd:
      return "evidence is not one zstd frame";
    case PackError::BadContainer:
      return "evidence container malformed";
  }
  return "unknown";
}

std::string pack_evidence(const Evidence& evidence) {
  CHECK(within_limits(evidence));
  CHECK(is_snp_kind(evidence.kind) ? evidence.snp && !evidence.collateral : !evidence.snp);
  const bool names_manifests =
      !evidence.documents.empty() && evidence.documents.front().kind == DocumentKind::Manifest;
  CHECK(!names_manifests || evidence.gpu_manifests.empty());
  return pack_bytes(container_of(evidence));
}

Result<Evidence, PackError> unpack_evidence(std::string_view packed, const PackLimits& limits) {
  if (packed.starts_with(kBase64Start)) {
    if (packed.size() > limits.packed_bytes_max) return failure(PackError::TooLarge);
    const auto frame = decode_base64(packed);
    if (!frame) return failure(PackError::BadText);
    const auto container = decompress(*frame, limits.container_bytes_max);
    if (!container) return failure(container.error());
    return read_container(*container, kVersion1);
  }
  const auto container = unpack_bytes(packed, limits);
  if (!container) return failure(container.error());
  return read_container(*container, kVersion2);
}

std::string pack_bytes(ByteSpan bytes) {
  return encode_base85(compress(bytes));
}

Result<Bytes, PackError> unpack_bytes(std::string_view packed, const PackLimits& limits) {
  if (packed.size() > limits.packed_bytes_max) return failure(PackError::TooLarge);
  const auto frame = decode_base85(packed);
  if (!frame) return failure(PackError::BadText);
  return decompress(*frame, limits.container_bytes_max);
}

}  // namespace nostril::attestation
