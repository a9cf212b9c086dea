// Reports and certificates of real GPUs taken apart, from the shared vectors.
#include "attestation/gpu_report.h"

#include "attestation/gpu_certificates.h"
#include "base/hex.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/vector_case.h"

#include <gtest/gtest.h>

#include <string>

namespace nostril::attestation {
namespace {

constexpr const char* kCases = "vectors/attestation/nvidia/cases.json";

std::optional<std::string> to_hex(const std::optional<bool>& state) {
  if (!state) return std::nullopt;
  return *state ? "0xaa" : "0x55";
}

TEST(ParseGpuReport, ReadsEveryReportOfTheVectors) {
  REQUIRE_SHARED(kCases);
  const Json cases = test::read_vector_json("nvidia/cases.json");
  int count = 0;
  for (const Json& item : cases.find("gpu")->items()) {
    const std::string id(*item.find_string("id"));
    const Bytes bytes =
        test::patched(test::read_vector_bytes("nvidia/" + std::string(*item.find_string("report"))),
                      item.find("report_patch"));
    const auto report = parse_gpu_report(bytes);
    ASSERT_TRUE(report.has_value()) << id << ": " << to_string(report.error());
    const Json& expect = *item.find("expect");
    EXPECT_EQ(report->driver, expect.find_string("driver")) << id;
    EXPECT_EQ(report->vbios, expect.find_string("vbios")) << id;
    EXPECT_EQ(encode_hex(report->nonce), expect.find_string("nonce")) << id;
    EXPECT_EQ(to_hex(report->nvdec0), expect.find_string("nvdec0")) << id;
    EXPECT_EQ(to_hex(report->protected_pcie), expect.find_string("protected_pcie")) << id;
    EXPECT_EQ(report->fwid.has_value(), expect.find_boolean("fwid_present")) << id;
    EXPECT_EQ(report->opaque_version, expect.find_integer("opaque_version")) << id;
    const auto features = report->features
                              ? std::optional<std::int64_t>(static_cast<int>(*report->features))
                              : std::nullopt;
    EXPECT_EQ(features, expect.find_integer("feature_flag")) << id;
    EXPECT_EQ(static_cast<std::int64_t>(report->measurements.size()),
              expect.find_integer("measurement_blocks"))
        << id;
    ++count;
  }
  EXPECT_GE(count, 20);
}

TEST(ParseGpuReport, RefusesEveryTruncationAndAnyByteMore) {
  REQUIRE_SHARED(kCases);
  Bytes report = test::read_vector_bytes("nvidia/reports/h100-595.71.05-tinfoil.bin");
  ASSERT_TRUE(parse_gpu_report(report).has_value());
  for (std::size_t size = 0; size < report.size(); ++size) {
    ASSERT_FALSE(parse_gpu_report(ByteSpan(report).first(size)).has_value()) << size;
  }
  report.push_back(0);
  EXPECT_EQ(parse_gpu_report(report).error(), GpuReportError::WrongSize);
}

TEST(GpuCertificates, AreReadInBothForms) {
  REQUIRE_SHARED(kCases);
  const auto from_pem =
      parse_gpu_chain(test::read_vector_bytes("nvidia/chains/h100-595.71.05-tinfoil.pem"));
  ASSERT_TRUE(from_pem.has_value());
  ASSERT_EQ(from_pem->size(), kGpuChainCount);
  const auto from_der = parse_gpu_chain(join_chain(*from_pem));
  ASSERT_TRUE(from_der.has_value());
  EXPECT_EQ(join_chain(*from_der), join_chain(*from_pem));
  EXPECT_EQ(chip_of(*from_der, TrustRoots::Class::Genuine), "GH100");
  EXPECT_EQ(chip_of(*from_der, TrustRoots::Class::Test), std::nullopt);
  EXPECT_EQ(check_chain(*from_der, Algorithms::Nvidia, test::kNow), std::nullopt);
  EXPECT_EQ(check_chain(*from_der, Algorithms::Intel, test::kNow), ChainError::WrongAlgorithm);
  EXPECT_EQ(TrustRoots::nvidia_devices().classify(from_der->back().der),
            TrustRoots::Class::Genuine);
  EXPECT_EQ(TrustRoots::intel().classify(from_der->back().der), std::nullopt);
}

TEST(GpuCertificates, OfBlackwellListFirmwareButNotTheEmptyOne) {
  REQUIRE_SHARED(kCases);
  const auto chain = parse_gpu_chain(test::read_vector_bytes("nvidia/chains/gb100-575.32.pem"));
  ASSERT_TRUE(chain.has_value());
  const auto firmware = gpu_firmware(chain->front());
  ASSERT_TRUE(firmware.has_value());
  EXPECT_EQ(firmware->fwids.size(), 1U);
  EXPECT_FALSE(firmware->debug);
  EXPECT_EQ(gpu_device_id(chain->front()), "48B02DD4C0CB1539");
  EXPECT_FALSE(gpu_firmware(chain->back()).has_value());
}

}  // namespace
}  // namespace nostril::attestation
