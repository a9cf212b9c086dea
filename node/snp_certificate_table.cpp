#include "node/snp_certificate_table.h"

#include "attestation/byte_reader.h"
#include "attestation/sim_pki.h"
#include "attestation/x509.h"

#include <algorithm>
#include <array>
#include <optional>

namespace nostril::node {

namespace {

using Guid = std::array<std::uint8_t, 16>;

constexpr Guid kVcek = {0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64,
                        0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd};
constexpr Guid kVlek = {0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e,
                        0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1};
constexpr Guid kAsk = {0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4,
                       0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82};
constexpr Guid kArk = {0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52,
                       0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae};
constexpr Guid kCrl = {0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d,
                       0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67, 0xea};
constexpr std::size_t kEntriesMax = 32;
constexpr std::size_t kEntryBytes = 24;

struct Parts {
  Bytes vcek;
  Bytes vlek;
  Bytes ask;
  Bytes ark;
  Bytes crl;

  /// Where an entry's bytes go; nullptr for one that is not looked at.
  Bytes* find(const Guid& guid) {
    if (guid == kVcek) return &vcek;
    if (guid == kVlek) return &vlek;
    if (guid == kAsk) return &ask;
    if (guid == kArk) return &ark;
    return guid == kCrl ? &crl : nullptr;
  }
};

Result<Parts, std::string> read_entries(ByteSpan table) {
  Parts out;
  attestation::ByteReader reader(table);
  for (std::size_t i = 0; i < kEntriesMax; ++i) {
    Guid guid{};
    if (reader.rest().size() < kEntryBytes) {
      return failure(std::string("certificate table: it does not end"));
    }
    reader.take_into(guid);
    if (guid == Guid{}) return out;
    const std::size_t offset = reader.take_le<std::uint32_t>();
    const std::size_t length = reader.take_le<std::uint32_t>();
    if (offset > table.size() || table.size() - offset < length) {
      return failure(std::string("certificate table: an entry lies outside of it"));
    }
    Bytes* part = out.find(guid);
    if (part == nullptr) continue;
    if (!part->empty()) return failure(std::string("certificate table: an entry comes twice"));
    const ByteSpan bytes = table.subspan(offset, length);
    part->assign(bytes.begin(), bytes.end());
  }
  return failure(std::string("certificate table: too many entries"));
}

}  // namespace

Result<attestation::SnpCertificates, std::string> parse_snp_certificate_table(ByteSpan table) {
  if (table.empty()) return attestation::SnpCertificates{};
  auto parts = read_entries(table);
  if (!parts) return failure(parts.error());
  attestation::SnpCertificates out;
  // A machine has one key for reports at a time; the chip's own comes first.
  const bool chip = !parts->vcek.empty();
  out.vek = std::move(chip ? parts->vcek : parts->vlek);
  const auto is_certificate = [](const Bytes& der) {
    return der.empty() || attestation::parse_certificate(der).has_value();
  };
  if (out.vek.size() > attestation::kVekBytesMax || !is_certificate(out.vek) ||
      !is_certificate(parts->ask) || !is_certificate(parts->ark)) {
    return failure(std::string("certificate table: an entry is no DER certificate"));
  }
  if (chip && !parts->ask.empty() && !parts->ark.empty()) {
    const std::array<Bytes, 2> chain = {std::move(parts->ask), std::move(parts->ark)};
    out.chain = attestation::to_pem(chain);
  }
  if (out.chain.size() > attestation::kIssuerChainBytesMax ||
      parts->crl.size() > attestation::kCrlBytesMax) {
    return failure(std::string("certificate table: an entry is too large"));
  }
  out.crl = std::move(parts->crl);
  return out;
}

}  // namespace nostril::node
