// Event logs made here: what the parser refuses, what a replay proves, what a compose text says.
#include "attestation/event_log.h"

#include "attestation/app_identity.h"
#include "attestation/combined_report.h"
#include "base/hex.h"
#include "schnorr/hash.h"
#include "schnorr/keccak.h"
#include "tests/attestation/fixtures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace nostril::attestation {
namespace {

const AppPolicy kAny;

using ::testing::HasSubstr;

constexpr std::string_view kZeroDigest =
    "000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000";

std::string event_json(std::string_view imr, std::string_view type, std::string_view digest,
                       std::string_view name, std::string_view payload,
                       std::string_view more = "") {
  std::string out = R"({"imr":)";
  out += imr;
  out.append(R"(,"event_type":)").append(type);
  out.append(R"(,"digest":")").append(digest);
  out.append(R"(","event":")").append(name);
  out.append(R"(","event_payload":")").append(payload).append("\"").append(more);
  return out + "}";
}

std::optional<EventLogError> error_of(const std::string& event) {
  const auto log = parse_event_log("[" + event + "]");
  return log ? std::nullopt : std::optional(log.error());
}

TEST(EventLog, MakesTheDigestOfARuntimeEventAnew) {
  const auto log =
      parse_event_log("[" + event_json("3", "134217729", "", "storage-fs", "7a6673") + "," +
                      event_json("3", "134217729", "", "system-ready", "") + "]");
  ASSERT_TRUE(log.has_value());
  // Of a genuine log, where the digests stand beside the events.
  EXPECT_THAT(encode_hex(log->at(0).digest), HasSubstr("ba5110463690"));
  EXPECT_THAT(encode_hex(log->at(1).digest), HasSubstr("1a76b2a80a0b"));
  EXPECT_EQ(log->at(0), [] {
    LoggedEvent event = make_runtime_event("storage-fs", as_bytes("zfs"));
    event.digest_given = false;
    return event;
  }());
}

TEST(EventLog, KnowsBothVersionsOfARuntimeDigest) {
  const std::string text = event_json("3", "134217729", "", "compose-hash", "abcd");
  const std::string second = text.substr(0, text.size() - 1) + R"(,"version":2})";
  const auto one = parse_event_log("[" + text + "]");
  const auto two = parse_event_log("[" + second + "]");
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->at(0).digest, two->at(0).digest);
}

TEST(EventLog, RefusesWhatIsNotOneEventOfItsForm) {
  const std::string zero(kZeroDigest);
  EXPECT_EQ(error_of(event_json("4", "10", zero, "", "")), EventLogError::WrongRegister);
  EXPECT_EQ(error_of(event_json("2", "134217729", "", "app-id", "")), EventLogError::WrongRegister);
  EXPECT_EQ(error_of(event_json("3", "10", zero, "", "")), EventLogError::WrongRegister);
  EXPECT_EQ(error_of(event_json("-1", "10", zero, "", "")), EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("3", "134217729", "", "\\n", "")), EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("0", "4294967296", zero, "", "")), EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("0", "10", "", "", "00")), EventLogError::NoDigest);
  EXPECT_EQ(error_of(event_json("0", "4", zero, "", "00000000")), EventLogError::DigestMismatch);
  EXPECT_EQ(error_of(event_json("3", "134217729", zero, "app-id", "00")),
            EventLogError::DigestMismatch);
  EXPECT_EQ(error_of(event_json("0", "10", zero, "compose-hash", "")), EventLogError::UnknownName);
  EXPECT_EQ(error_of(event_json("0", "10", zero.substr(2), "", "")), EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("0", "10", zero + "00", "", "")), EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("0", "10", "F" + zero.substr(1), "", "")),
            EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("3", "134217729", "", "a", "0")), EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("0", "10", zero, "", "", R"(,"comment":"")")),
            EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("3", "134217729", "", "a", "", R"(,"version":3)")),
            EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("0", "10", zero, "", "", R"(,"imr":0)")), EventLogError::NotJson);
  EXPECT_EQ(error_of(R"({"imr":0,"event_type":10,"digest":"","event":""})"),
            EventLogError::Malformed);
  EXPECT_EQ(error_of("7"), EventLogError::Malformed);
  EXPECT_EQ(error_of(event_json("0", "10", zero, "acpi-rsdp", "")), std::nullopt);
}

TEST(EventLog, IsBounded) {
  std::string many = "[0";
  for (std::size_t i = 0; i < kEventCountMax; ++i) many += ",0";
  EXPECT_EQ(parse_event_log(many + "]").error(), EventLogError::TooManyEvents);
  EXPECT_EQ(parse_event_log(std::string(kEventLogBytesMax + 1, ' ')).error(),
            EventLogError::TooLarge);
  EXPECT_EQ(
      error_of(event_json("3", "134217729", "", std::string(kEventNameBytesMax + 1, 'a'), "")),
      EventLogError::Malformed);
  EXPECT_EQ(parse_event_log("{}").error(), EventLogError::Malformed);
  EXPECT_EQ(parse_event_log("").error(), EventLogError::NotJson);
}

TEST(EventLog, ExtendsEachRegisterInOrder) {
  const LoggedEvent a = make_runtime_event("a", {});
  const LoggedEvent b = make_runtime_event("b", {});
  EXPECT_NE(replay({a, b})[3], replay({b, a})[3]);
  EXPECT_EQ(replay({a, b})[0], Measurement{});
  EXPECT_EQ(parse_event_log(to_json({a, b})), (EventLog{a, b}));
}

const std::string kCompose = R"({"docker_compose_file":"services:\n  a:\n    image: a@sha256:)" +
                             std::string(64, '1') + R"(\n","allowed_envs":["TOKEN"]})";

/// A boot of that compose text; `late` after system-ready.
EventLog sound_log(const std::vector<std::string>& late = {}) {
  const Digest hash = sha256(kCompose);
  EventLog out = {make_runtime_event("system-preparing", {}),
                  make_runtime_event("app-id", ByteSpan(hash.bytes).first(20)),
                  make_runtime_event("compose-hash", hash.bytes),
                  make_runtime_event("key-provider", as_bytes(R"({"name":"none","id":""})")),
                  make_runtime_event("system-ready", {})};
  for (const std::string& name : late) out.push_back(make_runtime_event(name, as_bytes("x")));
  return out;
}

Verdict judge(const EventLog& log, const AppPolicy& policy = {},
              std::string_view compose = kCompose) {
  Verdict verdict;
  Checklist checks(verdict.checks);
  list_app_checks(checks, {policy, false, true});
  AppRegisters registers;
  registers.rtmr = replay(log);
  examine_app({log, compose, {}}, registers, {policy, false, true}, verdict);
  verdict.accepted = checks.accepts();
  return verdict;
}

CheckStatus status(const Verdict& verdict, std::string_view name) {
  return verdict.find(name)->status;
}

TEST(AppIdentity, AcceptsASoundBoot) {
  const Verdict verdict = judge(sound_log());
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(std::get<std::string>(verdict.claim("compose_hash")->value),
            encode_hex(sha256(kCompose)));
}

TEST(AppIdentity, RefusesEventsAfterTheBootThatNobodyNamed) {
  EXPECT_EQ(status(judge(sound_log({"HOTKEY"})), "late_events"), CheckStatus::Failed);
  AppPolicy policy;
  policy.late_events = {"HOTKEY"};
  EXPECT_TRUE(judge(sound_log({"HOTKEY"}), policy).accepted);
  EXPECT_FALSE(judge(sound_log({"HOTKEY", "other"}), policy).accepted);
  // The platform's own names mean nothing when they come late.
  const Verdict late = judge(sound_log({"compose-hash"}));
  EXPECT_EQ(status(late, "late_events"), CheckStatus::Failed);
  EXPECT_EQ(std::get<std::string>(late.claim("compose_hash")->value), encode_hex(sha256(kCompose)));
}

TEST(AppIdentity, RefusesABootRecordWithGapsOrDoubles) {
  EventLog log = sound_log();
  log.insert(log.begin() + 3, log[2]);
  EXPECT_EQ(judge(log).find("boot_events")->found, to_string(BootError::Doubled));
  log = sound_log();
  log.erase(log.begin() + 1);
  EXPECT_EQ(judge(log).find("boot_events")->found, to_string(BootError::Missing));
  log = sound_log();
  log.pop_back();
  EXPECT_EQ(judge(log).find("boot_events")->found, to_string(BootError::NotReady));
  log = sound_log();
  log[2] = make_runtime_event("compose-hash", as_bytes("short"));
  EXPECT_EQ(judge(log).find("boot_events")->found, to_string(BootError::BadPayload));
}

TEST(AppIdentity, ComparesWithTheLists) {
  AppPolicy policy;
  policy.app_ids = {AppId{}};
  EXPECT_EQ(status(judge(sound_log(), policy), "app_id"), CheckStatus::Failed);
  policy.app_ids.clear();
  policy.os_images = {Digest{}};
  EXPECT_EQ(status(judge(sound_log(), policy), "os_image"), CheckStatus::Failed);
  policy.os_images.clear();
  policy.key_providers = {"00"};
  EXPECT_EQ(status(judge(sound_log(), policy), "key_provider"), CheckStatus::Failed);
}

TEST(AppIdentity, WantsTheExactComposeText) {
  EXPECT_EQ(status(judge(sound_log(), {}, kCompose + " "), "app_compose"), CheckStatus::Failed);
  EXPECT_FALSE(judge(sound_log(), {}, "").accepted);
}

TEST(AppIdentity, AnAppIdOfItsOwnNeedsAKms) {
  EventLog log = sound_log();
  log[1] = make_runtime_event("app-id", ByteSpan(Digest{}.bytes).first(20));
  EXPECT_EQ(status(judge(log), "app_id"), CheckStatus::Failed);
  log[3] = make_runtime_event("key-provider", as_bytes(R"({"name":"kms","id":"0a"})"));
  EXPECT_TRUE(judge(log).accepted);
}

TEST(AppIdentity, ReadsEveryFormOfMrconfigid) {
  const EventLog log = sound_log();
  const auto boot = read_boot_record(log).value();
  const std::string hash = encode_hex(boot.compose_hash);
  const std::string document =
      R"({"app_id":")" + encode_hex(boot.app_id) + R"(","compose_hash":")" + hash +
      R"(","instance_id":"","key_provider":"none",)" + R"("key_provider_id":"","version":3})";
  const auto status_with = [&](const Measurement& mrconfigid, std::string_view mr_config) {
    Verdict verdict;
    Checklist checks(verdict.checks);
    list_app_checks(checks, {kAny, false, true});
    AppRegisters registers{replay(log), mrconfigid, {}};
    examine_app({log, kCompose, mr_config}, registers, {kAny, false, true}, verdict);
    return status(verdict, "mrconfigid");
  };
  const auto with_digest = [](std::uint8_t version, const Digest& digest) {
    Measurement out{};
    out[0] = version;
    std::copy(digest.bytes.begin(), digest.bytes.end(), out.begin() + 1);
    return out;
  };
  Measurement one = with_digest(1, boot.compose_hash);
  EXPECT_EQ(status_with({}, ""), CheckStatus::Passed);
  EXPECT_EQ(status_with(one, ""), CheckStatus::Passed);
  one[47] = 1;
  EXPECT_EQ(status_with(one, ""), CheckStatus::Failed);
  EXPECT_EQ(status_with(with_digest(2, boot.compose_hash), ""), CheckStatus::Failed);
  Bytes second(boot.compose_hash.bytes.begin(), boot.compose_hash.bytes.end());
  second.insert(second.end(), boot.app_id.begin(), boot.app_id.end());
  second.push_back(0);  // no key provider, and no id of one
  EXPECT_EQ(status_with(with_digest(2, keccak256(second)), ""), CheckStatus::Passed);
  const Measurement three = with_digest(3, mr_config_digest(document));
  EXPECT_EQ(status_with(three, document), CheckStatus::Passed);
  EXPECT_EQ(status_with(three, ""), CheckStatus::Failed);
  EXPECT_EQ(status_with(three, document + " "), CheckStatus::Failed);
  EXPECT_EQ(status_with(with_digest(4, boot.compose_hash), document), CheckStatus::Failed);
}

/// Of a compose file with that one line.
ImageReference image_in(const std::string& line, const std::string& variables = "[]") {
  JsonWriter json;
  json.begin_object().key("docker_compose_file").string("services:\n" + line + "\n");
  json.key("allowed_envs").raw(variables).end_object();
  const auto images = images_of(json.text());
  EXPECT_TRUE(images && images->size() == 1) << line;
  return images && !images->empty() ? images->front() : ImageReference{};
}

TEST(ComposeImages, ArePinnedByDigestOnly) {
  const std::string pinned = "x/y@sha256:" + std::string(64, 'a');
  EXPECT_TRUE(image_in("    image: " + pinned).pinned);
  EXPECT_TRUE(image_in("    \"image\": \"" + pinned + "\" # why").pinned);
  EXPECT_TRUE(image_in("  a: {image: " + pinned + ", user: 0}").pinned);
  EXPECT_TRUE(image_in("  a: {image: " + pinned + "}").pinned);
  EXPECT_TRUE(image_in("    image: x:v1@sha256:" + std::string(64, 'a')).pinned);
  EXPECT_TRUE(image_in("    image: ${IMAGE:-" + pinned + "}").pinned);
  EXPECT_FALSE(image_in("    image: ${IMAGE:-" + pinned + "}", R"(["IMAGE"])").pinned);
  EXPECT_FALSE(image_in("    image: ${IMAGE}").pinned);
  EXPECT_FALSE(image_in("    image: $REGISTRY/" + pinned).pinned);
  EXPECT_FALSE(image_in("    image: x:latest").pinned);
  EXPECT_FALSE(image_in("    image: " + pinned + "0").pinned);
  EXPECT_FALSE(image_in("    image: " + pinned.substr(0, pinned.size() - 1)).pinned);
  EXPECT_FALSE(image_in("    image:").pinned);
  EXPECT_FALSE(image_in("    image: *base").pinned);
  EXPECT_FALSE(image_in("    image: @sha256:" + std::string(64, 'a')).pinned);
  EXPECT_FALSE(image_in("    build: .").pinned);
}

TEST(ComposeImages, AreNoneInACommentOrInAnotherDocument) {
  EXPECT_EQ(images_of(R"({"docker_compose_file":"# image: x\n  my_image: y\n"})")->size(), 0U);
  EXPECT_FALSE(images_of(R"({"docker_compose_file":7})").has_value());
  EXPECT_FALSE(images_of("services:").has_value());
}

TEST(SimulatedBoot, ReplaysToItsOwnRegistersAndSaysWhatItIs) {
  const SimulatedBoot boot = simulated_boot(kCompose);
  const auto log = parse_event_log(to_json(boot.log));
  ASSERT_TRUE(log.has_value());
  EXPECT_EQ(replay(*log), boot.measurements.rtmr);
  Verdict verdict;
  Checklist checks(verdict.checks);
  const AppRules rules{kAny, false, true};
  list_app_checks(checks, rules);
  const AppRegisters registers{boot.measurements.rtmr, boot.measurements.mrconfigid, {}};
  examine_app({*log, kCompose, {}}, registers, rules, verdict);
  EXPECT_TRUE(checks.accepts()) << explain(verdict);
  EXPECT_THAT(std::get<std::vector<std::string>>(verdict.claim("runtime_events")->value),
              testing::Contains(kSimulatedBootEvent));
}

/// GetQuote's answer of a simulated machine.
std::string simulated_answer(const Simulator& simulator, std::span<const std::uint8_t, 64> data) {
  const SimulatedBoot boot = simulated_boot(kCompose);
  JsonWriter json;
  json.begin_object().key("quote").string(encode_hex(simulator.tdx_quote(data, boot.measurements)));
  json.key("event_log").raw(to_json(boot.log));
  json.key("info").begin_object().key("tcb_info").begin_object();
  json.key("app_compose").string(kCompose).end_object().end_object().end_object();
  return std::move(json).take();
}

TEST(SimulatedBoot, PassesAsAReportOnlyUnderItsTestRoot) {
  const Simulator simulator = test::simulator();
  const std::array<std::uint8_t, 64> data = {1, 2, 3};
  const std::string answer = simulated_answer(simulator, data);
  const std::array<Collateral, 1> collateral = {simulator.collateral(test::kNow)};
  const auto judge_with = [&](const TrustRoots& roots, const ReportPolicy& policy) {
    const ReportInput input{answer, collateral, {},    {},         {},    {},
                            data,   {},         roots, test::kNow, policy};
    return verify_report(input);
  };
  ReportPolicy policy;
  EXPECT_FALSE(judge_with(TrustRoots::intel(), policy).accepted);
  EXPECT_FALSE(judge_with(test::roots_of(simulator), policy).accepted);
  policy.tdx.accept_simulated = true;
  EXPECT_FALSE(judge_with(TrustRoots::intel(), policy).accepted);
  const Verdict verdict = judge_with(test::roots_of(simulator), policy);
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_TRUE(verdict.simulated);
  EXPECT_EQ(verdict.level, Level::Declared);
}

}  // namespace
}  // namespace nostril::attestation
