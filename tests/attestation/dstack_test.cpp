// Event logs and containers of real dstack machines, from the shared vectors: every case of
// dstack/cases.json, and what one changed byte does.
#include "attestation/app_identity.h"
#include "attestation/dstack_container.h"
#include "attestation/event_log.h"
#include "attestation/snp_verify.h"
#include "attestation/tdx_quote.h"
#include "base/hex.h"
#include "schnorr/hash.h"
#include "tests/attestation/vector_case.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

const AppPolicy kAny;

constexpr const char* kCases = "vectors/attestation/dstack/cases.json";

/// One file of the vectors taken apart.
struct Sample {
  Bytes quote;
  std::string log;
  std::string compose;
};

Sample read_sample(const std::string& name) {
  const Json json = test::read_vector_json("dstack/" + name);
  Sample out;
  out.quote = decode_hex(*json.find_string("quote")).value();
  out.log = json.find("event_log")->dump();
  if (const Json* info = json.find("info")) {
    out.compose = info->find("tcb_info")->find_string("app_compose").value();
  }
  return out;
}

Verdict judge(const Bytes& quote, const Result<EventLog, EventLogError>& log,
              std::string_view compose, const AppPolicy& policy = {}) {
  const auto view = parse_tdx_quote(quote).value();
  Verdict verdict;
  Checklist checks(verdict.checks);
  list_app_checks(checks, {policy, false, true});
  const AppRegisters registers{view.td.measurements.rtmr, view.td.measurements.mrconfigid, {}};
  examine_app({log, compose, {}}, registers, {policy, false, true}, verdict);
  verdict.accepted = checks.accepts();
  return verdict;
}

std::string text_of(const Verdict& verdict, std::string_view name) {
  const Claim* claim = verdict.claim(name);
  return claim == nullptr ? std::string() : std::get<std::string>(claim->value);
}

std::string refusals(const Verdict& verdict) {
  std::string out;
  for (const Check& check : verdict.checks) {
    if (refuses(check)) out += (out.empty() ? "" : ", ") + check.name;
  }
  return out;
}

/// By its case, what must refuse under the default policy; the vectors leave that to the policy.
std::string expected_refusals(std::string_view id) {
  // Lium adds its miner's key after the boot; neither answer holds the compose text.
  if (id == "dstack-quote-report") return "late_events, app_compose, images_pinned";
  if (id == "dstack-tdx-lite-getquote") return "app_compose, images_pinned";
  return "images_pinned";  // two images by tag
}

TEST(GenuineDstack, EveryCaseOfTheVectorsReplays) {
  REQUIRE_SHARED(kCases);
  const Json cases = test::read_vector_json("dstack/cases.json");
  for (const Json& item : cases.find("cases")->items()) {
    const std::string id(*item.find_string("id"));
    const Json& expect = *item.find("expect");
    const Sample sample = read_sample(std::string(*item.find_string("file")));
    const Verdict verdict = judge(sample.quote, parse_event_log(sample.log), sample.compose);
    fmt::print("{:26} refused by: {}\n", id, refusals(verdict));
    EXPECT_EQ(verdict.find("event_replay")->status, CheckStatus::Passed) << explain(verdict);
    EXPECT_EQ(verdict.find("mrconfigid")->status, CheckStatus::Passed) << explain(verdict);
    EXPECT_EQ(refusals(verdict), expected_refusals(id)) << explain(verdict);
    std::vector<std::string> events;
    for (const Json& name : expect.find("rtmr3_events")->items()) {
      events.emplace_back(*name.string());
    }
    EXPECT_EQ(std::get<std::vector<std::string>>(verdict.claim("runtime_events")->value), events);
    for (const char* name : {"app_id", "compose_hash", "instance_id", "os_image_hash"}) {
      EXPECT_EQ(
          text_of(verdict, name == std::string_view("os_image_hash") ? "os_image_hash" : name),
          expect.find_string(name).value_or(""))
          << id << " " << name;
    }
  }
}

TEST(GenuineDstack, TheComposeTextOfARealMachineIsTheOneInItsLog) {
  REQUIRE_SHARED(kCases);
  const Sample sample = read_sample("nearai-sample.json");
  AppPolicy policy;
  policy.allow_unpinned_images = true;
  EXPECT_TRUE(judge(sample.quote, parse_event_log(sample.log), sample.compose, policy).accepted);
}

// A byte that changes must not go by: the log no longer parses, or no longer replays, or the bytes
// are those of a firmware event's payload, which no digest covers and nobody reads.
TEST(GenuineDstack, NoByteOfALogMayChange) {
  REQUIRE_SHARED(kCases);
  const Sample sample = read_sample("nearai-sample.json");
  const auto quote = parse_tdx_quote(sample.quote).value();
  const EventLog sound = parse_event_log(sample.log).value();
  std::size_t malformed = 0;
  std::size_t replay_fails = 0;
  std::size_t unread = 0;
  for (std::size_t at = 0; at < sample.log.size(); ++at) {
    std::string changed = sample.log;
    changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ (1U << (at % 6)));
    const auto log = parse_event_log(changed);
    if (!log) {
      ++malformed;
    } else if (replay(*log) != quote.td.measurements.rtmr) {
      ++replay_fails;
    } else {
      // What is left says exactly what the sound one says.
      for (std::size_t i = 0; i < log->size(); ++i) {
        ASSERT_EQ(log->at(i).digest, sound.at(i).digest) << at;
        ASSERT_EQ(log->at(i).name, sound.at(i).name) << at;
        ASSERT_EQ(log->at(i).payload, sound.at(i).payload) << at;
      }
      ++unread;
    }
  }
  fmt::print("{} changes: {} malformed, {} do not replay, {} in bytes that nothing reads\n",
             sample.log.size(), malformed, replay_fails, unread);
  EXPECT_GT(malformed, 0U);
  EXPECT_GT(replay_fails, 0U);
  EXPECT_LT(unread, sample.log.size() / 4);
}

TEST(GenuineDstack, EmptyDigestsHideNoChangeEither) {
  REQUIRE_SHARED(kCases);
  const Sample sample = read_sample("dstack-tdx-lite-getquote.json");
  const auto quote = parse_tdx_quote(sample.quote).value();
  const EventLog sound = parse_event_log(sample.log).value();
  for (std::size_t i = 0; i < sound.size(); ++i) {
    if (!sound[i].is_runtime()) continue;
    for (std::size_t at = 0; at < sound[i].payload.size(); ++at) {
      EventLog log = sound;
      log[i].payload[at] ^= 1U;
      const auto again = parse_event_log(to_json(log));
      ASSERT_TRUE(again.has_value());
      ASSERT_NE(replay(*again), quote.td.measurements.rtmr) << log[i].name;
    }
  }
}

DstackContainer read_container(const std::string& name) {
  const Json json = test::read_vector_json("dstack/" + name);
  return parse_dstack_container(decode_hex(*json.find_string("attestation")).value()).value();
}

TEST(DstackContainer, HoldsALiteLog) {
  REQUIRE_SHARED(kCases);
  const DstackContainer container = read_container("dstack-tdx-lite-attestation.json");
  const Sample whole = read_sample("dstack-tdx-lite-getquote.json");
  EXPECT_EQ(container.evidence, whole.quote);
  // Registers 0 to 2 do not replay from what a lite log holds; register 3 does.
  const Verdict verdict = judge(container.evidence, container.log, "");
  EXPECT_EQ(verdict.find("event_replay")->status, CheckStatus::Failed);
  const auto view = parse_tdx_quote(container.evidence).value();
  EXPECT_EQ(replay(*container.log)[3], view.td.measurements.rtmr[3]);
  EXPECT_EQ(container.report_data, view.td.report_data);
  // Registers that the caller's images fix need no replay.
  Verdict fixed;
  Checklist checks(fixed.checks);
  list_app_checks(checks, {kAny, false, true});
  const AppRegisters registers{
      view.td.measurements.rtmr, view.td.measurements.mrconfigid, {true, true, true, false}};
  examine_app({container.log, {}, {}}, registers, {kAny, false, true}, fixed);
  EXPECT_EQ(fixed.find("event_replay")->status, CheckStatus::Passed) << explain(fixed);
}

TEST(DstackContainer, OfTheSimulatorReplaysButItsQuoteIsReused) {
  REQUIRE_SHARED("vectors/attestation/dstack/simulator/attestation.bin");
  const auto container =
      parse_dstack_container(test::read_vector_bytes("dstack/simulator/attestation.bin")).value();
  const std::string compose = test::read_vector("dstack/simulator/app-compose.json");
  const Verdict verdict = judge(container.evidence, container.log, compose);
  EXPECT_EQ(verdict.find("event_replay")->status, CheckStatus::Passed) << explain(verdict);
  // The simulator shows a compose text that its stored log never measured.
  EXPECT_EQ(verdict.find("app_compose")->status, CheckStatus::Failed);
}

TEST(DstackContainer, OfSnpIsBoundByHostData) {
  REQUIRE_SHARED(kCases);
  const DstackContainer container = read_container("dstack-sev-snp-attestation.json");
  const auto report = parse_snp_report(container.evidence).value();
  EXPECT_EQ(mr_config_digest(container.mr_config).bytes, report.host_data);
  EXPECT_EQ(container.mr_config, test::read_vector("snp/milan-v3-dstack.mr_config.json"));
  const auto config = read_mr_config(container.mr_config).value();
  const auto boot = read_boot_record(container.runtime_events).value();
  EXPECT_EQ(config.app_id, boot.app_id);
  EXPECT_EQ(config.compose_hash, boot.compose_hash);
  EXPECT_EQ(config.instance_id, boot.instance_id);
}

TEST(DstackContainer, EndsWhereItEnds) {
  REQUIRE_SHARED("vectors/attestation/dstack/simulator/attestation.bin");
  Bytes bytes = test::read_vector_bytes("dstack/simulator/attestation.bin");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(parse_dstack_container(ByteSpan(bytes).first(size))) << size;
  }
  bytes.push_back(0);
  EXPECT_FALSE(parse_dstack_container(bytes));
}

}  // namespace
}  // namespace nostril::attestation
