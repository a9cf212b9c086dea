#include "attestation/statement.h"

#include "base/bytes.h"
#include "base/hex.h"
#include "base/json.h"
#include "tests/attestation/fixtures.h"
#include "tests/support/shared_data.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace nostril::attestation {
namespace {

using test::filled;
using test::statement;

const std::vector<std::function<void(Statement&)>>& changes() {
  static const std::vector<std::function<void(Statement&)>> kChanges = {
      [](Statement& s) { s.node.bytes[31] ^= 1; },
      [](Statement& s) { s.encryption_key.bytes[0] ^= 0x80; },
      [](Statement& s) { s.encryption_key_expires_at += 1; },
      [](Statement& s) { s.tls_spki.bytes[5] ^= 1; },
      [](Statement& s) { s.gpu_evidence.bytes[5] ^= 1; },
      [](Statement& s) { s.model_manifest.bytes[5] ^= 1; },
      [](Statement& s) { s.nonce[5] ^= 1; },
  };
  return kChanges;
}

TEST(Statement, EncodesEveryFieldWithItsLength) {
  const auto bytes = encode_statement(statement());
  EXPECT_EQ(bytes[0], 0);
  EXPECT_EQ(bytes[1], 32);
  EXPECT_EQ(bytes[2], 0x55);
  EXPECT_EQ(bytes[34 + 2], 0x11);
  EXPECT_EQ(bytes[68 + 2], 0x22);
  EXPECT_EQ(bytes[102 + 1], 8);
  EXPECT_EQ(encode_hex(ByteSpan(bytes).subspan(104, 8)), "000000006ab14288");
  EXPECT_EQ(bytes[112 + 2], 0x33);
  EXPECT_EQ(bytes[180 + 2], 0x44);
}

TEST(Statement, DecodesWhatItEncodes) {
  EXPECT_EQ(decode_statement(encode_statement(statement())), statement());
}

TEST(Statement, RefusesEveryOtherLength) {
  const auto bytes = encode_statement(statement());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_statement(ByteSpan(bytes).first(size))) << size;
  }
  Bytes longer(bytes.begin(), bytes.end());
  longer.push_back(0);
  EXPECT_FALSE(decode_statement(longer));
}

TEST(Statement, RefusesWrongFieldLengthsAndNegativeTime) {
  for (const std::size_t offset : {0U, 1U, 34U, 35U, 103U, 147U, 181U}) {
    auto bytes = encode_statement(statement());
    bytes.at(offset) ^= 1;
    EXPECT_FALSE(decode_statement(bytes)) << offset;
  }
  auto bytes = encode_statement(statement());
  bytes[104] = 0x80;
  EXPECT_FALSE(decode_statement(bytes));
}

TEST(Statement, EveryFieldChangesDigestAndReportData) {
  for (const auto& change : changes()) {
    Statement changed = statement();
    change(changed);
    EXPECT_NE(statement_digest(changed), statement_digest(statement()));
    EXPECT_NE(report_data(changed), report_data(statement()));
  }
}

TEST(Statement, ReportDataIsDigestThenNonce) {
  const auto data = report_data(statement());
  EXPECT_EQ(encode_hex(ByteSpan(data).first(32)), encode_hex(statement_digest(statement())));
  EXPECT_EQ(encode_hex(ByteSpan(data).last(32)), encode_hex(statement().nonce));
}

TEST(GpuEvidenceDigest, TellsOrderSplitAndCountApart) {
  const Bytes a = {1, 2};
  const Bytes b = {3};
  const Bytes joined = {1, 2, 3};
  const auto digest = [](std::vector<ByteSpan> reports) { return gpu_evidence_digest(reports); };
  EXPECT_NE(digest({a, b}), digest({b, a}));
  EXPECT_NE(digest({a, b}), digest({joined}));
  EXPECT_NE(digest({}), digest({Bytes{}}));
  EXPECT_NE(digest({a}), digest({a, a}));
}

TEST(GpuNonce, BindsNonceAndNode) {
  const Statement s = statement();
  EXPECT_NE(gpu_nonce(s.nonce, s.node), gpu_nonce(s.nonce, s.encryption_key));
  EXPECT_NE(gpu_nonce(s.nonce, s.node), gpu_nonce(filled(0x56), s.node));
}

/// Bytes of a string member in hex.
Bytes bytes_of(const Json& object, std::string_view key) {
  const auto text = object.find_string(key);
  EXPECT_TRUE(text.has_value()) << key;
  return decode_hex(text.value_or("")).value();
}

template <typename T>
void fill_from(const Json& object, std::string_view key, T& out) {
  const Bytes bytes = bytes_of(object, key);
  ASSERT_EQ(bytes.size(), out.size()) << key;
  std::copy(bytes.begin(), bytes.end(), out.begin());
}

TEST(Statement, MatchesThePublishedVectors) {
  const auto json =
      Json::parse(nostril::test::read_source("spec/vectors/attestation_statement.json"));
  ASSERT_TRUE(json.has_value());
  const Json* cases = json->find("cases");
  ASSERT_NE(cases, nullptr);
  ASSERT_GE(cases->items().size(), 3U);
  for (const Json& item : cases->items()) {
    Statement s;
    fill_from(item, "node", s.node.bytes);
    fill_from(item, "encryption_key", s.encryption_key.bytes);
    s.encryption_key_expires_at = item.find_integer("encryption_key_expires_at").value();
    fill_from(item, "tls_spki", s.tls_spki.bytes);
    fill_from(item, "model_manifest", s.model_manifest.bytes);
    fill_from(item, "nonce", s.nonce);
    std::vector<Bytes> reports;
    for (const Json& report : item.find("gpu_reports")->items()) {
      reports.push_back(decode_hex(report.string().value()).value());
    }
    const std::vector<ByteSpan> spans(reports.begin(), reports.end());
    s.gpu_evidence = gpu_evidence_digest(spans);
    EXPECT_EQ(encode_hex(s.gpu_evidence), item.find_string("gpu_evidence"));
    EXPECT_EQ(encode_hex(gpu_nonce(s.nonce, s.node)), item.find_string("gpu_nonce"));
    EXPECT_EQ(encode_hex(encode_statement(s)), item.find_string("statement"));
    EXPECT_EQ(encode_hex(statement_digest(s)), item.find_string("statement_digest"));
    EXPECT_EQ(encode_hex(report_data(s)), item.find_string("report_data"));
  }
}

}  // namespace
}  // namespace nostril::attestation
