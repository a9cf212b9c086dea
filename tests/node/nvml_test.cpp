#include "node/nvml.h"

#include "attestation/gpu_certificates.h"
#include "attestation/gpu_simulator.h"
#include "attestation/sim_pki.h"
#include "base/check.h"
#include "tests/attestation/fixtures.h"
#include "tests/node/fake_nvml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dlfcn.h>

namespace nostril::node {
namespace {

using ::testing::HasSubstr;

class NvmlLibrary : public ::testing::Test {
 protected:
  NvmlLibrary() : library_(dlopen(NOSTRIL_FAKE_NVML, RTLD_NOW | RTLD_LOCAL)) {
    CHECK(library_ != nullptr);
    const auto find = reinterpret_cast<test::FakeNvml* (*)()>(dlsym(library_, "fake_nvml"));
    CHECK(find != nullptr);
    fake_ = find();
    *fake_ = {};
    fake_->count = 2;
    fake_->chain = [this](std::size_t index) {
      std::vector<Bytes> ders;
      const auto chain = attestation::parse_gpu_chain(gpus_.chain(index));
      for (const auto& certificate : *chain) ders.push_back(certificate.der);
      return attestation::to_pem(ders);
    };
    fake_->report = [this](std::size_t index, const std::array<std::uint8_t, 32>& nonce) {
      return gpus_.report(index, nonce);
    };
    nonce_.bytes = attestation::test::filled(0x5a);
  }

  ~NvmlLibrary() override {
    EXPECT_EQ(fake_->users, 0) << "shut down each time";
    *fake_ = {};
    dlclose(library_);
  }

  Result<std::vector<GpuAnswer>, std::string> ask() {
    return gpu_reports(nonce_, NOSTRIL_FAKE_NVML);
  }

  attestation::GpuSimulator gpus_{attestation::test::filled(7)};
  void* library_;
  test::FakeNvml* fake_;
  Digest nonce_;
};

TEST_F(NvmlLibrary, GivesReportsOverOurNonceWithTheirChains) {
  const auto answers = ask();
  ASSERT_TRUE(answers) << answers.error();
  ASSERT_EQ(answers->size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(answers->at(i).report, gpus_.report(i, nonce_.bytes));
    EXPECT_EQ(answers->at(i).chain, gpus_.chain(i));
  }
}

TEST_F(NvmlLibrary, SummarisesDriverFirmwareAndModes) {
  fake_->ready = false;
  fake_->dev_tools = 1;
  const GpuSummary found = summarise_gpus(NOSTRIL_FAKE_NVML);
  EXPECT_TRUE(found.has_library);
  EXPECT_EQ(found.driver, "570.86.15");
  ASSERT_EQ(found.devices.size(), 2U);
  EXPECT_EQ(found.devices[1].name, "NVIDIA H200");
  EXPECT_EQ(found.devices[1].vbios, "96.00.CF.00.01");
  EXPECT_TRUE(found.confidential);
  EXPECT_TRUE(found.development);
  EXPECT_EQ(found.ready, false);
}

TEST_F(NvmlLibrary, WithoutLibraryDriverOrConfidentialModeThereIsNoEvidence) {
  EXPECT_TRUE(gpu_reports(nonce_, "/nonexistent/libnvidia-ml.so")->empty());
  EXPECT_FALSE(summarise_gpus("/nonexistent/libnvidia-ml.so").has_library);
  fake_->cc_feature = 0;
  EXPECT_TRUE(ask()->empty());
  EXPECT_FALSE(summarise_gpus(NOSTRIL_FAKE_NVML).confidential);
  fake_->cc_feature = 1;
  fake_->init_error = 9;
  EXPECT_TRUE(ask()->empty());
  fake_->users = 0;
}

TEST_F(NvmlLibrary, AGpuThatShouldAttestAndDoesNotIsAnError) {
  fake_->report_error = 999;
  EXPECT_THAT(ask().error(), HasSubstr("GPU 0 gives no report (NVML error 999)"));
  fake_->report_error = 0;
  fake_->dev_tools = 1;
  EXPECT_THAT(ask().error(), HasSubstr("development mode"));
  fake_->dev_tools = 0;
  fake_->lies = true;
  EXPECT_THAT(ask().error(), HasSubstr("sizes beyond"));
  fake_->lies = false;
  fake_->chain = [](std::size_t) { return std::string("no certificates"); };
  EXPECT_THAT(ask().error(), HasSubstr("certificates that are none"));
  fake_->count = 17;
  EXPECT_THAT(ask().error(), HasSubstr("17 GPUs"));
}

}  // namespace
}  // namespace nostril::node
