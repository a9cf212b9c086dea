// `nostril verify report --url`, run as a process against a provider of the test's own: HTTPS with
// a fresh certificate, simulated reports that bind its key and the nonce that was asked with.
#include "client/report_fetch.h"

#include "attestation/gpu_simulator.h"
#include "attestation/snp_report.h"
#include "attestation/vendor_services.h"
#include "base/base64.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/percent.h"
#include "net/server.h"
#include "schnorr/hash.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/snp_fixtures.h"
#include "tests/attestation/vector_case.h"
#include "tests/net/support.h"
#include "tests/net/test_certificate.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

using attestation::test::filled;
using attestation::test::kNow;
using ::testing::HasSubstr;

// ---- the URL ----

constexpr const char* kHex = "0102";

std::string url_of(std::string_view base, std::string_view model = {}) {
  const Bytes nonce = {1, 2};
  const auto out = report_url(base, nonce, model);
  return out ? *out : "refused: " + out.error();
}

TEST(ReportUrl, AddsWhatEachProvidersApiWants) {
  const std::string nonce = std::string("nonce=") + kHex;
  EXPECT_EQ(url_of("https://a.example"),
            "https://a.example/v1/attestation/report?include_tls_fingerprint=true&" + nonce);
  EXPECT_EQ(url_of("https://a.example/v1/attestation/report?signing_algo=ed25519", "Qwen/Q 3"),
            "https://a.example/v1/attestation/report?signing_algo=ed25519&model=Qwen%2FQ%203&"
            "include_tls_fingerprint=true&" +
                nonce);
  EXPECT_EQ(
      url_of("https://a.example/v1/attestation/report?include_tls_fingerprint=false&model=a", "b"),
      "https://a.example/v1/attestation/report?include_tls_fingerprint=false&model=a&" + nonce);
  EXPECT_EQ(url_of("https://api.venice.example/api/v1/tee/attestation?model=m"),
            "https://api.venice.example/api/v1/tee/attestation?model=m&" + nonce);
  EXPECT_EQ(url_of("https://t.example:8443/.well-known/tinfoil-attestation"),
            "https://t.example:8443/.well-known/tinfoil-attestation?" + nonce);
  EXPECT_EQ(url_of("http://127.0.0.1:8080/"),
            "http://127.0.0.1:8080/v1/attestation/report?" + nonce);
}

TEST(ReportUrl, RefusesOpenHttpAndANonceOfTheUrl) {
  for (const char* base : {"http://a.example/", "http://127.0.0.1.a.example/", "http://10.0.0.1/",
                           "ws://127.0.0.1/", "ftp://127.0.0.1/", "https://user@a.example/", "a",
                           "", "https://a.example/?x=1&nonce=00", "https://a.example/?nonce"}) {
    EXPECT_THAT(url_of(base), HasSubstr("refused: ")) << base;
  }
  EXPECT_THAT(url_of("https://a.example/" + std::string(2'040, 'a')), HasSubstr("too long"));
  EXPECT_THAT(url_of("https://a.example/?noncense=1"), HasSubstr("noncense=1&nonce="));
}

// ---- the call ----

/// Answers on 127.0.0.1, on a thread of its own.
class Provider : public net::ServerHandler {
 public:
  using Answer = std::function<void(net::Server&, net::ConnectionId, const net::HttpRequest&)>;

  explicit Provider(Answer answer, const net::TlsConfig& tls = {}) : answer_(std::move(answer)) {
    thread_.call([&] {
      net::ListenConfig listen;
      listen.tls = tls;
      server_ = std::make_unique<net::Server>(thread_.loop(), *this, listen);
      return true;
    });
  }

  ~Provider() override {
    thread_.call([this] {
      server_.reset();
      return true;
    });
  }

  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;
  Provider(Provider&&) = delete;
  Provider& operator=(Provider&&) = delete;

  void on_http(net::ConnectionId id, const net::HttpRequest& request) override {
    seen_.push_back(request);
    answer_(*server_, id, request);
  }

  std::string authority() {
    return fmt::format("127.0.0.1:{}", thread_.call([this] { return server_->local_port(); }));
  }

  std::vector<net::HttpRequest> seen() {
    return thread_.call([this] { return seen_; });
  }

 private:
  Answer answer_;
  net::LoopThread thread_;
  std::unique_ptr<net::Server> server_;
  std::vector<net::HttpRequest> seen_;
};

Bytes query_hex(const net::HttpRequest& request, const std::string& name) {
  const std::size_t at = ("&" + request.query).find("&" + name + "=");
  if (at == std::string::npos) return {};
  const std::string rest = request.query.substr(at + name.size() + 1);
  return decode_hex(rest.substr(0, rest.find('&'))).value_or(Bytes{});
}

/// The key of a certificate file, by another way than the program's.
Digest key_of(const std::string& certificate_path) {
  std::FILE* file = std::fopen(certificate_path.c_str(), "r");
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_X509(file, nullptr, nullptr, nullptr), X509_free);
  std::fclose(file);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(X509_get0_pubkey(certificate.get()), &der);
  const Digest out = sha256(ByteSpan(der, static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return out;
}

/// A machine of the form "tinfoil": a simulated TDX quote that binds a TLS key and a nonce, and,
/// when asked, the reports of simulated GPUs.
struct Machine {
  attestation::Simulator cpu = attestation::test::simulator();
  attestation::GpuSimulator gpu{filled(9)};

  [[nodiscard]] std::string report(const Digest& tls_key, const Bytes& nonce, bool gpus) const {
    const auto hpke = filled(0x77);
    Sha256 hash;
    hash.update(ByteSpan(tls_key.bytes)).update(ByteSpan(hpke)).update(ByteSpan(nonce));
    JsonWriter data;
    data.begin_object().key("tls_key_fp").string(encode_hex(tls_key));
    data.key("hpke_key").string(encode_hex(hpke)).key("nonce").string(encode_hex(nonce));
    const std::string gpu_text = gpus ? gpu_part(nonce) : "";
    if (gpus) {
      const Digest digest = sha256(gpu_text);
      hash.update(ByteSpan(digest.bytes));
      data.key("gpu_evidence_hash").string(encode_hex(digest));
    }
    const Digest bound = hash.finish();
    std::array<std::uint8_t, 64> report_data{};
    std::copy(bound.bytes.begin(), bound.bytes.end(), report_data.begin());
    const Bytes quote = cpu.tdx_quote(report_data, attestation::test::measurements());
    JsonWriter out;
    out.begin_object().key("format").string("https://tinfoil.sh/predicate/attestation/v3");
    out.key("report_data").raw(std::move(data.end_object()).take());
    out.key("cpu").begin_object().key("platform").string("tdx");
    out.key("report").string(encode_base64(quote)).end_object();
    if (gpus) out.key("gpu").raw(gpu_text);
    return std::move(out.end_object()).take();
  }

 private:
  [[nodiscard]] std::string gpu_part(const Bytes& nonce) const {
    std::array<std::uint8_t, 32> asked{};
    std::copy_n(nonce.begin(), std::min(nonce.size(), asked.size()), asked.begin());
    JsonWriter out;
    out.begin_object().key("evidences").begin_array();
    for (const auto& [report, chain] : gpu.evidence(2, asked)) {
      out.begin_object().key("evidence").string(encode_base64(report));
      out.key("certificate").string(encode_base64(chain)).end_object();
    }
    return std::move(out.end_array().end_object()).take();
  }
};

struct Outcome {
  int exit = -1;
  std::string output;
  Json verdict;
};

class VerifyUrl : public ::testing::Test {
 protected:
  std::string write(const std::string& name, std::string_view bytes) const {
    std::string path = (temp_.path() / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  /// `nostril verify report`; what it says on standard error comes before its output.
  static Outcome run(const std::vector<std::string>& more) {
    std::vector<std::string> command = {"/bin/sh",
                                        "-c",
                                        R"(exec "$0" "$@" 2>&1)",
                                        nostril::test::program("nostril"),
                                        "verify",
                                        "report",
                                        "--json",
                                        "--now",
                                        fmt::format("{}", kNow)};
    command.insert(command.end(), more.begin(), more.end());
    nostril::test::Process process(command);
    Outcome out;
    out.output = process.read_all();
    out.exit = process.wait().value_or(-1);
    const std::size_t json = out.output.find('{');
    if (json != std::string::npos) {
      out.verdict = Json::parse(std::string_view(out.output).substr(json)).value_or(Json());
    }
    return out;
  }

  [[nodiscard]] std::vector<std::string> ask(Provider& provider,
                                             const std::vector<std::string>& more = {}) const {
    std::vector<std::string> out = {"--url", "https://" + provider.authority(), "--ca-file",
                                    certificate_.certificate_path};
    out.insert(out.end(), evidence_.begin(), evidence_.end());
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }

  /// Answers every call with a report over the nonce in it and this key.
  Provider::Answer answer_over(const Digest& key, bool gpus = false) const {
    return [this, key, gpus](net::Server& server, net::ConnectionId id,
                             const net::HttpRequest& request) {
      const std::string body = machine_.report(key, query_hex(request, "nonce"), gpus);
      server.respond(id, {200, {{"Content-Type", "application/json"}}, body});
    };
  }

  static std::vector<std::string> failed(const Outcome& outcome) {
    std::vector<std::string> out;
    const Json* list = outcome.verdict.find("failed");
    if (list == nullptr) return {outcome.output};
    for (const Json& item : list->items()) out.emplace_back(*item.find_string("check"));
    return out;
  }

  const nostril::test::TempDir temp_;
  const net::TestCertificate certificate_{"IP:127.0.0.1"};
  const net::TlsConfig tls_{certificate_.certificate_path, certificate_.key_path};
  const Digest key_ = key_of(certificate_.certificate_path);
  const Machine machine_;
  const std::vector<std::string> evidence_ = {
      "--root", write("cpu-root.der", as_text(machine_.cpu.root_der())), "--collateral",
      write("collateral.json", attestation::test::to_json(attestation::test::collateral_fields(
                                   machine_.cpu.collateral(kNow))))};
};

using Names = std::vector<std::string>;

TEST_F(VerifyUrl, AsksWithAFreshNonceAndBindsTheConnectionsKey) {
  Provider provider(answer_over(key_), tls_);
  const std::string saved = (temp_.path() / "saved.json").string();
  const Outcome done = run(ask(provider, {"--save", saved, "--model", "a/b"}));
  EXPECT_EQ(done.exit, 0) << done.output;
  EXPECT_EQ(done.verdict.find_boolean("simulated"), true);
  const Json& asked = *done.verdict.find("claims")->find("asked");
  EXPECT_EQ(asked.find_string("peer_spki_sha256"), encode_hex(key_));
  ASSERT_EQ(provider.seen().size(), 1U);
  const net::HttpRequest first = provider.seen().front();
  EXPECT_EQ(first.path, "/v1/attestation/report");
  EXPECT_THAT(first.query, HasSubstr("model=a%2Fb&include_tls_fingerprint=true&nonce="));
  const Bytes nonce = query_hex(first, "nonce");
  EXPECT_EQ(nonce.size(), 32U);
  EXPECT_EQ(asked.find_string("nonce"), encode_hex(nonce));

  // Another machine has the same bytes and no network.
  EXPECT_THAT(done.output,
              HasSubstr(fmt::format("again    nostril verify report --file {} --now {} --nonce {} "
                                    "--peer-spki {}\n",
                                    saved, kNow, encode_hex(nonce), encode_hex(key_))));
  std::vector<std::string> offline = {"--file",          saved,         "--nonce",
                                      encode_hex(nonce), "--peer-spki", encode_hex(key_)};
  offline.insert(offline.end(), evidence_.begin(), evidence_.end());
  EXPECT_EQ(run(offline).exit, 0);

  EXPECT_EQ(run(ask(provider)).exit, 0);
  EXPECT_NE(query_hex(provider.seen().back(), "nonce"), nonce);
  const std::string own(64, 'a');
  EXPECT_EQ(run(ask(provider, {"--nonce", own})).exit, 0);
  EXPECT_EQ(encode_hex(query_hex(provider.seen().back(), "nonce")), own);
}

TEST_F(VerifyUrl, RefusesAReportOfAnotherConnectionOrAnotherNonce) {
  Provider other_key(answer_over(sha256("another key")), tls_);
  EXPECT_EQ(failed(run(ask(other_key))), Names{"peer_key"});
  Provider stale(
      [this](net::Server& server, net::ConnectionId id, const net::HttpRequest&) {
        server.respond(id, {200, {}, machine_.report(key_, Bytes(32, 5), false)});
      },
      tls_);
  const Outcome done = run(ask(stale));
  EXPECT_EQ(done.exit, 1);
  EXPECT_EQ(failed(done), Names{"nonce"});
  Provider no_report(
      [](net::Server& server, net::ConnectionId id, const net::HttpRequest&) {
        server.respond(id, {200, {}, "<html>"});
      },
      tls_);
  EXPECT_EQ(failed(run(ask(no_report))), Names{"report_format"});
}

TEST_F(VerifyUrl, OpenHttpToThisMachineBindsNoKey) {
  Provider provider(answer_over(key_));
  std::vector<std::string> command = {"--url", "http://" + provider.authority()};
  command.insert(command.end(), evidence_.begin(), evidence_.end());
  const Outcome done = run(command);
  EXPECT_EQ(done.exit, 1);
  EXPECT_EQ(failed(done), Names{"peer_key"});
}

TEST_F(VerifyUrl, AnAnswerThatIsNoneIsUnusable) {
  const auto expect_unusable = [&](const Provider::Answer& answer, const std::string& why,
                                   const std::vector<std::string>& more = {}) {
    Provider provider(answer, tls_);
    const auto start = std::chrono::steady_clock::now();
    const Outcome done = run(ask(provider, more));
    EXPECT_EQ(done.exit, 2) << done.output;
    EXPECT_THAT(done.output, HasSubstr(why));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
    EXPECT_EQ(provider.seen().size(), 1U) << "nothing is followed, nothing asked again";
  };
  const auto status = [this](int code, net::HttpHeaders headers) {
    return [this, code, headers](net::Server& server, net::ConnectionId id,
                                 const net::HttpRequest& request) {
      server.respond(id,
                     {code, headers, machine_.report(key_, query_hex(request, "nonce"), false)});
    };
  };
  expect_unusable(status(302, {{"Location", "/v1/attestation/report"}}),
                  "HTTP status 302: redirects are not followed");
  expect_unusable(status(503, {}), "HTTP status 503");
  expect_unusable(
      [](net::Server& server, net::ConnectionId id, const net::HttpRequest&) {
        server.respond(id, {200, {}, std::string((2U << 20U) + 1, ' ')});
      },
      "answer too large");
  expect_unusable([](net::Server&, net::ConnectionId, const net::HttpRequest&) {},
                  "no answer in time", {"--timeout", "1"});
  expect_unusable(
      [](net::Server& server, net::ConnectionId id, const net::HttpRequest&) {
        server.start_stream(id, 200, {});
        server.write_stream(id, "{");
      },
      "answer within", {"--timeout", "1"});
  expect_unusable(
      [](net::Server& server, net::ConnectionId id, const net::HttpRequest&) { server.drop(id); },
      "connection broken");
}

TEST_F(VerifyUrl, TrustsNoCertificateThatNobodyNamed) {
  Provider provider(answer_over(key_), tls_);
  const Outcome done = run({"--url", "https://" + provider.authority()});
  EXPECT_EQ(done.exit, 2) << done.output;
  EXPECT_THAT(done.output, HasSubstr("TLS failed"));
  EXPECT_TRUE(provider.seen().empty());
  EXPECT_EQ(run({"--url", "https://127.0.0.1:1"}).exit, 2);
}

TEST_F(VerifyUrl, SendsTheServicesKeyAndNeverShowsIt) {
  Provider provider(answer_over(key_), tls_);
  const std::string file = write("key", "sk-secret\n");
  const Outcome done = run(ask(provider, {"--api-key", file, "--explain"}));
  EXPECT_EQ(done.exit, 0) << done.output;
  EXPECT_EQ(provider.seen().back().headers.find("Authorization"), "Bearer sk-secret");
  EXPECT_THAT(done.output, ::testing::Not(HasSubstr("sk-secret")));
  EXPECT_EQ(run(ask(provider, {"--api-key", write("two", "a\nb")})).exit, 2);
}

TEST_F(VerifyUrl, ProcessorAndGpusMayBeSimulatedTogetherWhenBothRootsAreNamed) {
  Provider provider(answer_over(key_, true), tls_);
  std::vector<std::string> rims;
  int count = 0;
  for (const Bytes& rim : machine_.gpu.manifests()) {
    rims.insert(rims.end(), {"--rim", write(fmt::format("rim{}.xml", count++), as_text(rim))});
  }
  EXPECT_EQ(failed(run(ask(provider, rims))).front(), "gpu_chain");
  rims.insert(rims.end(), {"--root", write("gpu-root.der", as_text(machine_.gpu.root_der()))});
  const Outcome done = run(ask(provider, rims));
  EXPECT_EQ(done.exit, 0) << done.output;
  EXPECT_EQ(done.verdict.find_boolean("simulated"), true);
  EXPECT_EQ(done.verdict.find("claims")->find("root_files")->items().size(), 2U);
  const Outcome gpu_only =
      run({"--file", write("r.json", machine_.report(key_, Bytes(32, 1), true)), "--nonce",
           encode_hex(Bytes(32, 1)), "--peer-spki", encode_hex(key_), "--root",
           (temp_.path() / "gpu-root.der")});
  EXPECT_EQ(failed(gpu_only).front(), "pck_chain");
}

// ---- collateral that is asked for ----

/// Intel's service beside a saved report of the machine.
class FetchCollateral : public VerifyUrl {
 protected:
  FetchCollateral() { all_ = machine_.cpu.collateral(kNow); }

  /// What the service answers to this target; empty: nothing is there.
  net::HttpResponse sound(const std::string& target) const {
    const auto answer = [](const std::string& member, const std::string& text, ByteSpan signature) {
      return "{\"" + member + "\":" + text + ",\"signature\":\"" + encode_hex(signature) + "\"}";
    };
    if (target == "/tdx/certification/v4/tcb?fmspc=514d00000000") {
      return {200,
              {{"TCB-Info-Issuer-Chain", percent_encode(all_.tcb_info_issuer_chain)}},
              answer("tcbInfo", all_.tcb_info, all_.tcb_info_signature)};
    }
    if (target == "/tdx/certification/v4/qe/identity") {
      return {
          200,
          {{"SGX-Enclave-Identity-Issuer-Chain", percent_encode(all_.qe_identity_issuer_chain)}},
          answer("enclaveIdentity", all_.qe_identity, all_.qe_identity_signature)};
    }
    if (target == "/sgx/certification/v4/pckcrl?ca=platform&encoding=der") {
      return {200, {}, std::string(as_text(all_.pck_crl))};
    }
    if (target == "/sgx/certification/v4/rootcacrl") {
      return {200, {}, encode_hex(all_.root_ca_crl)};
    }
    return {404, {}, ""};
  }

  static std::string target_of(const net::HttpRequest& request) {
    return request.path + (request.query.empty() ? "" : "?" + request.query);
  }

  /// Judges the saved report with what `service` says.
  Outcome judge(Provider& service, const std::vector<std::string>& more = {}) {
    const auto nonce = filled(0x21);
    const std::string report = machine_.report(key_, Bytes(nonce.begin(), nonce.end()), false);
    std::vector<std::string> command = {"--file",
                                        write("report.json", report),
                                        "--nonce",
                                        encode_hex(nonce),
                                        "--peer-spki",
                                        encode_hex(key_),
                                        "--root",
                                        evidence_[1],
                                        "--fetch-collateral",
                                        "--intel-url",
                                        "http://" + service.authority()};
    command.insert(command.end(), more.begin(), more.end());
    return run(command);
  }

  attestation::Collateral all_;
};

TEST_F(FetchCollateral, IsAskedForAndJudged) {
  Provider service(
      [this](net::Server& server, net::ConnectionId id, const net::HttpRequest& request) {
        server.respond(id, sound(target_of(request)));
      });
  const Outcome done = judge(service);
  EXPECT_EQ(done.exit, 0) << done.output;
  EXPECT_EQ(service.seen().size(), 4U);
  // The service is not trusted: old collateral refuses as a file of it would.
  all_ = machine_.cpu.collateral(kNow - 400 * 86'400);
  const Outcome old = judge(service);
  EXPECT_EQ(old.exit, 1) << old.output;
  EXPECT_THAT(failed(old), ::testing::Contains("tcb_info"));
}

TEST_F(FetchCollateral, NobodyIsAskedUnlessToldTo) {
  Provider service(
      [this](net::Server& server, net::ConnectionId id, const net::HttpRequest& request) {
        server.respond(id, sound(target_of(request)));
      });
  EXPECT_EQ(run({"--file", "/nowhere", "--intel-url", "http://" + service.authority()}).exit, 2);
  const auto nonce = filled(0x21);
  const std::string report = machine_.report(key_, Bytes(nonce.begin(), nonce.end()), false);
  const Outcome done = run({"--file", write("report.json", report), "--nonce", encode_hex(nonce),
                            "--peer-spki", encode_hex(key_), "--root", evidence_[1]});
  EXPECT_EQ(done.exit, 1);
  EXPECT_THAT(failed(done), ::testing::Contains("tcb_info"));
  EXPECT_TRUE(service.seen().empty());
}

TEST_F(FetchCollateral, AServiceThatFailsMakesTheCommandUnusableAndSaysWhere) {
  std::string mode;
  std::vector<net::ConnectionId> held;
  Provider service([&](net::Server& server, net::ConnectionId id, const net::HttpRequest& request) {
    net::HttpResponse out = sound(target_of(request));
    if (mode == "missing") out = {404, {}, ""};
    if (mode == "elsewhere") out = {302, {{"Location", "/x"}}, ""};
    if (mode == "large") out.body = std::string((1U << 20U) + 1, 'x');
    if (mode == "rubbish") out.body = "{}";
    if (mode == "no chain") out.headers = {};
    if (mode == "silent") return held.push_back(id);
    server.respond(id, std::move(out));
  });
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"missing", "/tdx/certification/v4/tcb?fmspc=514d00000000: HTTP status 404"},
      {"elsewhere", "redirects are not followed"},
      {"large", "/tdx/certification/v4/tcb"},
      {"rubbish", "an answer is none of Intel's"},
      {"no chain", "no issuer chain in TCB-Info-Issuer-Chain"},
      {"silent", "in time"},
  };
  for (const auto& [name, reason] : cases) {
    mode = name;
    const Outcome done = judge(service, {"--timeout", "1"});
    EXPECT_EQ(done.exit, 2) << name;
    EXPECT_THAT(done.output, HasSubstr(reason)) << name;
  }
}

/// AMD's key server beside a saved report of a simulated SEV-SNP machine.
class FetchAmd : public VerifyUrl {
 protected:
  FetchAmd() {
    const auto nonce = filled(0x21);
    const auto hpke = filled(0x44);
    const Digest digest =
        Sha256().update(key_.span()).update(ByteSpan(hpke)).update(ByteSpan(nonce)).finish();
    std::array<std::uint8_t, 64> report_data{};
    std::ranges::copy(digest.bytes, report_data.begin());
    made_ = snp_.evidence(report_data, attestation::test::measurement(0xa0));
    crl_ = snp_.crl(kNow);
    const auto parsed = attestation::parse_snp_report(made_.report).value();
    vcek_target_ = attestation::amd_vcek_path(parsed).value();
    report_ = fmt::format(
        R"({{"format":"https://tinfoil.sh/predicate/attestation/v3","report_data":{{"tls_key_fp":"{}",)"
        R"("hpke_key":"{}","nonce":"{}"}},"cpu":{{"platform":"sev-snp","report":"{}"}}}})",
        encode_hex(key_), encode_hex(ByteSpan(hpke)), encode_hex(ByteSpan(nonce)),
        encode_base64(made_.report));
  }

  /// What the server answers to this target.
  [[nodiscard]] net::HttpResponse sound(const std::string& target) const {
    if (target == vcek_target_) {
      return {200, {}, std::string(as_text(made_.certificates.vek))};
    }
    if (target == "/vcek/v1/Milan/crl") return {200, {}, std::string(as_text(crl_))};
    return {404, {}, ""};
  }

  static std::string target_of(const net::HttpRequest& request) {
    return request.path + (request.query.empty() ? "" : "?" + request.query);
  }

  Outcome judge(Provider& service, const std::vector<std::string>& more = {}) {
    std::vector<std::string> command = {"--file",
                                        write("snp.json", report_),
                                        "--nonce",
                                        encode_hex(filled(0x21)),
                                        "--peer-spki",
                                        encode_hex(key_),
                                        "--root",
                                        write("ark.der", as_text(snp_.root_der())),
                                        "--chain",
                                        write("chain.pem", made_.certificates.chain),
                                        "--fetch-collateral",
                                        "--amd-url",
                                        "http://" + service.authority()};
    command.insert(command.end(), more.begin(), more.end());
    return run(command);
  }

  const attestation::SnpSimulator snp_ = attestation::test::snp_simulator();
  attestation::SnpEvidence made_;
  Bytes crl_;
  std::string vcek_target_;
  std::string report_;
};

TEST_F(FetchAmd, CertificateAndCrlAreAskedForAndJudged) {
  Provider service(
      [this](net::Server& server, net::ConnectionId id, const net::HttpRequest& request) {
        server.respond(id, sound(target_of(request)));
      });
  const Outcome done = judge(service);
  EXPECT_EQ(done.exit, 0) << done.output;
  EXPECT_EQ(done.verdict.find_boolean("simulated"), true);
  ASSERT_EQ(service.seen().size(), 2U);
  // What is asked names the chip and the patch level of the report, and nothing else.
  EXPECT_THAT(vcek_target_, HasSubstr("/vcek/v1/Milan/"));
  EXPECT_THAT(vcek_target_, HasSubstr("blSPL=04&teeSPL=00&snpSPL=23&ucodeSPL=213"));
}

TEST_F(FetchAmd, TheServerIsNotTrusted) {
  attestation::SnpSimulatorOptions other;
  other.reported_tcb = {0, 4, 0, 22, 213};
  other.revoke_issuer = true;
  const attestation::SnpSimulator another = attestation::test::snp_simulator(other);
  std::string mode;
  Provider service([&](net::Server& server, net::ConnectionId id, const net::HttpRequest& request) {
    net::HttpResponse out = sound(target_of(request));
    const bool crl = request.path.ends_with("crl");
    const auto data = attestation::test::snp_report_data();
    if (mode == "other level" && !crl) {
      const auto made = another.evidence(data, attestation::test::measurement(0xa0));
      out.body = as_text(made.certificates.vek);
    }
    if (mode == "revoked" && crl) out.body = as_text(another.crl(kNow));
    if (mode == "old" && crl) out.body = as_text(snp_.crl(kNow - 400 * 86'400));
    if (mode == "no certificate" && !crl) out.body = "sorry";
    server.respond(id, std::move(out));
  });
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"other level", "tcb"},
      {"revoked", "revocation"},
      {"old", "revocation"},
      {"no certificate", "vek_chain"},
  };
  for (const auto& [name, check] : cases) {
    mode = name;
    const Outcome done = judge(service);
    EXPECT_EQ(done.exit, 1) << name << done.output;
    EXPECT_THAT(failed(done), ::testing::Contains(check)) << name;
  }
}

TEST_F(FetchAmd, AServerThatFailsMakesTheCommandUnusableAndSaysWhere) {
  std::string missing;
  Provider service([&](net::Server& server, net::ConnectionId id, const net::HttpRequest& request) {
    const bool gone = target_of(request).find(missing) != std::string::npos;
    server.respond(id, gone ? net::HttpResponse{404, {}, ""} : sound(target_of(request)));
  });
  for (const char* part : {"blSPL", "/crl"}) {
    missing = part;
    const Outcome done = judge(service);
    EXPECT_EQ(done.exit, 2) << part;
    EXPECT_THAT(done.output, HasSubstr(part)) << part;
    EXPECT_THAT(done.output, HasSubstr("HTTP status 404")) << part;
  }
}

}  // namespace
}  // namespace nostril::client
