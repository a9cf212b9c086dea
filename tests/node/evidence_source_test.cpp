// Where a node's evidence comes from: dstack, configfs-tsm, /dev/sev-guest, the simulator; which of
// them is taken.
#include "node/evidence_source.h"

#include "attestation/app_identity.h"
#include "attestation/byte_writer.h"
#include "attestation/dstack_container.h"
#include "attestation/event_log.h"
#include "attestation/sim_pki.h"
#include "attestation/verify.h"
#include "attestation/x509.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "node/dstack_agent.h"
#include "node/simulated_source.h"
#include "node/snp_certificate_table.h"
#include "schnorr/hash.h"
#include "tests/attestation/snp_fixtures.h"
#include "tests/node/fake_machine.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <mutex>

namespace nostril::node {
namespace {

namespace fs = std::filesystem;
using attestation::test::kNow;
using test::FakeHttpServer;
using test::FakeSevGuest;
using test::FakeTsm;
using test::TempDir;
using ::testing::HasSubstr;
using ReportData = std::array<std::uint8_t, 64>;

ReportData report_data() {
  return attestation::report_data(attestation::test::statement());
}

/// A quote of the simulator: the form of a genuine one.
Bytes quote_over(std::span<const std::uint8_t, 64> data) {
  static const attestation::Simulator kSimulator = attestation::test::simulator();
  return kSimulator.tdx_quote(data, attestation::test::measurements());
}

Bytes snp_report_over(std::span<const std::uint8_t, 64> data) {
  static const attestation::SnpSimulator kSimulator = attestation::test::snp_simulator();
  return kSimulator.report(data, attestation::test::measurement(0xa0));
}

// ---- configfs-tsm -------------------------------------------------------------------------------

class Tsm : public ::testing::Test {
 protected:
  TempDir folder_;
  FakeTsm tsm_{folder_.path() / "report", "tdx_guest", quote_over};
};

TEST_F(Tsm, GivesAReportOverOurDataAndLeavesNothingBehind) {
  EXPECT_EQ(tsm_provider(tsm_).value(), "tdx_guest");
  const auto report = read_tsm_report(tsm_, report_data());
  ASSERT_TRUE(report) << report.error();
  EXPECT_EQ(report->provider, "tdx_guest");
  EXPECT_EQ(report->outblob, quote_over(report_data()));
  EXPECT_EQ(tsm_.made, 0);
  EXPECT_TRUE(fs::is_empty(tsm_.path()));
}

TEST_F(Tsm, AnotherWriterBeforeOrAfterTheAnswerMeansAskingAgain) {
  for (const bool before : {true, false}) {
    int times = 2;
    const auto disturb = [&times](FakeTsm& tsm, const std::string& entry) {
      if (times-- > 0) tsm.written(entry, Bytes(64, 9));
    };
    (before ? tsm_.after_write : tsm_.after_read) = disturb;
    const auto report = read_tsm_report(tsm_, report_data());
    ASSERT_TRUE(report) << report.error();
    EXPECT_EQ(report->outblob, quote_over(report_data())) << "never the other's";
    EXPECT_LT(times, 0);
    tsm_.after_write = nullptr;
    tsm_.after_read = nullptr;
  }
}

TEST_F(Tsm, GivesUpWhenTheOtherWriterDoesNot) {
  tsm_.after_write = [](FakeTsm& tsm, const std::string& entry) {
    tsm.written(entry, Bytes(64, 9));
  };
  const auto report = read_tsm_report(tsm_, report_data());
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error(), HasSubstr("another process"));
}

TEST_F(Tsm, AWriteThatTheKernelLostIsNoReport) {
  // What an older answer would be: the attribute is there, but not for our data.
  tsm_.swallow_write = true;
  const auto report = read_tsm_report(tsm_, report_data());
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error(), HasSubstr("did not take report_data"));
}

TEST_F(Tsm, ErrorsSayWhatToDo) {
  const auto error_with = [this](int FakeTsm::*field, int value) {
    tsm_.*field = value;
    const auto report = read_tsm_report(tsm_, report_data());
    tsm_.*field = 0;
    return report ? std::string() : report.error();
  };
  EXPECT_THAT(error_with(&FakeTsm::make_error, ENXIO), HasSubstr("modprobe"));
  EXPECT_THAT(error_with(&FakeTsm::make_error, EACCES), HasSubstr("run as root"));
  EXPECT_THAT(error_with(&FakeTsm::make_error, ENOENT), HasSubstr("mount"));
  EXPECT_THAT(error_with(&FakeTsm::write_error, EBUSY), HasSubstr("quote generation service"));
  EXPECT_THAT(error_with(&FakeTsm::read_error, ETIMEDOUT), HasSubstr("quote generation service"));
  EXPECT_EQ(tsm_.made, 0);
}

TEST_F(Tsm, AnAnswerIsBounded) {
  FakeTsm endless(folder_.path() / "big", "tdx_guest",
                  [](auto) { return Bytes((64U << 10U) + 1, 7); });
  const auto report = read_tsm_report(endless, report_data());
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error(), HasSubstr("larger than any report"));
  FakeTsm empty(folder_.path() / "empty", "tdx_guest", [](auto) { return Bytes(); });
  EXPECT_FALSE(read_tsm_report(empty, report_data()));
}

TEST_F(Tsm, OnSnpTheCertificateTableComesWithTheReport) {
  FakeTsm snp(folder_.path() / "snp", "sev_guest", snp_report_over);
  snp.auxblob = {1, 2, 3};
  const auto report = read_tsm_report(snp, report_data());
  ASSERT_TRUE(report) << report.error();
  EXPECT_EQ(report->outblob, snp_report_over(report_data()));
  EXPECT_EQ(report->auxblob, (Bytes{1, 2, 3}));
  snp.auxblob.clear();
  EXPECT_TRUE(read_tsm_report(snp, report_data())->auxblob.empty());
}

// ---- dstack -------------------------------------------------------------------------------------

std::string quote_reply(ByteSpan quote, const std::string& more = "") {
  return R"({"quote":")" + encode_hex(quote) + "\"" + more + "}";
}

TEST(Dstack, AsksOverItsSocketForExactlyOurData) {
  const TempDir folder;
  std::string seen;
  const FakeHttpServer server(folder.path() / "dstack.sock", [&seen](const std::string& request) {
    seen = request;
    return FakeHttpServer::ok(quote_reply(quote_over(report_data()),
                                          R"(,"event_log":"[]","vm_config":"{}","report_data":")" +
                                              encode_hex(report_data()) + "\""));
  });
  const auto quote = dstack_quote(server.path(), report_data());
  ASSERT_TRUE(quote) << quote.error();
  EXPECT_EQ(quote->quote, quote_over(report_data()));
  EXPECT_EQ(quote->event_log, "[]");
  EXPECT_TRUE(seen.starts_with("POST /GetQuote HTTP/1.1\r\n"));
  EXPECT_TRUE(seen.ends_with(R"({"report_data":")" + encode_hex(report_data()) + "\"}"));
}

TEST(Dstack, TroubleWithTheAgentIsBoundedAndNamed) {
  const TempDir folder;
  const fs::path path = folder.path() / "dstack.sock";
  EXPECT_THAT(dstack_quote(path, report_data()).error(), HasSubstr("is the agent running"));
  std::mutex lock;
  std::string answer;
  const FakeHttpServer server(path, [&](const std::string&) {
    const std::string text = (std::lock_guard(lock), answer);
    if (text == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(400));
    return text;
  });
  const auto error_of = [&](const std::string& text) {
    {
      const std::lock_guard guard(lock);
      answer = text;
    }
    const auto quote = dstack_quote(path, report_data(), 200);
    return quote ? std::string("none") : quote.error();
  };
  EXPECT_THAT(error_of(""), HasSubstr("GetQuote"));
  EXPECT_THAT(error_of("HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops"), HasSubstr("500: oops"));
  EXPECT_NE(error_of("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}"), "none");
  EXPECT_NE(error_of("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n{}"), "none");
  EXPECT_NE(error_of("slow"), "none");
  EXPECT_NE(error_of(FakeHttpServer::ok("not json")), "none");
}

TEST(Dstack, RefusesAnswersThatAreNone) {
  const auto refused = [](const std::string& json) {
    return !parse_dstack_quote(json, report_data());
  };
  const Bytes quote = {1, 2, 3};
  EXPECT_FALSE(refused(quote_reply(quote)));
  EXPECT_FALSE(refused(quote_reply(quote, R"(,"event_log":null,"new":[1])")));
  EXPECT_TRUE(refused("[]"));
  EXPECT_TRUE(refused("{}"));
  EXPECT_TRUE(refused(R"({"quote":""})"));
  EXPECT_TRUE(refused(R"({"quote":7})"));
  EXPECT_TRUE(refused(R"({"quote":"0g"})"));
  EXPECT_TRUE(refused(quote_reply(Bytes((16U << 10U) + 1))));
  EXPECT_TRUE(refused(quote_reply(quote, R"(,"report_data":"00")")));
  EXPECT_TRUE(refused(quote_reply(quote, R"(,"event_log":[])")));
  EXPECT_TRUE(refused(quote_reply(quote, R"(,"event_log":")" + std::string(600'000, ' ') + "\"")));
}

TEST(Dstack, InfoGivesTheComposeFileFromBothForms) {
  const std::string inner = R"({"app_compose":"{\"a\":1}"})";
  EXPECT_EQ(parse_dstack_info(R"({"tcb_info":)" + inner + "}")->app_compose, R"({"a":1})");
  std::string quoted;
  append_json_string(quoted, inner);
  EXPECT_EQ(parse_dstack_info(R"({"tcb_info":)" + quoted + "}")->app_compose, R"({"a":1})");
  EXPECT_EQ(parse_dstack_info("{}")->app_compose, "");
  EXPECT_FALSE(parse_dstack_info(R"({"tcb_info":"x"})"));
  EXPECT_FALSE(parse_dstack_info(R"({"tcb_info":{"app_compose":1}})"));
}

const std::string kCompose = R"({"docker_compose_file":"services:\n  a:\n    image: a@sha256:)" +
                             std::string(64, '1') + R"(\n"})";

TEST(Dstack, HandsOverTheLogWithoutWhatNoDigestCovers) {
  auto boot = attestation::simulated_boot(kCompose);
  std::string log = attestation::to_json(boot.log);
  const DstackQuote quote{{}, log, R"({"mr_config":"{\"version\":3}"})"};
  const auto app = dstack_app(quote, {kCompose});
  ASSERT_TRUE(app) << app.error();
  EXPECT_EQ(app->compose, kCompose);
  EXPECT_EQ(app->mr_config, R"({"version":3})");
  EXPECT_LT(app->event_log.size(), log.size());
  const auto read = attestation::parse_event_log(app->event_log);
  ASSERT_TRUE(read);
  EXPECT_EQ(attestation::replay(*read), boot.measurements.rtmr);

  EXPECT_THAT(dstack_app({{}, "", ""}, {}).error(), HasSubstr("event log"));
  EXPECT_THAT(dstack_app({{}, "[{}]", ""}, {}).error(), HasSubstr("malformed"));
  EXPECT_FALSE(dstack_app(quote, {std::string(attestation::kAppComposeBytesMax + 1, ' ')}));
  EXPECT_EQ(dstack_app({{}, log, "no JSON"}, {})->mr_config, "");
}

TEST(Dstack, ReadsAGenuineRecording) {
  const char* name = "vectors/attestation/dstack/dstack-quote-report.json";
  REQUIRE_SHARED(name);
  // The recording has its event log as a value; the agent sends it as a string.
  const Json recorded = Json::parse(test::read_file(test::shared_path(name))).value();
  JsonWriter json;
  json.begin_object();
  for (const auto& [key, value] : recorded.members()) {
    json.key(key);
    if (value.is_string()) {
      json.value(value);
    } else {
      json.string(value.dump());
    }
  }
  json.end_object();
  ReportData data{};
  ASSERT_TRUE(decode_hex(*recorded.find_string("report_data"), data));
  const auto quote = parse_dstack_quote(json.text(), data);
  ASSERT_TRUE(quote) << quote.error();
  EXPECT_EQ(encode_hex(quote->quote), *recorded.find_string("quote"));
  EXPECT_EQ(quote->event_log, recorded.find("event_log")->dump());
  const auto app = dstack_app(*quote, {});
  ASSERT_TRUE(app) << app.error();
  EXPECT_EQ(attestation::replay(attestation::parse_event_log(app->event_log).value()),
            attestation::replay(attestation::parse_event_log(quote->event_log).value()));
  EXPECT_LT(app->event_log.size(), quote->event_log.size());
  data[0] ^= 1;
  EXPECT_FALSE(parse_dstack_quote(json.text(), data)) << "an answer for other data";
}

// ---- /dev/sev-guest -----------------------------------------------------------------------------

TEST(SevGuest, GivesReportAndTable) {
  FakeSevGuest device(snp_report_over);
  device.table = {7, 7, 7};
  device.busy = 1;
  const auto report = sev_guest_report(device, report_data());
  ASSERT_TRUE(report) << report.error();
  EXPECT_EQ(report->report, snp_report_over(report_data()));
  EXPECT_TRUE(std::equal(device.table.begin(), device.table.end(), report->certificates.begin()));
  EXPECT_EQ(device.asked, 2);
}

TEST(SevGuest, ErrorsAreNamed) {
  FakeSevGuest device(snp_report_over);
  device.table = Bytes(20'000);
  EXPECT_THAT(sev_guest_report(device, report_data()).error(), HasSubstr("table has 20480 bytes"));
  device.table.clear();
  device.error = EIO;
  device.firmware_error = 0x16;
  EXPECT_THAT(sev_guest_report(device, report_data()).error(), HasSubstr("firmware 0x16"));
  device.error = 0;
  device.status = 0x22;
  EXPECT_THAT(sev_guest_report(device, report_data()).error(), HasSubstr("status 34"));
  FakeSevGuest small([](auto) { return Bytes(100); });
  EXPECT_FALSE(sev_guest_report(small, report_data()));
  EXPECT_FALSE(open_sev_guest("/nonexistent/sev-guest"));
}

// ---- Certificate table --------------------------------------------------------------------------

struct TableEntry {
  std::string guid;
  Bytes bytes;
};

const std::string kVcek = "63da758de6644564adc5f4b93be8accd";
const std::string kVlek = "a8074bc2a25a483eaae639c045a0b8a1";
const std::string kAsk = "4ab7b379bbac4fe4a02f05aef327c782";
const std::string kArk = "c0b406a4a803495297433fb6014cd0ae";

Bytes guid_bytes(const std::string& text) {
  return decode_hex(text).value();
}

Bytes table_of(const std::vector<TableEntry>& entries) {
  Bytes head;
  Bytes body;
  const std::size_t head_bytes = 24 * (entries.size() + 1);
  for (const TableEntry& entry : entries) {
    attestation::append(head, guid_bytes(entry.guid));
    attestation::append_le(head, static_cast<std::uint32_t>(head_bytes + body.size()));
    attestation::append_le(head, static_cast<std::uint32_t>(entry.bytes.size()));
    attestation::append(body, entry.bytes);
  }
  attestation::append_zeros(head, 24);
  attestation::append(head, body);
  return head;
}

/// VEK, ASK and ARK of the simulator.
std::vector<Bytes> certificates() {
  const auto evidence = attestation::test::snp_evidence(attestation::test::snp_simulator());
  std::vector<Bytes> out = {evidence.certificates.vek};
  const auto chain = attestation::parse_pem_chain(evidence.certificates.chain);
  for (const auto& certificate : *chain) out.push_back(certificate.der);
  return out;
}

TEST(CertificateTable, GivesTheKeysCertificateAndItsChain) {
  const auto all = certificates();
  const auto read = parse_snp_certificate_table(
      table_of({{kArk, all[2]}, {kVcek, all[0]}, {std::string(32, 'a'), {1}}, {kAsk, all[1]}}));
  ASSERT_TRUE(read) << read.error();
  const auto wanted = attestation::test::snp_evidence(attestation::test::snp_simulator());
  EXPECT_EQ(read->vek, wanted.certificates.vek);
  EXPECT_EQ(read->chain, wanted.certificates.chain);
  EXPECT_TRUE(read->crl.empty());
  const auto provider = parse_snp_certificate_table(table_of({{kVlek, all[0]}, {kAsk, all[1]}}));
  EXPECT_EQ(provider->vek, all[0]);
  EXPECT_EQ(provider->chain, "") << "the table has no ASVK";
}

TEST(CertificateTable, NothingAndZerosAreNoCertificates) {
  EXPECT_TRUE(parse_snp_certificate_table({})->vek.empty());
  EXPECT_TRUE(parse_snp_certificate_table(Bytes(4096))->vek.empty());
}

TEST(CertificateTable, RefusesWhatLiesOutsideComesTwiceOrIsNone) {
  const auto all = certificates();
  const Bytes sound = table_of({{kVcek, all[0]}});
  ASSERT_TRUE(parse_snp_certificate_table(sound));
  for (std::size_t size = 1; size < sound.size(); size += size < 60 ? 1 : 97) {
    EXPECT_FALSE(parse_snp_certificate_table(ByteSpan(sound).first(size))) << size;
  }
  Bytes outside = sound;
  outside.at(19) = 0xff;  // offset
  EXPECT_FALSE(parse_snp_certificate_table(outside));
  outside = sound;
  outside.at(23) = 0xff;  // length
  EXPECT_FALSE(parse_snp_certificate_table(outside));
  EXPECT_FALSE(parse_snp_certificate_table(table_of({{kVcek, all[0]}, {kVcek, all[0]}})));
  EXPECT_FALSE(parse_snp_certificate_table(table_of({{kVcek, {1, 2, 3}}})));
  EXPECT_FALSE(parse_snp_certificate_table(
      table_of(std::vector<TableEntry>(40, TableEntry{std::string(32, 'a'), {}}))));
}

// ---- Which one ----------------------------------------------------------------------------------

class Choice : public ::testing::Test {
 protected:
  Choice() {
    settings_.paths.dstack_socket = folder_.path() / "dstack.sock";
    settings_.paths.tsm_folder = folder_.path() / "report";
    settings_.paths.sev_guest = folder_.path() / "sev-guest";
    settings_.paths.others = {folder_.path() / "tdx_guest"};
  }

  static void put(const fs::path& path) { std::ofstream(path) << ""; }

  std::string chosen() { return choose_evidence(settings_).source; }

  Result<std::unique_ptr<EvidenceSource>, std::string> make() {
    return make_evidence_source(settings_, folder_.path(), rng_);
  }

  TempDir folder_;
  SystemRng rng_;
  EvidenceSettings settings_;
};

TEST_F(Choice, WithoutATeeNothingIsTakenAndNothingSimulated) {
  EXPECT_EQ(settings_.source, "auto");
  EXPECT_EQ(chosen(), "");
  const auto source = make();
  ASSERT_FALSE(source);
  for (const char* part : {"dstack:", "tsm:", "sev-guest:", "evidence = \"simulated\""}) {
    EXPECT_THAT(source.error(), HasSubstr(part));
  }
  for (const std::string name : {"", "sim", "Auto", "none"}) {
    settings_.source = name;
    EXPECT_FALSE(make()) << name;
  }
}

TEST_F(Choice, TakesDstackBeforeTheOthers) {
  put(settings_.paths.sev_guest);
  EXPECT_EQ(chosen(), "sev-guest");
  put(settings_.paths.dstack_socket);
  EXPECT_EQ(chosen(), "dstack");
  settings_.source = "sev-guest";
  EXPECT_EQ(chosen(), "sev-guest");
}

TEST_F(Choice, AFolderThatNoDriverStandsBehindIsPassedOver) {
  fs::create_directories(settings_.paths.tsm_folder);  // an entry in it has no `provider`
  put(settings_.paths.sev_guest);
  const EvidenceChoice choice = choose_evidence(settings_);
  EXPECT_EQ(choice.source, "sev-guest");
  EXPECT_THAT(choice.notes, ::testing::Contains(HasSubstr("tsm:")));
}

TEST_F(Choice, DstackEvidenceIsAQuoteOverTheStatement) {
  const FakeHttpServer server(settings_.paths.dstack_socket, [](const std::string& request) {
    if (request.starts_with("POST /Info")) return FakeHttpServer::ok("{}");
    const std::size_t at = request.find(R"("report_data":")") + 15;
    ReportData data{};
    CHECK(decode_hex(std::string_view(request).substr(at, 128), data));
    return FakeHttpServer::ok(quote_reply(quote_over(data)));
  });
  const auto source = make();
  ASSERT_TRUE(source) << source.error();
  EXPECT_EQ((*source)->tee(), "tdx");
  EXPECT_FALSE((*source)->simulated());
  const auto statement = attestation::test::statement();
  const auto evidence = (*source)->evidence(statement, kNow);
  ASSERT_TRUE(evidence) << evidence.error();
  EXPECT_EQ(evidence->kind, attestation::kKindTdx);
  EXPECT_EQ(evidence->statement, statement);
  EXPECT_EQ(evidence->cpu_quote, quote_over(attestation::report_data(statement)));
}

/// A dstack guest whose agent says these; its quotes are of the simulated boot of kCompose.
class DstackGuest : public Choice {
 protected:
  DstackGuest() {
    boot_ = attestation::simulated_boot(kCompose);
    JsonWriter log;
    log.begin_object().key("tcb_info").begin_object().key("app_compose").string(kCompose);
    info_ = std::move(log.end_object().end_object()).take();
    log_ = attestation::to_json(boot_.log);
  }

  /// What a client says of what the node hands over.
  attestation::Verdict judge(const attestation::Policy& policy) {
    fs::remove(settings_.paths.dstack_socket);
    const FakeHttpServer server(settings_.paths.dstack_socket, [this](const std::string& request) {
      if (request.starts_with("POST /Info")) return FakeHttpServer::ok(info_);
      const std::size_t at = request.find(R"("report_data":")") + 15;
      ReportData data{};
      CHECK(decode_hex(std::string_view(request).substr(at, 128), data));
      JsonWriter json;
      json.begin_object();
      json.key("quote").string(encode_hex(simulator_.tdx_quote(data, boot_.measurements)));
      json.key("event_log").string(log_).end_object();
      return FakeHttpServer::ok(json.text());
    });
    const auto statement = attestation::test::statement();
    auto evidence = make().value()->evidence(statement, kNow);
    EXPECT_TRUE(evidence) << evidence.error();
    evidence->kind = attestation::kKindSimulatedTdx;
    evidence->collateral = simulator_.collateral(kNow);
    return attestation::verify(*evidence, statement, attestation::test::roots_of(simulator_), kNow,
                               policy);
  }

  const attestation::Simulator simulator_ = attestation::test::simulator();
  attestation::SimulatedBoot boot_;
  std::string log_;
  std::string info_;
};

TEST_F(DstackGuest, ItsApplicationPassesAtAClientThatNamesIt) {
  attestation::Policy policy = attestation::test::simulated_policy();
  const Digest hash = sha256(kCompose);
  policy.app.app_ids.emplace_back();
  std::copy_n(hash.bytes.begin(), 20, policy.app.app_ids[0].begin());
  const auto verdict = judge(policy);
  EXPECT_TRUE(verdict.accepted) << attestation::explain(verdict);
  policy.app.app_ids[0][0] ^= 1;
  EXPECT_FALSE(judge(policy).accepted);
}

TEST_F(DstackGuest, AnAgentThatLiesIsFoundOut) {
  const auto failed = [this](const char* check) {
    const auto verdict = judge(attestation::test::simulated_policy());
    return !verdict.accepted &&
           attestation::test::status_of(verdict, check) == attestation::CheckStatus::Failed;
  };
  auto log = boot_.log;
  log.erase(log.begin() + 1);
  log_ = attestation::to_json(log);
  EXPECT_TRUE(failed("event_replay"));
  log_ = attestation::to_json(boot_.log);
  info_.replace(info_.find("image: a@"), 9, "image: b@");
  EXPECT_TRUE(failed("app_compose"));
}

TEST_F(DstackGuest, WithoutAReadableLogTheQuoteGoesOutAloneAsBefore) {
  set_log_level(LogLevel::Off);
  for (const std::string& log : {std::string(), std::string("[7]")}) {
    log_ = log;
    const auto verdict = judge(attestation::test::simulated_policy());
    EXPECT_TRUE(verdict.accepted) << attestation::explain(verdict);
    EXPECT_EQ(verdict.find("event_log"), nullptr);
  }
  // Without the text the log goes out, and a policy that wants the text refuses.
  log_ = attestation::to_json(boot_.log);
  info_ = "rubbish";
  const auto verdict = judge(attestation::test::simulated_policy());
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(attestation::test::status_of(verdict, "event_replay"),
            attestation::CheckStatus::Passed);
  set_log_level(LogLevel::Info);
}

// ---- dstack on SEV-SNP ----

/// SCALE, as attestation/dstack_container.h.
class Container {
 public:
  Container() { bytes_ = {0, 3}; }

  Container& count(std::size_t value) {
    if (value < 64) {
      bytes_.push_back(static_cast<std::uint8_t>(value << 2U));
      return *this;
    }
    CHECK(value < (1U << 14U));
    bytes_.push_back(static_cast<std::uint8_t>(value << 2U | 1U));
    bytes_.push_back(static_cast<std::uint8_t>(value >> 6U));
    return *this;
  }

  Container& add(ByteSpan bytes) {
    count(bytes.size());
    return raw(bytes);
  }

  Container& raw(ByteSpan bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }

  [[nodiscard]] std::string reply() const {
    return R"({"attestation":")" + encode_hex(bytes_) + "\"}";
  }

 private:
  Bytes bytes_;
};

/// A dstack guest on SNP: /GetQuote has nothing, /Attest a container.
class DstackSnpGuest : public Choice {
 protected:
  DstackSnpGuest() {
    for (attestation::LoggedEvent& event : attestation::simulated_boot(kCompose).log) {
      if (event.is_runtime()) events_.push_back(event);
    }
    const auto boot = attestation::read_boot_record(events_).value();
    document_ = R"({"app_id":")" + encode_hex(boot.app_id) + R"(","compose_hash":")" +
                encode_hex(boot.compose_hash) +
                R"(","instance_id":"","key_provider":"none","key_provider_id":"","version":3})";
    attestation::SnpSimulatorOptions options;
    options.host_data = attestation::mr_config_digest(document_).bytes;
    snp_ = attestation::test::snp_simulator(options);
  }

  std::string attest(std::span<const std::uint8_t, 64> data) {
    const auto made = snp_->evidence(data, attestation::test::measurement(0xa0));
    const auto issuers = attestation::parse_pem_chain(made.certificates.chain).value();
    const auto pem = [](const Bytes& der) { return attestation::to_pem(std::vector<Bytes>{der}); };
    Container out;
    out.add(made.report).count(3);
    out.add(as_bytes(pem(issuers[1].der))).add(as_bytes(pem(issuers[0].der)));
    out.add(as_bytes(pem(made.certificates.vek))).add(as_bytes(document_)).count(events_.size());
    for (const auto& event : events_) out.add(as_bytes(event.name)).add(event.payload);
    return out.raw(data).add({}).reply();
  }

  Result<attestation::Evidence, std::string> ask() {
    fs::remove(settings_.paths.dstack_socket);
    const FakeHttpServer server(settings_.paths.dstack_socket, [this](const std::string& request) {
      if (request.starts_with("POST /Info")) return FakeHttpServer::ok(info_);
      if (request.starts_with("POST /GetQuote")) return FakeHttpServer::ok(R"({"quote":""})");
      const std::size_t at = request.find(R"("report_data":")") + 15;
      ReportData data{};
      CHECK(decode_hex(std::string_view(request).substr(at, 128), data));
      if (stale_) data[0] ^= 1;
      return FakeHttpServer::ok(attest(data));
    });
    return make().value()->evidence(attestation::test::statement(), kNow);
  }

  attestation::Verdict judge(attestation::Evidence evidence) const {
    evidence.kind = attestation::kKindSimulatedSnp;
    return attestation::verify(evidence, attestation::test::statement(),
                               attestation::test::roots_of(*snp_), kNow,
                               attestation::test::simulated_policy());
  }

  std::optional<attestation::SnpSimulator> snp_;
  attestation::EventLog events_;
  std::string document_;
  std::string info_ = [] {
    JsonWriter json;
    json.begin_object().key("tcb_info").begin_object().key("app_compose").string(kCompose);
    return std::move(json.end_object().end_object()).take();
  }();
  bool stale_ = false;
};

TEST_F(DstackSnpGuest, ItsReportAndItsApplicationPassAtAClient) {
  const auto evidence = ask();
  ASSERT_TRUE(evidence) << evidence.error();
  EXPECT_EQ(evidence->kind, attestation::kKindSnp);
  const auto verdict = judge(*evidence);
  EXPECT_TRUE(verdict.accepted) << attestation::explain(verdict);
  for (const char* check :
       {"vek_chain", "report_data", "mr_config", "boot_events", "app_compose"}) {
    EXPECT_EQ(attestation::test::status_of(verdict, check), attestation::CheckStatus::Passed)
        << check;
  }
}

TEST_F(DstackSnpGuest, AnAgentThatLiesIsFoundOut) {
  stale_ = true;
  EXPECT_THAT(ask().error(), HasSubstr("other report_data"));
  stale_ = false;
  document_ += " ";
  EXPECT_EQ(attestation::test::status_of(judge(*ask()), "mr_config"),
            attestation::CheckStatus::Failed);
}

TEST(DstackSnp, RefusesWhatIsNoReport) {
  const ReportData data = report_data();
  EXPECT_THAT(parse_dstack_report("{}", data).error(), HasSubstr("container"));
  EXPECT_THAT(parse_dstack_report(R"({"attestation":"0g"})", data).error(), HasSubstr("no attest"));
  EXPECT_THAT(parse_dstack_report(R"({"attestation":"00"})", data).error(), HasSubstr("container"));
}

TEST(DstackSnp, ReadsAGenuineRecording) {
  REQUIRE_SHARED("vectors/attestation/dstack/dstack-sev-snp-attestation.json");
  const std::string json = nostril::test::read_file(
      nostril::test::shared_path("vectors/attestation/dstack/dstack-sev-snp-attestation.json"));
  const auto container = attestation::parse_dstack_container(
      decode_hex(*Json::parse(json)->find_string("attestation")).value());
  ASSERT_TRUE(container);
  const auto report = parse_dstack_report(json, container->report_data);
  ASSERT_TRUE(report) << report.error();
  const auto verdict = attestation::verify_snp({report->report, report->certificates},
                                               attestation::TrustRoots::amd(), 1'782'864'000, {});
  EXPECT_EQ(attestation::test::status_of(verdict, "vek_chain"), attestation::CheckStatus::Passed)
      << attestation::explain(verdict);
  EXPECT_EQ(attestation::test::status_of(verdict, "report_signature"),
            attestation::CheckStatus::Passed);
  EXPECT_TRUE(dstack_snp_app(*report, {}));
  ReportData other = container->report_data;
  other[63] ^= 1;
  EXPECT_THAT(parse_dstack_report(json, other).error(), HasSubstr("other report_data"));
  const std::string tdx = nostril::test::read_file(
      nostril::test::shared_path("vectors/attestation/dstack/dstack-tdx-lite-attestation.json"));
  EXPECT_THAT(parse_dstack_report(tdx, other).error(), HasSubstr("not of SEV-SNP"));
}

TEST_F(Choice, TheSimulatorRefusesBesideAnyRealTee) {
  settings_.source = "simulated";
  ASSERT_TRUE(make());
  std::vector<fs::path> interfaces = settings_.paths.others;
  for (const auto& path :
       {settings_.paths.dstack_socket, settings_.paths.tsm_folder, settings_.paths.sev_guest}) {
    interfaces.push_back(path);
  }
  for (const fs::path& path : interfaces) {
    put(path);
    const auto source = make();
    ASSERT_FALSE(source) << path;
    EXPECT_THAT(source.error(), HasSubstr(path.string()));
    fs::remove(path);
  }
}

/// What a client that was given this root says; `accept`: it asked for simulated evidence.
bool accepted(const attestation::Evidence& evidence, const Bytes& root, bool accept) {
  attestation::Policy policy;
  policy.accept_simulated = accept;
  const auto roots = attestation::TrustRoots::with_test_root(root).value();
  return attestation::verify(evidence, evidence.statement, roots, kNow, policy).accepted;
}

TEST_F(Choice, SimulatedEvidencePassesUnderTheRootItWroteAndNoOther) {
  settings_.source = "simulated";
  for (const std::string platform : {"tdx", "snp"}) {
    settings_.simulated_platform = platform;
    const auto source = make();
    ASSERT_TRUE(source) << source.error();
    EXPECT_TRUE((*source)->simulated());
    EXPECT_EQ((*source)->tee(), "simulated");
    const auto read_root = [this] {
      std::ifstream file(folder_.path() / "sim-root.der", std::ios::binary);
      return Bytes(std::istreambuf_iterator<char>(file), {});
    };
    const Bytes root = read_root();
    ASSERT_TRUE(make());
    EXPECT_EQ(read_root(), root) << "the same at each start";
    const auto evidence = (*source)->evidence(attestation::test::statement(), kNow);
    ASSERT_TRUE(evidence) << evidence.error();
    EXPECT_EQ(evidence->kind, "sim-" + platform);
    EXPECT_TRUE(accepted(*evidence, root, true)) << platform;
    EXPECT_FALSE(accepted(*evidence, root, false)) << platform;
    EXPECT_FALSE(attestation::verify(*evidence, evidence->statement,
                                     attestation::TrustRoots::vendors(), kNow,
                                     attestation::test::simulated_policy())
                     .accepted);
  }
  settings_.simulated_platform = "sgx";
  EXPECT_FALSE(make());
}

TEST_F(Choice, TheSimulatedMachineBootsTheComposeTextThatIsNamed) {
  settings_.source = "simulated";
  const auto compose_of = [this] {
    const auto source = make();
    EXPECT_TRUE(source) << source.error();
    return (*source)->evidence(attestation::test::statement(), kNow)->app->compose;
  };
  EXPECT_THAT(compose_of(), HasSubstr("NOT A TEE"));
  settings_.simulated_compose = folder_.path() / "app-compose.json";
  EXPECT_FALSE(make()) << "it is not there";
  std::ofstream(settings_.simulated_compose, std::ios::binary) << kCompose;
  EXPECT_EQ(compose_of(), kCompose);
  std::ofstream(settings_.simulated_compose, std::ios::binary)
      << std::string(attestation::kAppComposeBytesMax + 1, ' ');
  EXPECT_FALSE(make());
}

}  // namespace
}  // namespace nostril::node
