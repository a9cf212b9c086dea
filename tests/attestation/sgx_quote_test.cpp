#include "attestation/sgx_quote.h"

#include "attestation/collateral.h"
#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

namespace nostril::attestation {
namespace {

using test::kNow;
using test::status_of;

constexpr std::size_t kSignatureSizeOffset = 432;
constexpr std::size_t kAuthSizeOffset = 564 + 448;
constexpr std::size_t kCertificationOffset = kAuthSizeOffset + 2 + 32;

Digest mrenclave() {
  return {test::filled(0x77)};
}

Bytes sim_quote(const Simulator& simulator) {
  return simulator.sgx_quote(report_data(test::statement()), mrenclave());
}

Verdict judge(const Simulator& simulator, const Bytes& quote, const Policy& policy,
              IntelTee collateral_of = IntelTee::Sgx) {
  const Collateral collateral = simulator.collateral(kNow, collateral_of);
  return verify_intel_quote(quote, &collateral, test::roots_of(simulator), kNow, policy, {});
}

QuoteError error_with(std::size_t offset, std::uint8_t flip) {
  Bytes quote = sim_quote(test::simulator());
  quote.at(offset) ^= flip;
  const auto parsed = parse_sgx_quote(quote);
  EXPECT_FALSE(parsed.has_value()) << offset;
  return parsed ? QuoteError::TooLarge : parsed.error();
}

TEST(ParseSgxQuote, ReadsVersion3) {
  const Bytes bytes = sim_quote(test::simulator());
  const auto quote = parse_sgx_quote(bytes);
  ASSERT_TRUE(quote.has_value());
  EXPECT_EQ(quote->version, 3);
  EXPECT_EQ(quote->enclave.mrenclave, mrenclave().bytes);
  EXPECT_EQ(quote->enclave.report_data, report_data(test::statement()));
  EXPECT_EQ(quote->signed_part.size(), 432U);
  EXPECT_TRUE(is_sgx_quote(bytes));
  EXPECT_FALSE(is_sgx_quote({}));
}

TEST(ParseSgxQuote, RefusesOtherHeadersAndSizes) {
  EXPECT_EQ(error_with(0, 7), QuoteError::UnsupportedVersion);  // 4
  EXPECT_EQ(error_with(2, 1), QuoteError::UnsupportedKeyType);
  EXPECT_EQ(error_with(4, 0x81), QuoteError::UnsupportedTee);
  EXPECT_EQ(error_with(12, 1), QuoteError::UnknownVendor);
  EXPECT_EQ(error_with(kSignatureSizeOffset, 1), QuoteError::Truncated);
  EXPECT_EQ(error_with(kSignatureSizeOffset + 3, 0xff), QuoteError::Truncated);
  EXPECT_EQ(error_with(kAuthSizeOffset + 1, 0xff), QuoteError::Truncated);
  EXPECT_EQ(error_with(kCertificationOffset, 1), QuoteError::UnsupportedCertification);
  EXPECT_EQ(error_with(kCertificationOffset + 2, 1), QuoteError::SizeMismatch);
}

TEST(ParseSgxQuote, TakesZerosOnlyAfterTheQuote) {
  Bytes quote = sim_quote(test::simulator());
  quote.resize(quote.size() + 9);
  EXPECT_TRUE(parse_sgx_quote(quote));
  quote.back() = 1;
  EXPECT_EQ(parse_sgx_quote(quote).error(), QuoteError::TrailingBytes);
  quote.assign(kQuoteBytesMax + 1, 0);
  EXPECT_EQ(parse_sgx_quote(quote).error(), QuoteError::TooLarge);
}

TEST(ParseSgxQuote, RefusesEveryPrefix) {
  const Bytes quote = sim_quote(test::simulator());
  for (std::size_t size = 0; size < quote.size(); ++size) {
    ASSERT_FALSE(parse_sgx_quote(ByteSpan(quote).first(size))) << size;
  }
}

TEST(VerifySgxQuote, AcceptsASoundOneAndRefusesADebugEnclave) {
  const Simulator sim = test::simulator();
  const Verdict verdict = judge(sim, sim_quote(sim), test::simulated_policy());
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_TRUE(verdict.simulated);
  EXPECT_EQ(verdict.platform, "sgx");
  EXPECT_EQ(verdict.tcb_status, "UpToDate");
  EXPECT_EQ(verdict.find("sept_ve_disable"), nullptr);
  EXPECT_FALSE(judge(sim, sim_quote(sim), Policy{}).accepted);

  SimulatorOptions options;
  options.enclave_debug = true;
  const Simulator debug = test::simulator(options);
  const Verdict refused = judge(debug, sim_quote(debug), test::simulated_policy());
  EXPECT_FALSE(refused.accepted);
  EXPECT_EQ(status_of(refused, "debug"), CheckStatus::Failed);
}

TEST(VerifySgxQuote, WantsTheCollateralOfSgx) {
  const Simulator sim = test::simulator();
  const Verdict verdict = judge(sim, sim_quote(sim), test::simulated_policy(), IntelTee::Tdx);
  EXPECT_EQ(verdict.find("tcb_info")->found, "collateral of another TEE or version");
  EXPECT_EQ(verdict.find("qe_identity")->found, "collateral of another TEE or version");
  EXPECT_FALSE(verdict.accepted);
}

TEST(VerifySgxQuote, IsNeverAnImageOfThePolicysList) {
  const Simulator sim = test::simulator();
  Policy policy = test::simulated_policy();
  policy.allowed_measurements = {{}};
  EXPECT_FALSE(judge(sim, sim_quote(sim), policy).accepted);
}

TEST(VerifySgxQuote, CollateralOfSgxIsNoneForTds) {
  const Simulator sim = test::simulator();
  const Bytes quote = sim.tdx_quote(report_data(test::statement()), {});
  const Verdict verdict = judge(sim, quote, test::simulated_policy());
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(status_of(verdict, "tcb_info"), CheckStatus::Failed);
}

TEST(VerifySgxQuote, NeverAcceptsAChangedQuote) {
  const Simulator sim = test::simulator();
  const Bytes sound = sim_quote(sim);
  for (std::size_t offset = 0; offset < sound.size(); offset += 5) {
    Bytes quote = sound;
    quote[offset] ^= static_cast<std::uint8_t>(1U << (offset % 8));
    ASSERT_FALSE(judge(sim, quote, test::simulated_policy()).accepted) << offset;
  }
}

TEST(EvaluateSgxTcb, TakesTheFirstLevelReachedAndMergesTheQuotingEnclave) {
  TcbInfo info;
  SgxExtension platform;
  platform.component_svn.fill(5);
  platform.pce_svn = 10;
  TcbLevel high;
  high.sgx.fill(5);
  high.pce_svn = 11;
  high.status = TcbStatus::UpToDate;
  TcbLevel low = high;
  low.pce_svn = 10;
  low.status = TcbStatus::ConfigurationNeeded;
  low.advisories = {"B"};
  info.levels = {high, low};
  const auto with_qe = [&](TcbStatus status) {
    return evaluate_sgx_tcb(info, platform, {1, status, {"A"}});
  };
  EXPECT_EQ(with_qe(TcbStatus::UpToDate)->status, TcbStatus::ConfigurationNeeded);
  EXPECT_EQ(with_qe(TcbStatus::UpToDate)->advisories, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(with_qe(TcbStatus::OutOfDate)->status, TcbStatus::OutOfDateConfigurationNeeded);
  EXPECT_EQ(with_qe(TcbStatus::Revoked)->status, TcbStatus::Revoked);
  platform.component_svn[15] = 4;
  EXPECT_EQ(with_qe(TcbStatus::UpToDate).error(), TcbError::NotSupported);
  platform.fmspc[0] = 1;
  EXPECT_EQ(with_qe(TcbStatus::UpToDate).error(), TcbError::WrongPlatform);
}

}  // namespace
}  // namespace nostril::attestation
