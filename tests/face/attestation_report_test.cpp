#include "face/attestation_report.h"

#include "attestation/report_form.h"
#include "base/base64.h"
#include "tests/face/keys.h"

namespace nostril::face {

namespace {

using nostril::test::text_of;

ReportNonce nonce_of(std::uint8_t byte) {
  ReportNonce out{};
  out.fill(byte);
  return out;
}

LegacyReport example(SigningAlgorithm algorithm) {
  LegacyReport report;
  report.model = "org/model";
  report.algorithm = algorithm;
  report.nonce = nonce_of(0xab);
  report.quote = {4, 0, 2, 0};
  report.gpus.push_back({{1, 2, 3}, {'p', 'e', 'm'}});
  report.event_log = R"([{"imr":3}])";
  report.info = R"({"tcb_info":"{}"})";
  return report;
}

TEST(ReportQuery, ReadsAllItsParameters) {
  const LegacySigner signer = test::signer();
  const auto empty = parse_report_query("", signer);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->algorithm, SigningAlgorithm::Ecdsa);
  EXPECT_FALSE(empty->nonce);
  const auto full =
      parse_report_query("model=a%2Fb&signing_algo=ed25519&nonce=" + std::string(64, 'A') +
                             "&include_tls_fingerprint=true&signing_address=" +
                             signer.address(SigningAlgorithm::Ed25519),
                         signer);
  ASSERT_TRUE(full);
  EXPECT_EQ(full->algorithm, SigningAlgorithm::Ed25519);
  EXPECT_EQ(full->nonce, nonce_of(0xaa));
  EXPECT_TRUE(full->include_tls_fingerprint);
}

TEST(ReportQuery, RefusesWrongValues) {
  const LegacySigner signer = test::signer();
  const auto status = [&](const std::string& query) {
    const auto read = parse_report_query(query, signer);
    return read ? 200 : read.error().status;
  };
  EXPECT_EQ(status("signing_algo=rsa"), 400);
  EXPECT_EQ(status("signing_algo="), 400);
  EXPECT_EQ(status("signing_algo"), 400);
  EXPECT_EQ(status("nonce=zz"), 400);
  EXPECT_EQ(status("nonce=" + std::string(62, 'a')), 400);
  EXPECT_EQ(status("nonce=" + std::string(66, 'a')), 400);
  EXPECT_EQ(status("include_tls_fingerprint=yes"), 400);
  EXPECT_EQ(status("include_tls_fingerprint="), 400);
  EXPECT_EQ(status("version=3"), 400);
  EXPECT_EQ(status("version="), 400);
  EXPECT_EQ(status("version=2&version=2"), 400);
  EXPECT_EQ(status("signing_algo=ecdsa&signing_algo=ecdsa"), 400);
  EXPECT_EQ(status(std::string(kReportQueryBytesMax + 1, '&')), 400);
  EXPECT_EQ(status("signing_address=0x00"), 404);
  EXPECT_EQ(
      status("signing_algo=ed25519&signing_address=" + signer.address(SigningAlgorithm::Ecdsa)),
      404);
  EXPECT_EQ(status("signing_address=0x924F4BE2A24D92C9327a2098037660d1435d3f33"), 200);
}

TEST(ReportQuery, TakesASwitchAsProgramsOfEachLanguageWriteIt) {
  const LegacySigner signer = test::signer();
  for (const auto* on : {"true", "True", "1"}) {
    const auto query = parse_report_query(std::string("include_tls_fingerprint=") + on, signer);
    EXPECT_TRUE(query && query->include_tls_fingerprint) << on;
  }
  for (const auto* off : {"false", "False", "0"}) {
    const auto query = parse_report_query(std::string("include_tls_fingerprint=") + off, signer);
    EXPECT_TRUE(query && !query->include_tls_fingerprint) << off;
  }
}

TEST(ReportQuery, ItsVersionTwoNamesTheTlsKey) {
  const LegacySigner signer = test::signer();
  EXPECT_FALSE(parse_report_query("version=1", signer)->include_tls_fingerprint);
  EXPECT_TRUE(parse_report_query("version=2", signer)->include_tls_fingerprint);
  EXPECT_TRUE(
      parse_report_query("version=1&include_tls_fingerprint=1", signer)->include_tls_fingerprint);
}

TEST(ReportQuery, WhoNamesAVersionReadsPhalasForm) {
  const LegacySigner signer = test::signer();
  for (const auto* near : {"", "model=a", "signing_algo=ecdsa", "model=a&signing_algo=ecdsa"}) {
    EXPECT_EQ(parse_report_query(near, signer)->form, ReportForm::Near) << near;
  }
  for (const auto* phala : {"version=1", "version=2&signing_algo=ecdsa&model=a"}) {
    EXPECT_EQ(parse_report_query(phala, signer)->form, ReportForm::Phala) << phala;
  }
}

TEST(LegacyReportData, FollowsItsLayout) {
  const LegacySigner signer = test::signer();
  const ReportNonce nonce = nonce_of(7);
  const ReportData ecdsa = legacy_report_data(signer, SigningAlgorithm::Ecdsa, nonce, {});
  EXPECT_EQ(encode_hex(ecdsa),
            "924f4be2a24d92c9327a2098037660d1435d3f33" + std::string(24, '0') + encode_hex(nonce));
  const ReportData ed25519 = legacy_report_data(signer, SigningAlgorithm::Ed25519, nonce, {});
  EXPECT_EQ(encode_hex(ed25519), signer.address(SigningAlgorithm::Ed25519) + encode_hex(nonce));
  const Digest spki = sha256("spki");
  const ReportData tls = legacy_report_data(signer, SigningAlgorithm::Ecdsa, nonce, spki);
  Bytes joined = signer.address_bytes(SigningAlgorithm::Ecdsa);
  joined.insert(joined.end(), spki.bytes.begin(), spki.bytes.end());
  EXPECT_EQ(encode_hex(tls), encode_hex(sha256(ByteSpan(joined))) + encode_hex(nonce));
}

TEST(LegacyReport, HasTheFlatAndTheNestedForm) {
  const LegacySigner signer = test::signer();
  const Json json =
      test::parsed(report_json(example(SigningAlgorithm::Ecdsa), signer, ReportForm::Near));
  const Json& nested = json.find("model_attestations")->items()[0];
  EXPECT_EQ(nested.dump(), json.find("all_attestations")->items()[0].dump());
  const Json& gateway = *json.find("gateway_attestation");
  EXPECT_EQ(text_of(gateway, "event_log"), R"([{"imr":3}])") << "a text, as dstack's agent has it";
  EXPECT_EQ(json.find("tls_certificate"), nullptr);
  for (const Json* report : {&json, &nested}) {
    EXPECT_EQ(report->find("event_log")->dump(), R"([{"imr":3}])");
  }
  for (const Json* report : {&json, &nested, &gateway}) {
    EXPECT_EQ(text_of(*report, "model_name"), "org/model");
    EXPECT_EQ(text_of(*report, "signing_algo"), "ecdsa");
    EXPECT_EQ(text_of(*report, "intel_quote"), "04000200");
    EXPECT_EQ(text_of(*report, "request_nonce").size(), 64U);
    EXPECT_EQ(text_of(*report, "signing_public_key").size(), 128U);
    EXPECT_EQ(text_of(*report, "report_data"),
              encode_hex(legacy_report_data(signer, SigningAlgorithm::Ecdsa, nonce_of(0xab), {})));
    EXPECT_EQ(report->find("tls_cert_fingerprint"), nullptr);
  }
  const Json payload = test::parsed(text_of(json, "nvidia_payload"));
  EXPECT_EQ(text_of(payload, "nonce"), text_of(json, "request_nonce"));
  EXPECT_EQ(text_of(payload, "arch"), "HOPPER");
  const Json& gpu = payload.find("evidence_list")->items()[0];
  EXPECT_EQ(text_of(gpu, "evidence"), encode_base64(Bytes{1, 2, 3}));
}

// What the form's readers hand on to dstack's verifier are texts; a part of a gateway would make
// them take it for the other form.
TEST(LegacyReport, HasPhalasFormWithoutAGateway) {
  const LegacySigner signer = test::signer();
  LegacyReport example_report = example(SigningAlgorithm::Ecdsa);
  example_report.vm_config = R"({"cpu_count":2})";
  example_report.tls_spki = sha256("spki");
  const Json json = test::parsed(report_json(example_report, signer, ReportForm::Phala));
  EXPECT_EQ(json.find("gateway_attestation"), nullptr);
  EXPECT_EQ(json.find("model_attestations"), nullptr);
  const Json& nested = json.find("all_attestations")->items()[0];
  for (const Json* report : {&json, &nested}) {
    EXPECT_EQ(text_of(*report, "quote"), text_of(*report, "intel_quote"));
    EXPECT_EQ(text_of(*report, "event_log"), R"([{"imr":3}])");
    EXPECT_EQ(text_of(*report, "vm_config"), R"({"cpu_count":2})");
    EXPECT_EQ(text_of(*report, "tls_cert_fingerprint"), encode_hex(sha256("spki")));
    EXPECT_EQ(text_of(*report, "signing_public_key").size(), 128U);
  }
}

/// Our own verifier of other people's reports reads it and computes the report data it was made
/// for.
TEST(LegacyReport, IsReadByTheVerifier) {
  const LegacySigner signer = test::signer();
  for (const SigningAlgorithm algorithm : {SigningAlgorithm::Ecdsa, SigningAlgorithm::Ed25519}) {
    for (const bool with_tls : {false, true}) {
      LegacyReport report = example(algorithm);
      if (with_tls) report.tls_spki = sha256("spki");
      if (with_tls) report.tls_certificate = "-----BEGIN CERTIFICATE-----\n";
      const Json json = test::parsed(report_json(report, signer, ReportForm::Near));
      EXPECT_EQ(json.find_string("tls_certificate").value_or(""), report.tls_certificate);
      const auto read = attestation::parse_near_report(json);
      ASSERT_TRUE(read);
      ASSERT_EQ(read->parts.size(), 2U);
      for (const auto& part : read->parts) {
        const ReportData expected =
            legacy_report_data(signer, algorithm, report.nonce, report.tls_spki);
        EXPECT_EQ(encode_hex(*part.binding.start), encode_hex(expected));
        for (const auto& equality : part.equalities) EXPECT_EQ(equality.found, equality.wanted);
      }
    }
  }
}

}  // namespace

}  // namespace nostril::face
