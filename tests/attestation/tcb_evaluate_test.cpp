#include "attestation/collateral.h"
#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

using test::judge;
using test::simulator;
using test::sound_evidence;
using test::status_of;

/// A platform with every SGX component 5, PCE 10, module TDX_01 SVN 4, other TDX components 3.
struct Machine {
  TcbInfo info;
  SgxExtension platform;
  TdReport td;
  SvnLevel qe{4, TcbStatus::UpToDate, {"QE"}};

  Machine() {
    platform.component_svn.fill(5);
    platform.pce_svn = 10;
    td.tee_tcb_svn.fill(3);
    td.tee_tcb_svn[0] = 4;
    td.tee_tcb_svn[1] = 1;
    info.module_identities.push_back({1, {}, {{4, TcbStatus::UpToDate, {"MODULE"}}}});
    TcbLevel level;
    level.sgx.fill(5);
    level.pce_svn = 10;
    level.tdx.fill(3);
    level.status = TcbStatus::UpToDate;
    level.advisories = {"LEVEL"};
    info.levels.push_back(level);
  }

  [[nodiscard]] Result<TcbEvaluation, TcbError> run() const {
    return evaluate_tcb(info, platform, td, qe);
  }
};

TEST(EvaluateTcb, TakesTheFirstLevelReachedAndJoinsAdvisories) {
  const Machine machine;
  const auto result = machine.run();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->status, TcbStatus::UpToDate);
  EXPECT_EQ(result->advisories, (std::vector<std::string>{"LEVEL", "MODULE", "QE"}));
}

TEST(EvaluateTcb, EveryComponentCounts) {
  for (std::size_t i = 0; i < 16; ++i) {
    Machine sgx;
    sgx.platform.component_svn.at(i) = 4;
    EXPECT_EQ(sgx.run().error(), TcbError::NotSupported) << i;
    if (i < 2) continue;  // the module's
    Machine tdx;
    tdx.td.tee_tcb_svn.at(i) = 2;
    EXPECT_EQ(tdx.run().error(), TcbError::NotSupported) << i;
  }
  Machine pce;
  pce.platform.pce_svn = 9;
  EXPECT_EQ(pce.run().error(), TcbError::NotSupported);
}

TEST(EvaluateTcb, ModuleComponentsCountOnlyWithoutAModuleVersion) {
  Machine machine;
  machine.info.levels[0].tdx[0] = 200;  // far above the module's own SVN: not compared
  EXPECT_TRUE(machine.run().has_value());
  machine.td.tee_tcb_svn[1] = 0;
  machine.info.levels[0].tdx[1] = 0;
  EXPECT_EQ(machine.run().error(), TcbError::NotSupported);
  machine.td.tee_tcb_svn[0] = 200;
  EXPECT_TRUE(machine.run().has_value());
}

TEST(EvaluateTcb, RefusesForeignPlatformsAndModules) {
  Machine fmspc;
  fmspc.platform.fmspc[0] = 1;
  EXPECT_EQ(fmspc.run().error(), TcbError::WrongPlatform);
  Machine pce;
  pce.platform.pce_id[1] = 1;
  EXPECT_EQ(pce.run().error(), TcbError::WrongPlatform);
  Machine version;
  version.td.tee_tcb_svn[1] = 3;
  EXPECT_EQ(version.run().error(), TcbError::ModuleUnknown);
  Machine old;
  old.td.tee_tcb_svn[0] = 3;
  EXPECT_EQ(old.run().error(), TcbError::ModuleNotSupported);
  Machine signer;
  signer.td.mrsignerseam[0] = 1;
  EXPECT_EQ(signer.run().error(), TcbError::ModuleMismatch);
  Machine attributes;
  attributes.td.seam_attributes[0] = 1;
  attributes.info.module_identities[0].module.attributes[0] = 1;
  EXPECT_EQ(attributes.run().error(), TcbError::ModuleMismatch);
}

TEST(Converge, FollowsTheWholeTable) {
  using S = TcbStatus;
  const std::map<S, S> with_out_of_date = {
      {S::UpToDate, S::OutOfDate},
      {S::SWHardeningNeeded, S::OutOfDate},
      {S::ConfigurationNeeded, S::OutOfDateConfigurationNeeded},
      {S::ConfigurationAndSWHardeningNeeded, S::OutOfDateConfigurationNeeded},
      {S::TDRelaunchAdvised, S::TDRelaunchAdvised},
      {S::TDRelaunchAdvisedConfigurationNeeded, S::TDRelaunchAdvisedConfigurationNeeded},
      {S::OutOfDate, S::OutOfDate},
      {S::OutOfDateConfigurationNeeded, S::OutOfDateConfigurationNeeded},
      {S::Revoked, S::Revoked},
  };
  for (const auto& [status, wanted] : with_out_of_date) {
    EXPECT_EQ(converge(status, S::UpToDate), status);
    EXPECT_EQ(converge(status, S::OutOfDate), wanted);
    EXPECT_EQ(converge(status, S::Revoked), S::Revoked);
  }
}

TEST(EvaluateTcb, AdvisesRelaunchWhenTheModuleWasUpdatedUnderATd15) {
  Machine machine;
  machine.td.is_td15 = true;
  machine.info.module_identities[0].levels = {{6, TcbStatus::UpToDate, {}},
                                              {4, TcbStatus::OutOfDate, {}}};
  machine.td.tee_tcb_svn2 = machine.td.tee_tcb_svn;
  EXPECT_EQ(machine.run()->status, TcbStatus::OutOfDate);
  machine.td.tee_tcb_svn2[0] = 6;
  EXPECT_EQ(machine.run()->status, TcbStatus::TDRelaunchAdvised);
  machine.info.levels[0].status = TcbStatus::ConfigurationNeeded;
  EXPECT_EQ(machine.run()->status, TcbStatus::TDRelaunchAdvisedConfigurationNeeded);
  machine.qe.status = TcbStatus::OutOfDate;
  EXPECT_EQ(machine.run()->status, TcbStatus::OutOfDateConfigurationNeeded);
  machine.qe.status = TcbStatus::UpToDate;
  machine.td.tee_tcb_svn2[1] = 9;
  EXPECT_EQ(machine.run().error(), TcbError::ModuleUnknown);
  machine.td.is_td15 = false;
  EXPECT_EQ(machine.run()->status, TcbStatus::OutOfDateConfigurationNeeded);
}

Verdict judge_statuses(const std::string& tcb, const std::string& module, const std::string& qe,
                       const std::vector<std::string>& accepted) {
  SimulatorOptions options;
  options.tcb_status = tcb;
  options.module_status = module;
  options.qe_status = qe;
  const Simulator sim = simulator(options);
  Policy policy = test::simulated_policy();
  policy.accepted_tcb_statuses = accepted;
  policy.accepted_advisories = {"INTEL-SA-00001", std::string(kAnyAdvisory)};
  return judge(sim, sound_evidence(sim), policy);
}

TEST(TcbPolicy, TakesUpToDateAndWhatIsListed) {
  const std::string up = "UpToDate";
  EXPECT_TRUE(judge_statuses(up, up, up, {}).accepted);
  const Verdict hardening = judge_statuses("SWHardeningNeeded", up, up, {});
  EXPECT_FALSE(hardening.accepted);
  EXPECT_EQ(status_of(hardening, "tcb"), CheckStatus::Failed);
  EXPECT_EQ(hardening.tcb_status, "SWHardeningNeeded");
  EXPECT_TRUE(judge_statuses("SWHardeningNeeded", up, up, {"SWHardeningNeeded"}).accepted);
  EXPECT_FALSE(judge_statuses(up, "OutOfDate", up, {"SWHardeningNeeded"}).accepted);
  EXPECT_FALSE(judge_statuses(up, up, "OutOfDate", {}).accepted);
}

TEST(TcbPolicy, NeverTakesRevoked) {
  const std::string up = "UpToDate";
  EXPECT_FALSE(judge_statuses("Revoked", up, up, {"Revoked"}).accepted);
  EXPECT_FALSE(judge_statuses(up, "Revoked", up, {"Revoked"}).accepted);
  EXPECT_FALSE(judge_statuses(up, up, "Revoked", {"Revoked"}).accepted);
}

TEST(TcbPolicy, RefusesWordsIntelDoesNotDefine) {
  const Verdict verdict = judge_statuses("Fine", "UpToDate", "UpToDate", {"Fine"});
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.find("tcb_info")->found, "malformed collateral");
}

TEST(MatchQe, ComparesUnderTheMask) {
  QeIdentity identity;
  identity.attributes_mask[0] = 0xfd;
  identity.attributes[0] = 0x11;
  identity.levels = {{4, TcbStatus::UpToDate, {}}, {2, TcbStatus::OutOfDate, {}}};
  EnclaveReport qe;
  qe.attributes[0] = 0x13;
  qe.isv_svn = 4;
  ASSERT_NE(match_qe(identity, qe), nullptr);
  EXPECT_EQ(match_qe(identity, qe)->status, TcbStatus::UpToDate);
  qe.isv_svn = 3;
  EXPECT_EQ(match_qe(identity, qe)->status, TcbStatus::OutOfDate);
  qe.isv_svn = 1;
  EXPECT_EQ(match_qe(identity, qe), nullptr);
  qe.isv_svn = 4;
  qe.attributes[0] = 0x31;
  EXPECT_EQ(match_qe(identity, qe), nullptr);
  qe.attributes[0] = 0x11;
  qe.mrsigner[0] = 1;
  EXPECT_EQ(match_qe(identity, qe), nullptr);
  qe.mrsigner[0] = 0;
  qe.isv_prod_id = 1;
  EXPECT_EQ(match_qe(identity, qe), nullptr);
}

}  // namespace
}  // namespace nostril::attestation
