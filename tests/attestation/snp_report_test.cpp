#include "attestation/snp_report.h"

#include "tests/attestation/snp_fixtures.h"

#include <gtest/gtest.h>

namespace nostril::attestation {
namespace {

const Bytes& report_of_version(std::uint32_t version) {
  static const auto kReports = [] {
    std::array<Bytes, 6> out;
    for (std::uint32_t v = 2; v <= 5; ++v) {
      SnpSimulatorOptions options;
      options.report_version = v;
      out.at(v) =
          test::snp_simulator(options).report(test::snp_report_data(), test::measurement(0xa0));
    }
    return out;
  }();
  return kReports.at(version);
}

std::optional<SnpReportError> error_of(const Bytes& report) {
  const auto parsed = parse_snp_report(report);
  return parsed ? std::nullopt : std::optional(parsed.error());
}

/// The error after `flip` at `offset`; nothing when it still parses.
std::optional<SnpReportError> error_with(std::uint32_t version, std::size_t offset,
                                         std::uint8_t flip) {
  Bytes report = report_of_version(version);
  report.at(offset) ^= flip;
  return error_of(report);
}

TEST(ParseSnpReport, ReadsEveryVersion) {
  for (std::uint32_t version = 2; version <= 5; ++version) {
    const auto report = parse_snp_report(report_of_version(version));
    ASSERT_TRUE(report.has_value()) << version;
    EXPECT_EQ(report->version, version);
    EXPECT_EQ(report->policy, 0x30000U);
    EXPECT_EQ(report->platform_info, 0x25U);
    EXPECT_EQ(report->report_data, test::snp_report_data());
    EXPECT_EQ(report->measurement, test::measurement(0xa0));
    EXPECT_EQ(report->cpuid.has_value(), version >= 3);
    EXPECT_EQ(report->launch_mitigations, version == 5 ? 3U : 0U);
    EXPECT_EQ(report->current_mitigations, version == 5 ? 7U : 0U);
    EXPECT_EQ(report->current.major, 1);
    EXPECT_EQ(report->current.minor, 55);
    EXPECT_EQ(report->current.build, 29);
    EXPECT_EQ(decode_snp_tcb(report->reported_tcb, SnpProduct::Milan), (SnpTcb{0, 4, 0, 23, 213}));
    EXPECT_EQ(report->signed_part.size(), 0x2a0U);
  }
}

TEST(ParseSnpReport, ReadsEachTcbAndTheFirmwareWhereTheyStand) {
  Bytes bytes = report_of_version(3);
  bytes.at(0x38) = 11;   // current
  bytes.at(0x180) = 12;  // reported
  bytes.at(0x1e0) = 13;  // committed
  bytes.at(0x1f0) = 14;  // launch
  bytes.at(0x1ec) = 7;   // committed build
  bytes.at(0x04) = 9;    // guest SVN
  const auto report = parse_snp_report(bytes);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->current_tcb[0], 11);
  EXPECT_EQ(report->reported_tcb[0], 12);
  EXPECT_EQ(report->committed_tcb[0], 13);
  EXPECT_EQ(report->launch_tcb[0], 14);
  EXPECT_EQ(report->committed.build, 7);
  EXPECT_EQ(report->guest_svn, 9U);
}

TEST(ParseSnpReport, TurnsTheSignatureAround) {
  const Bytes& bytes = report_of_version(3);
  const auto report = parse_snp_report(bytes);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->signature.front(), bytes.at(0x2a0 + 47));
  EXPECT_EQ(report->signature.at(47), bytes.at(0x2a0));
  EXPECT_EQ(report->signature.at(48), bytes.at(0x2e8 + 47));
  EXPECT_EQ(report->signature.back(), bytes.at(0x2e8));
}

TEST(ParseSnpReport, RefusesEveryOtherLength) {
  Bytes report = report_of_version(3);
  report.push_back(0);
  EXPECT_EQ(error_of(report), SnpReportError::WrongSize);
  report.resize(kSnpReportBytes - 1);
  EXPECT_EQ(error_of(report), SnpReportError::WrongSize);
  EXPECT_EQ(error_of({}), SnpReportError::WrongSize);
}

TEST(ParseSnpReport, RefusesOtherVersionsAlgorithmsSignersAndLevels) {
  EXPECT_EQ(error_with(2, 0, 3), SnpReportError::UnsupportedVersion);  // 1
  EXPECT_EQ(error_with(2, 0, 4), SnpReportError::UnsupportedVersion);  // 6
  EXPECT_EQ(error_with(2, 3, 1), SnpReportError::UnsupportedVersion);
  EXPECT_EQ(error_with(3, 0x34, 1), SnpReportError::UnsupportedAlgorithm);  // 0
  EXPECT_EQ(error_with(3, 0x34, 3), SnpReportError::UnsupportedAlgorithm);  // 2
  EXPECT_EQ(error_with(3, 0x37, 1), SnpReportError::UnsupportedAlgorithm);
  EXPECT_EQ(error_with(3, 0x48, 0x08), SnpReportError::UnsupportedSigner);  // 2
  EXPECT_EQ(error_with(3, 0x48, 0x1c), SnpReportError::UnsupportedSigner);  // 7: not signed
  EXPECT_EQ(error_with(3, 0x30, 4), SnpReportError::BadVmpl);
  EXPECT_EQ(error_with(3, 0x33, 0xff), SnpReportError::BadVmpl);
  EXPECT_EQ(error_with(3, 0x30, 3), std::nullopt);
}

TEST(ParseSnpReport, RefusesEveryReservedBit) {
  const auto reserved = SnpReportError::ReservedNotZero;
  EXPECT_EQ(error_with(3, 0x0a, 0x02), reserved);  // policy bit 17 must be set
  EXPECT_EQ(error_with(3, 0x0b, 0x04), reserved);  // policy bit 26
  EXPECT_EQ(error_with(3, 0x0f, 0x80), reserved);
  EXPECT_EQ(error_with(3, 0x0b, 0x02), std::nullopt);  // policy bit 25
  EXPECT_EQ(error_with(3, 0x40, 0x40), reserved);      // platform_info bit 6
  EXPECT_EQ(error_with(3, 0x41, 0x01), reserved);
  EXPECT_EQ(error_with(3, 0x40, 0x80), std::nullopt);
  EXPECT_EQ(error_with(3, 0x48, 0x20), reserved);  // flags bit 5
  EXPECT_EQ(error_with(3, 0x4c, 0x01), reserved);
  EXPECT_EQ(error_with(3, 0x1eb, 0x01), reserved);
  EXPECT_EQ(error_with(3, 0x1ef, 0x01), reserved);
  const auto refuses_all = [&](std::uint32_t version, std::size_t from, std::size_t until) {
    for (std::size_t offset = from; offset < until; ++offset) {
      ASSERT_EQ(error_with(version, offset, 1), reserved) << version << " " << offset;
    }
  };
  refuses_all(2, 0x188, 0x1a0);  // CPUID came with version 3
  refuses_all(3, 0x18b, 0x1a0);
  refuses_all(4, 0x1f8, 0x2a0);  // mitigations came with version 5
  refuses_all(5, 0x208, 0x2a0);
  EXPECT_EQ(error_with(5, 0x1f8, 1), std::nullopt);
  EXPECT_EQ(error_with(5, 0x207, 1), std::nullopt);
}

TEST(ParseSnpReport, RefusesLongNumbersAndBytesAfterTheSignature) {
  for (std::size_t offset = 0x2a0 + 48; offset < kSnpReportBytes; ++offset) {
    if (offset == 0x2e8) offset += 48;  // S
    ASSERT_EQ(error_with(3, offset, 1), SnpReportError::BadSignatureEncoding) << offset;
  }
}

TEST(SnpProduct, IsToldByFamilyAndModel) {
  const auto product = [](std::uint8_t family, std::uint8_t model) {
    return product_of({family, model, 0});
  };
  EXPECT_EQ(product(0x19, 0x00), SnpProduct::Milan);
  EXPECT_EQ(product(0x19, 0x0f), SnpProduct::Milan);
  EXPECT_EQ(product(0x19, 0x10), SnpProduct::Genoa);
  EXPECT_EQ(product(0x19, 0x1f), SnpProduct::Genoa);
  EXPECT_EQ(product(0x19, 0x20), std::nullopt);
  EXPECT_EQ(product(0x19, 0xa0), SnpProduct::Genoa);
  EXPECT_EQ(product(0x19, 0xb0), std::nullopt);
  EXPECT_EQ(product(0x1a, 0x00), SnpProduct::Turin);
  EXPECT_EQ(product(0x1a, 0x11), SnpProduct::Turin);
  EXPECT_EQ(product(0x1a, 0x12), std::nullopt);
  EXPECT_EQ(product(0x17, 0x01), std::nullopt);
}

TEST(SnpTcb, StandsElsewhereOnTurin) {
  const RawSnpTcb milan = {4, 1, 0, 0, 0, 0, 23, 213};
  EXPECT_EQ(decode_snp_tcb(milan, SnpProduct::Milan), (SnpTcb{0, 4, 1, 23, 213}));
  EXPECT_EQ(decode_snp_tcb(milan, SnpProduct::Genoa), (SnpTcb{0, 4, 1, 23, 213}));
  EXPECT_EQ(decode_snp_tcb(milan, SnpProduct::Turin), std::nullopt);  // byte 6 is reserved there
  const RawSnpTcb turin = {1, 2, 3, 4, 0, 0, 0, 9};
  EXPECT_EQ(decode_snp_tcb(turin, SnpProduct::Turin), (SnpTcb{1, 2, 3, 4, 9}));
  EXPECT_EQ(decode_snp_tcb(turin, SnpProduct::Milan), std::nullopt);
}

TEST(SnpTcb, IsReachedOnlyByEveryNumber) {
  const SnpTcb base = {1, 1, 1, 1, 1};
  EXPECT_TRUE(reaches(base, base));
  EXPECT_FALSE(reaches({0, 2, 2, 2, 2}, base));
  EXPECT_FALSE(reaches({2, 0, 2, 2, 2}, base));
  EXPECT_FALSE(reaches({2, 2, 0, 2, 2}, base));
  EXPECT_FALSE(reaches({2, 2, 2, 0, 2}, base));
  EXPECT_FALSE(reaches({2, 2, 2, 2, 0}, base));
}

}  // namespace
}  // namespace nostril::attestation
