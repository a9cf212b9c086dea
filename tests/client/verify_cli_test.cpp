// `nostril verify intel`, `snp`, `gpu` and `nras`, run as a process: every case of the shared
// vectors, and the simulator's own evidence for checkouts without them.
#include "attestation/gpu_simulator.h"
#include "attestation/nras_simulator.h"
#include "attestation/verity.h"
#include "events/known_good.h"
#include "events/nip19.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/snp_fixtures.h"
#include "tests/attestation/vector_case.h"
#include "tests/support/process.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_dir.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

namespace fs = std::filesystem;
using namespace attestation;  // NOLINT(google-build-using-namespace): a test of its commands
using attestation::test::kNow;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kIntelCases = "vectors/attestation/intel/cases.json";
constexpr const char* kSnpCases = "vectors/attestation/snp/cases.json";
constexpr const char* kNrasCases = "vectors/attestation/nras/cases.json";
constexpr const char* kGpuCases = "vectors/attestation/nvidia/cases.json";

struct Outcome {
  int exit = -1;
  std::string output;
  Json verdict;  ///< null when the output is no JSON
};

class VerifyCli : public ::testing::Test {
 protected:
  std::string write(const std::string& name, ByteSpan bytes) const {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << as_text(bytes);
    return path;
  }

  std::string write(const std::string& name, std::string_view text) const {
    return write(name, as_bytes(text));
  }

  static Outcome run(const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {nostril::test::program("nostril"), "verify"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run_command(command);
  }

  static Outcome run_command(const std::vector<std::string>& command) {
    nostril::test::Process process(command);
    Outcome out;
    out.output = process.read_all();
    out.exit = process.wait().value_or(-1);
    out.verdict = Json::parse(out.output).value_or(Json());
    return out;
  }

  const nostril::test::TempDir temp_;
  const fs::path folder_ = temp_.path();
};

/// Runs `snp` or `intel` with JSON output at `now`.
std::vector<std::string> at(std::int64_t now, std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--json", "--now", fmt::format("{}", now)});
  return arguments;
}

std::vector<std::string> with(std::vector<std::string> arguments,
                              const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// The names under "failed"; each must say what was found and what was wanted.
std::vector<std::string> failed_checks(const Json& verdict) {
  std::vector<std::string> out;
  const Json* failed = verdict.find("failed");
  if (failed == nullptr) return {"no list of failed checks"};
  for (const Json& item : failed->items()) {
    out.emplace_back(item.find_string("check").value_or("nameless"));
    EXPECT_FALSE(item.find_string("found").value_or("").empty()) << out.back();
    EXPECT_TRUE(item.find_string("wanted").has_value()) << out.back();
  }
  return out;
}

bool names_one_of(const std::vector<std::string>& failed, const std::vector<std::string>& wanted) {
  return std::any_of(wanted.begin(), wanted.end(), [&failed](const std::string& name) {
    return std::find(failed.begin(), failed.end(), name) != failed.end();
  });
}

void print_row(const std::string& id, const Outcome& outcome,
               const std::vector<std::string>& failed) {
  fmt::print("{:34} exit {}  {:34} {}\n", id, outcome.exit,
             outcome.verdict.find_string("status").value_or(""), fmt::join(failed, ", "));
}

// ---- own evidence ----

struct SnpFiles {
  std::vector<std::string> arguments;
  std::string root;
};

class VerifySnpCli : public VerifyCli {
 protected:
  SnpFiles files(const SnpSimulator& simulator) const {
    const SnpEvidence evidence = attestation::test::snp_evidence(simulator);
    SnpFiles out;
    out.root = write("root.der", simulator.root_der());
    out.arguments = {"snp",
                     "--report",
                     write("report.bin", evidence.report),
                     "--vcek",
                     write("vcek.der", evidence.certificates.vek),
                     "--chain",
                     write("chain.pem", evidence.certificates.chain)};
    return out;
  }

  Outcome judge(const SnpSimulatorOptions& options,
                const std::vector<std::string>& more = {}) const {
    const SnpFiles made = files(attestation::test::snp_simulator(options));
    return run(with(at(kNow, with(made.arguments, {"--root", made.root})), more));
  }
};

TEST_F(VerifySnpCli, AcceptsUnderTheNamedRootAndMarksTheVerdict) {
  SnpSimulatorOptions turin;
  turin.product = SnpProduct::Turin;
  turin.report_version = 5;
  SnpSimulatorOptions vlek;
  vlek.signer = SnpSigner::Vlek;
  for (const auto& options : {SnpSimulatorOptions{}, turin, vlek}) {
    const Outcome done = judge(options);
    EXPECT_EQ(done.exit, 0) << done.output;
    const Json& verdict = done.verdict;
    EXPECT_EQ(verdict.find_boolean("ok"), true);
    EXPECT_EQ(verdict.find_string("status"), "Verified");
    EXPECT_EQ(verdict.find_boolean("simulated"), true);
    EXPECT_TRUE(failed_checks(verdict).empty());
    EXPECT_EQ(verdict.find("claims")->find_string("product"), to_string(options.product));
    EXPECT_THAT(std::string(*verdict.find("claims")->find_string("root_file")),
                HasSubstr("root.der"));
  }
}

TEST_F(VerifySnpCli, RefusesWithoutTheRoot) {
  const SnpFiles made = files(attestation::test::snp_simulator());
  const Outcome done = run(at(kNow, made.arguments));
  EXPECT_EQ(done.exit, 1);
  EXPECT_EQ(done.verdict.find_boolean("ok"), false);
  EXPECT_EQ(done.verdict.find_boolean("simulated"), true);
  EXPECT_TRUE(names_one_of(failed_checks(done.verdict), {"vek_chain"})) << done.output;
}

TEST_F(VerifySnpCli, TakesPolicyNonceAndCrl) {
  SnpSimulatorOptions options;
  options.guest_svn = 4;
  const std::string strict = write("strict.toml", "[snp]\nguest_svn_min = 5\n");
  EXPECT_EQ(failed_checks(judge(options, {"--policy", strict}).verdict),
            std::vector<std::string>{"guest_svn"});
  const std::string loose = write("loose.toml",
                                  "[snp]\nguest_svn_min = 4\nabi_min = \"0.0\"\n"
                                  "platform_required = [\"alias_check\"]\n"
                                  "tcb_minimums = [\"product=Milan, bl=4, snp=23, ucode=213\"]\n");
  EXPECT_EQ(judge(options, {"--policy", loose}).exit, 0);

  const auto report_data = attestation::test::snp_report_data();
  const std::string nonce = encode_hex(ByteSpan(report_data).last(32));
  EXPECT_EQ(judge(options, {"--nonce", nonce}).exit, 0);
  EXPECT_EQ(failed_checks(judge(options, {"--nonce", std::string(64, '0')}).verdict),
            std::vector<std::string>{"report_data"});

  options.revoke_issuer = true;
  const Bytes crl = attestation::test::snp_simulator(options).crl(kNow);
  EXPECT_EQ(failed_checks(judge(options, {"--crl", write("ark.crl", crl)}).verdict),
            std::vector<std::string>{"revocation"});
}

TEST_F(VerifySnpCli, ExplainsEveryStepWithItsSource) {
  const SnpFiles made = files(attestation::test::snp_simulator());
  const Outcome done = run(
      with(made.arguments, {"--explain", "--root", made.root, "--now", fmt::format("{}", kNow)}));
  EXPECT_EQ(done.exit, 0);
  EXPECT_THAT(done.output, StartsWith("ACCEPTED (SIMULATED EVIDENCE - not a TEE)\n"));
  std::size_t last = 0;
  for (const char* step :
       {"measurement", "chip_id", "ok        report_format: ", "ok        vek_chain: ",
        "ok        report_signature: ", "ok        tcb: ", "ok        level: "}) {
    const std::size_t place = done.output.find(step, last);
    ASSERT_NE(place, std::string::npos) << step << "\n" << done.output;
    last = place;
  }
  EXPECT_THAT(done.output, HasSubstr("[report 0x090]"));
  EXPECT_THAT(done.output, HasSubstr("; wanted: bit 19 clear  [report 0x008, policy bit 19]"));
}

TEST_F(VerifySnpCli, SaysWhichInputIsUnusable) {
  const SnpFiles made = files(attestation::test::snp_simulator());
  const auto exit_of = [&](const std::vector<std::string>& more) {
    return run(with(made.arguments, more)).exit;
  };
  EXPECT_EQ(exit_of({"--policy", "/nowhere.toml"}), 2);
  EXPECT_EQ(exit_of({"--policy", write("key.toml", "[snp]\nno_such_key = 1\n")}), 2);
  EXPECT_EQ(exit_of({"--policy", write("hex.toml", "[snp]\nmeasurements = [\"00\"]\n")}), 2);
  EXPECT_EQ(exit_of({"--policy", write("word.toml", "[snp]\nplatform_required = [\"x\"]\n")}), 2);
  EXPECT_EQ(exit_of({"--policy", write("tcb.toml", "[snp]\ntcb_minimums = [\"bl=1\"]\n")}), 2);
  EXPECT_EQ(exit_of({"--root", write("root.txt", "no certificate")}), 2);
  EXPECT_EQ(exit_of({"--nonce", "xyz"}), 2);
  EXPECT_EQ(exit_of({"--nonce", std::string(130, '0')}), 2);
  EXPECT_EQ(exit_of({"--now", "soon"}), 2);
  EXPECT_EQ(run({"snp", "--report", "/nowhere", "--vcek", "/nowhere"}).exit, 2);
  EXPECT_EQ(run({"snp", "--report", folder_.string(), "--vcek", "/nowhere"}).exit, 2);
  EXPECT_EQ(run({"snp"}).exit, 2);
  EXPECT_EQ(run({}).exit, 2);
  // A report that is none is judged, not called unusable.
  const Outcome empty =
      run(at(kNow, {"snp", "--report", write("empty", ""), "--vcek", write("vcek", "")}));
  EXPECT_EQ(empty.exit, 1);
  EXPECT_TRUE(names_one_of(failed_checks(empty.verdict), {"report_format"}));
}

class VerifyIntelCli : public VerifyCli {
 protected:
  /// Arguments for a quote with collateral, both in files.
  std::vector<std::string> arguments(const Bytes& quote, const Collateral& collateral) const {
    return {"intel", "--quote", write("quote.bin", quote), "--collateral",
            write("collateral.json",
                  attestation::test::to_json(attestation::test::collateral_fields(collateral)))};
  }
};

TEST_F(VerifyIntelCli, JudgesSimulatedQuotesUnderTheNamedRootOnly) {
  const Simulator sim = attestation::test::simulator();
  const Bytes quote =
      sim.tdx_quote(report_data(attestation::test::statement()), attestation::test::measurements());
  const auto command = at(kNow, arguments(quote, sim.collateral(kNow)));
  EXPECT_EQ(run(command).exit, 1);
  const std::string root = write("root.der", sim.root_der());
  const Outcome done = run(with(command, {"--root", root}));
  EXPECT_EQ(done.exit, 0) << done.output;
  EXPECT_EQ(done.verdict.find_string("status"), "UpToDate");
  EXPECT_EQ(done.verdict.find_boolean("simulated"), true);
  EXPECT_EQ(done.verdict.find("claims")->find_string("fmspc"), "514d00000000");

  const std::string nonce = encode_hex(attestation::test::statement().nonce);
  EXPECT_EQ(run(with(command, {"--root", root, "--nonce", nonce})).exit, 0);
  const Outcome other = run(with(command, {"--root", root, "--nonce", std::string(64, '1')}));
  EXPECT_EQ(failed_checks(other.verdict), std::vector<std::string>{"report_data"});

  const std::string images =
      write("images.toml", fmt::format("[tdx]\nimages = [\"mrtd={}, rtmr1={}\"]\n",
                                       encode_hex(attestation::test::measurements().mrtd),
                                       encode_hex(attestation::test::measurements().rtmr[1])));
  EXPECT_EQ(run(with(command, {"--root", root, "--policy", images})).exit, 0);
}

TEST_F(VerifyIntelCli, AcceptsAStatusThatThePolicyNames) {
  SimulatorOptions options;
  options.tcb_status = "SWHardeningNeeded";
  const Simulator sim = attestation::test::simulator(options);
  const Bytes quote = sim.tdx_quote(report_data(attestation::test::statement()), {});
  const auto command = with(at(kNow, arguments(quote, sim.collateral(kNow))),
                            {"--root", write("root.der", sim.root_der())});
  const Outcome refused = run(command);
  EXPECT_EQ(refused.exit, 1);
  EXPECT_EQ(refused.verdict.find_string("status"), "SWHardeningNeeded");
  EXPECT_EQ(failed_checks(refused.verdict), std::vector<std::string>{"tcb"});
  const std::string policy = write("policy.toml",
                                   "[tdx]\naccepted_tcb_statuses = [\"SWHardeningNeeded\"]\n"
                                   "accepted_advisories = [\"any\"]\n");
  EXPECT_EQ(run(with(command, {"--policy", policy})).exit, 0);
}

TEST_F(VerifyIntelCli, JudgesSgxQuotesToo) {
  for (const bool debug : {false, true}) {
    SimulatorOptions options;
    options.enclave_debug = debug;
    const Simulator sim = attestation::test::simulator(options);
    const Bytes quote = sim.sgx_quote(report_data(attestation::test::statement()), Digest{});
    const Outcome done = run(with(at(kNow, arguments(quote, sim.collateral(kNow, IntelTee::Sgx))),
                                  {"--root", write("root.der", sim.root_der())}));
    EXPECT_EQ(failed_checks(done.verdict),
              debug ? std::vector<std::string>{"debug"} : std::vector<std::string>{});
    EXPECT_EQ(done.exit, debug ? 1 : 0);
    EXPECT_EQ(done.verdict.find_string("status"), debug ? "Refused" : "UpToDate");
  }
}

TEST_F(VerifyIntelCli, WithoutCollateralTheTcbIsMissing) {
  const Simulator sim = attestation::test::simulator();
  const Bytes quote = sim.tdx_quote(report_data(attestation::test::statement()), {});
  const auto command = at(kNow, {"intel", "--quote", write("quote.bin", quote), "--root",
                                 write("root.der", sim.root_der())});
  const Outcome done = run(command);
  EXPECT_EQ(done.exit, 1);
  EXPECT_EQ(failed_checks(done.verdict),
            (std::vector<std::string>{"tcb_info", "qe_identity", "revocation", "tcb"}));
  const Outcome bad = run(with(command, {"--collateral", write("collateral.json", "{}")}));
  EXPECT_EQ(bad.exit, 2);
}

// ---- nothing takes simulated evidence but a root named by hand ----

/// The options that a command's help lists: name, and whether it takes a value.
std::map<std::string, bool> options_of(const std::string& help) {
  std::map<std::string, bool> out;
  const std::regex line("^ +(?:-\\w,)?(--[a-z-]+)( [A-Z]+)?");
  std::istringstream lines(help);
  for (std::string text; std::getline(lines, text);) {
    std::smatch found;
    if (std::regex_search(text, found, line)) out[found[1]] = found[2].matched;
  }
  return out;
}

/// Every name that looks like one of our environment variables in the program itself.
std::set<std::string> environment_names() {
  std::ifstream file(nostril::test::program("nostril"), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  std::set<std::string> out;
  for (std::size_t at = bytes.find("NOSTRIL_"); at != std::string::npos;
       at = bytes.find("NOSTRIL_", at + 1)) {
    const std::size_t end = bytes.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", at);
    out.insert(bytes.substr(at, end - at));
  }
  return out;
}

TEST_F(VerifyIntelCli, NoOptionNorVariableNorPolicyTakesSimulatedEvidence) {
  const Simulator sim = attestation::test::simulator();
  const Bytes quote =
      sim.tdx_quote(report_data(attestation::test::statement()), attestation::test::measurements());
  const auto command = at(kNow, arguments(quote, sim.collateral(kNow)));
  std::string loosest = run({"policy"}).output;
  for (std::size_t at = 0; (at = loosest.find("\nallow_", at)) != std::string::npos; ++at) {
    const std::size_t value = loosest.find(" = false", at);
    if (value < loosest.find('\n', at + 1)) loosest.replace(value, 8, " = true");
  }
  ASSERT_THAT(loosest, HasSubstr("allow_unchecked_tcb = true"));
  const std::map<std::string, std::string> values = {
      {"--quote", ""}, {"--collateral", ""},
      {"--now", ""},   {"--policy", write("loosest.toml", loosest)},
      {"--nonce", ""}, {"--html", (folder_ / "page.html").string()}};
  std::vector<std::string> all = command;
  int flags = 0;
  const auto options = options_of(run({"intel", "--help"}).output);
  for (const auto& [name, takes_value] : options) {
    if (name == "--help" || name == "--root" || name == "--json") continue;
    if (!takes_value) {
      all.push_back(name);
      ++flags;
      continue;
    }
    ASSERT_TRUE(values.contains(name)) << name << ": can it take simulated evidence?";
    if (!values.at(name).empty()) all.insert(all.end(), {name, values.at(name)});
  }
  EXPECT_TRUE(options.contains("--root"));
  EXPECT_GE(flags, 1);
  std::vector<std::string> environment = {"/usr/bin/env"};
  const auto names = environment_names();
  EXPECT_TRUE(names.contains("NOSTRIL_HOME"));
  for (const std::string& name : names) {
    for (const char* value : {"1", "true"}) {
      std::vector<std::string> with_variable = environment;
      with_variable.push_back(name + "=" + value);
      with_variable.insert(with_variable.end(), {nostril::test::program("nostril"), "verify"});
      const Outcome done = run_command(with(with_variable, all));
      EXPECT_EQ(done.exit, 1) << name << done.output;
      EXPECT_THAT(done.output, HasSubstr("\"check\":\"simulated\""));
    }
  }
  EXPECT_EQ(run(with(all, {"--root", write("root.der", sim.root_der())})).exit, 0)
      << "but for the root, it is sound";
}

// ---- lists and pages ----

TEST_F(VerifyIntelCli, AnAuditorsListRaisesTheLevelOfGenuineEvidence) {
  REQUIRE_SHARED(kIntelCases);
  const Json cases = attestation::test::read_vector_json("intel/cases.json");
  const auto& items = cases.find("cases")->items();
  const auto item = std::find_if(items.begin(), items.end(), [](const Json& candidate) {
    return candidate.find_string("id") == "tdx-v4-uptodate-gcp-cos113";
  });
  ASSERT_NE(item, items.end());
  const Bytes quote =
      attestation::test::read_vector_bytes("intel/" + std::string(*item->find_string("quote")));
  const auto command =
      at(*item->find_integer("now"),
         {"intel", "--quote", write("quote", quote), "--collateral",
          write("collateral",
                attestation::test::to_json(attestation::test::collateral_fields(*item)))});
  const Outcome plain = run(command);
  ASSERT_EQ(plain.exit, 0);
  const std::string mrtd(*plain.verdict.find("claims")->find_string("mrtd"));

  // The list is dated by the quote's clock, not by ours.
  SystemRng rng;
  const Keypair auditor = Keypair::generate(rng);
  KnownGoodList list;
  list.auditor = auditor.public_key();
  list.created_at = *item->find_integer("now") - 100;
  list.expires_at = list.created_at + 86'400;
  list.name = "images";
  list.entries = {{true, KnownSubject::Image, {{"mrtd", mrtd}}, "", "read"}};
  const auto policy = [&](const KnownGoodList& signed_list, const std::string& more = "") {
    const std::string file =
        write("list.json", to_json(sign_event(build_known_good(signed_list), auditor, rng)));
    return write("policy.toml",
                 fmt::format("level_min = \"image\"\n{}[lists]\ntrusted = [\"{}\"]\nfiles = "
                             "[\"{}\"]\n",
                             more, nip19::encode(nip19::Npub{auditor.public_key()}), file));
  };
  const Outcome known = run(with(command, {"--policy", policy(list)}));
  EXPECT_EQ(known.exit, 0) << known.output;
  std::vector<std::string> words = command;
  words.erase(std::find(words.begin(), words.end(), "--json"));
  const Outcome told = run(with(words, {"--explain", "--policy", policy(list)}));
  EXPECT_THAT(told.output, HasSubstr("level         image\n"));
  EXPECT_THAT(told.output, HasSubstr(nip19::encode(nip19::Npub{auditor.public_key()})));
  // Denied, of another image, ended: refused, each by its name.
  list.entries[0].allow = false;
  EXPECT_THAT(failed_checks(run(with(command, {"--policy", policy(list)})).verdict),
              ::testing::Contains("denied"));
  list.entries[0] = {true, KnownSubject::Image, {{"mrtd", std::string(96, '1')}}, "", "read"};
  EXPECT_EQ(failed_checks(run(with(command, {"--policy", policy(list)})).verdict),
            (std::vector<std::string>{"measurements", "level"}));
  list.entries[0].parts[0].value = mrtd;
  list.expires_at = list.created_at + 99;
  EXPECT_EQ(failed_checks(run(with(command, {"--policy", policy(list)})).verdict),
            (std::vector<std::string>{"measurements", "level"}));
}

TEST_F(VerifySnpCli, WritesThePage) {
  const std::string page = (folder_ / "page.html").string();
  EXPECT_EQ(judge({}, {"--html", page}).exit, 0);
  const std::string text = nostril::test::read_file(page);
  EXPECT_THAT(text, HasSubstr("<h1>ACCEPTED (SIMULATED EVIDENCE - not a TEE)</h1>"));
  EXPECT_THAT(text, HasSubstr("VCEK or VLEK of the chip"));
  EXPECT_EQ(judge({}, {"--html", "/nowhere/page.html"}).exit, 2);
}

class KnownGoodCli : public VerifyCli {
 protected:
  KnownGoodCli() {
    EXPECT_EQ(nostril_run({"key", "new", key_}).exit, 0);
    const std::string shown = nostril_run({"key", "show", key_}).output;
    npub_ = shown.substr(shown.find("npub1"), 63);
  }

  static Outcome nostril_run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), nostril::test::program("nostril"));
    return run_command(arguments);
  }

  Outcome make(const std::vector<std::string>& more) const {
    return nostril_run(with(
        {"known-good", "make", "--name", "images", "--key", key_, "--reason", "read by us"}, more));
  }

  const std::string key_ = (folder_ / "auditor.nsec").string();
  std::string npub_;
};

TEST_F(KnownGoodCli, MakesShowsAndChecksAList) {
  const Outcome made =
      make({"--allow", "image rtmr1=" + std::string(96, 'b') + ",mrtd=" + std::string(96, 'a'),
            "--allow", "weights weights=" + std::string(64, 'c') + " qwen3-32b", "--deny",
            "machine ppid=" + std::string(32, 'd')});
  ASSERT_EQ(made.exit, 0) << made.output;
  const std::string file = write("list.json", made.output);
  const Outcome shown = nostril_run({"known-good", "show", file});
  EXPECT_EQ(shown.exit, 0);
  for (const std::string& text :
       {"auditor  " + npub_,
        "mrtd=" + std::string(96, 'a') + ",rtmr1=", std::string("of qwen3-32b"),
        std::string("DENY     machine ppid="), std::string("read by us")}) {
    EXPECT_THAT(shown.output, HasSubstr(text));
  }
  const std::string trusted = write("p.toml", "[lists]\ntrusted = [\"" + npub_ + "\"]\n");
  const Outcome counts = nostril_run({"known-good", "check", file, "--policy", trusted});
  EXPECT_EQ(counts.exit, 0);
  EXPECT_THAT(counts.output, HasSubstr("COUNTS"));
  const Outcome not_trusted =
      nostril_run({"known-good", "check", file, "--policy", write("e.toml", "")});
  EXPECT_EQ(not_trusted.exit, 1);
  EXPECT_THAT(not_trusted.output, HasSubstr("REFUSED"));
  std::string forged = made.output;
  forged.replace(forged.find("read by us"), 4, "seen");
  EXPECT_EQ(nostril_run({"known-good", "show", write("forged.json", forged)}).exit, 1);
}

TEST_F(KnownGoodCli, RefusesWhatNoListMaySay) {
  EXPECT_EQ(make({"--allow", "weights weights=" + std::string(64, 'c')}).exit, 1) << "of no model";
  EXPECT_EQ(make({"--allow", "image rtmr1=" + std::string(96, 'b')}).exit, 1);
  EXPECT_EQ(make({"--allow", "image mrtd=00"}).exit, 1);
  EXPECT_EQ(make({"--allow", "picture mrtd=" + std::string(96, 'a')}).exit, 1);
  const std::string image = "image mrtd=" + std::string(96, 'a');
  EXPECT_EQ(make({"--allow", image, "--deny", image}).exit, 1);
  EXPECT_EQ(make({"--allow", image, "--days", "0"}).exit, 2);
}

TEST_F(VerifyCli, PrintsThePolicyWithItsDefaults) {
  const Outcome printed = run({"policy"});
  EXPECT_EQ(printed.exit, 0);
  EXPECT_THAT(printed.output, HasSubstr("accepted_tcb_statuses = []"));
  EXPECT_THAT(printed.output, HasSubstr("vmpl_max = 0"));
}

TEST_F(VerifyCli, ReadsADmVerityDeviceInAManifestsPlace) {
  VerityDevice device;
  device.root.bytes = attestation::test::filled(0xab);
  device.data_blocks = 1000;
  const std::string text = print_verity(device);
  const std::string file = write("verity.txt", text);
  const std::string digest = encode_hex(verity_digest(text));
  const Outcome right = run({"manifest", "--manifest", file, "--digest", digest});
  EXPECT_EQ(right.exit, 0) << right.output;
  EXPECT_THAT(right.output, HasSubstr("dm-verity device of 4096000 bytes"));
  EXPECT_THAT(right.output, HasSubstr(encode_hex(device.root)));
  EXPECT_EQ(run({"manifest", "--manifest", file, "--digest", std::string(64, '0')}).exit, 1);
  EXPECT_EQ(run({"manifest", "--manifest", file, "--file", file}).exit, 2);
  EXPECT_EQ(run({"manifest", "--manifest", write("cut.txt", text.substr(0, 90))}).exit, 2);
}

// ---- the shared vectors ----

void expect_refusal(const Json& expect, const Outcome& done, const std::string& id) {
  EXPECT_EQ(done.exit, 1) << id;
  EXPECT_EQ(done.verdict.find_boolean("ok"), false) << id;
  const auto wanted = attestation::test::checks_for(*expect.find_string("error"));
  EXPECT_TRUE(names_one_of(failed_checks(done.verdict), wanted)) << id << done.output;
}

TEST_F(VerifySnpCli, EveryCaseOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(kSnpCases);
  int count = 0;
  const Json cases = attestation::test::read_vector_json("snp/cases.json");
  for (const Json& item : cases.find("cases")->items()) {
    const std::string id(*item.find_string("id"));
    const auto vector = [&item](const char* name) {
      return attestation::test::read_vector("snp/" + std::string(*item.find_string(name)));
    };
    const Bytes report = attestation::test::patched(
        attestation::test::read_vector_bytes("snp/" + std::string(*item.find_string("report"))),
        item.find("report_patch"));
    const Outcome done =
        run(at(*item.find_integer("now"),
               {"snp", "--report", write("report", report), "--vcek", write("vcek", vector("vcek")),
                "--chain", write("chain", vector("ask") + vector("ark"))}));
    print_row(id, done, failed_checks(done.verdict));
    const Json& expect = *item.find("expect");
    ++count;
    if (!*expect.find_boolean("ok")) {
      expect_refusal(expect, done, id);
      continue;
    }
    EXPECT_EQ(done.exit, 0) << id;
    EXPECT_EQ(done.verdict.find_boolean("ok"), true) << id;
    EXPECT_EQ(done.verdict.find_boolean("simulated"), false) << id;
    for (const auto& [name, value] : expect.members()) {
      if (name == "ok") continue;
      const Json* claim = done.verdict.find("claims")->find(name);
      ASSERT_NE(claim, nullptr) << id << " " << name;
      EXPECT_EQ(claim->dump(), value.dump()) << id << " " << name;
    }
  }
  EXPECT_GE(count, 14);
}

/// Sound evidence: accepted when it is up to date, else refused for its status and nothing else.
void expect_status(const Json& expect, const Outcome& done, const std::string& id) {
  const Json& verdict = done.verdict;
  const std::string status(*expect.find_string("status"));
  EXPECT_EQ(verdict.find_string("status"), status) << id << done.output;
  EXPECT_EQ(done.exit, status == "UpToDate" ? 0 : 1) << id;
  EXPECT_EQ(failed_checks(verdict),
            status == "UpToDate" ? std::vector<std::string>{} : std::vector<std::string>{"tcb"})
      << id;
  const Json& claims = *verdict.find("claims");
  EXPECT_EQ(claims.find("advisories")->dump(), expect.find("advisories")->dump()) << id;
  for (const char* name : {"fmspc", "ppid", "qe_status", "tcb_date"}) {
    EXPECT_EQ(claims.find_string(name), expect.find_string(name)) << id << " " << name;
  }
}

TEST_F(VerifyIntelCli, EveryCaseOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(kIntelCases);
  int count = 0;
  const Json cases = attestation::test::read_vector_json("intel/cases.json");
  for (const Json& item : cases.find("cases")->items()) {
    const std::string id(*item.find_string("id"));
    const Bytes quote = attestation::test::patched(
        attestation::test::read_vector_bytes("intel/" + std::string(*item.find_string("quote"))),
        item.find("quote_patch"));
    const Outcome done =
        run(at(*item.find_integer("now"),
               {"intel", "--quote", write("quote", quote), "--collateral",
                write("collateral",
                      attestation::test::to_json(attestation::test::collateral_fields(item)))}));
    print_row(id, done, failed_checks(done.verdict));
    const Json& expect = *item.find("expect");
    ++count;
    if (*expect.find_boolean("ok")) {
      expect_status(expect, done, id);
    } else {
      expect_refusal(expect, done, id);
    }
  }
  EXPECT_GE(count, 56);
}

class VerifyGpuCli : public VerifyCli {
 protected:
  static std::string vector_file(std::string_view name) {
    return nostril::test::shared_path("vectors/attestation/nvidia/" + std::string(name)).string();
  }

  /// The case's files, its nonce and manifests.
  std::vector<std::string> arguments(const Json& item) const {
    const Bytes report = attestation::test::patched(
        attestation::test::read_vector_bytes("nvidia/" + std::string(*item.find_string("report"))),
        item.find("report_patch"));
    std::vector<std::string> out = {"gpu",
                                    "--report",
                                    write("report.bin", report),
                                    "--chain",
                                    vector_file(*item.find_string("chain")),
                                    "--nonce",
                                    std::string(*item.find_string("nonce"))};
    for (const char* member : {"driver_rim", "vbios_rim"}) {
      if (const auto file = item.find_string(member)) {
        out.insert(out.end(), {"--rim", vector_file(*file)});
      }
    }
    return out;
  }

  static constexpr std::int64_t kThen = 1770000000;  // 2026-02-02
};

TEST_F(VerifyGpuCli, EveryCaseOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(kGpuCases);
  const std::string lenient = write("lenient.toml",
                                    "[gpu]\nallow_missing_rims = true\nallow_missing_fwid = true\n"
                                    "allow_unchecked_switches = true\n");
  int count = 0;
  const Json cases = attestation::test::read_vector_json("nvidia/cases.json");
  for (const Json& item : cases.find("gpu")->items()) {
    const std::string id(*item.find_string("id"));
    const Outcome done = run(with(at(kThen, arguments(item)), {"--policy", lenient}));
    print_row(id, done, failed_checks(done.verdict));
    const Json& expect = *item.find("expect");
    const Json* mismatches = expect.find("rim_mismatch_indices");
    const bool ok =
        *expect.find_boolean("ok") && (mismatches == nullptr || mismatches->items().empty());
    EXPECT_EQ(done.exit, ok ? 0 : 1) << id << done.output;
    EXPECT_EQ(done.verdict.find_boolean("ok"), ok) << id;
    EXPECT_EQ(done.verdict.find("claims")->find_string("driver"), expect.find_string("driver"));
    ++count;
  }
  EXPECT_GE(count, 20);
}

TEST_F(VerifyGpuCli, ByDefaultAllMustBeProven) {
  REQUIRE_SHARED(kGpuCases);
  const Json cases = attestation::test::read_vector_json("nvidia/cases.json");
  const Json& complete = cases.find("gpu")->items().front();
  const std::vector<std::string> command = at(kThen, arguments(complete));
  EXPECT_EQ(run(command).exit, 0);
  const std::string root =
      nostril::test::shared_path("vectors/attestation/roots/nvidia_device_identity_ca.pem");
  const Outcome named = run(with(command, {"--root", root}));
  EXPECT_EQ(named.exit, 0);
  EXPECT_EQ(named.verdict.find_boolean("simulated"), false);
  const std::string other =
      nostril::test::shared_path("vectors/attestation/roots/nvidia_corim_signing_root_ca.pem");
  EXPECT_EQ(failed_checks(run(with(command, {"--root", other})).verdict).front(), "gpu_chain");
  const std::string newer = write("newer.toml", "[gpu]\ndriver_min = \"560.0\"\n");
  EXPECT_EQ(failed_checks(run(with(command, {"--policy", newer})).verdict),
            std::vector<std::string>{"gpu_driver"});
  EXPECT_EQ(run({"gpu", "--report", "/nowhere", "--chain", "/nowhere"}).exit, 2);
}

/// A simulated HGX board in protected PCIe mode: eight GPUs, four NVSwitches, one pair of files
/// each.
class VerifyBoardCli : public VerifyCli {
 protected:
  static constexpr std::size_t kGpuCount = 8;
  static constexpr std::uint32_t kSwitchCount = 4;

  static GpuSimulatorOptions options() {
    GpuSimulatorOptions out;
    out.protected_pcie = true;
    out.features = 2;
    out.switch_count = kSwitchCount;
    return out;
  }

  std::vector<std::string> pairs(const std::string& name,
                                 const std::vector<GpuEvidence>& devices) const {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      const std::string file = fmt::format("{}{}", name.empty() ? "gpu" : name, i);
      out.insert(out.end(), {"--" + name + "report", write(file + ".bin", devices[i].report),
                             "--" + name + "chain", write(file + ".der", devices[i].chain)});
    }
    return out;
  }

  /// All that is the same for every case.
  std::vector<std::string> command(std::vector<std::string> devices) const {
    devices.insert(devices.begin(), "gpu");
    int i = 0;
    for (const Bytes& rim : simulator_.manifests()) {
      devices.insert(devices.end(), {"--rim", write(fmt::format("{}.xml", i++), rim)});
    }
    return with(at(kNow, devices), {"--root", write("root.der", simulator_.root_der()), "--nonce",
                                    encode_hex(nonce_)});
  }

  static std::vector<std::string> failed(const Outcome& done) {
    return failed_checks(done.verdict);
  }

  const attestation::Nonce nonce_ = attestation::test::filled(0x66);
  const GpuSimulator simulator_ = GpuSimulator(attestation::test::filled(7), options());
  const std::vector<std::string> gpus_ = pairs("", simulator_.evidence(kGpuCount, nonce_));
  const std::vector<std::string> switches_ = pairs("switch-", simulator_.switches(nonce_));
  const std::string four_ = write("four.toml", "[gpu]\nswitch_count = 4\n");
};

TEST_F(VerifyBoardCli, AcceptsEightGpusWithTheSwitchesThatTheyName) {
  const Outcome done = run(with(command(with(gpus_, switches_)), {"--policy", four_}));
  EXPECT_EQ(done.exit, 0) << done.output;
  EXPECT_EQ(done.verdict.find_boolean("simulated"), true);
  const Json& claims = *done.verdict.find("claims");
  EXPECT_NE(claims.find("gpu7"), nullptr) << done.output;
  EXPECT_NE(claims.find("switch3"), nullptr) << done.output;
}

TEST_F(VerifyBoardCli, RefusesABoardThatIsNotWhole) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(failed(run(command(gpus_))), Names{"gpu_switches"});
  EXPECT_EQ(failed(run(with(command(gpus_), {"--policy", four_}))).front(), "switch_count");
  std::vector<std::string> three = switches_;
  three.resize(three.size() - 4);
  EXPECT_EQ(failed(run(command(with(gpus_, three)))), Names{"gpu_switches"});
  EXPECT_EQ(failed(run(with(command(with(gpus_, three)), {"--policy", four_}))),
            (Names{"switch_count", "gpu_switches"}));
  std::vector<std::string> seven = gpus_;
  seven.resize(seven.size() - 4);
  EXPECT_EQ(failed(run(command(with(seven, switches_)))), (Names{"switch_gpus", "gpu_switches"}));
  std::vector<std::string> twice = gpus_;
  std::copy(gpus_.begin(), gpus_.begin() + 4, twice.end() - 4);
  EXPECT_EQ(failed(run(command(with(twice, switches_)))), Names{"gpu_distinct"});
  std::vector<std::string> crossed = gpus_;
  std::swap(crossed[3], crossed[7]);
  EXPECT_THAT(failed(run(command(with(crossed, switches_)))), ::testing::Contains("gpu_signature"));
  std::vector<std::string> unpaired = switches_;
  unpaired.resize(unpaired.size() - 2);
  EXPECT_EQ(run(command(with(gpus_, unpaired))).exit, 2);
  EXPECT_EQ(
      run(with(command(gpus_), {"--policy", write("bad.toml", "[gpu]\nswitch_count = 17\n")})).exit,
      2);
}

TEST_F(VerifyBoardCli, JudgesOcspAnswersOfEveryGpu) {
  SimOcsp fields;
  fields.this_update = kNow - 60;
  fields.next_update = kNow + 3600;
  std::vector<std::string> answers;
  for (std::size_t i = 0; i < kGpuCount; ++i) {
    for (const Bytes& answer : simulator_.ocsp_answers(i, fields)) {
      answers.insert(answers.end(),
                     {"--ocsp", write(fmt::format("{}.ocsp", answers.size()), answer)});
    }
  }
  for (std::size_t i = 0; i < kSwitchCount; ++i) {
    for (const Bytes& answer : simulator_.switch_ocsp_answers(i, fields)) {
      answers.insert(answers.end(),
                     {"--ocsp", write(fmt::format("{}.ocsp", answers.size()), answer)});
    }
  }
  const std::string required = write("ocsp.toml", "[gpu]\nrequire_ocsp = true\n");
  const auto all = with(command(with(gpus_, switches_)), answers);
  EXPECT_EQ(run(with(all, {"--policy", required})).exit, 0);
  EXPECT_EQ(failed(run(with(command(with(gpus_, switches_)), {"--policy", required}))),
            (std::vector<std::string>{"gpu_switches", "switch_revocation", "gpu_revocation"}));
  SimOcsp revoked = fields;
  revoked.word = OcspStatus::Word::Revoked;
  const Bytes last = simulator_.ocsp_answers(kGpuCount - 1, revoked).front();
  EXPECT_EQ(failed(run(with(all, {"--ocsp", write("revoked.ocsp", last)}))),
            std::vector<std::string>{"gpu_revocation"});
}

class VerifyNrasCli : public VerifyCli {
 protected:
  static std::string vector_file(std::string_view name) {
    return nostril::test::shared_path("vectors/attestation/nras/" + std::string(name)).string();
  }

  static std::vector<std::string> files(std::string_view token, std::string_view key_set) {
    return {"nras", "--token", vector_file(token), "--jwks", vector_file(key_set)};
  }
};

TEST_F(VerifyNrasCli, JudgesSimulatedTokensUnderTheNamedRootOnly) {
  const NrasSimulator simulator(attestation::test::filled(7));
  const auto nonce = attestation::test::filled(0x55);
  const NrasEvidence evidence = simulator.evidence(nonce, 2, kNow);
  const std::vector<std::string> command =
      at(kNow, {"nras", "--token", write("token.json", evidence.response), "--jwks",
                write("jwks.json", evidence.key_set), "--nonce", encode_hex(nonce)});
  const std::string root = write("root.der", simulator.root_der());
  const Outcome taken = run(with(command, {"--root", root}));
  EXPECT_EQ(taken.exit, 0) << taken.output;
  EXPECT_EQ(taken.verdict.find_boolean("simulated"), true);
  EXPECT_EQ(taken.verdict.find("claims")->find("GPU-1")->find_string("model"), kSimulatedModel);
  const Outcome refused = run(command);
  EXPECT_EQ(refused.exit, 1);
  EXPECT_EQ(failed_checks(refused.verdict).front(), "key_chain");

  const auto under_policy = [&](const std::string& text) {
    const std::string file = write("policy.toml", text);
    return failed_checks(run(with(command, {"--root", root, "--policy", file})).verdict);
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(under_policy("[nras]\nmodels = [\"NOT A TEE\"]\ndevices = [\"1000\", \"1001\"]\n"),
            Names{});
  EXPECT_EQ(under_policy("[nras]\nmodels = [\"GH100\"]\n"), Names{"models"});
  EXPECT_EQ(under_policy("[nras]\ndevices = [\"1000\"]\n"), Names{"devices"});
  EXPECT_EQ(under_policy("level_min = \"image\"\n"), Names{"level"});

  const std::string text = run(with(command, {"--root", root, "--explain"})).output;
  EXPECT_THAT(text, HasSubstr("\"ok\":true"));
  EXPECT_EQ(run({"nras", "--token", "/nowhere", "--jwks", "/nowhere"}).exit, 2);
}

TEST_F(VerifyNrasCli, EveryCaseOfTheVectorsIsJudgedAsTheySay) {
  REQUIRE_SHARED(kNrasCases);
  int count = 0;
  const Json cases = attestation::test::read_vector_json("nras/cases.json");
  for (const Json& item : cases.find("cases")->items()) {
    const std::string id(*item.find_string("id"));
    const bool ok = item.find("expect")->find_string("verdict") == "accept";
    const Outcome done = run(with(at(*item.find_integer("now"), files(*item.find_string("response"),
                                                                      *item.find_string("jwks"))),
                                  {"--nonce", std::string(*item.find_string("expected_nonce"))}));
    print_row(id, done, failed_checks(done.verdict));
    EXPECT_EQ(done.exit, ok ? 0 : 1) << id << done.output;
    EXPECT_EQ(done.verdict.find_boolean("ok"), ok) << id;
    EXPECT_EQ(done.verdict.find_string("status"), ok ? "Verified" : "Refused") << id;
    EXPECT_EQ(done.verdict.find_boolean("simulated"), false) << id;
    ++count;
  }
  EXPECT_GE(count, 5);
  for (const char* file :
       {"no-jwks/near-2025-10-ppcie.json", "no-jwks/near-2025-10.json",
        "no-jwks/nvidia-sdk-v3-claims.json", "alg-none/dstack-gpu_attestation_h100.json"}) {
    const Outcome done = run(at(kNow, files(file, "tinfoil-1gpu.jwks.json")));
    print_row(file, done, failed_checks(done.verdict));
    EXPECT_EQ(done.exit, 1) << file;
  }
}

class VerifyReportCli : public VerifyCli {};

TEST_F(VerifyReportCli, JudgesEveryCaseOfTheVectors) {
  REQUIRE_SHARED("vectors/attestation/combined/cases.json");
  const std::string loose = write("loose.toml",
                                  "[software]\nallow_unpinned_images = true\n"
                                  "[gpu]\nallow_missing_rims = true\n"
                                  "allow_unchecked_switches = true\n");
  const Json cases = attestation::test::read_vector_json("combined/cases.json");
  for (const Json& item : cases.find("cases")->items()) {
    const std::string id(*item.find_string("id"));
    const fs::path folder = nostril::test::shared_path("vectors/attestation/combined/" + id);
    std::vector<std::string> arguments = {"report", "--file", folder / "report.json", "--nonce",
                                          std::string(*item.find_string("nonce"))};
    for (const auto& file : fs::directory_iterator(folder)) {
      if (file.path().filename() == "report.json") continue;
      arguments.insert(arguments.end(), {"--collateral", file.path()});
    }
    if (const auto peer = item.find_string("peer_spki_sha256")) {
      arguments.insert(arguments.end(), {"--peer-spki", std::string(*peer)});
    }
    arguments = at(*item.find_integer("now"), arguments);
    const Outcome strict = run(arguments);
    print_row(id, strict, failed_checks(strict.verdict));
    // Without reference manifests of its GPUs only the machine without GPUs is accepted.
    EXPECT_EQ(strict.exit, id.starts_with("tinfoil-cloud") ? 0 : 1) << strict.output;
    const Outcome taken = run(with(arguments, {"--policy", loose}));
    EXPECT_EQ(taken.exit, 0) << id << taken.output;
  }
}

TEST_F(VerifyReportCli, SaysWhatCannotBeUsed) {
  const std::string report = write("report.json", "{}");
  EXPECT_EQ(run(at(kNow, {"report", "--file", report})).exit, 1);
  EXPECT_EQ(run(at(kNow, {"report", "--file", report, "--collateral", report})).exit, 2);
  EXPECT_EQ(run(at(kNow, {"report", "--file", report, "--peer-spki", "00"})).exit, 2);
  EXPECT_EQ(run(at(kNow, {"report", "--file", (folder_ / "none").string()})).exit, 2);
}

}  // namespace
}  // namespace nostril::client
