// What `nostril-node doctor` says of a machine, an engine, relays, a clock and a disk.
#include "node/doctor.h"

#include "base/json.h"
#include "client/channel_store.h"
#include "client/clock_check.h"
#include "client/relay_probe.h"
#include "node/network_checks.h"
#include "tests/attestation/fixtures.h"
#include "tests/node/fake_nvml.h"
#include "tests/support/scripted_engine.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_relay.h"
#include "tests/support/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dlfcn.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

namespace nostril::node {
namespace {

namespace fs = std::filesystem;
using attestation::test::kNow;
using client::judge_clock;
using client::judge_relay;
using client::parse_http_date;
using client::RelayFacts;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const Finding& find(const Findings& findings, const std::string& check) {
  const auto found = std::ranges::find(findings, check, &Finding::check);
  if (found == findings.end()) throw std::runtime_error("no finding " + check);
  return *found;
}

// ---- Form ---------------------------------------------------------------------------------------

TEST(DoctorReport, StatusIsThatOfTheWorstFinding) {
  EXPECT_EQ(exit_status(worst({})), 0);
  EXPECT_EQ(exit_status(worst({{"a", Health::Ok, "fine", ""}})), 0);
  EXPECT_EQ(exit_status(worst({{"a", Health::Warning, "x", "y"}, {"b", Health::Ok, "fine", ""}})),
            1);
  EXPECT_EQ(exit_status(worst({{"a", Health::Wrong, "x", "y"}, {"b", Health::Warning, "x", "y"}})),
            2);
}

TEST(DoctorReport, ColoursAreForTerminalsAndPeersCanSendNone) {
  const Finding finding{"relay", Health::Wrong, "says \033[2Jno", "ask it"};
  EXPECT_THAT(to_text(finding, false), Not(HasSubstr("\033")));
  EXPECT_THAT(to_text(finding, true), HasSubstr("\033[31mwrong"));
  EXPECT_THAT(to_text(finding, true), Not(HasSubstr("\033[2J")));
  EXPECT_THAT(to_text(finding, false), HasSubstr("-> ask it"));
}

TEST(DoctorReport, JsonHoldsEveryFinding) {
  const auto json = Json::parse(
      to_json({{"tee", Health::Ok, "dstack", ""}, {"gpu", Health::Warning, "none", "do"}}));
  ASSERT_TRUE(json);
  EXPECT_EQ(json->find_string("health"), "warning");
  ASSERT_EQ(json->find("checks")->items().size(), 2U);
  EXPECT_EQ(json->find("checks")->items()[0].find("remedy"), nullptr);
  EXPECT_EQ(json->find("checks")->items()[1].find_string("remedy"), "do");
}

// ---- Evidence -----------------------------------------------------------------------------------

/// The simulator, taken for a machine.
class Machine final : public EvidenceSource {
 public:
  Result<attestation::Evidence, std::string> evidence(const attestation::Statement& statement,
                                                      std::int64_t now_s) override {
    if (broken) return failure(std::string("the host's quoting service is away"));
    auto out = simulator.evidence(statement, now_s, attestation::test::measurements());
    if (no_collateral) out.collateral.reset();
    return out;
  }

  [[nodiscard]] std::string_view tee() const override { return "tdx"; }

  [[nodiscard]] bool simulated() const override { return false; }

  [[nodiscard]] Judge judge() const {
    Judge out;
    out.roots = attestation::test::roots_of(simulator);
    out.policy = attestation::test::simulated_policy();
    out.now_s = kNow;
    return out;
  }

  attestation::Simulator simulator = attestation::test::simulator();
  bool broken = false;
  bool no_collateral = false;
};

class DoctorEvidence : public ::testing::Test {
 protected:
  Machine machine_;
  SystemRng rng_;
};

TEST_F(DoctorEvidence, AMachineThatClientsTakeIsWell) {
  const Findings found = try_evidence(machine_, machine_.judge(), rng_);
  EXPECT_EQ(worst(found), Health::Ok) << to_json(found);
  EXPECT_THAT(find(found, "evidence").found, HasSubstr("a quote of"));
  EXPECT_THAT(find(found, "collateral").found, HasSubstr("holds until"));
}

TEST_F(DoctorEvidence, WhatTheDefaultPolicyRefusesIsNamedCheckByCheck) {
  Judge judge = machine_.judge();
  judge.policy.accept_simulated = false;
  const Findings found = try_evidence(machine_, judge, rng_);
  EXPECT_EQ(find(found, "evidence").health, Health::Wrong);
  EXPECT_THAT(find(found, "evidence").found, HasSubstr("REFUSED"));
  EXPECT_THAT(find(found, "evidence").remedy, HasSubstr("docs/verify.md"));
}

TEST_F(DoctorEvidence, AMachineWithoutAQuoteOffersNothing) {
  machine_.broken = true;
  const Findings found = try_evidence(machine_, machine_.judge(), rng_);
  EXPECT_EQ(find(found, "evidence").health, Health::Wrong);
  EXPECT_THAT(find(found, "evidence").found, HasSubstr("quoting service is away"));
}

TEST_F(DoctorEvidence, CollateralThatEndsSoonIsAWarning) {
  const Findings fresh = try_evidence(machine_, machine_.judge(), rng_);
  Judge judge = machine_.judge();
  judge.policy.allow_unchecked_tcb = true;
  machine_.no_collateral = true;
  const Findings none = try_evidence(machine_, judge, rng_);
  EXPECT_EQ(find(fresh, "collateral").health, Health::Ok);
  EXPECT_EQ(find(none, "collateral").health, Health::Wrong);
  EXPECT_THAT(find(none, "collateral").remedy, HasSubstr("intel_url"));
}

TEST_F(DoctorEvidence, SimulationIsSaidAloudAndLeavesNothingInTheNodesFolder) {
  test::TempDir folder;
  NodeConfig config;
  config.evidence = "simulated";
  config.data = (folder.path() / "data").string();
  Judge judge;
  judge.now_s = kNow;
  const Findings found = check_evidence(config, judge, rng_);
  EXPECT_EQ(find(found, "tee").health, Health::Warning);
  EXPECT_THAT(find(found, "tee").found, HasSubstr("SIMULATED"));
  EXPECT_EQ(find(found, "evidence").health, Health::Warning);
  EXPECT_FALSE(fs::exists(folder.path() / "data"));
}

TEST_F(DoctorEvidence, WithoutATeeItSaysWhatEachSourceLacks) {
  NodeConfig config;
  config.evidence = "dstack";
  config.tee.dstack_socket = "/nonexistent/dstack.sock";
  const Findings found = check_evidence(config, Judge{}, rng_);
  EXPECT_EQ(find(found, "tee").health, Health::Wrong);
  EXPECT_THAT(find(found, "tee").remedy, HasSubstr("mount the guest agent's socket"));
}

// ---- GPUs ---------------------------------------------------------------------------------------

class DoctorGpus : public ::testing::Test {
 protected:
  DoctorGpus()
      : library_(dlopen(NOSTRIL_FAKE_NVML, RTLD_NOW | RTLD_LOCAL)),
        fake_(reinterpret_cast<test::FakeNvml* (*)()>(dlsym(library_, "fake_nvml"))()) {
    fake_->count = 8;
  }

  ~DoctorGpus() override {
    *fake_ = {};
    dlclose(library_);
  }

  Finding look(bool has_tee = true) { return check_gpus(NOSTRIL_FAKE_NVML, has_tee, pci_.path()); }

  void put_pci(const std::string& name, const std::string& vendor, const std::string& kind) {
    fs::create_directories(pci_.path() / name);
    std::ofstream(pci_.path() / name / "vendor") << vendor << "\n";
    std::ofstream(pci_.path() / name / "class") << kind << "\n";
  }

  test::TempDir pci_;
  void* library_;
  test::FakeNvml* fake_;
};

TEST_F(DoctorGpus, SaysModeDriverAndVbios) {
  const Finding found = look();
  EXPECT_EQ(found.health, Health::Ok);
  EXPECT_EQ(
      found.found,
      "8 NVIDIA H200 with VBIOS 96.00.CF.00.01, driver 570.86.15, confidential computing is on");
}

TEST_F(DoctorGpus, EachModeThatProtectsNothingIsWrongAndHasItsRemedy) {
  fake_->ready = false;
  EXPECT_EQ(look().health, Health::Wrong);
  EXPECT_THAT(look().remedy, HasSubstr("conf-compute -srs 1"));
  fake_->dev_tools = 1;
  EXPECT_THAT(look().found, HasSubstr("DEVELOPMENT"));
  fake_->dev_tools = 0;
  fake_->cc_feature = 0;
  EXPECT_EQ(look().health, Health::Wrong);
  EXPECT_THAT(look().remedy, HasSubstr("--set-cc-mode=on"));
  EXPECT_EQ(look(false).health, Health::Warning) << "a machine for development";
}

TEST_F(DoctorGpus, AGpuWithoutADriverIsSeenOnTheBus) {
  EXPECT_EQ(check_gpus("/nonexistent/nvml.so", true, pci_.path()).health, Health::Warning);
  put_pci("0000:00:03.0", "0x10de", "0x040300");  // its sound
  EXPECT_EQ(check_gpus("/nonexistent/nvml.so", true, pci_.path()).health, Health::Warning);
  put_pci("0000:00:04.0", "0x10de", "0x030200");
  const Finding found = check_gpus("/nonexistent/nvml.so", true, pci_.path());
  EXPECT_EQ(found.health, Health::Wrong);
  EXPECT_THAT(found.found, HasSubstr("1 NVIDIA GPUs without a driver"));
}

// ---- Engines, relays, clock ---------------------------------------------------------------------

class DoctorNetwork : public ::testing::Test {
 protected:
  DoctorNetwork() {
    config_.relays = {relay_.url()};
    config_.engine.url = engine_.url();
    relay_.set_document(
        R"({"software":"a-relay","version":"1","limitation":{"max_message_length":524288}})");
  }

  Findings relays(std::uint64_t wait_ms = 8'000) {
    return check_relays(config_, loop_, clock_, rng_, wait_ms);
  }

  Findings engines() { return check_engines(config_, loop_); }

  SystemClock clock_;
  SystemRng rng_;
  net::Loop loop_;
  test::TestRelay relay_{loop_};
  test::ScriptedEngine engine_{loop_};
  NodeConfig config_;
};

TEST_F(DoctorNetwork, ARelayThatGivesAFrameBackIsWell) {
  const Finding found = find(relays(), "relay");
  EXPECT_EQ(found.health, Health::Ok) << found.found;
  EXPECT_THAT(found.found, HasSubstr("a frame of the largest size came back in"));
  EXPECT_THAT(found.found, HasSubstr("a-relay 1"));
  const auto& seen = relay_.seen();
  ASSERT_EQ(seen.size(), 1U) << "an ephemeral event, and nothing else";
  EXPECT_EQ(seen.front().kind, 21472U);
  EXPECT_GT(seen.front().content.size(), 13'000U);
}

TEST_F(DoctorNetwork, ARelayThatLosesOrRefusesFramesIsWrong) {
  relay_.set_faults({.drop_every = 1});
  const Finding lost = find(relays(500), "relay");
  EXPECT_EQ(lost.health, Health::Wrong);
  EXPECT_THAT(lost.found, HasSubstr("did not come back"));
  relay_.set_faults({.refuse_events = "blocked: members only"});
  const Finding refused = find(relays(), "relay");
  EXPECT_EQ(refused.health, Health::Wrong);
  EXPECT_THAT(refused.found, HasSubstr("members only"));
}

TEST_F(DoctorNetwork, ARelayThatIsAwayIsWrongAtOnce) {
  relay_.go_away();
  const auto begin_ms = clock_.monotonic_ms();
  const Finding found = find(relays(), "relay");
  EXPECT_LT(clock_.monotonic_ms() - begin_ms, 5'000);
  EXPECT_EQ(found.health, Health::Wrong);
  EXPECT_THAT(found.found, HasSubstr("refused"));
}

TEST_F(DoctorNetwork, LimitsBelowWhatWeSendAreNamed) {
  RelayFacts facts;
  facts.echo_ms = 3;
  const auto judged = [&](const std::string& limits) {
    facts.document = Json::parse("{\"limitation\":{" + limits + "}}").value();
    return judge_relay(facts);
  };
  EXPECT_EQ(judged("").health, Health::Ok);
  EXPECT_EQ(judged(R"("max_message_length":8192)").health, Health::Wrong);
  const Finding small = judged(R"("max_message_length":65536)");
  EXPECT_EQ(small.health, Health::Warning);
  EXPECT_THAT(small.remedy, HasSubstr("evidence with GPUs"));
  EXPECT_EQ(judged(R"("auth_required":true)").health, Health::Wrong);
  EXPECT_EQ(judged(R"("payment_required":true)").health, Health::Wrong);
  EXPECT_EQ(judged(R"("restricted_writes":true)").health, Health::Warning);
  EXPECT_EQ(judged(R"("max_subscriptions":1)").health, Health::Wrong);
}

TEST_F(DoctorNetwork, TheClockIsComparedWithTheRelays) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777000);
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT and more"), std::nullopt);
  EXPECT_EQ(parse_http_date("1994-11-06"), std::nullopt);
  relay_.set_document("{}", "Sun, 06 Nov 1994 08:49:37 GMT");
  const Finding found = find(relays(), "clock");
  EXPECT_EQ(found.health, Health::Wrong);
  EXPECT_THAT(found.found, HasSubstr("ahead by 1 relays"));
  EXPECT_THAT(found.remedy, HasSubstr("set-ntp true"));
}

TEST(DoctorClock, IsJudgedByTheMiddleOfTheRelaysAndByBeacons) {
  EXPECT_EQ(judge_clock({.ahead_ms = {400, -300, 900'000}}).health, Health::Ok) << "one is mad";
  EXPECT_EQ(judge_clock({.ahead_ms = {-20'000}}).health, Health::Warning);
  EXPECT_EQ(judge_clock({.ahead_ms = {-61'000}}).health, Health::Wrong);
  EXPECT_EQ(judge_clock({.ahead_ms = {0}, .kernel_in_step = false}).health, Health::Warning);
  EXPECT_EQ(judge_clock({.ahead_ms = {0}, .beacons_wanted = true}).health, Health::Warning);
  EXPECT_EQ(judge_clock({.ahead_ms = {0}, .beacons_wanted = true, .beacon_age_s = 30}).health,
            Health::Ok);
  EXPECT_EQ(judge_clock({.ahead_ms = {0}, .beacons_wanted = true, .beacon_age_s = -30}).health,
            Health::Warning);
}

TEST_F(DoctorNetwork, AnEngineIsAskedForModelsVersionAndLoad) {
  engine_.set_models(
      R"({"object":"list","data":[{"id":"m-1","object":"model","owned_by":"vllm","max_model_len":4096}]})");
  engine_.set_version("0.9.1");
  engine_.set_metrics("vllm:num_requests_running 2\nvllm:num_requests_waiting 1\n");
  const Finding found = find(engines(), "engine");
  EXPECT_EQ(found.health, Health::Ok) << found.found;
  EXPECT_THAT(found.found, HasSubstr("vllm 0.9.1, models: m-1; 2 run, 1 wait"));
  config_.engine.model = "m-2";
  EXPECT_EQ(find(engines(), "engine").health, Health::Wrong);
  EXPECT_THAT(find(engines(), "engine").remedy, HasSubstr("does not list m-2"));
  config_.engine.model.clear();
  engine_.set_metrics("");
  EXPECT_EQ(find(engines(), "engine").health, Health::Warning);
  engine_.go_away();
  EXPECT_EQ(find(engines(), "engine").health, Health::Wrong);
}

// ---- Disk ---------------------------------------------------------------------------------------

TEST(DoctorDisk, RightsOfFolderAndIdentityAreTheOwners) {
  test::TempDir folder;
  const fs::path data = folder.path() / "data";
  EXPECT_EQ(worst(check_data(data)), Health::Ok) << "will be made";
  fs::create_directories(data);
  chmod(data.c_str(), 0755);
  EXPECT_EQ(find(check_data(data), "data").health, Health::Wrong);
  EXPECT_THAT(find(check_data(data), "data").remedy, HasSubstr("chmod 700"));
  chmod(data.c_str(), 0700);
  EXPECT_EQ(worst(check_data(data)), Health::Ok);
  std::ofstream(data / "identity.nsec") << "no key\n";
  chmod((data / "identity.nsec").c_str(), 0644);
  EXPECT_THAT(find(check_data(data), "data").remedy, HasSubstr("chmod 600"));
  chmod((data / "identity.nsec").c_str(), 0600);
  EXPECT_THAT(find(check_data(data), "data").remedy, HasSubstr("restore identity.nsec"));
  EXPECT_EQ(std::distance(fs::directory_iterator(data), {}), 1) << "nothing is left behind";
}

TEST(DoctorDisk, TheJournalOfANodeThatServedSaysWhatIsOwed) {
  test::World world;
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(test::chat("hello", true));
  ASSERT_TRUE(world.finish(answer));
  const fs::path data = world.config.data;
  ASSERT_TRUE(world.until([&] {
    return !world.node_journal ? false : !client::all_channels(*world.node_journal).empty();
  }));
  world.stop_client();
  world.stop_node();
  const Finding found = check_journal(data, world.loop);
  EXPECT_EQ(found.health, Health::Ok);
  EXPECT_THAT(found.found, HasSubstr("1 channels; receipts of "));
  std::ofstream(data / "journal" / "data.mdb", std::ios::trunc)
      << "rubbish that is no database at all";
  EXPECT_EQ(check_journal(data, world.loop).health, Health::Wrong);
}

}  // namespace
}  // namespace nostril::node
