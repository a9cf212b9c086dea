#include "attestation/sections.h"

#include "attestation/fold.h"

#include <algorithm>
#include <utility>

namespace nostril::attestation {

namespace {

constexpr std::size_t kHeadBytes = 5;
/// A folding of bytes without hex and base64 is longer than they are by the length of its literal.
constexpr std::size_t kFoldBytesMax = 4;

/// Those that are text, and quotes, which end in certificates in PEM.
bool holds_text(Section type) {
  switch (type) {
    case Section::CpuQuote:
    case Section::GpuManifest:
    case Section::TcbInfo:
    case Section::TcbInfoIssuerChain:
    case Section::QeIdentity:
    case Section::QeIdentityIssuerChain:
    case Section::EventLog:
    case Section::Compose:
    case Section::SnpChain:
    case Section::Manifest:
    case Section::MrConfig:
      return true;
    default:
      return false;
  }
}

bool folds(Texts texts, Section type) {
  return texts == Texts::Folded && holds_text(type);
}

}  // namespace

void SectionWriter::add(Section type, ByteSpan bytes) {
  if (folds(texts_, type)) {
    const Bytes folded = fold(bytes);
    append(type, folded);
  } else {
    append(type, bytes);
  }
}

void SectionWriter::append(Section type, ByteSpan bytes) {
  out_.push_back(static_cast<std::uint8_t>(type));
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    out_.push_back(static_cast<std::uint8_t>(bytes.size() >> shift));
  }
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

void SectionWriter::add(Section type, const std::vector<Bytes>& parts) {
  for (const Bytes& part : parts) add(type, part);
}

void SectionWriter::add(const Collateral& collateral) {
  add(Section::TcbInfo, as_bytes(collateral.tcb_info));
  add(Section::TcbInfoSignature, collateral.tcb_info_signature);
  add(Section::TcbInfoIssuerChain, as_bytes(collateral.tcb_info_issuer_chain));
  add(Section::QeIdentity, as_bytes(collateral.qe_identity));
  add(Section::QeIdentitySignature, collateral.qe_identity_signature);
  add(Section::QeIdentityIssuerChain, as_bytes(collateral.qe_identity_issuer_chain));
  add(Section::RootCaCrl, collateral.root_ca_crl);
  add(Section::PckCrl, collateral.pck_crl);
}

bool SectionReader::is_next(Section type) const {
  return ok_ && rest_.size() >= kHeadBytes && rest_[0] == static_cast<std::uint8_t>(type);
}

ByteSpan SectionReader::take_raw(Section type, std::size_t bytes_max) {
  std::size_t length = 0;
  if (is_next(type)) {
    for (std::size_t i = 1; i < kHeadBytes; ++i) length = length << 8U | rest_[i];
  } else {
    fail();
  }
  if (!ok_ || length > bytes_max || rest_.size() - kHeadBytes < length) {
    fail();
    return {};
  }
  const ByteSpan out = rest_.subspan(kHeadBytes, length);
  rest_ = rest_.subspan(kHeadBytes + length);
  return out;
}

void SectionReader::take(Section type, std::size_t bytes_max, Bytes& out) {
  if (!folds(texts_, type)) {
    const ByteSpan bytes = take_raw(type, bytes_max);
    out.assign(bytes.begin(), bytes.end());
    return;
  }
  auto text = unfold(take_raw(type, bytes_max + kFoldBytesMax), bytes_max);
  if (!text) return fail();
  out = std::move(*text);
}

void SectionReader::take(Section type, std::size_t bytes_max, std::string& out) {
  Bytes bytes;
  take(type, bytes_max, bytes);
  out = as_text(bytes);
}

void SectionReader::take(Section type, std::array<std::uint8_t, 64>& out) {
  const ByteSpan bytes = take_raw(type, out.size());
  if (bytes.size() != out.size()) return fail();
  std::copy(bytes.begin(), bytes.end(), out.begin());
}

void SectionReader::take_text(Section type, std::size_t bytes_max, std::string& out) {
  if (!is_next(type)) return;
  take(type, bytes_max, out);
  if (out.empty()) fail();
}

void SectionReader::take(Section type, std::size_t count_max, std::size_t bytes_max,
                         std::vector<Bytes>& out) {
  while (is_next(type)) {
    if (out.size() == count_max) return fail();
    take(type, bytes_max, out.emplace_back());
  }
}

Collateral SectionReader::take_collateral() {
  Collateral out;
  take(Section::TcbInfo, kCollateralTextBytesMax, out.tcb_info);
  take(Section::TcbInfoSignature, out.tcb_info_signature);
  take(Section::TcbInfoIssuerChain, kIssuerChainBytesMax, out.tcb_info_issuer_chain);
  take(Section::QeIdentity, kCollateralTextBytesMax, out.qe_identity);
  take(Section::QeIdentitySignature, out.qe_identity_signature);
  take(Section::QeIdentityIssuerChain, kIssuerChainBytesMax, out.qe_identity_issuer_chain);
  take(Section::RootCaCrl, kCrlBytesMax, out.root_ca_crl);
  take(Section::PckCrl, kCrlBytesMax, out.pck_crl);
  return out;
}

}  // namespace nostril::attestation
