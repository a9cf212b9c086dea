// Evidence of a node under dstack: event log and compose text beside the quote, packed and judged.
#include "attestation/app_identity.h"
#include "attestation/pack.h"
#include "base/hex.h"
#include "schnorr/hash.h"
#include "tests/attestation/live_fixtures.h"
#include "tests/attestation/snp_fixtures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

using test::simulated_policy;
using test::status_of;

const std::string kCompose = R"({"docker_compose_file":"services:\n  a:\n    image: a@sha256:)" +
                             std::string(64, '1') + R"(\n","allowed_envs":["TOKEN"]})";

ListEntry compose_entry(std::string_view compose) {
  return {true, Subject::Compose, {{"compose", encode_hex(sha256(compose))}}, "", ""};
}

ListEntry image_entry(const std::string& mrtd) {
  return {true, Subject::Image, {{"mrtd", mrtd}}, "", ""};
}

/// A policy that names these itself.
Policy policy_with(std::vector<ListEntry> entries) {
  Policy out = simulated_policy();
  out.acceptance.lists.push_back({"the policy", "", true, kForever, std::move(entries)});
  return out;
}

/// A simulated node whose machine booted that compose text.
class AppOffer : public ::testing::Test {
 protected:
  [[nodiscard]] Evidence evidence() const {
    Evidence out = cpu_.evidence(test::statement(), test::kNow, boot_.measurements);
    out.app = AppDocuments{to_json(boot_.log), kCompose, {}};
    return out;
  }

  /// The same machine with this log, which its quote knows nothing of.
  [[nodiscard]] Evidence with_log(const std::function<void(EventLog&)>& change) const {
    Evidence out = evidence();
    EventLog log = boot_.log;
    change(log);
    out.app->event_log = to_json(log);
    return out;
  }

  [[nodiscard]] Verdict judge(const Evidence& evidence,
                              const Policy& policy = simulated_policy()) const {
    return test::judge(cpu_, evidence, policy);
  }

  [[nodiscard]] std::size_t index_of(std::string_view name) const {
    const auto found =
        std::find_if(boot_.log.begin(), boot_.log.end(),
                     [name](const LoggedEvent& event) { return event.name == name; });
    return static_cast<std::size_t>(found - boot_.log.begin());
  }

  const Simulator cpu_ = test::simulator();
  const SimulatedBoot boot_ = simulated_boot(kCompose);
};

TEST_F(AppOffer, IsAcceptedAfterItWasPackedAndSaysWhatRuns) {
  const auto unpacked = unpack_evidence(pack_evidence(evidence()));
  ASSERT_TRUE(unpacked.has_value());
  EXPECT_EQ(*unpacked, evidence());
  const Verdict verdict = judge(*unpacked);
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  for (const char* check : {"event_log", "event_replay", "boot_events", "late_events",
                            "app_compose", "images_pinned", "app_id", "mrconfigid"}) {
    EXPECT_EQ(status_of(verdict, check), CheckStatus::Passed) << check;
  }
  EXPECT_EQ(std::get<std::string>(verdict.claim("compose_hash")->value),
            encode_hex(sha256(kCompose)));
}

TEST_F(AppOffer, WithoutALogNothingIsAskedOfTheApplication) {
  Evidence bare = evidence();
  bare.app.reset();
  const Verdict verdict = judge(bare);
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(verdict.find("event_log"), nullptr);
  EXPECT_EQ(verdict.claim("compose_hash"), nullptr);
}

struct Change {
  std::string check;
  std::function<void(EventLog&)> make;
};

TEST_F(AppOffer, AnAlteredLogIsNotTheQuotes) {
  const std::size_t app_id = index_of("app-id");
  const std::size_t ready = index_of("system-ready");
  const std::vector<Change> changes = {
      {"event_replay",
       [&](EventLog& log) { log[app_id] = make_runtime_event("app-id", Bytes(20, 7)); }},
      {"event_replay", [&](EventLog& log) { log.erase(log.begin() + 4); }},
      {"event_replay", [](EventLog& log) { log.erase(log.begin()); }},
      {"event_replay", [&](EventLog& log) { std::swap(log[app_id], log[app_id + 1]); }},
      {"event_replay", [](EventLog& log) { log[0].digest[0] ^= 1; }},
      {"event_replay",
       [](EventLog& log) { log.push_back(make_runtime_event("more", as_bytes("x"))); }},
      {"late_events",
       [](EventLog& log) { log.push_back(make_runtime_event("more", as_bytes("x"))); }},
      {"boot_events",
       [&](EventLog& log) { log.erase(log.begin() + static_cast<std::ptrdiff_t>(ready)); }},
      {"event_log", [&](EventLog& log) { log[app_id].payload[0] ^= 1; }},
      {"event_log", [&](EventLog& log) { log[app_id].name = "app-ib"; }},
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const Verdict verdict = judge(with_log(changes[i].make));
    EXPECT_FALSE(verdict.accepted) << i;
    EXPECT_EQ(status_of(verdict, changes[i].check), CheckStatus::Failed) << i << "\n"
                                                                         << explain(verdict);
  }
  Evidence rubbish = evidence();
  rubbish.app->event_log = "[";
  EXPECT_EQ(status_of(judge(rubbish), "event_log"), CheckStatus::Failed);
}

TEST_F(AppOffer, AnotherComposeTextIsRefusedAndSoIsNone) {
  Evidence other = evidence();
  other.app->compose += " ";
  EXPECT_EQ(status_of(judge(other), "app_compose"), CheckStatus::Failed);
  EXPECT_FALSE(judge(other).accepted);
  other.app->compose.clear();
  EXPECT_EQ(status_of(judge(other), "app_compose"), CheckStatus::NotChecked);
  EXPECT_FALSE(judge(other).accepted);
  // A policy that lists the hash needs no text, unless it wants to see pinned images.
  Policy by_hash = policy_with({compose_entry(kCompose)});
  EXPECT_FALSE(judge(other, by_hash).accepted);
  by_hash.app.allow_unpinned_images = true;
  EXPECT_TRUE(judge(other, by_hash).accepted) << explain(judge(other, by_hash));
}

TEST_F(AppOffer, ImagesThatMayChangeAreRefusedUnlessThePolicyTakesThem) {
  const std::string compose = R"({"docker_compose_file":"services:\n  a:\n    image: a:v1\n"})";
  const SimulatedBoot boot = simulated_boot(compose);
  Evidence loose = cpu_.evidence(test::statement(), test::kNow, boot.measurements);
  loose.app = AppDocuments{to_json(boot.log), compose, {}};
  EXPECT_EQ(status_of(judge(loose), "images_pinned"), CheckStatus::Failed);
  Policy policy = simulated_policy();
  policy.app.allow_unpinned_images = true;
  EXPECT_TRUE(judge(loose, policy).accepted);
}

TEST_F(AppOffer, APolicyThatNamesApplicationsRefusesOthersAndThoseThatSayNothing) {
  const Digest hash = sha256(kCompose);
  AppId own{};
  std::copy_n(hash.bytes.begin(), own.size(), own.begin());
  Policy by_id = simulated_policy();
  by_id.app.app_ids = {own};
  EXPECT_TRUE(judge(evidence(), by_id).accepted);
  by_id.app.app_ids = {AppId{}};
  EXPECT_EQ(status_of(judge(evidence(), by_id), "app_id"), CheckStatus::Failed);
  by_id.app.app_ids = {own};
  Evidence silent = evidence();
  silent.app.reset();
  EXPECT_FALSE(judge(silent, by_id).accepted);
  EXPECT_TRUE(refuses(*judge(silent, by_id).find("event_log")));

  const Policy by_hash = policy_with({compose_entry(kCompose)});
  EXPECT_TRUE(judge(evidence(), by_hash).accepted);
  EXPECT_FALSE(judge(silent, by_hash).accepted);
  EXPECT_EQ(status_of(judge(evidence(), policy_with({compose_entry("other")})), "compose"),
            CheckStatus::Failed);
}

TEST_F(AppOffer, TheDocumentOfMrconfigidComesAlong) {
  const auto boot = read_boot_record(boot_.log).value();
  const std::string document = R"({"app_id":")" + encode_hex(boot.app_id) +
                               R"(","compose_hash":")" + encode_hex(boot.compose_hash) +
                               R"(","instance_id":"","key_provider":"none","key_provider_id":"",)" +
                               R"("version":3})";
  Measurements measurements = boot_.measurements;
  const Digest digest = mr_config_digest(document);
  measurements.mrconfigid = {3};
  std::copy(digest.bytes.begin(), digest.bytes.end(), measurements.mrconfigid.begin() + 1);
  Evidence third = cpu_.evidence(test::statement(), test::kNow, measurements);
  third.app = AppDocuments{to_json(boot_.log), kCompose, document};
  const auto unpacked = unpack_evidence(pack_evidence(third));
  ASSERT_TRUE(unpacked.has_value());
  EXPECT_EQ(*unpacked, third);
  EXPECT_TRUE(judge(*unpacked).accepted) << explain(judge(*unpacked));
  third.app->mr_config.clear();
  EXPECT_EQ(status_of(judge(third), "mrconfigid"), CheckStatus::Failed);
  third.app->mr_config = document + " ";
  EXPECT_EQ(status_of(judge(third), "mrconfigid"), CheckStatus::Failed);
}

TEST_F(AppOffer, OnSnpTheHostDataMustNameTheApplication) {
  const SnpSimulator snp = test::snp_simulator();
  const TrustRoots roots = test::roots_of(snp);
  Evidence out = snp.evidence(test::statement(), test::kNow);
  const auto accepts = [&](const Policy& policy) {
    return verify(out, test::statement(), roots, test::kNow, policy);
  };
  EXPECT_TRUE(accepts(simulated_policy()).accepted);
  out.app = AppDocuments{to_json(boot_.log), kCompose, "{}"};
  EXPECT_EQ(unpack_evidence(pack_evidence(out)).value(), out);
  EXPECT_EQ(status_of(accepts(simulated_policy()), "mr_config"), CheckStatus::Failed);
  EXPECT_FALSE(accepts(simulated_policy()).accepted);
  out.app.reset();
  Policy wanted = simulated_policy();
  wanted.app.app_ids = {AppId{}};
  EXPECT_FALSE(accepts(wanted).accepted) << "a report that names no application";
}

TEST_F(AppOffer, OnSnpTheDocumentOfHostDataNamesTheApplication) {
  const auto boot = read_boot_record(boot_.log).value();
  const std::string document = R"({"app_id":")" + encode_hex(boot.app_id) +
                               R"(","compose_hash":")" + encode_hex(boot.compose_hash) +
                               R"(","instance_id":"","key_provider":"none","key_provider_id":"",)" +
                               R"("version":3})";
  SnpSimulatorOptions options;
  options.host_data = mr_config_digest(document).bytes;
  const SnpSimulator snp = test::snp_simulator(options);
  EventLog log = boot_.log;
  std::erase_if(log, [](const LoggedEvent& event) { return !event.is_runtime(); });
  Evidence out = snp.evidence(test::statement(), test::kNow);
  out.app = AppDocuments{to_json(log), kCompose, document};
  const auto judged = [&](const Policy& policy) {
    return verify(out, test::statement(), test::roots_of(snp), test::kNow, policy);
  };
  Policy wanted = simulated_policy();
  wanted.app.app_ids = {boot.app_id};
  const Verdict verdict = judged(wanted);
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(status_of(verdict, "mr_config"), CheckStatus::Passed);
  wanted.app.app_ids[0][0] ^= 1;
  EXPECT_EQ(status_of(judged(wanted), "app_id"), CheckStatus::Failed);
  out.app->compose += " ";
  EXPECT_EQ(status_of(judged(simulated_policy()), "app_compose"), CheckStatus::Failed);
  out.app->compose = kCompose;
  out.app->mr_config += " ";
  EXPECT_EQ(status_of(judged(simulated_policy()), "mr_config"), CheckStatus::Failed);
  // Without the documents HOST_DATA says something that nobody can read.
  out.app.reset();
  EXPECT_EQ(judged(simulated_policy()).find("open_registers")->found, "host_data not zero");
}

TEST_F(AppOffer, TextsAreBounded) {
  const std::vector<std::function<void(AppDocuments&)>> changes = {
      [](AppDocuments& app) { app.event_log.clear(); },
      [](AppDocuments& app) { app.event_log.assign(kAppLogBytesMax + 1, ' '); },
      [](AppDocuments& app) { app.compose.assign(kAppComposeBytesMax + 1, ' '); },
      [](AppDocuments& app) { app.mr_config.assign(kMrConfigBytesMax + 1, ' '); },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Evidence large = evidence();
    changes[i](*large.app);
    EXPECT_FALSE(within_limits(large)) << i;
    EXPECT_EQ(status_of(judge(large), "size"), CheckStatus::Failed) << i;
  }
}

constexpr UnixTime kVeniceNow = 1781056000;

/// What the checks of the application say of a live machine's log, under this policy; others fail,
/// since no statement of ours is in its quote.
Verdict judge_live(const Evidence& evidence, const Policy& policy) {
  return verify(evidence, evidence.statement, TrustRoots::vendors(), kVeniceNow, policy);
}

TEST(LiveAppOffer, AGenuineLogReplaysAndAnAlteredOneDoesNot) {
  REQUIRE_SHARED("vectors/attestation/combined/cases.json");
  Evidence evidence = test::live_evidence("venice-2026-06-10");
  const Verdict verdict = judge_live(evidence, {});
  for (const char* check : {"quote_signature", "event_log", "event_replay", "boot_events",
                            "late_events", "app_compose", "app_id", "mrconfigid"}) {
    EXPECT_EQ(status_of(verdict, check), CheckStatus::Passed) << check << explain(verdict);
  }
  const std::string log = evidence.app->event_log;
  evidence.app->event_log.replace(log.find("storage-fs"), 10, "storage-fz");
  EXPECT_EQ(status_of(judge_live(evidence, {}), "event_log"), CheckStatus::Failed);
  EventLog shorter = parse_event_log(log).value();
  shorter.erase(shorter.begin());
  evidence.app->event_log = to_json(shorter);
  EXPECT_EQ(status_of(judge_live(evidence, {}), "event_replay"), CheckStatus::Failed);
}

TEST(LiveAppOffer, AKnownImageThatStartsAnUnknownApplicationIsNotKnown) {
  REQUIRE_SHARED("vectors/attestation/combined/cases.json");
  const Evidence evidence = test::live_evidence("venice-2026-06-10");
  const auto level_under = [&](std::vector<ListEntry> entries) {
    return judge_live(evidence, policy_with(std::move(entries))).find("level")->found;
  };
  const ListEntry image = image_entry(encode_hex(judge_live(evidence, {}).measurements.mrtd));
  EXPECT_EQ(level_under({image}), to_string(Level::Declared));
  EXPECT_EQ(level_under({image, compose_entry(kCompose)}), to_string(Level::Declared));
  EXPECT_EQ(level_under({image, compose_entry(evidence.app->compose)}),
            to_string(Level::ImageMeasured));
}

TEST(LiveAppOffer, AKnownImageWhoseRegistersNoLogExplainsIsNotKnown) {
  REQUIRE_SHARED("vectors/attestation/combined/cases.json");
  Evidence evidence = test::live_evidence("venice-2026-06-10");
  evidence.app.reset();
  const Measurements found = judge_live(evidence, {}).measurements;
  ASSERT_NE(found.rtmr[3], Measurement{});
  const auto judged = [&evidence](std::vector<Identity> parts) {
    Policy policy = policy_with({{true, Subject::Image, std::move(parts), "", ""}});
    policy.level_min = Level::ImageMeasured;
    return judge_live(evidence, policy);
  };
  const std::vector<Identity> image = {{"mrtd", encode_hex(found.mrtd)},
                                       {"rtmr1", encode_hex(found.rtmr[1])},
                                       {"rtmr2", encode_hex(found.rtmr[2])}};
  const Verdict open = judged(image);
  EXPECT_EQ(status_of(open, "measurements"), CheckStatus::Passed);
  EXPECT_EQ(open.find("level")->found, to_string(Level::Declared));
  ASSERT_NE(open.find("open_registers"), nullptr);
  EXPECT_TRUE(refuses(*open.find("open_registers")));
  EXPECT_NE(open.find("open_registers")->found.find("rtmr3"), std::string::npos);
  std::vector<Identity> all = image;
  all.push_back({"rtmr3", encode_hex(found.rtmr[3])});
  all.push_back({"mrconfigid", encode_hex(found.mrconfigid)});
  const Verdict closed = judged(all);
  EXPECT_EQ(status_of(closed, "open_registers"), CheckStatus::Passed);
  EXPECT_EQ(closed.find("level")->found, to_string(Level::ImageMeasured));
  // Only the entry that vouches counts: one that names the register and is not true does not.
  all.back().value[0] = all.back().value[0] == '0' ? '1' : '0';
  Policy policy =
      policy_with({{true, Subject::Image, image, "", ""}, {true, Subject::Image, all, "", ""}});
  const Verdict other = judge_live(evidence, policy);
  EXPECT_EQ(other.find("level")->found, to_string(Level::Declared));
  EXPECT_FALSE(refuses(*other.find("open_registers"))) << "no level is asked for";
}

}  // namespace
}  // namespace nostril::attestation
