#include "attestation/statement.h"

#include "base/bytes.h"
#include "base/check.h"
#include "schnorr/hash.h"

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::string_view kTagCpu = "nostril/att/cpu";
constexpr std::string_view kTagGpus = "nostril/att/gpus";
constexpr std::string_view kTagBoard = "nostril/att/board";
constexpr std::string_view kTagGpu = "nostril/att/gpu";

template <std::size_t N>
std::array<std::uint8_t, N> big_endian(std::uint64_t value) {
  std::array<std::uint8_t, N> out{};
  for (std::size_t i = N; i-- > 0; value >>= 8U) out[i] = static_cast<std::uint8_t>(value);
  return out;
}

void append_field(Bytes& out, ByteSpan field) {
  CHECK(field.size() <= 0xffff);
  const auto length = big_endian<2>(field.size());
  out.insert(out.end(), length.begin(), length.end());
  out.insert(out.end(), field.begin(), field.end());
}

/// Reads the next field when its length is exactly out.size().
bool take_field(ByteSpan& rest, std::span<std::uint8_t> out) {
  if (rest.size() < 2 + out.size()) return false;
  const std::size_t length = static_cast<std::size_t>(rest[0]) << 8U | rest[1];
  if (length != out.size()) return false;
  std::copy_n(rest.begin() + 2, length, out.begin());
  rest = rest.subspan(2 + length);
  return true;
}

}  // namespace

std::array<std::uint8_t, kStatementBytes> encode_statement(const Statement& statement) {
  Bytes bytes;
  bytes.reserve(kStatementBytes);
  append_field(bytes, statement.nonce);
  append_field(bytes, statement.node.bytes);
  append_field(bytes, statement.encryption_key.bytes);
  append_field(bytes,
               big_endian<8>(static_cast<std::uint64_t>(statement.encryption_key_expires_at)));
  append_field(bytes, statement.tls_spki.bytes);
  append_field(bytes, statement.gpu_evidence.bytes);
  append_field(bytes, statement.model_manifest.bytes);
  CHECK(bytes.size() == kStatementBytes);
  std::array<std::uint8_t, kStatementBytes> out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

std::optional<Statement> decode_statement(std::span<const std::uint8_t> bytes) {
  Statement out;
  std::array<std::uint8_t, 8> expiry{};
  ByteSpan rest = bytes;
  const bool ok = take_field(rest, out.nonce) && take_field(rest, out.node.bytes) &&
                  take_field(rest, out.encryption_key.bytes) && take_field(rest, expiry) &&
                  take_field(rest, out.tls_spki.bytes) &&
                  take_field(rest, out.gpu_evidence.bytes) &&
                  take_field(rest, out.model_manifest.bytes);
  if (!ok || !rest.empty() || expiry[0] > 0x7f) return std::nullopt;
  std::uint64_t seconds = 0;
  for (const std::uint8_t byte : expiry) seconds = seconds << 8U | byte;
  out.encryption_key_expires_at = static_cast<UnixTime>(seconds);
  return out;
}

Digest statement_digest(const Statement& statement) {
  return tagged_hash(kTagCpu, encode_statement(statement));
}

std::array<std::uint8_t, 64> report_data(const Statement& statement) {
  const Digest digest = statement_digest(statement);
  std::array<std::uint8_t, 64> out{};
  std::copy(digest.bytes.begin(), digest.bytes.end(), out.begin());
  std::copy(statement.nonce.begin(), statement.nonce.end(), out.begin() + 32);
  return out;
}

Digest gpu_evidence_digest(std::span<const std::span<const std::uint8_t>> raw_reports,
                           std::span<const std::span<const std::uint8_t>> raw_switches) {
  Bytes message;
  const auto append_reports = [&message](std::span<const ByteSpan> reports) {
    CHECK(reports.size() <= 0xffffffff);
    append_field(message, big_endian<4>(reports.size()));
    for (const ByteSpan report : reports) append_field(message, sha256(report).bytes);
  };
  append_reports(raw_reports);
  if (raw_switches.empty()) return tagged_hash(kTagGpus, message);
  append_reports(raw_switches);
  return tagged_hash(kTagBoard, message);
}

Digest gpu_nonce(const Nonce& nonce, const PublicKey& node) {
  Bytes message;
  append_field(message, nonce);
  append_field(message, node.bytes);
  return tagged_hash(kTagGpu, message);
}

}  // namespace nostril::attestation
