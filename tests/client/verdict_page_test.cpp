// The verdict's page: what it says, and that nothing of the evidence can speak for it.
#include "client/verdict_page.h"

#include "attestation/nras_simulator.h"
#include "base/base64.h"
#include "client/verdict_html.h"
#include "schnorr/hash.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/gpu_fixtures.h"
#include "tests/attestation/snp_fixtures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

using attestation::CheckStatus;
using attestation::Verdict;
using attestation::test::kNow;
using ::testing::HasSubstr;
using ::testing::Not;

const PageContext kContext{"a node", "", kNow};

/// The names of all elements, and a failure for anything that does not look like our own markup.
std::multiset<std::string> elements_of(const std::string& page) {
  std::multiset<std::string> out;
  for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    std::size_t from = at + 1;
    if (page[from] == '/' || page[from] == '!') ++from;
    const std::size_t end = page.find_first_of(" >\n", from);
    out.insert(page.substr(from, end - from));
  }
  return out;
}

const std::vector<std::string> kHostile = {"<script>alert(1)</script>",
                                           "\"><img src=x onerror=alert(1)>",
                                           "' onmouseover='alert(1)",
                                           "</style><script>alert(1)</script>",
                                           "</bdi></li></ul><h1>ACCEPTED</h1>",
                                           "<!--",
                                           "]]>",
                                           "&lt;script&gt;",
                                           "javascript:alert(1)",
                                           "<svg/onload=alert(1)>",
                                           "\xe2\x80\xae"
                                           "DETPECCA",
                                           std::string("nul\0byte", 8),
                                           "new\nline"};

/// A verdict whose every text is `text`.
Verdict verdict_of(const std::string& text, const std::string& platform) {
  Verdict out;
  out.platform = platform;
  out.tcb_status = text;
  out.advisories = {text};
  for (const CheckStatus status :
       {CheckStatus::Passed, CheckStatus::Failed, CheckStatus::NotChecked, CheckStatus::Excepted}) {
    out.checks.push_back({text, status, true, text, text, text, text});
  }
  out.checks.push_back({"pck_chain", CheckStatus::Failed, true, text, text, text, text});
  for (const char* name : {"fmspc", "root_sha256", "measurement", "csp_id", "other"}) {
    out.claims.push_back({name, text, text});
  }
  out.claims.push_back({text, std::vector<std::string>{text, text}, text});
  out.statement = attestation::test::statement();
  return out;
}

TEST(VerdictPage, EscapesWhatHasMeaningInHtml) {
  EXPECT_EQ(escape_html("<a href=\"x\" id='y'>&"),
            "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;");
  EXPECT_EQ(escape_html(std::string("a\0b\n\x7f", 5)),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(escape_html("\xc3\xa9"), "\xc3\xa9");
}

TEST(VerdictPage, HostileEvidenceAddsNoElementAndNoAttribute) {
  for (const char* platform : {"tdx", "snp", ""}) {
    const auto plain = elements_of(verdict_page(verdict_of("plain", platform), kContext));
    EXPECT_EQ(plain.count("script"), 0U);
    for (const std::string& text : kHostile) {
      const std::string page = verdict_page(verdict_of(text, platform), {text, text, kNow});
      auto found = elements_of(page);
      auto wanted =
          elements_of(verdict_page(verdict_of("plain", platform), {"plain", "plain", kNow}));
      EXPECT_EQ(found, wanted) << text;
      EXPECT_THAT(page, Not(HasSubstr("<script"))) << text;
      EXPECT_THAT(page, Not(HasSubstr("onerror=alert(1)>"))) << text;
      EXPECT_THAT(page, Not(HasSubstr("' onmouseover"))) << text;
    }
  }
}

TEST(VerdictPage, ForbidsScriptsAndLoadsNothing) {
  const std::string page = verdict_page(verdict_of("x", "tdx"), kContext);
  EXPECT_THAT(page,
              HasSubstr("Content-Security-Policy\" content=\"default-src 'none'; style-src "));
  const std::size_t from = page.find("<style>") + 7;
  const std::string style = page.substr(from, page.find("</style>") - from);
  EXPECT_THAT(page, HasSubstr("'sha256-" + encode_base64(sha256(style).bytes) + "'"));
  for (const char* loading :
       {"http://", "https://", "url(", "@import", " src=", " href=", " style="}) {
    EXPECT_THAT(page, Not(HasSubstr(loading)));
  }
}

TEST(VerdictPage, SaysTheVerdictFirstAndEachReasonWithFoundAndWanted) {
  attestation::SimulatorOptions options;
  options.tcb_status = "OutOfDate";
  options.advisories = {"INTEL-SA-00001"};
  const attestation::Simulator sim = attestation::test::simulator(options);
  const Verdict verdict = attestation::test::judge(sim, attestation::test::sound_evidence(sim));
  const std::string page = verdict_page(verdict, kContext);
  const std::size_t headline = page.find("<h1>REFUSED (SIMULATED EVIDENCE - not a TEE)</h1>");
  const std::size_t why = page.find("<b>tcb</b>: found <bdi class=\"value\">OutOfDate with INTEL");
  ASSERT_NE(headline, std::string::npos);
  ASSERT_NE(why, std::string::npos);
  EXPECT_LT(headline, page.find("class=\"simulated\""));
  EXPECT_LT(headline, why);
  EXPECT_LT(why, page.find("Root certificate"));
  for (const attestation::Check& check : verdict.checks) {
    EXPECT_THAT(page, HasSubstr("<b>" + check.name + "</b>"));
  }
}

/// `titles` stand in the page in this order.
void expect_in_order(const std::string& page, const std::vector<std::string>& titles) {
  std::size_t last = 0;
  for (const std::string& title : titles) {
    const std::size_t at = page.find(title, last);
    ASSERT_NE(at, std::string::npos) << title << "\n" << page;
    last = at;
  }
}

TEST(VerdictPage, DrawsTheChainOfEachPlatformInItsOrder) {
  const attestation::Simulator sim = attestation::test::simulator();
  const attestation::SnpSimulator snp = attestation::test::snp_simulator();
  attestation::SnpPolicy snp_policy;
  snp_policy.accept_simulated = true;
  const std::string tdx_page =
      verdict_page(attestation::test::judge(sim, attestation::test::sound_evidence(sim)), kContext);
  const std::string snp_page = verdict_page(
      attestation::verify_snp(attestation::test::snp_evidence(snp),
                              attestation::TrustRoots::with_test_root(snp.root_der()).value(), kNow,
                              snp_policy),
      kContext);
  expect_in_order(
      tdx_page, {"Root certificate", "PCK CA", "PCK certificate of the platform", "Quoting enclave",
                 "Attestation key", "Quote", "Statement of the node"});
  expect_in_order(snp_page, {"AMD root key (ARK)", "ASK or ASVK", "VCEK or VLEK of the chip",
                             "Report", "Report data"});
  EXPECT_THAT(tdx_page, HasSubstr("<h1>ACCEPTED (SIMULATED EVIDENCE - not a TEE)</h1>"));
  EXPECT_THAT(tdx_page, Not(HasSubstr("REFUSED:")));
  EXPECT_THAT(tdx_page, HasSubstr("proven, but not checked: measurements"));
}

std::size_t count_of(const std::string& page, const std::string& text) {
  std::size_t out = 0;
  for (std::size_t at = 0; (at = page.find(text, at)) != std::string::npos; ++at) ++out;
  return out;
}

TEST(VerdictPage, DrawsGpusWithTheirManifestsAndWhoseCertificateEachBoxIs) {
  const attestation::GpuSimulator sim = attestation::test::gpu_simulator();
  const auto gpus = sim.evidence(2, attestation::test::filled(0x66));
  const auto rims = sim.manifests();
  const Verdict verdict =
      attestation::verify_gpus({gpus, rims, attestation::test::roots_of(sim), kNow,
                                attestation::test::simulated_gpu_policy()});
  ASSERT_TRUE(verdict.accepted) << attestation::explain(verdict);
  const PageContext context{"gpus", "", kNow, chains_of_gpus(gpus, {}, rims)};
  const std::string page = verdict_page(verdict, context);
  expect_in_order(
      page, {"GPUs: NVIDIA", "Root of the devices", "CN=NOSTRIL TEST ROOT - NOT A TEE",
             "2049-12-31T23:59:59Z", "Identity CA of the chip", "<b>GPU 0</b>", "firmware key",
             "GSP FMC", "<b>GPU 1</b>", "firmware key", "Reference values</b>",
             "Reference values of the driver", "<b>Signer</b>", "RIM L4 Signer", "<b>Manifest</b>",
             "550.90.07", "Reference values of the VBIOS", "RIM L4 Signer"});
  EXPECT_THAT(page, Not(HasSubstr("not valid at")));
  const std::string later = verdict_page(verdict, {"gpus", "", 2'600'000'000, context.chains});
  EXPECT_THAT(later, HasSubstr("not valid at 2052-"));
  // Without its certificates a box still stands, by its checks.
  EXPECT_EQ(count_of(verdict_page(verdict, kContext), "<li class=\"good"),
            count_of(page, "<li class=\"good"));
}

TEST(VerdictPage, DrawsTheTokensOfTheService) {
  const attestation::NrasSimulator sim(attestation::test::filled(7));
  const auto evidence = sim.evidence(attestation::test::filled(0x55), 2, kNow);
  attestation::NrasPolicy policy;
  policy.accept_simulated = true;
  const auto roots = attestation::TrustRoots::with_test_root(sim.root_der()).value();
  const Verdict verdict = attestation::verify_nras(evidence, roots, kNow, policy);
  expect_in_order(
      verdict_page(verdict, {"tokens", "", kNow, chains_of_nras(evidence)}),
      {"Issuer of the service", "CN=NOSTRIL TEST ROOT - NOT A TEE", "Key of the service",
       "CN=NOSTRIL TEST Attestation Service", "Overall token", "Tokens of the devices", "GPU-1"});
}

TEST(VerdictPage, DrawsEachMachineOfAReportUnderItsName) {
  const attestation::Simulator sim = attestation::test::simulator();
  const auto evidence = attestation::test::sound_evidence(sim);
  const Verdict one = attestation::test::judge(sim, evidence);
  Verdict both;
  ShownChains chains;
  for (const std::string prefix : {"gateway.", "model."}) {
    for (attestation::Check check : one.checks) {
      check.name.insert(0, prefix);
      if (check.name == "model.quote_signature") check.status = CheckStatus::Failed;
      both.checks.push_back(check);
    }
    chains[prefix + "cpu"] = chains_of_evidence(evidence).at("cpu");
  }
  const std::string page = verdict_page(both, {"report", "", kNow, chains});
  expect_in_order(page, {"<h3>gateway</h3>", "Root certificate", "CN=NOSTRIL TEST ROOT - NOT A TEE",
                         "<b>Quote</b>", "<h3>model</h3>", "Root certificate", "<b>Quote</b>",
                         "REFUSED: quote_signature"});
  EXPECT_EQ(count_of(page, "<section>"), 2U);
  EXPECT_THAT(verdict_page(Verdict(), kContext), HasSubstr("nothing stands"));
}

TEST(VerdictPage, HostileCertificateNamesStayText) {
  const Verdict verdict = verdict_of("plain", "tdx");
  for (const std::string& text : kHostile) {
    PageContext context = kContext;
    context.chains["cpu"] = {{text, 0, 1}, {text, 0, 1}, {text, 0, 1}};
    PageContext plain = kContext;
    plain.chains["cpu"] = {{"x", 0, 1}, {"x", 0, 1}, {"x", 0, 1}};
    EXPECT_EQ(elements_of(verdict_page(verdict, context)),
              elements_of(verdict_page(verdict, plain)))
        << text;
  }
}

TEST(EvidenceChains, OfWhatCantBeReadAreNone) {
  const Bytes junk(3'000, 0x30);
  const std::vector<attestation::GpuEvidence> gpus = {{junk, junk}};
  const std::vector<Bytes> rims = {junk, {}};
  EXPECT_TRUE(chains_of_quote(junk).empty());
  EXPECT_TRUE(chains_of_quote({}).empty());
  EXPECT_TRUE(chains_of_snp({junk, {junk, "", junk}}).empty());
  EXPECT_TRUE(chains_of_gpus(gpus, {}, rims).empty());
  for (const char* text : {"", "[]", "[[]]", "[[\"JWT\",1]]", "[[\"JWT\",\"a.b.c\"]]", "{}"}) {
    EXPECT_TRUE(chains_of_nras({text, text}).empty());
    EXPECT_TRUE(chains_of_nras({text, "{\"keys\":[]}"}).empty());
  }
}

}  // namespace
}  // namespace nostril::client
