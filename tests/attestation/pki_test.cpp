#include "attestation/der.h"
#include "attestation/sim_pki.h"
#include "attestation/tdx_verify.h"
#include "attestation/utc_time.h"
#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

using test::filled;
using test::judge;
using test::kNow;
using test::simulator;
using test::sound_evidence;
using test::status_of;

constexpr UnixTime kFrom = 1577836800;
constexpr UnixTime kUntil = 2524607999;

std::string reason(const SimulatorOptions& options, std::string_view check) {
  const Simulator sim = simulator(options);
  const Verdict verdict = judge(sim, sound_evidence(sim));
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(status_of(verdict, check), CheckStatus::Failed);
  return verdict.find(check)->found;
}

TEST(PckChain, RefusesAnExpiredLeaf) {
  SimulatorOptions options;
  options.leaf_not_after = kNow - 1;
  EXPECT_EQ(reason(options, "pck_chain"), "certificate expired");
}

TEST(PckChain, RefusesALeafOfTheFuture) {
  SimulatorOptions options;
  options.leaf_not_before = kNow + 1;
  EXPECT_EQ(reason(options, "pck_chain"), "certificate not yet valid");
}

TEST(PckChain, ValidityBoundsAreInclusive) {
  SimulatorOptions options;
  options.leaf_not_before = kNow;
  options.leaf_not_after = kNow;
  const Simulator sim = simulator(options);
  EXPECT_TRUE(judge(sim, sound_evidence(sim)).accepted);
}

TEST(PckChain, RefusesAnIssuerThatIsNoCa) {
  SimulatorOptions options;
  options.pck_ca_is_ca = false;
  EXPECT_EQ(reason(options, "pck_chain"), "issuer may not sign certificates");
}

TEST(PckChain, RefusesWrongNames) {
  SimulatorOptions options;
  for (const std::string name :
       {"Intel SGX PCK Certificate", "NOSTRIL TEST PCK Certificate 2", ""}) {
    options.leaf_name = name;
    EXPECT_EQ(reason(options, "pck_chain"), "certificate of the wrong name") << name;
  }
}

TEST(PckChain, RefusesAGenuinePlatformIdUnderATestRoot) {
  SimulatorOptions options;
  options.fmspc = "90c06f000000";
  reason(options, "platform");
}

TEST(Revocation, RefusesRevokedCertificates) {
  SimulatorOptions leaf;
  leaf.revoke_pck = true;
  EXPECT_EQ(reason(leaf, "revocation"), "certificate revoked");
  SimulatorOptions ca;
  ca.revoke_pck_ca = true;
  EXPECT_EQ(reason(ca, "revocation"), "certificate revoked");
}

TEST(Revocation, RefusesListsSwappedOrMissing) {
  const Simulator sim = simulator();
  Evidence evidence = sound_evidence(sim);
  std::swap(evidence.collateral->pck_crl, evidence.collateral->root_ca_crl);
  EXPECT_EQ(judge(sim, evidence).find("revocation")->found, "no CRL of this issuer");
  evidence.collateral->root_ca_crl.clear();
  EXPECT_EQ(judge(sim, evidence).find("revocation")->found, "malformed CRL");
}

TEST(Collateral, RefusesWhatIsStaleOrNotYetValid) {
  const Simulator sim = simulator();
  Evidence evidence = sound_evidence(sim);
  evidence.collateral = sim.collateral(kNow - 31LL * 86400);
  EXPECT_EQ(judge(sim, evidence).find("tcb_info")->found, "collateral expired");
  evidence.collateral = sim.collateral(kNow + 7200);
  EXPECT_EQ(judge(sim, evidence).find("tcb_info")->found, "collateral not yet valid");
}

TEST(Collateral, RefusesAnotherRootsWordAboutThisPlatform) {
  const Simulator sim = simulator();
  const Simulator other = simulator({}, 8);
  Evidence evidence = sound_evidence(sim);
  evidence.collateral = other.collateral(kNow);
  const Verdict verdict = judge(sim, evidence);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.find("tcb_info")->found, "collateral issuer chain");
  EXPECT_EQ(verdict.find("qe_identity")->found, "collateral issuer chain");
}

TEST(Collateral, HoldsToTheLowestEvaluationNumber) {
  const Simulator sim = simulator();
  Policy policy = test::simulated_policy();
  policy.tcb_evaluation_number_min = 2;  // the simulator's is 1
  const Verdict verdict = judge(sim, sound_evidence(sim), policy);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(status_of(verdict, "tcb_info"), CheckStatus::Failed);
}

/// root, CA and leaf with the fields a test wants.
struct Pki {
  SimKey root_key{filled(1), "root"};
  SimKey ca_key{filled(1), "ca"};
  SimKey leaf_key{filled(1), "leaf"};
  SimCertificate root{"root", "root", 1, kFrom, kUntil, true, 1, {}};
  SimCertificate ca{"ca", "root", 2, kFrom, kUntil, true, 0, {}};
  SimCertificate leaf{"leaf", "ca", 3, kFrom, kUntil, false, 0, {}};

  [[nodiscard]] std::optional<ChainError> check() const {
    const std::vector<Bytes> ders = {make_certificate(leaf, leaf_key, ca_key),
                                     make_certificate(ca, ca_key, root_key),
                                     make_certificate(root, root_key, root_key)};
    auto chain = parse_pem_chain(to_pem(ders));
    if (!chain) return chain.error();
    return check_chain(*chain, Algorithms::Intel, kNow);
  }
};

TEST(CheckChain, AcceptsTheSoundChain) {
  EXPECT_EQ(Pki().check(), std::nullopt);
}

TEST(CheckChain, RefusesBrokenLinks) {
  Pki name;
  name.leaf.issuer = "another ca";
  EXPECT_EQ(name.check(), ChainError::BrokenLink);
  Pki key;
  key.ca_key = SimKey(filled(2), "ca");
  EXPECT_EQ(key.check(), std::nullopt);  // the whole chain moved with it
  Pki ca_name;
  ca_name.ca.issuer = "someone else";
  EXPECT_EQ(ca_name.check(), ChainError::BrokenLink);
}

TEST(CheckChain, RefusesSignaturesOfAnotherKey) {
  const Pki pki;
  const SimKey stranger(filled(9), "ca");
  const std::vector<Bytes> ders = {make_certificate(pki.leaf, pki.leaf_key, stranger),
                                   make_certificate(pki.ca, pki.ca_key, pki.root_key),
                                   make_certificate(pki.root, pki.root_key, pki.root_key)};
  EXPECT_EQ(check_chain(*parse_pem_chain(to_pem(ders)), Algorithms::Intel, kNow),
            ChainError::BrokenLink);
}

TEST(CheckChain, RefusesWrongRolesAndPathLengths) {
  Pki leaf_ca;
  leaf_ca.leaf.is_ca = true;
  EXPECT_EQ(leaf_ca.check(), ChainError::LeafIsCa);
  Pki no_ca;
  no_ca.ca.is_ca = false;
  EXPECT_EQ(no_ca.check(), ChainError::NotCa);
  Pki too_long;
  too_long.root.path_length = 0;
  EXPECT_EQ(too_long.check(), ChainError::NotCa);
}

TEST(CheckChain, RefusesUnknownCriticalExtensions) {
  Pki pki;
  const Bytes arcs = {0x2a, 0x03, 0x04};
  pki.leaf.extensions =
      der::constructed(der::kSequence, {der::oid(arcs), Bytes{der::kBoolean, 1, 0xff},
                                        der::value(der::kOctetString, Bytes{der::kBoolean, 1, 0})});
  EXPECT_EQ(pki.check(), ChainError::UnknownCriticalExtension);
}

TEST(CheckChain, RefusesExpiredCaAndRoot) {
  Pki ca;
  ca.ca.not_after = kNow - 1;
  EXPECT_EQ(ca.check(), ChainError::Expired);
  Pki root;
  root.root.not_before = kNow + 1;
  EXPECT_EQ(root.check(), ChainError::NotYetValid);
}

TEST(ParsePemChain, RefusesEverythingButTheOneForm) {
  const Pki pki;
  const std::string pem =
      to_pem(std::vector<Bytes>{make_certificate(pki.root, pki.root_key, pki.root_key)});
  EXPECT_TRUE(parse_pem_chain(pem));
  EXPECT_TRUE(parse_pem_chain(pem.substr(0, pem.size() - 1)));
  std::string crlf = pem;
  crlf.insert(27, "\r");
  std::string long_line = pem;
  long_line.erase(long_line.find('\n', 40), 1);
  std::string short_line = pem;
  short_line.insert(60, "\n");
  for (const std::string& bad : {" " + pem, pem + "\n", pem + "x", "junk\n" + pem, crlf, long_line,
                                 short_line, pem.substr(0, pem.size() - 2), pem.substr(0, 30)}) {
    EXPECT_FALSE(parse_pem_chain(bad)) << bad;
  }
  std::string nine;
  for (int i = 0; i < 9; ++i) nine += pem;
  EXPECT_EQ(parse_pem_chain(nine).error(), ChainError::WrongLength);
}

TEST(TrustRoots, TakesOnlyNamedSelfSignedTestRoots) {
  const Pki pki;
  const Bytes other_name = make_certificate(pki.root, pki.root_key, pki.root_key);
  EXPECT_EQ(TrustRoots::with_test_root(other_name).error(), RootError::NotTestRoot);
  SimCertificate named = pki.root;
  named.subject = std::string(kTestRootName);
  const Bytes not_self_signed = make_certificate(named, pki.root_key, pki.ca_key);
  EXPECT_EQ(TrustRoots::with_test_root(not_self_signed).error(), RootError::NotTestRoot);
  EXPECT_EQ(TrustRoots::with_test_root(Bytes{1, 2, 3}).error(), RootError::Malformed);
  Bytes longer = simulator().root_der();
  longer.push_back(0);
  EXPECT_EQ(TrustRoots::with_test_root(longer).error(), RootError::Malformed);
}

TEST(TrustRoots, KnowsWhichRootsItHolds) {
  const Bytes root = simulator().root_der();
  EXPECT_EQ(TrustRoots::with_test_root(root)->classify(root), TrustRoots::Class::Test);
  EXPECT_EQ(TrustRoots::vendors_and_test_root(root)->classify(root), TrustRoots::Class::Test);
  EXPECT_EQ(TrustRoots::intel().classify(root), std::nullopt);
  EXPECT_EQ(TrustRoots::with_test_root(root)->classify(simulator({}, 8).root_der()), std::nullopt);
}

TEST(SgxExtension, RefusesPartsMissingDoubledOrOutOfRange) {
  SimPlatformTcb tcb;
  tcb.ppid.assign(16, 1);
  tcb.fmspc.assign(6, 2);
  const auto read = [](const SimPlatformTcb& wanted) {
    Pki pki;
    pki.leaf.extensions = make_sgx_extension(wanted);
    const Bytes der = make_certificate(pki.leaf, pki.leaf_key, pki.ca_key);
    return sgx_extension(*parse_certificate(der));
  };
  tcb.component_svn[15] = 255;
  tcb.pce_svn = 65535;
  const auto sound = read(tcb);
  ASSERT_TRUE(sound.has_value());
  EXPECT_EQ(sound->component_svn[15], 255);
  EXPECT_EQ(sound->pce_svn, 65535);

  SimPlatformTcb short_ppid = tcb;
  short_ppid.ppid.pop_back();
  EXPECT_FALSE(read(short_ppid));
  SimPlatformTcb long_fmspc = tcb;
  long_fmspc.fmspc.push_back(0);
  EXPECT_FALSE(read(long_fmspc));

  const Pki pki;
  const Bytes none = make_certificate(pki.leaf, pki.leaf_key, pki.ca_key);
  EXPECT_FALSE(sgx_extension(*parse_certificate(none)));
  // Every byte of the extension matters: none may be changed into another accepted form silently.
  Pki doubled;
  const Bytes extension = make_sgx_extension(tcb);
  doubled.leaf.extensions = extension;
  doubled.leaf.extensions.insert(doubled.leaf.extensions.end(), extension.begin(), extension.end());
  const auto twice = parse_certificate(make_certificate(doubled.leaf, pki.leaf_key, pki.ca_key));
  EXPECT_TRUE(!twice || !sgx_extension(*twice));
}

TEST(DerReader, RefusesLengthsThatAreNotMinimal) {
  const auto reads = [](const Bytes& bytes) { return der::Reader(bytes).next().has_value(); };
  EXPECT_TRUE(reads({0x04, 0x01, 0x00}));
  EXPECT_FALSE(reads({0x04, 0x02, 0x00}));
  EXPECT_FALSE(reads({0x04, 0x81, 0x01, 0x00}));
  EXPECT_FALSE(reads({0x04, 0x80, 0x00, 0x00}));
  EXPECT_FALSE(reads({0x04, 0x82, 0x00}));
  EXPECT_FALSE(reads({0x1f, 0x01, 0x00}));
  EXPECT_FALSE(reads({0x04}));
  EXPECT_EQ(der::to_uint32(Bytes{0x00, 0xff}), 255U);
  EXPECT_FALSE(der::to_uint32(Bytes{0x00, 0x7f}));
  EXPECT_FALSE(der::to_uint32(Bytes{0xff}));
  EXPECT_FALSE(der::to_uint32(Bytes{}));
}

TEST(IsoUtc, ReadsExactlyOneForm) {
  EXPECT_EQ(parse_iso_utc("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_iso_utc("2026-02-18T10:58:51Z"), 1771412331);
  EXPECT_EQ(parse_iso_utc("2024-02-29T23:59:59Z"), 1709251199);
  EXPECT_EQ(format_iso_utc(1771412331), "2026-02-18T10:58:51Z");
  for (const std::string bad :
       {"", "2026-02-18T10:58:51", "2026-02-18 10:58:51Z", "2026-02-30T10:58:51Z",
        "2025-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z",
        "2026-01-0xT00:00:00Z", "2026-01-01T00:00:00Z "}) {
    EXPECT_FALSE(parse_iso_utc(bad)) << bad;
  }
}

}  // namespace
}  // namespace nostril::attestation
