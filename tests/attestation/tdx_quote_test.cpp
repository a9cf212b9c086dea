#include "attestation/tdx_quote.h"

#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

namespace nostril::attestation {
namespace {

constexpr std::size_t kSignatureSizeOffset = 632;
constexpr std::size_t kSignatureDataOffset = 636;
constexpr std::size_t kInnerOffset = kSignatureDataOffset + 134;
constexpr std::size_t kAuthSizeOffset = kInnerOffset + 448;
constexpr std::size_t kInnerTypeOffset = kAuthSizeOffset + 2 + 32;

Bytes sim_quote(std::uint16_t version = 4) {
  SimulatorOptions options;
  options.quote_version = version;
  return test::simulator(options).tdx_quote(report_data(test::statement()), test::measurements());
}

QuoteError error_of(const Bytes& quote) {
  const auto parsed = parse_tdx_quote(quote);
  EXPECT_FALSE(parsed.has_value());
  return parsed ? QuoteError::TooLarge : parsed.error();
}

QuoteError error_with(std::size_t offset, std::uint8_t flip) {
  Bytes quote = sim_quote();
  quote.at(offset) ^= flip;
  return error_of(quote);
}

TEST(ParseTdxQuote, ReadsVersion4) {
  const Bytes bytes = sim_quote();
  const auto quote = parse_tdx_quote(bytes);
  ASSERT_TRUE(quote.has_value());
  EXPECT_EQ(quote->version, 4);
  EXPECT_EQ(quote->qe_vendor, kSimulatorQeVendor);
  EXPECT_EQ(quote->td.measurements, test::measurements());
  EXPECT_EQ(quote->td.report_data, report_data(test::statement()));
  EXPECT_EQ(quote->td.td_attributes, 0x10000000U);
  EXPECT_FALSE(quote->td.is_td15);
  EXPECT_EQ(quote->signed_part.size(), kSignatureSizeOffset);
  EXPECT_EQ(quote->qe_auth_data.size(), 32U);
  EXPECT_EQ(quote->qe.isv_svn, 4);
  EXPECT_TRUE(quote->pck_chain.starts_with("-----BEGIN CERTIFICATE-----\n"));
}

TEST(ParseTdxQuote, ReadsVersion5WithTd15) {
  const Bytes bytes = sim_quote(5);
  const auto quote = parse_tdx_quote(bytes);
  ASSERT_TRUE(quote.has_value());
  EXPECT_EQ(quote->version, 5);
  EXPECT_TRUE(quote->td.is_td15);
  EXPECT_EQ(quote->td.measurements, test::measurements());
  EXPECT_EQ(quote->signed_part.size(), 54 + kTdReport15Bytes);
}

TEST(ParseTdxQuote, RefusesEveryShorterQuote) {
  for (const std::uint16_t version : {std::uint16_t{4}, std::uint16_t{5}}) {
    const Bytes quote = sim_quote(version);
    for (std::size_t size = 0; size < quote.size(); ++size) {
      ASSERT_FALSE(parse_tdx_quote(ByteSpan(quote).first(size))) << version << " cut to " << size;
    }
  }
}

TEST(ParseTdxQuote, AcceptsZeroPaddingAndNothingElse) {
  Bytes quote = sim_quote();
  quote.resize(quote.size() + 70);
  EXPECT_TRUE(parse_tdx_quote(quote));
  quote.back() = 1;
  EXPECT_EQ(error_of(quote), QuoteError::TrailingBytes);
  quote.assign(kQuoteBytesMax + 1, 0);
  EXPECT_EQ(error_of(quote), QuoteError::TooLarge);
}

TEST(ParseTdxQuote, RefusesOtherHeaders) {
  EXPECT_EQ(error_with(0, 7), QuoteError::UnsupportedVersion);  // 4 -> 3
  EXPECT_EQ(error_with(1, 1), QuoteError::UnsupportedVersion);
  EXPECT_EQ(error_with(2, 1), QuoteError::UnsupportedKeyType);
  EXPECT_EQ(error_with(4, 0x81), QuoteError::UnsupportedTee);
  EXPECT_EQ(error_with(12, 1), QuoteError::UnknownVendor);
}

TEST(ParseTdxQuote, RefusesSizesThatDoNotFitExactly) {
  EXPECT_EQ(error_with(kSignatureSizeOffset, 1), QuoteError::Truncated);
  EXPECT_EQ(error_with(kSignatureSizeOffset + 3, 0xff), QuoteError::Truncated);
  EXPECT_EQ(error_with(kSignatureDataOffset + 128, 1), QuoteError::UnsupportedCertification);
  EXPECT_EQ(error_with(kSignatureDataOffset + 130, 1), QuoteError::SizeMismatch);
  EXPECT_EQ(error_with(kInnerTypeOffset, 1), QuoteError::UnsupportedCertification);
  EXPECT_EQ(error_with(kInnerTypeOffset + 2, 1), QuoteError::SizeMismatch);
  EXPECT_EQ(error_with(kAuthSizeOffset + 1, 0xff), QuoteError::Truncated);
}

TEST(ParseTdxQuote, RefusesVersion5BodiesThatDisagree) {
  for (const std::size_t offset : {48U, 50U, 53U}) {
    Bytes quote = sim_quote(5);
    quote.at(offset) ^= 1;
    EXPECT_EQ(error_of(quote), QuoteError::BodyMismatch) << offset;
  }
}

}  // namespace
}  // namespace nostril::attestation
