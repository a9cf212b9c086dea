// NVSwitches asked through a library that has the names of NVIDIA's NSCQ.
#include "node/nscq.h"

#include "attestation/gpu_certificates.h"
#include "attestation/gpu_simulator.h"
#include "attestation/sim_pki.h"
#include "base/check.h"
#include "tests/attestation/fixtures.h"
#include "tests/node/fake_nscq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dlfcn.h>

namespace nostril::node {
namespace {

using ::testing::HasSubstr;

class NscqLibrary : public ::testing::Test {
 protected:
  NscqLibrary() : library_(dlopen(NOSTRIL_FAKE_NSCQ, RTLD_NOW | RTLD_LOCAL)) {
    CHECK(library_ != nullptr);
    const auto find = reinterpret_cast<test::FakeNscq* (*)()>(dlsym(library_, "fake_nscq"));
    CHECK(find != nullptr);
    fake_ = find();
    *fake_ = {};
    fake_->count = 4;
    fake_->chain = [this](std::size_t index) {
      std::vector<Bytes> ders;
      const auto chain = attestation::parse_gpu_chain(board_.switches(nonce_.bytes)[index].chain);
      for (const auto& certificate : *chain) ders.push_back(certificate.der);
      return attestation::to_pem(ders);
    };
    fake_->report = [this](std::size_t index, const std::array<std::uint8_t, 32>& nonce) {
      return board_.switches(nonce)[index].report;
    };
    nonce_.bytes = attestation::test::filled(0x5a);
  }

  ~NscqLibrary() override {
    EXPECT_EQ(fake_->sessions, 0) << "each session ended";
    *fake_ = {};
    dlclose(library_);
  }

  static attestation::GpuSimulatorOptions options() {
    attestation::GpuSimulatorOptions out;
    out.switch_count = 4;
    return out;
  }

  Result<std::vector<GpuAnswer>, std::string> ask() {
    return switch_reports(nonce_, NOSTRIL_FAKE_NSCQ);
  }

  attestation::GpuSimulator board_{attestation::test::filled(7), options()};
  void* library_;
  test::FakeNscq* fake_;
  Digest nonce_;
};

TEST_F(NscqLibrary, GivesReportsOverOurNonceWithTheirChains) {
  const auto answers = ask();
  ASSERT_TRUE(answers) << answers.error();
  const auto wanted = board_.switches(nonce_.bytes);
  ASSERT_EQ(answers->size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(answers->at(i).report, wanted[i].report);
    EXPECT_EQ(answers->at(i).chain, wanted[i].chain);
  }
  fake_->count = 0;
  EXPECT_TRUE(ask()->empty());
}

TEST_F(NscqLibrary, SaysWhatIsMissing) {
  EXPECT_THAT(switch_reports(nonce_, "/nonexistent/libnvidia-nscq.so.2").error(),
              HasSubstr("install NVIDIA's NSCQ library"));
  EXPECT_THAT(switch_reports(nonce_, NOSTRIL_FAKE_NVML).error(), HasSubstr("lacks the functions"));
  fake_->session_error = -7;
  EXPECT_THAT(ask().error(), HasSubstr("no session (NSCQ error -7)"));
}

TEST_F(NscqLibrary, ASwitchThatDoesNotAttestIsAnError) {
  fake_->report_error = -8;
  EXPECT_THAT(ask().error(), HasSubstr("NVSwitch SWX-0 gives no report (NSCQ error -8)"));
  fake_->report_error = 0;
  fake_->callback_error = -2;
  EXPECT_THAT(ask().error(), HasSubstr("gives no report (NSCQ error -2)"));
  fake_->callback_error = 1;  // a warning
  EXPECT_TRUE(ask());
  fake_->lies = true;
  EXPECT_THAT(ask().error(), HasSubstr("of a size beyond"));
  fake_->lies = false;
  fake_->chain = [](std::size_t) { return std::string("no certificates"); };
  EXPECT_THAT(ask().error(), HasSubstr("that can be read"));
  fake_->count = 17;
  EXPECT_THAT(ask().error(), HasSubstr("more NVSwitches"));
}

}  // namespace
}  // namespace nostril::node
