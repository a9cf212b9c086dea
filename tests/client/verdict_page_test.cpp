// The verdict's page: what it says, and that nothing of the evidence can speak for it.
#include "client/verdict_page.h"

#include "base/base64.h"
#include "schnorr/hash.h"
#include "tests/attestation/fixtures.h"
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
  const auto in_order = [](const std::string& page, const std::vector<std::string>& titles) {
    std::size_t last = 0;
    for (const std::string& title : titles) {
      const std::size_t at = page.find("<b>" + title + "</b>", last);
      ASSERT_NE(at, std::string::npos) << title;
      last = at;
    }
  };
  in_order(tdx_page, {"Root certificate", "PCK CA", "PCK certificate of the platform",
                      "Quoting enclave", "Attestation key", "Quote", "Statement of the node"});
  in_order(snp_page, {"AMD root key (ARK)", "ASK or ASVK", "VCEK or VLEK of the chip", "Report",
                      "Report data"});
  EXPECT_THAT(tdx_page, HasSubstr("<h1>ACCEPTED (SIMULATED EVIDENCE - not a TEE)</h1>"));
  EXPECT_THAT(tdx_page, Not(HasSubstr("REFUSED:")));
  EXPECT_THAT(tdx_page, HasSubstr("proven, but not checked: measurements"));
}

}  // namespace
}  // namespace nostril::client
