// Collateral that a node fetches, checks, keeps and puts beside its quotes. The services are a
// local HTTP server with what the simulators make.
#include "node/collateral.h"

#include "attestation/verify.h"
#include "base/base64.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/percent.h"
#include "node/ocsp_subjects.h"
#include "schnorr/hash.h"
#include "tests/attestation/gpu_fixtures.h"
#include "tests/attestation/snp_fixtures.h"
#include "tests/node/fake_machine.h"
#include "tests/support/temp_dir.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ocsp.h>

#include <fstream>
#include <mutex>

namespace nostril::node {
namespace {

namespace fs = std::filesystem;
using attestation::test::kNow;
using test::FakeHttpServer;
using ::testing::HasSubstr;

constexpr std::int64_t kDay = 86'400;

/// Quotes or reports as a machine gives them: nothing beside them but what the host adds.
class BareSource final : public EvidenceSource {
 public:
  using Make = std::function<attestation::Evidence(const attestation::Statement&)>;

  explicit BareSource(Make make) : make_(std::move(make)) {}

  Result<attestation::Evidence, std::string> evidence(const attestation::Statement& statement,
                                                      std::int64_t /*now_s*/) override {
    return make_(statement);
  }

  Result<BoardAnswer, std::string> board(const Digest& nonce) override {
    return ask_board ? ask_board(nonce) : BoardAnswer{};
  }

  [[nodiscard]] std::string_view tee() const override { return "tdx"; }

  [[nodiscard]] bool simulated() const override { return false; }

  std::function<BoardAnswer(const Digest& nonce)> ask_board;

 private:
  Make make_;
};

BoardAnswer board_of(const attestation::GpuSimulator& simulator, std::size_t gpu_count,
                     const Digest& nonce) {
  BoardAnswer out;
  for (const auto& gpu : simulator.evidence(gpu_count, nonce.bytes)) {
    out.gpus.push_back({gpu.report, gpu.chain});
  }
  for (const auto& one : simulator.switches(nonce.bytes)) {
    out.switches.push_back({one.report, one.chain});
  }
  return out;
}

std::string answer(const std::string& body, const std::string& header = "") {
  return "HTTP/1.1 200 OK\r\n" + header + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

attestation::GpuSimulator gpus_of(const std::string& driver) {
  attestation::GpuSimulatorOptions options;
  options.driver = driver;
  return attestation::test::gpu_simulator(options);
}

std::string as_string(ByteSpan bytes) {
  return std::string(as_text(bytes));
}

/// Both vendors' services in one server, and a node that asks them.
class Services : public ::testing::Test {
 protected:
  Services()
      : server_([this](const std::string& request) {
          const std::lock_guard lock(mutex_);
          asked_.push_back(request.substr(0, request.find(" HTTP")));
          if (asked_.back() == "POST /") return ocsp_reply(request);
          return reply(asked_.back());
        }) {
    set_log_level(LogLevel::Off);
    settings_.intel_url = server_.url();
    settings_.intel_root_crl_url = server_.url() + "/sgx/certification/v4/rootcacrl";
    settings_.amd_url = server_.url();
    settings_.nvidia_url = server_.url();
    settings_.nvidia_ocsp_url.clear();  // each test of it says so
    settings_.store.folder = folder_.path() / "collateral";
    settings_.store.request_ms_max = 300;
    settings_.roots = attestation::test::roots_of(tdx_)
                          .joined(attestation::test::roots_of(snp_))
                          .joined(attestation::test::roots_of(gpus_));
  }

  ~Services() override { set_log_level(LogLevel::Info); }

  /// The sound answer to "GET path".
  std::string sound(const std::string& request) const {
    const auto all = tdx_.collateral(made_for_);
    const auto signed_answer = [](const std::string& member, const std::string& text,
                                  ByteSpan signature) {
      return "{\"" + member + "\":" + text + ",\"signature\":\"" + encode_hex(signature) + "\"}";
    };
    if (request == "GET /tdx/certification/v4/tcb?fmspc=514d00000000") {
      return answer(signed_answer("tcbInfo", all.tcb_info, all.tcb_info_signature),
                    "TCB-Info-Issuer-Chain: " + percent_encode(all.tcb_info_issuer_chain) + "\r\n");
    }
    if (request == "GET /tdx/certification/v4/qe/identity") {
      return answer(signed_answer("enclaveIdentity", all.qe_identity, all.qe_identity_signature),
                    "SGX-Enclave-Identity-Issuer-Chain: " +
                        percent_encode(all.qe_identity_issuer_chain) + "\r\n");
    }
    if (request == "GET /sgx/certification/v4/pckcrl?ca=platform&encoding=der") {
      return answer(as_string(all.pck_crl));
    }
    if (request == "GET /sgx/certification/v4/rootcacrl") {  // a PCCS answers in hex
      return answer(encode_hex(all.root_ca_crl));
    }
    if (request.starts_with("GET /vcek/v1/Milan/4e4f542d54454521") &&
        request.ends_with("?blSPL=04&teeSPL=00&snpSPL=23&ucodeSPL=213")) {
      return answer(as_string(attestation::test::snp_evidence(snp_).certificates.vek));
    }
    if (request == "GET /v1/rim/NV_GPU_DRIVER_GH100_550.90.07") {
      return rim_answer("NV_GPU_DRIVER_GH100_" + driver_, manifests_[0]);
    }
    if (request == "GET /v1/rim/NV_GPU_VBIOS_SIM_0000_000_96009F0001") {
      return rim_answer("NV_GPU_VBIOS_SIM_0000_000_96009F0001", manifests_[1]);
    }
    if (request == "GET /v1/rim/NV_SWITCH_BIOS_5612_0002_890_9610550001") {
      return rim_answer("NV_SWITCH_BIOS_5612_0002_890_9610550001", manifests_.at(2));
    }
    if (request == "GET /vcek/v1/Milan/crl") return answer(as_string(snp_.crl(made_for_)));
    return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  }

  /// As NVIDIA's service answers.
  static std::string rim_answer(const std::string& id, ByteSpan xml) {
    return answer("{\"id\":\"" + id + "\",\"rim\":\"" + encode_base64(xml) + "\",\"sha256\":\"" +
                  encode_hex(sha256(xml)) + "\"}");
  }

  std::string reply(const std::string& request) {
    if (mode_ == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(350));
    if (mode_ == "500") return "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    if (mode_ == "closed") return "";
    if (mode_ == "rubbish") return answer("{\"tcbInfo\":{},\"signature\":\"00\"}");
    if (mode_ == "endless") return answer(std::string((1U << 20U) + 1, 'x'));
    return sound(request);
  }

  /// NVIDIA's responder: the answer about the certificate that was asked for, by its certID.
  std::string ocsp_reply(const std::string& request) {
    ++ocsp_asked_;
    if (ocsp_mode_ == "500") return "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    if (request.find("Content-Type: application/ocsp-request\r\n") == std::string::npos) {
      return "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n";
    }
    const std::string der = request.substr(request.find("\r\n\r\n") + 4);
    for (const auto& [subject, made] : ocsp_answers_) {
      if (asks_about(der, subject)) return answer(as_string(made));
    }
    return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  }

  /// Answers of the simulator about all certificates of its board.
  std::vector<std::pair<OcspSubject, Bytes>> ocsp_answers_of(attestation::OcspStatus::Word word) {
    attestation::SimOcsp fields;
    fields.this_update = kNow - 60;
    fields.next_update = kNow + kDay;
    fields.word = word;
    std::vector<Bytes> made;
    for (std::size_t i = 0; i < 8; ++i) {
      for (Bytes& one : gpus_.ocsp_answers(i, fields)) made.push_back(std::move(one));
    }
    for (std::size_t i = 0; i < 4; ++i) {
      for (Bytes& one : gpus_.switch_ocsp_answers(i, fields)) made.push_back(std::move(one));
    }
    std::vector<std::pair<OcspSubject, Bytes>> out;
    for (OcspSubject& subject : ocsp_subjects(board_of(gpus_, 8, Digest{}), manifests_)) {
      const auto about = std::ranges::find_if(made, [&subject](const Bytes& one) {
        attestation::ChainCache cache;
        const auto word_of =
            attestation::judge_ocsp(attestation::parse_ocsp(one).value(), subject.certificate,
                                    subject.issuer, kNow, {}, cache);
        return word_of || word_of.error() == attestation::OcspError::Revoked;
      });
      EXPECT_NE(about, made.end());
      if (about != made.end()) out.emplace_back(std::move(subject), *about);
    }
    return out;
  }

  /// One certID, by SHA-384, of this certificate.
  static bool asks_about(const std::string& der, const OcspSubject& subject) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    OCSP_REQUEST* request = d2i_OCSP_REQUEST(nullptr, &at, static_cast<long>(der.size()));
    if (request == nullptr || OCSP_request_onereq_count(request) != 1) return false;
    OCSP_CERTID* asked = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0));
    OCSP_CERTID* own =
        OCSP_cert_to_id(EVP_sha384(), subject.certificate.get(), subject.issuer.get());
    const bool same = OCSP_id_cmp(asked, own) == 0;
    OCSP_CERTID_free(own);
    OCSP_REQUEST_free(request);
    return same;
  }

  void set_mode(const std::string& mode) {
    const std::lock_guard lock(mutex_);
    mode_ = mode;
  }

  void made_for(std::int64_t now_s) {
    const std::lock_guard lock(mutex_);
    made_for_ = now_s;
  }

  std::size_t asked() {
    const std::lock_guard lock(mutex_);
    return asked_.size();
  }

  std::unique_ptr<EvidenceSource> tdx_node() {
    return with_collateral(
        std::make_unique<BareSource>([this](const attestation::Statement& statement) {
          auto out = tdx_.evidence(statement, kNow, attestation::test::measurements());
          out.collateral.reset();
          return out;
        }),
        settings_);
  }

  /// The same with two GPUs.
  std::unique_ptr<EvidenceSource> gpu_node() {
    auto machine = std::make_unique<BareSource>([this](const attestation::Statement& statement) {
      return tdx_.evidence(statement, kNow, attestation::test::measurements());
    });
    machine->ask_board = [this](const Digest& nonce) { return board_of(gpus_, 2, nonce); };
    return with_collateral(std::move(machine), settings_);
  }

  /// `chain`: the host gives its guests the issuers, but not the certificate itself.
  std::unique_ptr<EvidenceSource> snp_node() {
    return with_collateral(
        std::make_unique<BareSource>([this](const attestation::Statement& statement) {
          auto out = snp_.evidence(statement, kNow);
          out.snp->vek.clear();
          out.snp->crl.clear();
          return out;
        }),
        settings_);
  }

  bool accepted(const attestation::Evidence& evidence, std::int64_t now_s) const {
    attestation::Policy policy = attestation::test::simulated_policy();
    policy.snp.require_crl = true;
    policy.encryption_key_life_s_max = 400 * kDay;
    attestation::Statement expected = evidence.statement;
    return attestation::verify(evidence, expected, settings_.roots, now_s, policy).accepted;
  }

  attestation::Evidence evidence_at(EvidenceSource& source, std::int64_t now_s) {
    attestation::Statement statement = attestation::test::statement();
    statement.encryption_key_expires_at = now_s + 1800;
    auto out = whole_evidence(source, statement, now_s);
    EXPECT_TRUE(out);
    return *out;
  }

  /// Sets what is kept back in time.
  void age(std::int64_t seconds_before_now) const {
    for (const auto& entry : fs::directory_iterator(settings_.store.folder)) {
      const auto at = std::chrono::sys_seconds(std::chrono::seconds(kNow - seconds_before_now));
      fs::last_write_time(entry, std::chrono::file_clock::from_sys(at));
    }
  }

  attestation::Simulator tdx_ = attestation::test::simulator();
  attestation::SnpSimulator snp_ = attestation::test::snp_simulator();
  attestation::GpuSimulator gpus_ = attestation::test::gpu_simulator();
  std::vector<Bytes> manifests_ = gpus_.manifests();
  std::string driver_ = "550.90.07";
  test::TempDir folder_;
  CollateralSettings settings_;
  std::mutex mutex_;
  std::string mode_;
  std::int64_t made_for_ = kNow;
  std::vector<std::string> asked_;
  std::string ocsp_mode_;
  std::size_t ocsp_asked_ = 0;
  std::vector<std::pair<OcspSubject, Bytes>> ocsp_answers_;
  FakeHttpServer server_;
};

TEST_F(Services, IntelsCollateralComesBesideTheQuoteAndPassesAtAClient) {
  const auto node = tdx_node();
  const auto evidence = evidence_at(*node, kNow);
  ASSERT_TRUE(evidence.collateral);
  EXPECT_EQ(*evidence.collateral, tdx_.collateral(kNow));
  EXPECT_TRUE(accepted(evidence, kNow));
  EXPECT_EQ(asked(), 4U);
}

TEST_F(Services, AmdsCertificateAndCrlComeBesideTheReport) {
  const auto node = snp_node();
  const auto evidence = evidence_at(*node, kNow);
  EXPECT_EQ(evidence.snp->vek, attestation::test::snp_evidence(snp_).certificates.vek);
  EXPECT_EQ(evidence.snp->crl, snp_.crl(kNow));
  EXPECT_TRUE(accepted(evidence, kNow));
  EXPECT_EQ(asked(), 2U);
}

TEST_F(Services, NvidiasManifestsComeBesideTheGpusReportsAndPassAtAClient) {
  const auto evidence = evidence_at(*gpu_node(), kNow);
  ASSERT_EQ(evidence.gpu_reports.size(), 2U);
  EXPECT_EQ(evidence.gpu_manifests, manifests_) << "the XML, each once";
  EXPECT_TRUE(accepted(evidence, kNow));
  EXPECT_FALSE(lacks_collateral(evidence));
  EXPECT_EQ(asked(), 2U);
  age(0);
  EXPECT_EQ(evidence_at(*gpu_node(), kNow + 3600).gpu_manifests, manifests_);
  EXPECT_EQ(asked(), 2U) << "from the disk";
}

TEST_F(Services, TheManifestOfAnotherDriverIsNeitherKeptNorHandedOver) {
  const auto other = gpus_of("560.35.03").manifests()[0];
  for (const std::string& id : {std::string("550.90.07"), std::string("560.35.03")}) {
    manifests_[0] = other;
    driver_ = id;
    const auto evidence = evidence_at(*gpu_node(), kNow);
    EXPECT_EQ(evidence.gpu_manifests, std::vector<Bytes>{manifests_[1]}) << id;
    EXPECT_FALSE(accepted(evidence, kNow)) << id;
  }
  EXPECT_FALSE(fs::exists(settings_.store.folder / "rim-NV-GPU-DRIVER-GH100-550-90-07.body"));
  // Signed, but by nobody whom the node trusts.
  manifests_[0] = attestation::test::gpu_simulator({}, 9).manifests()[0];
  driver_ = "550.90.07";
  EXPECT_EQ(evidence_at(*gpu_node(), kNow).gpu_manifests.size(), 1U);
}

TEST_F(Services, WithoutManifestsTheGpusReportsGoOutAndAreRefused) {
  for (const std::string mode : {"500", "closed", "rubbish", "endless", "slow"}) {
    set_mode(mode);
    const auto evidence = evidence_at(*gpu_node(), kNow);
    EXPECT_TRUE(evidence.gpu_manifests.empty()) << mode;
    EXPECT_TRUE(lacks_collateral(evidence)) << mode;
    EXPECT_FALSE(accepted(evidence, kNow)) << mode;
  }
  set_mode("");
  evidence_at(*gpu_node(), kNow);
  age(0);
  set_mode("500");
  EXPECT_EQ(evidence_at(*gpu_node(), kNow + 40 * kDay).gpu_manifests, manifests_)
      << "a manifest does not end: the old one is used";
}

TEST_F(Services, AManifestMayBePlacedAsXmlAndNobodyAsked) {
  settings_.nvidia_url.clear();
  fs::create_directories(settings_.store.folder);
  const auto put = [this](const std::string& name, ByteSpan xml) {
    std::ofstream(settings_.store.folder / name, std::ios::binary) << as_text(xml);
  };
  put("rim-NV-GPU-DRIVER-GH100-550-90-07.body", manifests_[0]);
  put("rim-NV-GPU-VBIOS-SIM-0000-000-96009F0001.body", manifests_[1]);
  EXPECT_TRUE(accepted(evidence_at(*gpu_node(), kNow), kNow));
  EXPECT_EQ(asked(), 0U);
}

TEST_F(Services, WhatAReportSaysNeverLeavesTheServicesPath) {
  gpus_ = gpus_of("../../x?y");
  EXPECT_EQ(evidence_at(*gpu_node(), kNow).gpu_manifests, std::vector<Bytes>{manifests_[1]});
  EXPECT_EQ(asked(), 1U);
}

TEST_F(Services, WhatIsKeptIsUsedByTheNextProcessUntilItIsOld) {
  evidence_at(*tdx_node(), kNow);
  age(0);
  const auto again = evidence_at(*tdx_node(), kNow + 3600);
  EXPECT_EQ(asked(), 4U) << "from the disk";
  EXPECT_TRUE(accepted(again, kNow + 3600));
  made_for(kNow + kDay);
  const auto later = evidence_at(*tdx_node(), kNow + kDay);
  EXPECT_EQ(asked(), 8U) << "older than refresh_s";
  EXPECT_EQ(*later.collateral, tdx_.collateral(kNow + kDay));
}

TEST_F(Services, IsRefreshedBeforeItEnds) {
  settings_.store.refresh_s = 400 * kDay;
  evidence_at(*tdx_node(), kNow);
  age(0);
  evidence_at(*tdx_node(), kNow + 27 * kDay);
  EXPECT_EQ(asked(), 4U);
  made_for(kNow + 29 * kDay);  // of 30; `ahead_s` is two days
  evidence_at(*tdx_node(), kNow + 29 * kDay);
  EXPECT_EQ(asked(), 8U);
}

TEST_F(Services, WhileAServiceIsInTroubleTheOldIsUsedAsLongAsItIsValid) {
  evidence_at(*tdx_node(), kNow);
  age(0);
  for (const std::string mode : {"500", "closed", "rubbish", "endless", "slow"}) {
    set_mode(mode);
    const auto evidence = evidence_at(*tdx_node(), kNow + kDay);
    ASSERT_TRUE(evidence.collateral) << mode;
    EXPECT_EQ(*evidence.collateral, tdx_.collateral(kNow)) << mode << ": never replaced by it";
    EXPECT_TRUE(accepted(evidence, kNow + kDay)) << mode;
  }
  set_mode("500");
  EXPECT_FALSE(evidence_at(*tdx_node(), kNow + 31 * kDay).collateral) << "it has ended";
  EXPECT_FALSE(evidence_at(*tdx_node(), kNow - kDay).collateral) << "it has not begun";
}

TEST_F(Services, WithoutAnythingUsableTheQuoteGoesOutAloneAndIsRefused) {
  for (const std::string mode : {"500", "closed", "rubbish", "endless", "slow"}) {
    set_mode(mode);
    const auto evidence = evidence_at(*tdx_node(), kNow);
    EXPECT_FALSE(evidence.collateral) << mode;
    EXPECT_FALSE(accepted(evidence, kNow)) << mode;
    const auto report = evidence_at(*snp_node(), kNow);
    EXPECT_TRUE(report.snp->vek.empty()) << mode;
    EXPECT_FALSE(accepted(report, kNow)) << mode;
  }
}

TEST_F(Services, AServiceThatFailedIsLeftAloneForAWhile) {
  const auto node = tdx_node();
  evidence_at(*node, kNow);
  age(0);
  set_mode("500");
  evidence_at(*node, kNow + kDay);
  EXPECT_EQ(asked(), 8U);
  evidence_at(*node, kNow + kDay + 30);
  EXPECT_EQ(asked(), 8U);
  evidence_at(*node, kNow + kDay + 61);
  EXPECT_EQ(asked(), 12U);
}

TEST_F(Services, DamagedAndForeignFilesAreFetchedAnew) {
  evidence_at(*tdx_node(), kNow);
  for (const auto& entry : fs::directory_iterator(settings_.store.folder)) {
    std::ofstream(entry.path(), std::ios::binary | std::ios::trunc) << "damaged";
  }
  age(0);
  EXPECT_TRUE(accepted(evidence_at(*tdx_node(), kNow), kNow));
  EXPECT_EQ(asked(), 8U);
}

TEST_F(Services, AnOperatorMayPlaceFilesAndAskNobody) {
  evidence_at(*snp_node(), kNow);
  evidence_at(*tdx_node(), kNow);
  age(0);
  const std::size_t before = asked();
  settings_.intel_url.clear();
  settings_.intel_root_crl_url.clear();
  settings_.amd_url.clear();
  EXPECT_TRUE(accepted(evidence_at(*tdx_node(), kNow + kDay), kNow + kDay));
  EXPECT_TRUE(accepted(evidence_at(*snp_node(), kNow + kDay), kNow + kDay));
  EXPECT_EQ(asked(), before);
}

TEST_F(Services, WhatAnotherRootSignedIsNeverTaken) {
  settings_.roots = attestation::TrustRoots::vendors();
  EXPECT_FALSE(evidence_at(*tdx_node(), kNow).collateral);
  EXPECT_TRUE(evidence_at(*snp_node(), kNow).snp->vek.empty());
}

TEST(SignedAnswer, KeepsTheExactTextOfTheObject) {
  const std::string signature(128, 'a');
  const std::string body = "{\"tcbInfo\":{ \"a\" : 1},\"signature\":\"" + signature + "\"}";
  const auto read = attestation::parse_signed_answer(body + "\n", "tcbInfo");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->text, "{ \"a\" : 1}");
  EXPECT_EQ(encode_hex(read->signature), signature);
  EXPECT_FALSE(attestation::parse_signed_answer(body, "enclaveIdentity"));
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(attestation::parse_signed_answer(body.substr(0, size), "tcbInfo")) << size;
  }
  EXPECT_FALSE(attestation::parse_signed_answer(
      "{\"tcbInfo\":1,\"signature\":\"" + signature + "\"}", "tcbInfo"));
}

// ---- OCSP answers and NVSwitches ----

/// A node with eight GPUs behind four NVSwitches.
class BoardServices : public Services {
 protected:
  BoardServices() {
    attestation::GpuSimulatorOptions options;
    options.protected_pcie = true;
    options.features = 2;
    options.switch_count = 4;
    const std::lock_guard lock(mutex_);
    gpus_ = attestation::test::gpu_simulator(options);
    manifests_ = gpus_.manifests();
    ocsp_answers_ = ocsp_answers_of(attestation::OcspStatus::Word::Good);
    settings_.nvidia_ocsp_url = server_.url();
  }

  std::unique_ptr<EvidenceSource> board_node() {
    auto machine = std::make_unique<BareSource>([this](const attestation::Statement& statement) {
      return tdx_.evidence(statement, kNow, attestation::test::measurements());
    });
    machine->ask_board = [this](const Digest& nonce) { return board_of(gpus_, 8, nonce); };
    return with_collateral(std::move(machine), settings_);
  }

  attestation::Verdict judge(const attestation::Evidence& evidence) const {
    attestation::Policy policy = attestation::test::simulated_policy();
    policy.gpu.require_ocsp = true;
    policy.gpu.switch_count = 4;
    return attestation::verify(evidence, evidence.statement, settings_.roots, kNow, policy);
  }

  void answer_revoked() {
    auto answers = ocsp_answers_of(attestation::OcspStatus::Word::Revoked);
    const std::lock_guard lock(mutex_);
    ocsp_answers_ = std::move(answers);
  }

  void set_ocsp_mode(const std::string& mode) {
    const std::lock_guard lock(mutex_);
    ocsp_mode_ = mode;
    ocsp_asked_ = 0;
  }

  std::size_t ocsp_asked() {
    const std::lock_guard lock(mutex_);
    return ocsp_asked_;
  }

  /// Of each GPU and switch one, two shared by each kind, and the manifests' signers with their
  /// CAs.
  static constexpr std::size_t kSubjects = 8 + 2 + 4 + 1 + 3;
};

TEST_F(BoardServices, AnswersAboutAllCertificatesComeBesideTheReports) {
  const auto node = board_node();
  const auto evidence = evidence_at(*node, kNow);
  EXPECT_EQ(evidence.switch_reports.size(), 4U);
  EXPECT_EQ(evidence.gpu_manifests.size(), 3U);
  EXPECT_EQ(ocsp_asked(), evidence.ocsp_answers.size());
  EXPECT_EQ(evidence.ocsp_answers.size(), kSubjects);
  const auto verdict = judge(evidence);
  EXPECT_TRUE(verdict.accepted) << attestation::explain(verdict);
  age(0);
  EXPECT_EQ(evidence_at(*node, kNow + 3600).ocsp_answers, evidence.ocsp_answers);
  EXPECT_EQ(ocsp_asked(), kSubjects) << "kept";
  evidence_at(*node, kNow + kDay - 7'000);
  EXPECT_GT(ocsp_asked(), kSubjects) << "asked anew before they end";
}

TEST_F(BoardServices, ARevokedDeviceIsToldToClients) {
  answer_revoked();
  const auto evidence = evidence_at(*board_node(), kNow);
  EXPECT_EQ(evidence.ocsp_answers.size(), kSubjects);
  const auto verdict = judge(evidence);
  EXPECT_EQ(attestation::test::status_of(verdict, "gpu_revocation"),
            attestation::CheckStatus::Failed);
}

TEST_F(BoardServices, AResponderThatIsAwayIsAskedOnceAndNothingElseSuffers) {
  set_ocsp_mode("500");
  const auto evidence = evidence_at(*board_node(), kNow);
  EXPECT_TRUE(evidence.ocsp_answers.empty());
  EXPECT_EQ(ocsp_asked(), 1U);
  EXPECT_EQ(evidence.gpu_manifests.size(), 3U);
  const auto verdict = judge(evidence);
  EXPECT_EQ(attestation::test::status_of(verdict, "gpu_revocation"),
            attestation::CheckStatus::NotChecked);
}

}  // namespace
}  // namespace nostril::node
