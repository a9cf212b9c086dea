#include "attestation/pack.h"

#include "attestation/model_manifest.h"
#include "attestation/ocsp.h"
#include "attestation/rim.h"
#include "base/base64.h"
#include "base/bytes.h"
#include "base/check.h"

#include <zstd.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace nostril::attestation {

namespace {

constexpr std::array<std::uint8_t, 5> kMagic = {'N', 'A', 'T', 'T', 1};
constexpr std::size_t kSectionHeadBytes = 5;
constexpr int kZstdLevel = 19;  // made every few minutes, read by every client

enum class Section : std::uint8_t {
  Kind = 1,
  Statement = 2,
  CpuQuote = 3,
  GpuReport = 4,
  GpuChain = 5,
  GpuManifest = 6,
  SwitchReport = 7,
  SwitchChain = 8,
  OcspAnswer = 9,
  TcbInfo = 16,
  TcbInfoSignature = 17,
  TcbInfoIssuerChain = 18,
  QeIdentity = 19,
  QeIdentitySignature = 20,
  QeIdentityIssuerChain = 21,
  RootCaCrl = 22,
  PckCrl = 23,
  EventLog = 24,
  Compose = 25,
  SnpVek = 26,
  SnpChain = 27,
  SnpCrl = 28,
  Manifest = 29,
  MrConfig = 30,
};

void append_section(Bytes& out, Section type, ByteSpan bytes) {
  out.push_back(static_cast<std::uint8_t>(type));
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    out.push_back(static_cast<std::uint8_t>(bytes.size() >> shift));
  }
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Of a text that may not be there.
void append_text(Bytes& out, Section type, std::string_view text) {
  if (!text.empty()) append_section(out, type, as_bytes(text));
}

void append_sections(Bytes& out, Section type, const std::vector<Bytes>& parts) {
  for (const Bytes& part : parts) append_section(out, type, part);
}

void append_collateral(Bytes& out, const Collateral& collateral) {
  append_section(out, Section::TcbInfo, as_bytes(collateral.tcb_info));
  append_section(out, Section::TcbInfoSignature, collateral.tcb_info_signature);
  append_section(out, Section::TcbInfoIssuerChain, as_bytes(collateral.tcb_info_issuer_chain));
  append_section(out, Section::QeIdentity, as_bytes(collateral.qe_identity));
  append_section(out, Section::QeIdentitySignature, collateral.qe_identity_signature);
  append_section(out, Section::QeIdentityIssuerChain,
                 as_bytes(collateral.qe_identity_issuer_chain));
  append_section(out, Section::RootCaCrl, collateral.root_ca_crl);
  append_section(out, Section::PckCrl, collateral.pck_crl);
}

void append_certificates(Bytes& out, const SnpCertificates& certificates) {
  append_section(out, Section::SnpVek, certificates.vek);
  append_section(out, Section::SnpChain, as_bytes(certificates.chain));
  append_section(out, Section::SnpCrl, certificates.crl);
}

/// Reads sections in order; any deviation makes ok() false for good.
class SectionReader {
 public:
  explicit SectionReader(ByteSpan container) : rest_(container) {}

  [[nodiscard]] bool is_next(Section type) const {
    return ok_ && rest_.size() >= kSectionHeadBytes && rest_[0] == static_cast<std::uint8_t>(type);
  }

  /// The next section, which must be of `type` and within `bytes_max`.
  ByteSpan take(Section type, std::size_t bytes_max) {
    if (!is_next(type)) return fail();
    std::size_t length = 0;
    for (std::size_t i = 1; i < kSectionHeadBytes; ++i) length = length << 8U | rest_[i];
    if (length > bytes_max || rest_.size() - kSectionHeadBytes < length) return fail();
    const ByteSpan out = rest_.subspan(kSectionHeadBytes, length);
    rest_ = rest_.subspan(kSectionHeadBytes + length);
    return out;
  }

  void take(Section type, std::size_t bytes_max, std::string& out) {
    out = as_text(take(type, bytes_max));
  }

  void take(Section type, std::size_t bytes_max, Bytes& out) {
    const ByteSpan bytes = take(type, bytes_max);
    out.assign(bytes.begin(), bytes.end());
  }

  void take(Section type, std::array<std::uint8_t, 64>& out) {
    const ByteSpan bytes = take(type, out.size());
    if (bytes.size() == out.size()) {
      std::copy(bytes.begin(), bytes.end(), out.begin());
    } else {
      fail();
    }
  }

  /// A text that may not be there; an empty one is refused: it would be another packing of none.
  void take_text(Section type, std::size_t bytes_max, std::string& out) {
    if (!is_next(type)) return;
    take(type, bytes_max, out);
    if (out.empty()) fail();
  }

  /// All sections of `type` that follow, to `count_max`.
  void take(Section type, std::size_t count_max, std::size_t bytes_max, std::vector<Bytes>& out) {
    while (is_next(type)) {
      if (out.size() == count_max) {
        fail();
        return;
      }
      take(type, bytes_max, out.emplace_back());
    }
  }

  [[nodiscard]] bool ok() const { return ok_; }

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  ByteSpan fail() {
    ok_ = false;
    return {};
  }

  ByteSpan rest_;
  bool ok_ = true;
};

Collateral read_collateral(SectionReader& reader) {
  Collateral out;
  reader.take(Section::TcbInfo, kCollateralTextBytesMax, out.tcb_info);
  reader.take(Section::TcbInfoSignature, out.tcb_info_signature);
  reader.take(Section::TcbInfoIssuerChain, kIssuerChainBytesMax, out.tcb_info_issuer_chain);
  reader.take(Section::QeIdentity, kCollateralTextBytesMax, out.qe_identity);
  reader.take(Section::QeIdentitySignature, out.qe_identity_signature);
  reader.take(Section::QeIdentityIssuerChain, kIssuerChainBytesMax, out.qe_identity_issuer_chain);
  reader.take(Section::RootCaCrl, kCrlBytesMax, out.root_ca_crl);
  reader.take(Section::PckCrl, kCrlBytesMax, out.pck_crl);
  return out;
}

SnpCertificates read_certificates(SectionReader& reader) {
  SnpCertificates out;
  reader.take(Section::SnpVek, kVekBytesMax, out.vek);
  reader.take(Section::SnpChain, kIssuerChainBytesMax, out.chain);
  reader.take(Section::SnpCrl, kCrlBytesMax, out.crl);
  return out;
}

/// What there is beside reports of GPUs only.
void read_board(SectionReader& reader, Evidence& out) {
  reader.take(Section::SwitchReport, kSwitchCountMax, kGpuReportBytesMax, out.switch_reports);
  reader.take(Section::SwitchChain, out.switch_reports.size(), kGpuChainBytesMax,
              out.switch_chains);
  reader.take(Section::OcspAnswer, kOcspCountMax, kOcspBytesMax, out.ocsp_answers);
}

Result<Evidence, PackError> read_container(ByteSpan container) {
  if (container.size() < kMagic.size() ||
      !std::equal(kMagic.begin(), kMagic.end(), container.begin())) {
    return failure(PackError::BadContainer);
  }
  SectionReader reader(container.subspan(kMagic.size()));
  Evidence out;
  reader.take(Section::Kind, kKindBytesMax, out.kind);
  const auto statement = decode_statement(reader.take(Section::Statement, kStatementBytes));
  reader.take(Section::CpuQuote, kQuoteBytesMax, out.cpu_quote);
  reader.take(Section::GpuReport, kGpuReportCountMax, kGpuReportBytesMax, out.gpu_reports);
  reader.take(Section::GpuChain, out.gpu_reports.size(), kGpuChainBytesMax, out.gpu_chains);
  reader.take(Section::GpuManifest, kGpuManifestCountMax, kRimBytesMax, out.gpu_manifests);
  if (!out.gpu_reports.empty()) read_board(reader, out);
  const bool snp = is_snp_kind(out.kind);
  if (!snp && reader.is_next(Section::TcbInfo)) out.collateral = read_collateral(reader);
  if (reader.is_next(Section::EventLog)) {
    out.app.emplace();
    reader.take_text(Section::EventLog, kAppLogBytesMax, out.app->event_log);
    reader.take_text(Section::Compose, kAppComposeBytesMax, out.app->compose);
  }
  if (snp) out.snp = read_certificates(reader);
  reader.take_text(Section::Manifest, kManifestTextBytesMax, out.manifest);
  if (out.app) reader.take_text(Section::MrConfig, kMrConfigBytesMax, out.app->mr_config);
  if (!reader.ok() || !reader.at_end() || !statement || out.kind.empty()) {
    return failure(PackError::BadContainer);
  }
  out.statement = *statement;
  return out;
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
    case PackError::BadBase64:
      return "evidence is not base64";
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
  Bytes container(kMagic.begin(), kMagic.end());
  append_section(container, Section::Kind, as_bytes(evidence.kind));
  append_section(container, Section::Statement, encode_statement(evidence.statement));
  append_section(container, Section::CpuQuote, evidence.cpu_quote);
  append_sections(container, Section::GpuReport, evidence.gpu_reports);
  append_sections(container, Section::GpuChain, evidence.gpu_chains);
  append_sections(container, Section::GpuManifest, evidence.gpu_manifests);
  append_sections(container, Section::SwitchReport, evidence.switch_reports);
  append_sections(container, Section::SwitchChain, evidence.switch_chains);
  append_sections(container, Section::OcspAnswer, evidence.ocsp_answers);
  if (evidence.collateral) append_collateral(container, *evidence.collateral);
  if (evidence.app) {
    append_text(container, Section::EventLog, evidence.app->event_log);
    append_text(container, Section::Compose, evidence.app->compose);
  }
  if (evidence.snp) append_certificates(container, *evidence.snp);
  append_text(container, Section::Manifest, evidence.manifest);
  if (evidence.app) append_text(container, Section::MrConfig, evidence.app->mr_config);
  return encode_base64(compress(container));
}

std::size_t packed_size(ByteSpan bytes) {
  return encode_base64(compress(bytes)).size();
}

Result<Evidence, PackError> unpack_evidence(std::string_view packed, const PackLimits& limits) {
  if (packed.size() > limits.packed_bytes_max) return failure(PackError::TooLarge);
  const auto frame = decode_base64(packed);
  if (!frame) return failure(PackError::BadBase64);
  const auto container = decompress(*frame, limits.container_bytes_max);
  if (!container) return failure(container.error());
  return read_container(*container);
}

}  // namespace nostril::attestation
