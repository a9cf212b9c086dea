// Manifests of the simulator: what no genuine sample covers, and attacks on the signature's form.
#include "attestation/rim.h"

#include "attestation/rim_simulator.h"
#include "attestation/xml_signature.h"
#include "base/base64.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/rim_fixtures.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

using test::filled;
using test::kNow;
using test::measurement;

const RimSimulator& simulator() {
  static const RimSimulator kSimulator(filled(7));
  return kSimulator;
}

TrustRoots roots() {
  return TrustRoots::with_test_root(simulator().root_der()).value();
}

RimSimulatorTag tag() {
  RimSimulatorTag out;
  out.measurements = {{3, "", {measurement(0x30)}},
                      {40, "", {measurement(0x40), measurement(0x41), measurement(0x42)}}};
  return out;
}

std::string text_of(ByteSpan bytes) {
  return std::string(as_text(bytes));
}

std::string sound() {
  return text_of(simulator().manifest(tag()));
}

test::RimVerdict judge(std::string_view text, const RimPolicy& policy = {}, UnixTime now = kNow) {
  return test::judge_rim(as_bytes(text), RimKind::Driver, roots(), now, policy);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// The found text of the first check that failed.
std::string why(const test::RimVerdict& judged) {
  for (const Check& check : judged.verdict.checks) {
    if (check.status == CheckStatus::Failed) return check.name + ": " + check.found;
  }
  return "accepted";
}

/// The verdict on a tag that differs in one place, signed by the simulator.
std::string signed_with(std::string_view from, std::string_view to) {
  const Bytes text = simulator().sign(replaced(RimSimulator::unsigned_tag(tag()), from, to));
  return why(judge(as_text(text)));
}

TEST(Rim, OfTheSimulatorIsSoundUnderItsRootOnly) {
  const auto judged = judge(sound());
  ASSERT_TRUE(judged.verified.has_value()) << explain(judged.verdict);
  EXPECT_EQ(judged.verified->root_class, TrustRoots::Class::Test);
  EXPECT_EQ(judged.verified->rim.manufacturer, kSimulatedVendor);
  EXPECT_FALSE(judged.verified->signer_expired);
  const auto refused =
      test::judge_rim(as_bytes(sound()), RimKind::Driver, TrustRoots::nvidia_manifests(), kNow);
  EXPECT_EQ(why(refused), "driver_rim_chain: root not trusted");
}

TEST(Rim, SaysEveryAlternativeOfItsActiveMeasurements) {
  const auto rim = parse_rim(simulator().manifest(tag()));
  ASSERT_TRUE(rim.has_value());
  ASSERT_EQ(rim->measurements.size(), 2U);
  EXPECT_EQ(rim->find(40)->accepted, tag().measurements[1].accepted);
  EXPECT_EQ(rim->find(3)->accepted, tag().measurements[0].accepted);
  EXPECT_EQ(rim->find(4), nullptr);
  EXPECT_EQ(rim->kind, RimKind::Driver);
}

TEST(Rim, OfAnotherManufacturerThanItsRootsIsRefused) {
  RimSimulatorTag genuine = tag();
  genuine.manufacturer = kNvidia;
  const auto judged = judge(text_of(simulator().manifest(genuine)));
  EXPECT_EQ(judged.check("driver_rim_chain").status, CheckStatus::Failed);
  EXPECT_FALSE(judged.verified.has_value());
}

TEST(Rim, OfASignerThatTheRootDoesNotVouchForIsRefused) {
  const auto judged = [](const RimSimulatorOptions& options) {
    return why(judge(text_of(RimSimulator(filled(7), options).manifest(tag()))));
  };
  RimSimulatorOptions debug;
  debug.debug_root = true;
  EXPECT_EQ(judged(debug), "driver_rim_chain: root not trusted");
  RimSimulatorOptions not_ca;
  not_ca.issuer_is_ca = false;
  EXPECT_EQ(judged(not_ca), "driver_rim_chain: issuer may not sign certificates");
  RimSimulatorOptions named;
  named.signer_name = "HCC RIM L4 Signer";
  EXPECT_EQ(judged(named), "driver_rim_chain: certificate of the wrong name");
  RimSimulatorOptions early;
  early.signer_not_before = kNow + 1;
  EXPECT_EQ(judged(early), "driver_rim_chain: certificate not yet valid");
}

TEST(Rim, OfAnExpiredSignerIsTakenUnlessThePolicySaysNo) {
  RimSimulatorOptions options;
  options.signer_not_after = kNow - 1;
  const std::string text = text_of(RimSimulator(filled(7), options).manifest(tag()));
  const auto taken = judge(text);
  ASSERT_TRUE(taken.verified.has_value()) << explain(taken.verdict);
  EXPECT_TRUE(taken.verified->signer_expired);
  EXPECT_FALSE(judge(text, RimPolicy{true}).verified.has_value());
}

TEST(Rim, WithAnythingSignedButAGpusManifestIsRefused) {
  const std::string format = "driver_rim_format: ";
  const std::string tag_error = format + "no manifest of a GPU or a switch";
  EXPECT_EQ(signed_with("tagVersion=\"0\"", "tagVersion=\"1\""), "accepted");
  EXPECT_EQ(signed_with("corpus=\"false\"", "corpus=\"true\""), tag_error);
  EXPECT_EQ(signed_with("patch=\"false\"", "patch=\"true\""), tag_error);
  EXPECT_EQ(signed_with("supplemental=\"false\"", ""), tag_error);
  EXPECT_EQ(signed_with("edition=\"GPU\"", "edition=\"Switch\""), tag_error);
  EXPECT_EQ(signed_with("direct", "indirect"), tag_error);
  EXPECT_EQ(signed_with("\"5703\"", "\"5704\""), tag_error);
  EXPECT_EQ(signed_with("product=\"GH100\"", "product=\"GB100\""), tag_error);
  EXPECT_EQ(signed_with("<ns0:Payload>", "<ns0:Payload/><ns0:Payload>"), tag_error);
  EXPECT_EQ(signed_with("<ns0:Entity", "<ns0:Meta/><ns0:Entity"), tag_error);
  EXPECT_EQ(signed_with("<ns0:Entity", "x<ns0:Entity"), tag_error);
  EXPECT_EQ(signed_with("\"550.90.07\"", "\"\""), tag_error);
  for (const char* version :
       {"550", "550.", ".550", "550.90.07.1.2", "96.00.9F", "55g.90", "a b", "96.00.9F.00.1"}) {
    EXPECT_EQ(signed_with("550.90.07", version),
              format + "neither a driver's nor a VBIOS's version")
        << version;
  }
  EXPECT_EQ(signed_with("550.90.07", "96.00.9F.00.01"),
            format + "manifest of vbios 96.00.9F.00.01 for GH100");
}

TEST(Rim, WithAMalformedMeasurementIsRefused) {
  const auto expect_bad = [](std::string_view from, std::string_view to) {
    EXPECT_EQ(signed_with(from, to), "driver_rim_format: malformed measurement") << to;
  };
  expect_bad("index=\"3\"", "index=\"4\"");  // twice
  expect_bad("index=\"63\"", "index=\"255\"");
  expect_bad("index=\"3\"", "index=\"03\"");
  expect_bad("index=\"3\"", "index=\"\"");
  expect_bad("index=\"3\"", "index=\"-3\"");
  expect_bad("active=\"True\"", "active=\"true\"");
  expect_bad("alternatives=\"3\"", "alternatives=\"2\"");
  expect_bad("alternatives=\"3\"", "alternatives=\"4\"");
  expect_bad("alternatives=\"1\"", "alternatives=\"0\"");
  expect_bad("ns2:Hash2=", "ns2:Hash3=");
  expect_bad("ns2:Hash0=", "Hash0=");
  expect_bad("ns2:Hash0=\"0", "ns2:Hash0=\"");
  expect_bad("ns2:Hash0=\"0", "ns2:Hash0=\"00");
  expect_bad("ns2:Hash0=\"0", "ns2:Hash0=\"A");
  expect_bad("size=\"48\"", "size=\"32\"");
  expect_bad("size=\"48\"", "size=\"48\" more=\"1\"");
  expect_bad("type=\"Measurement\"", "type=\"File\"");
  expect_bad("name=\"Measurement_3\"", "name=\"\"");
  expect_bad("<ns0:Resource ", "<Resource xmlns=\"u:1\" ");
  expect_bad("<ns0:Payload>", "<ns0:Payload>text");
  expect_bad("<ns0:Payload>", "<ns0:Payload><ns0:File/>");

  RimSimulatorTag none;
  EXPECT_EQ(why(judge(text_of(simulator().manifest(none)))),
            "driver_rim_format: malformed measurement");
}

// ---- attacks on the signature; each begins with a sound document

TEST(RimSignature, RefusesAnyOtherAlgorithmOrTransform) {
  for (const char* uri :
       {"http://www.w3.org/2006/12/xml-c14n11\"/><ds:SignatureMethod", "ecdsa-sha384",
        "enveloped-signature", "http://www.w3.org/2006/12/xml-c14n11\"/></ds:Transforms",
        "xmldsig-more#sha384"}) {
    EXPECT_EQ(why(judge(replaced(sound(), uri, "x" + std::string(uri)))),
              "driver_rim_format: no signature of the form that is taken")
        << uri;
  }
}

TEST(RimSignature, RefusesAnyOtherStructure) {
  const auto expect_bad = [](const std::string& text) {
    EXPECT_EQ(why(judge(text)), "driver_rim_format: no signature of the form that is taken");
  };
  const std::string text = sound();
  const std::size_t begin = text.find("<ds:Signature ");
  const std::string end_tag = "</ds:Signature>";
  const std::size_t end = text.find(end_tag) + end_tag.size();
  const std::string signature = text.substr(begin, end - begin);
  const std::string without = text.substr(0, begin) + text.substr(end);

  expect_bad(without);
  expect_bad(text.substr(0, end) + signature + text.substr(end));               // twice
  expect_bad(replaced(without, "<ns0:Payload>", "<ns0:Payload>" + signature));  // not the root's
  expect_bad(replaced(text, "<ns0:Entity",
                      "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/"
                      "xmldsig#\"/><ns0:Entity"));
  expect_bad(replaced(text, "URI=\"\"", "URI=\"#x\""));
  expect_bad(replaced(text, "URI=\"\"", ""));
  expect_bad(replaced(text, "URI=\"\"", "URI=\"\" Id=\"x\""));
  expect_bad(replaced(text, "<ds:SignedInfo>", "<ds:SignedInfo Id=\"x\">"));
  expect_bad(replaced(text, "<ds:SignedInfo>", "<ds:SignedInfo>\n"));
  expect_bad(replaced(text, "<ds:SignedInfo>", "<ds:SignedInfo xmlns:x=\"u:1\">"));
  expect_bad(
      replaced(text, "</ds:Reference>", "</ds:Reference><ds:Reference URI=\"\"></ds:Reference>"));
  expect_bad(replaced(text, "</ds:Transforms>",
                      "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/"
                      "REC-xpath-19991116\"/></ds:Transforms>"));
  expect_bad(replaced(text, "<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName>x</ds:KeyName>"));
  expect_bad(replaced(text, "</ds:KeyInfo>", "</ds:KeyInfo><ds:Object/>"));
  expect_bad(replaced(text, "<ds:X509Data>", "<ds:X509Data><ds:X509CRL/>"));
  expect_bad(replaced(text, "<ds:SignatureValue>", "<ds:SignatureValue>\n"));
  expect_bad(replaced(text, "<ds:SignatureValue>", "<ds:SignatureValue>AAAA"));
  expect_bad(replaced(text, "<ds:DigestValue>", "<ds:DigestValue>AAAA"));
  expect_bad(replaced(text, "<ds:X509Certificate>", "<ds:X509Certificate> "));
}

TEST(RimSignature, RefusesAWrappedDocument) {
  // The signed document becomes a part of another, which says what the attacker wants.
  const std::string text = sound();
  RimSimulatorTag evil = tag();
  evil.measurements[0].accepted = {measurement(0x66)};
  const std::string outer = RimSimulator::unsigned_tag(evil);
  const std::string inside = replaced(outer, "<ns0:Payload>", text + "<ns0:Payload>");
  EXPECT_EQ(why(judge(inside)), "driver_rim_format: no signature of the form that is taken");

  // Its Signature is moved to the attacker's document, the signed one kept within.
  const std::size_t begin = text.find("<ds:Signature ");
  const std::size_t end = text.find("</SoftwareIdentity>");
  const std::string signature = text.substr(begin, end - begin);
  const std::string moved =
      replaced(outer, "</SoftwareIdentity>", signature + "</SoftwareIdentity>");
  EXPECT_TRUE(why(judge(moved)).starts_with("driver_rim_digest"));
  const std::string original = text.substr(0, begin) + text.substr(end);
  const std::string kept =
      replaced(moved, "<ns0:Entity", "<ns0:Link>" + original + "</ns0:Link><ns0:Entity");
  EXPECT_TRUE(why(judge(kept)).starts_with("driver_rim_digest"));
}

TEST(RimSignature, RefusesTheSignersCertificateInAnotherPlace) {
  const std::string text = sound();
  const auto document = XmlDocument::parse(text);
  const auto signature = read_xml_signature(*document);
  std::vector<std::string> certificates;
  for (const Bytes& der : signature->certificates) {
    certificates.push_back("<ds:X509Certificate>" + encode_base64(der) + "</ds:X509Certificate>");
  }
  ASSERT_EQ(certificates.size(), 4U);
  const std::string& first = certificates[0];
  EXPECT_TRUE(why(judge(replaced(text, first + certificates[1], certificates[1] + first)))
                  .starts_with("driver_rim_signature"));
  EXPECT_EQ(why(judge(replaced(text, certificates[1], ""))),
            "driver_rim_chain: chain of the wrong length");
  EXPECT_EQ(why(judge(replaced(text, certificates[3], ""))), "driver_rim_chain: root not trusted");
  EXPECT_EQ(why(judge(replaced(text, certificates[1], certificates[2]))),
            "driver_rim_chain: certificate not signed by its issuer");
  EXPECT_EQ(why(judge(replaced(text, certificates[1], certificates[1] + certificates[1]))),
            "driver_rim_chain: chain of the wrong length");
}

TEST(RimSignature, TakesCertificatesInLines) {
  const std::string text = sound();
  const std::size_t begin = text.find("<ds:X509Certificate>") + 20;
  const std::size_t end = text.find("</ds:X509Certificate>");
  std::string lines;
  for (std::size_t i = begin; i < end; i += 64) {
    lines += text.substr(i, std::min<std::size_t>(64, end - i)) + "\n";
  }
  const auto with = [&](const std::string& certificate) {
    return why(judge(text.substr(0, begin) + certificate + text.substr(end)));
  };
  EXPECT_EQ(with(lines), "accepted");
  EXPECT_NE(with("\n" + lines), "accepted");
  EXPECT_NE(with(lines + "\n"), "accepted");
  EXPECT_NE(with(replaced(lines, "\n", "\n ")), "accepted");
}

TEST(Rim, RefusesWhatIsTooLargeUnread) {
  EXPECT_EQ(parse_rim(Bytes(kRimBytesMax + 1, '<')).error(), RimError::TooLarge);
  EXPECT_EQ(parse_rim(Bytes(kRimAnswerBytesMax + 1, '{')).error(), RimError::TooLarge);
  EXPECT_EQ(parse_rim({}).error(), RimError::NotXml);
}

}  // namespace
}  // namespace nostril::attestation
