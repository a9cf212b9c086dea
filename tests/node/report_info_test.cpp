#include "node/report_info.h"

#include "attestation/event_log.h"
#include "attestation/tdx_quote.h"
#include "base/hex.h"
#include "base/json.h"
#include "node/simulated_source.h"
#include "schnorr/hash.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace nostril::node {
namespace {

attestation::Evidence simulated(const std::string& platform) {
  const test::TempDir folder;
  SystemRng rng;
  EvidenceSettings settings;
  settings.simulated_platform = platform;
  auto source = make_simulated_source(settings, folder.path(), rng);
  CHECK(source.has_value());
  const std::array<std::uint8_t, 64> data{};
  auto out = (*source)->quote(data, 0);
  CHECK(out.has_value());
  return *std::move(out);
}

Json parsed(const std::string& text) {
  auto out = Json::parse(text);
  CHECK(out.has_value());
  return *std::move(out);
}

TEST(ReportInfo, SaysOfAGuestWhatItsQuoteSays) {
  const attestation::Evidence evidence = simulated("tdx");
  const Json info = parsed(report_info(evidence));
  const Json& tcb = *info.find("tcb_info");
  const std::string compose(*tcb.find_string("app_compose"));
  EXPECT_EQ(info.find_string("compose_hash"), encode_hex(sha256(compose)));
  EXPECT_EQ(tcb.find_string("compose_hash"), info.find_string("compose_hash"));
  EXPECT_EQ(info.find_string("app_id"), info.find_string("compose_hash")->substr(0, 40));
  EXPECT_EQ(tcb.find_string("os_image_hash"), info.find_string("os_image_hash"));
  EXPECT_EQ(info.find("vm_config"), nullptr);
  const auto quote = attestation::parse_tdx_quote(evidence.cpu_quote);
  ASSERT_TRUE(quote);
  EXPECT_EQ(tcb.find_string("mrtd"), encode_hex(quote->td.measurements.mrtd));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(tcb.find_string("rtmr" + std::to_string(i)),
              encode_hex(quote->td.measurements.rtmr.at(i)));
  }
  const auto log = attestation::parse_event_log(tcb.find("event_log")->dump());
  ASSERT_TRUE(log);
  EXPECT_EQ(attestation::replay(*log), quote->td.measurements.rtmr);
}

/// dstack's own log may leave out what follows from name and payload; other verifiers make nothing
/// anew.
TEST(ReportInfo, ItsLogHasEveryDigest) {
  attestation::EventLog log = {
      attestation::make_runtime_event("app-id", Bytes(20, 7)),
      attestation::make_runtime_event("system-ready", {}),
  };
  const auto registers = attestation::replay(log);
  for (attestation::LoggedEvent& event : log) event.digest_given = false;
  attestation::Evidence evidence;
  evidence.app.emplace();
  evidence.app->event_log = attestation::to_json(log);
  ASSERT_NE(evidence.app->event_log.find(R"("digest":"")"), std::string::npos);
  const Json full = parsed(full_event_log(evidence));
  ASSERT_EQ(full.items().size(), 2U);
  for (const Json& event : full.items()) EXPECT_EQ(event.find_string("digest")->size(), 96U);
  EXPECT_EQ(attestation::replay(*attestation::parse_event_log(full.dump())), registers);
  evidence.app->event_log = "not a log";
  EXPECT_EQ(full_event_log(evidence), "not a log");
  EXPECT_EQ(full_event_log({}), "[]");
}

TEST(ReportInfo, OfAnotherPlatformThereAreNoRegisters) {
  attestation::Evidence evidence = simulated("snp");
  EXPECT_EQ(report_info(evidence), R"({"tcb_info":{}})");
  evidence.app.emplace();
  evidence.app->mr_config = R"({"version":3})";
  EXPECT_EQ(parsed(vm_config_of(evidence)).find_string("mr_config"), R"({"version":3})");
  evidence.vm_config = R"({"cpu_count":2})";
  EXPECT_EQ(vm_config_of(evidence), evidence.vm_config) << "the agent's own words stand";
}

}  // namespace
}  // namespace nostril::node
