// Whole answers of live services, from the shared vectors: every case of combined/cases.json at the
// clock it gives, and what one changed part does.
#include "attestation/combined_report.h"

#include "attestation/collateral_json.h"
#include "attestation/report_form.h"
#include "base/base64.h"
#include "base/hex.h"
#include "schnorr/hash.h"
#include "tests/attestation/vector_case.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kCases = "vectors/attestation/combined/cases.json";

/// A case with its files; a test changes what it likes.
struct Case {
  std::string id;
  std::string report;
  std::vector<Collateral> collateral;
  Bytes vek;
  Bytes nonce;
  std::optional<PeerKey> peer;
  UnixTime now = 0;
  ReportPolicy policy;
  Json expect;

  [[nodiscard]] Verdict judge() const {
    static const TrustRoots kRoots = TrustRoots::vendors();
    const ReportInput input{report, collateral, vek, {}, {}, {}, nonce, peer, kRoots, now, policy};
    return verify_report(input);
  }

  /// Replaces the first `from`, which must be there.
  void replace(std::string_view from, std::string_view to) {
    const std::size_t at = report.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    report.replace(at, from.size(), to);
  }
};

Case read_case(const Json& item) {
  Case out;
  out.id = *item.find_string("id");
  const std::string folder = "combined/" + out.id + "/";
  out.report = test::read_vector(folder + "report.json");
  for (const auto& file : std::filesystem::directory_iterator(
           nostril::test::shared_path("vectors/attestation/" + folder))) {
    const std::string name = file.path().filename().string();
    if (name.starts_with("collateral-")) {
      out.collateral.push_back(parse_collateral_json(test::read_vector(folder + name)).value());
    } else if (name == "vcek.der") {
      out.vek = test::read_vector_bytes(folder + name);
    }
  }
  out.nonce = decode_hex(*item.find_string("nonce")).value();
  if (const auto peer = item.find_string("peer_spki_sha256")) {
    out.peer = PeerKey{from_hex<Digest>(*peer).value()};
  }
  out.now = *item.find_integer("now");
  out.expect = *item.find("expect");
  return out;
}

Case find_case(std::string_view id) {
  const Json cases = test::read_vector_json("combined/cases.json");
  for (const Json& item : cases.find("cases")->items()) {
    if (item.find_string("id") == id) return read_case(item);
  }
  ADD_FAILURE() << id;
  return {};
}

std::vector<std::string> refusals(const Verdict& verdict) {
  std::vector<std::string> out;
  for (const Check& check : verdict.checks) {
    if (refuses(check)) out.push_back(check.name);
  }
  return out;
}

template <typename T>
T value_of(const Verdict& verdict, const std::string& name) {
  const Claim* claim = verdict.claim(name);
  return claim == nullptr ? T{} : std::get<T>(claim->value);
}

CheckStatus status_of(const Verdict& verdict, const std::string& name) {
  const Check* check = verdict.find(name);
  EXPECT_NE(check, nullptr) << name;
  return check == nullptr ? CheckStatus::NotChecked : check->status;
}

std::vector<std::string> words_of(const Json& list) {
  std::vector<std::string> out;
  for (const Json& word : list.items()) out.emplace_back(*word.string());
  return out;
}

/// A machine whose log and compose text the vectors describe.
void expect_machine(const Json& expect, const Verdict& verdict, const std::string& prefix) {
  for (const char* name : {"fmspc", "ppid", "app_id", "compose_hash", "os_image_hash",
                           "instance_id", "key_provider", "mrtd", "rtmr0", "rtmr1", "rtmr2"}) {
    EXPECT_EQ(value_of<std::string>(verdict, prefix + name), expect.find_string(name).value_or(""))
        << prefix << name;
  }
  EXPECT_EQ(value_of<std::string>(verdict, prefix + "tcb_status"), expect.find_string("tdx"));
  EXPECT_EQ(value_of<std::int64_t>(verdict, prefix + "tcb_evaluation_number"),
            expect.find_integer("tcb_eval"));
  EXPECT_EQ(value_of<std::int64_t>(verdict, prefix + "empty_digests"),
            expect.find_integer("empty_digests"));
  EXPECT_EQ(value_of<std::vector<std::string>>(verdict, prefix + "runtime_events"),
            words_of(*expect.find("rtmr3_events")));
  EXPECT_EQ(value_of<std::vector<std::string>>(verdict, prefix + "unpinned_images"),
            words_of(*expect.find("unpinned_images")));
  EXPECT_EQ(value_of<std::vector<std::string>>(verdict, prefix + "image_digests"),
            words_of(*expect.find("image_digests")));
  for (const char* name : {"event_replay", "app_compose", "mrconfigid", "report_data", "nonce"}) {
    EXPECT_EQ(status_of(verdict, prefix + name), CheckStatus::Passed) << prefix << name;
  }
}

void expect_gpus(const Json& expect, const Verdict& verdict, const std::string& prefix) {
  std::size_t index = 0;
  for (const Json& gpu : expect.items()) {
    const std::string name = fmt::format("{}gpu{}.", prefix, index++);
    EXPECT_EQ(value_of<std::string>(verdict, name + "driver"), gpu.find_string("driver")) << name;
    EXPECT_EQ(value_of<std::string>(verdict, name + "vbios"), gpu.find_string("vbios")) << name;
    EXPECT_EQ("0x" + value_of<std::string>(verdict, name + "serial"), gpu.find_string("serial"))
        << name;
  }
  EXPECT_EQ(value_of<std::int64_t>(verdict, prefix + "gpu_count"), std::int64_t(index));
}

/// What the default policy refuses: the vectors leave that to the policy. No reference manifest of
/// these drivers is at hand; eight GPUs in protected PCIe mode talk over switches that nobody
/// judges; nanogpt's compose text names images by tag.
std::vector<std::string> default_refusals(std::string_view id) {
  const std::vector<std::string> rims = {"gpu_driver_rim", "gpu_vbios_rim", "gpu_measurements"};
  const auto with = [&rims](std::vector<std::string> first, const std::string& prefix) {
    for (const std::string& name : rims) first.push_back(prefix + name);
    return first;
  };
  if (id == "nearcloud-2026-06-29") return with({"model.gpu_switches"}, "model.");
  if (id == "venice-2026-06-10" || id == "chutes-2026-06-29") return with({"gpu_switches"}, "");
  if (id == "nanogpt-2026-06-10") return with({"images_pinned"}, "");
  if (id == "tinfoil-direct-2026-06-29") return rims;
  return {};
}

TEST(GenuineReports, EveryCaseOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(kCases);
  const Json cases = test::read_vector_json("combined/cases.json");
  int count = 0;
  for (const Json& item : cases.find("cases")->items()) {
    const Case c = read_case(item);
    const Verdict verdict = c.judge();
    fmt::print("{:30} {:8} {:9} {:3} checks  {}\n", c.id, verdict.accepted ? "accepted" : "refused",
               verdict.tcb_status, verdict.checks.size(), fmt::join(refusals(verdict), ", "));
    EXPECT_EQ(refusals(verdict), default_refusals(c.id)) << explain(verdict);
    for (const char* machine : {"gateway", "model"}) {
      const Json* expect = c.expect.find(machine);
      const bool alone = c.expect.find("gateway") == nullptr;
      if (expect != nullptr) {
        const std::string prefix = alone ? "" : std::string(machine) + ".";
        expect_machine(*expect, verdict, prefix);
        if (const Json* gpus = expect->find("gpus")) expect_gpus(*gpus, verdict, prefix);
      }
    }
    if (const Json* gpus = c.expect.find("gpus")) expect_gpus(*gpus, verdict, "");
    ++count;
  }
  EXPECT_GE(count, 6);
}

/// A case under a policy that takes all of it, so that each test's own change is what refuses.
Case accepted_case(std::string_view id) {
  Case out = find_case(id);
  out.policy.gpu.allow_missing_rims = true;
  out.policy.gpu.allow_unchecked_switches = true;
  out.policy.tdx.app.allow_unpinned_images = true;
  return out;
}

TEST(GenuineReports, AreRefusedWithoutTheNonceOrWithAnother) {
  REQUIRE_SHARED(kCases);
  for (const char* id : {"venice-2026-06-10", "nanogpt-2026-06-10", "tinfoil-direct-2026-06-29",
                         "tinfoil-cloud-snp-2026-06-29"}) {
    Case c = accepted_case(id);
    EXPECT_TRUE(c.judge().accepted) << explain(c.judge());
    c.nonce[0] ^= 1U;
    EXPECT_EQ(status_of(c.judge(), "nonce"), CheckStatus::Failed) << id;
    c.nonce.clear();
    const Verdict without = c.judge();
    EXPECT_FALSE(without.accepted) << id;
    EXPECT_EQ(status_of(without, "nonce"), CheckStatus::NotChecked) << id;
    c.policy.allow_any_nonce = true;
    EXPECT_TRUE(c.judge().accepted) << id;
  }
  // Here the nonce is part of what binds the key: no policy does without it.
  Case chutes = accepted_case("chutes-2026-06-29");
  chutes.policy.allow_any_nonce = true;
  chutes.nonce.clear();
  EXPECT_THAT(refusals(chutes.judge()), ElementsAre("report_data"));
  chutes.nonce = Bytes(32, 1);
  EXPECT_THAT(refusals(chutes.judge()), ElementsAre("report_data"));
}

TEST(GenuineReports, AreRefusedOverAnotherConnection) {
  REQUIRE_SHARED(kCases);
  const std::map<std::string, std::string> cases = {{"nearcloud-2026-06-29", "gateway.peer_key"},
                                                    {"tinfoil-direct-2026-06-29", "peer_key"},
                                                    {"tinfoil-cloud-snp-2026-06-29", "peer_key"}};
  for (const auto& [id, check] : cases) {
    Case c = accepted_case(id);
    c.peer->spki_sha256.bytes[31] ^= 1U;
    EXPECT_THAT(refusals(c.judge()), ElementsAre(check)) << id;
    c.peer.reset();
    EXPECT_THAT(refusals(c.judge()), ElementsAre(check)) << id;
    c.policy.allow_any_peer = true;
    EXPECT_TRUE(c.judge().accepted) << id;
  }
  // Who knows the key of the connection wants it bound.
  Case venice = accepted_case("venice-2026-06-10");
  venice.peer.emplace();
  EXPECT_THAT(refusals(venice.judge()), ElementsAre("peer_key"));
}

TEST(GenuineReports, AreRefusedWhenAKeyIsExchanged) {
  REQUIRE_SHARED(kCases);
  // The key that opens a chat stands beside the quote, not in it: only its address does.
  Case venice = accepted_case("venice-2026-06-10");
  venice.replace("041d9bbc", "041d9bbd");
  EXPECT_THAT(refusals(venice.judge()), ElementsAre("signing_key"));
  Case address = accepted_case("venice-2026-06-10");
  address.replace("0x6525e128", "0x6525e129");
  EXPECT_THAT(refusals(address.judge()), ElementsAre("report_data", "signing_key"));
  Case near = accepted_case("nearcloud-2026-06-29");
  near.replace("\"tls_cert_fingerprint\":\"aaeaf5a2", "\"tls_cert_fingerprint\":\"aaeaf5a3");
  EXPECT_THAT(refusals(near.judge()), ElementsAre("gateway.report_data", "gateway.peer_key"));
  Case hpke = accepted_case("tinfoil-direct-2026-06-29");
  hpke.replace("\"hpke_key\":\"0394825e", "\"hpke_key\":\"0394825f");
  EXPECT_THAT(refusals(hpke.judge()), ElementsAre("report_data"));
  Case chutes = accepted_case("chutes-2026-06-29");
  chutes.replace("\"uZiJNGyx", "\"uZiJNGyy");
  EXPECT_THAT(refusals(chutes.judge()), ElementsAre("report_data"));
}

TEST(GenuineReports, AreRefusedWhenGpuEvidenceIsExchanged) {
  REQUIRE_SHARED(kCases);
  Case tinfoil = accepted_case("tinfoil-direct-2026-06-29");
  const std::string text(*raw_member(tinfoil.report, "gpu"));
  tinfoil.replace(text, text.substr(0, text.size() - 1) + " }");
  EXPECT_THAT(refusals(tinfoil.judge()), ElementsAre("gpu_evidence_hash"));
  // Evidence that the quote does not commit to counts as none of its own.
  Case loose = accepted_case("tinfoil-cloud-snp-2026-06-29");
  loose.replace("\"cpu\"", "\"gpu\":" + text + ",\"cpu\"");
  EXPECT_THAT(refusals(loose.judge()), testing::Contains("gpu_evidence_hash"));
  // Chutes' GPUs sign the quote's key, not the caller's nonce.
  Case chutes = accepted_case("chutes-2026-06-29");
  const Json json = Json::parse(chutes.report).value();
  const std::string first(
      *json.find("evidence")->find("gpu_evidence")->items()[0].find_string("evidence"));
  Bytes report = decode_base64(first).value();
  std::copy(chutes.nonce.begin(), chutes.nonce.end(), report.begin() + 4);
  chutes.replace(first, encode_base64(report));
  EXPECT_THAT(refusals(chutes.judge()), ElementsAre("gpu_nonce", "gpu_signature"));
}

TEST(GenuineReports, AreRefusedWhenTheApplicationIsExchanged) {
  REQUIRE_SHARED(kCases);
  Case venice = accepted_case("venice-2026-06-10");
  const std::string hash(*venice.expect.find("model")->find_string("compose_hash"));
  const std::string payload = "\"event\":\"compose-hash\",\"event_payload\":\"" + hash;
  venice.replace(payload,
                 "\"event\":\"compose-hash\",\"event_payload\":\"" + std::string(hash.size(), '0'));
  const Verdict verdict = venice.judge();
  EXPECT_EQ(status_of(verdict, "event_log"), CheckStatus::Failed);
  EXPECT_EQ(verdict.find("event_log")->found, to_string(EventLogError::DigestMismatch));
  Case text = accepted_case("venice-2026-06-10");
  text.replace("\\\"runner\\\": \\\"docker-compose\\\"", "\\\"runner\\\": \\\"docker-compose2\\\"");
  EXPECT_THAT(refusals(text.judge()), ElementsAre("app_compose"));
}

/// The policy's own list with these entries.
KnownList own_list(std::vector<ListEntry> entries) {
  return {"the policy", "", true, kForever, std::move(entries)};
}

ListEntry known(Subject subject, std::string name, std::string_view value) {
  return {true, subject, {{std::move(name), std::string(value)}}, {}, {}};
}

TEST(GenuineReports, OnlyListedApplicationsAreMeasured) {
  REQUIRE_SHARED(kCases);
  Case venice = accepted_case("venice-2026-06-10");
  auto& lists = venice.policy.tdx.acceptance.lists;
  lists = {own_list({known(Subject::Compose, "compose", encode_hex(sha256("another")))})};
  EXPECT_THAT(refusals(venice.judge()), ElementsAre("post_boot.files", "compose"));
  const Verdict open = accepted_case("venice-2026-06-10").judge();
  EXPECT_EQ(open.level, Level::Declared);
  const auto files = value_of<std::vector<std::string>>(open, "post_boot.files");
  EXPECT_GT(files.size(), 3U);
  for (const std::string& file : files) {
    venice.policy.tdx.app.post_boot_files.push_back(from_hex<Digest>(file).value());
  }
  const Json& expect = *venice.expect.find("model");
  const ListEntry compose = known(Subject::Compose, "compose", *expect.find_string("compose_hash"));
  const ListEntry image = known(Subject::Image, "mrtd", *expect.find_string("mrtd"));
  lists = {own_list({compose})};
  EXPECT_THAT(refusals(venice.judge()), IsEmpty());
  // GPUs that nothing was compared with leave open what answers.
  lists = {own_list({compose, image})};
  venice.policy.tdx.level_min = Level::ImageMeasured;
  EXPECT_THAT(refusals(venice.judge()), ElementsAre("level"));
}

TEST(GenuineReports, ASecondQuoteIsOfTheSameMachineAndItsActions) {
  REQUIRE_SHARED(kCases);
  Case venice = accepted_case("venice-2026-06-10");
  venice.replace("\"container\":\"model-proxy-registrar\"", "\"container\":\"another\"");
  EXPECT_THAT(refusals(venice.judge()), ElementsAre("post_boot.report_data", "post_boot.actions"));
  // A second quote of NEAR's machine, hours later: sound, but of another boot.
  Case spliced = accepted_case("venice-2026-06-10");
  const Case near = accepted_case("nearcloud-2026-06-29");
  const Json json = Json::parse(near.report).value();
  const Json& gateway = *json.find("gateway_attestation");
  const Json own = Json::parse(spliced.report).value();
  spliced.replace(*own.find("compose_manager_attestation")->find_string("quote"),
                  *gateway.find_string("intel_quote"));
  EXPECT_THAT(refusals(spliced.judge()), testing::Contains("post_boot.same_machine"));
}

TEST(GenuineReports, EveryMachineMustPass) {
  REQUIRE_SHARED(kCases);
  // The collateral of one platform does not serve the other.
  Case near = accepted_case("nearcloud-2026-06-29");
  ASSERT_EQ(near.collateral.size(), 2U);
  const bool first_is_gateways =
      near.collateral[0].tcb_info.find("b0c06f000000") != std::string::npos ||
      near.collateral[0].tcb_info.find("B0C06F000000") != std::string::npos;
  near.collateral.erase(near.collateral.begin() + (first_is_gateways ? 0 : 1));
  EXPECT_THAT(refusals(near.judge()), ElementsAre("gateway.tcb"));
  near.collateral.clear();
  const Verdict without = near.judge();
  EXPECT_EQ(status_of(without, "gateway.tcb"), CheckStatus::NotChecked);
  EXPECT_EQ(status_of(without, "model.tcb"), CheckStatus::NotChecked);
  EXPECT_EQ(status_of(without, "model.post_boot.tcb"), CheckStatus::NotChecked);
  EXPECT_FALSE(without.accepted);
}

TEST(GenuineReports, AreRefusedWithTheQuoteOfAnother) {
  REQUIRE_SHARED(kCases);
  Case near = accepted_case("nearcloud-2026-06-29");
  const Json json = Json::parse(near.report).value();
  const std::string model(*json.find("model_attestations")->items()[0].find_string("intel_quote"));
  const std::string gateway(*json.find("gateway_attestation")->find_string("intel_quote"));
  near.replace(gateway, model);
  const Verdict verdict = near.judge();
  EXPECT_EQ(status_of(verdict, "gateway.report_data"), CheckStatus::Failed);
  EXPECT_EQ(status_of(verdict, "gateway.event_replay"), CheckStatus::Failed);
}

TEST(GenuineReports, AreRefusedWithoutTheCertificateOfTheChip) {
  REQUIRE_SHARED(kCases);
  Case tinfoil = accepted_case("tinfoil-cloud-snp-2026-06-29");
  tinfoil.vek.clear();
  EXPECT_FALSE(tinfoil.judge().accepted);
}

TEST(GenuineReports, OfDstackAreJudgedAlone) {
  REQUIRE_SHARED(kCases);
  Case c;
  const Json sample = test::read_vector_json("dstack/nearai-sample.json");
  c.report = sample.dump();
  c.collateral = {
      parse_collateral_json(test::read_vector("intel/collateral/tdx-20A06F-2025-09-02.json"))
          .value()};
  c.now = 1757894400;  // 2025-09-15
  c.nonce = Bytes(64, 1);
  EXPECT_THAT(refusals(c.judge()), ElementsAre("images_pinned"));
  c.policy.tdx.app.allow_unpinned_images = true;
  EXPECT_TRUE(c.judge().accepted) << explain(c.judge());
  // A known image with an application that nobody vouched for proves nothing more.
  const Verdict open = c.judge();
  const ListEntry image = known(Subject::Image, "mrtd", value_of<std::string>(open, "mrtd"));
  const ListEntry compose =
      known(Subject::Compose, "compose", value_of<std::string>(open, "compose_hash"));
  c.policy.tdx.level_min = Level::ImageMeasured;
  c.policy.tdx.acceptance.lists = {own_list({image})};
  EXPECT_THAT(refusals(c.judge()), ElementsAre("level"));
  c.policy.tdx.acceptance.lists = {own_list({image, compose})};
  EXPECT_EQ(c.judge().level, Level::ImageMeasured) << explain(c.judge());
  c.nonce.pop_back();
  EXPECT_THAT(refusals(c.judge()), ElementsAre("report_data"));
}

TEST(GenuineReports, AnRaTlsCertificateBindsItsOwnKey) {
  REQUIRE_SHARED(kCases);
  Case c;
  const Json sample = test::read_vector_json("dstack/nearai-sample.json");
  c.report = *sample.find("info")->find_string("app_cert");
  c.collateral = {
      parse_collateral_json(test::read_vector("intel/collateral/tdx-20A06F-2025-09-02.json"))
          .value()};
  c.now = 1757894400;
  c.policy.tdx.app.allow_unpinned_images = true;
  const Verdict verdict = c.judge();
  EXPECT_EQ(value_of<std::string>(verdict, "form"), "ra-tls") << explain(verdict);
  EXPECT_EQ(status_of(verdict, "report_data"), CheckStatus::Passed) << explain(verdict);
  EXPECT_EQ(status_of(verdict, "event_replay"), CheckStatus::Passed);
  EXPECT_THAT(refusals(verdict), ElementsAre("peer_key", "app_compose"));
  c.peer = PeerKey{from_hex<Digest>(value_of<std::string>(verdict, "tls_spki_sha256")).value()};
  EXPECT_THAT(refusals(c.judge()), ElementsAre("app_compose"));
}

TEST(GenuineReports, OfSnpGuestsNameTheirApplicationByHostData) {
  REQUIRE_SHARED(kCases);
  Case c;
  c.report = test::read_vector("dstack/dstack-sev-snp-attestation.json");
  c.now = 1782864000;
  const Json json = Json::parse(c.report).value();
  const auto container =
      parse_dstack_container(decode_hex(*json.find_string("attestation")).value());
  c.nonce.assign(container->report_data.begin(), container->report_data.end());
  const Verdict verdict = c.judge();
  EXPECT_EQ(status_of(verdict, "report_signature"), CheckStatus::Passed) << explain(verdict);
  EXPECT_EQ(status_of(verdict, "mr_config"), CheckStatus::Passed) << explain(verdict);
  EXPECT_EQ(status_of(verdict, "boot_events"), CheckStatus::Passed) << explain(verdict);
  EXPECT_THAT(refusals(verdict), ElementsAre("app_compose", "images_pinned"));
  c.policy.tdx.app.allow_unpinned_images = true;
  c.policy.tdx.acceptance.lists = {own_list(
      {known(Subject::Compose, "compose", value_of<std::string>(verdict, "compose_hash"))})};
  EXPECT_TRUE(c.judge().accepted) << explain(c.judge());
}

TEST(Reports, OfNoKnownFormAreRefused) {
  Case c;
  for (const char* text : {"", "{}", "[]", "null", "{\"format\":\"x\"}", "-----BEGIN CERTIFICATE",
                           R"({"intel_quote":"","signing_address":""})",
                           R"({"gateway_attestation":{},"model_attestations":[]})",
                           R"({"quote":"0","event_log":[]})", R"({"attestation":"00"})"}) {
    c.report = text;
    const Verdict verdict = c.judge();
    EXPECT_FALSE(verdict.accepted) << text;
    EXPECT_EQ(status_of(verdict, "report_format"), CheckStatus::Failed) << text;
  }
  c.report = std::string(kReportBytesMax + 1, ' ');
  EXPECT_EQ(c.judge().find("report_format")->found, "too large");
}

TEST(RawMember, IsTheExactTextOfAValue) {
  EXPECT_EQ(raw_member(R"( { "a" : "}\",{" , "b" : { "c" : [ 1, 2 ] } , "d":7 } )", "b"),
            R"({ "c" : [ 1, 2 ] })");
  EXPECT_EQ(raw_member(R"({"a":1,"b":"x\\"})", "b"), R"("x\\")");
  EXPECT_EQ(raw_member(R"({"a":{"b":1}})", "b"), std::nullopt);
  EXPECT_EQ(raw_member("[]", "b"), std::nullopt);
}
}  // namespace
}  // namespace nostril::attestation
