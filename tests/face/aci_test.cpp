#include "face/aci.h"

#include "tests/face/keys.h"

#include "face/canonical_json.h"

#include <vector>

namespace nostril::face {

namespace {

using nostril::test::text_of;

constexpr const char* kShared = "vectors/inference/aci-test-vectors.md";

ReportNonce counting_nonce() {
  ReportNonce out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(i);
  return out;
}

Digest filled(std::uint8_t byte) {
  Digest out;
  out.bytes.fill(byte);
  return out;
}

/// The keyset of ACI's vectors.
AciKeyset vector_keyset() {
  AciKeyset keyset;
  keyset.subject = "dstack-app://example-app";
  keyset.not_after = 1'800'000'000;
  keyset.receipt_keys.push_back(
      {"receipt-1", Ed25519Key::from_seed(test::secret_filled(2)).public_key()});
  keyset.encryption_keys.push_back(
      {"e2ee-1", kAciX25519,
       encode_hex(X25519Key::from_secret(test::secret_filled(3)).public_key())});
  keyset.tls_keys.push_back({filled(0xc0), "api.example.com"});
  return keyset;
}

AciReceipt example_receipt() {
  AciReceipt receipt;
  receipt.id = "rcpt-0001";
  receipt.chat_id = "chatcmpl-123";
  receipt.model = "demo-model";
  receipt.keyset_digest = keyset_digest(vector_keyset());
  receipt.endpoint = "/v1/chat/completions";
  receipt.served_at = 1'750'000'000;
  receipt.received = sha256("request");
  receipt.forwarded = receipt.received;
  receipt.returned = sha256("response");
  receipt.key_id = "receipt-1";
  return receipt;
}

/// The lines of the vectors' fenced blocks.
std::vector<std::string> blocks() {
  std::istringstream text(nostril::test::read_file(nostril::test::shared_path(kShared)));
  std::vector<std::string> out;
  std::string line;
  bool inside = false;
  while (std::getline(text, line)) {
    if (line.starts_with("```")) {
      inside = !inside && line == "```text";
    } else if (inside) {
      out.push_back(line);
    }
  }
  return out;
}

/// The first line that starts so, without that.
std::string block(const std::string& start) {
  for (const std::string& line : blocks()) {
    if (line.starts_with(start)) return line.substr(start.size());
  }
  return "(not in the vectors)";
}

TEST(Aci, KeysetAndReportDataAreThoseOfTheVectors) {
  REQUIRE_SHARED(kShared);
  const AciKeyset keyset = vector_keyset();
  EXPECT_EQ("{\"e2ee_public_keys\"" + block("{\"e2ee_public_keys\""), keyset_json(keyset));
  const std::string digest = keyset_digest(keyset);
  EXPECT_EQ(digest, block("workload_keyset_digest = "));
  EXPECT_EQ(aci_statement(digest, counting_nonce()),
            "{\"keyset_digest\"" + block("{\"keyset_digest\""));
  const ReportData data = aci_report_data(digest, counting_nonce());
  const std::string hex = encode_hex(data);
  EXPECT_EQ(hex.substr(0, 64), block("report_data = sha256(statement) = "));
  EXPECT_EQ(hex.substr(64), block(hex.substr(0, 64)));
  EXPECT_EQ(encode_hex(aci_report_data(digest, std::nullopt)).substr(0, 64),
            "0" + block("report_data = 0"));
}

TEST(Aci, ReceiptIsByteForByteThatOfTheVectors) {
  REQUIRE_SHARED(kShared);
  const Ed25519Key key = Ed25519Key::from_seed(test::secret_filled(2));
  const std::string served = [] {
    for (const std::string& line : blocks()) {
      if (line.find("\"receipt_id\"") != std::string::npos &&
          line.find("\"signature\"") != std::string::npos) {
        return line;
      }
    }
    return std::string();
  }();
  EXPECT_TRUE(verify_receipt(served, key.public_key()));
  const Json document = test::parsed(served);
  EXPECT_EQ(canonical_json(document), served);
  const auto input = canonical_json_without(document, "signature");
  ASSERT_TRUE(input);
  EXPECT_EQ(encode_hex(sha256(*input)), block("sha256(signing input) = "));
  EXPECT_EQ(encode_hex(key.sign(as_bytes(*input))), block("signature = "));

  // The same receipt of a direct service: without the event of an upstream.
  AciReceipt receipt = example_receipt();
  receipt.received =
      sha256(R"({"messages":[{"content":"hi","role":"user"}],"model":"demo-model"})");
  receipt.forwarded = receipt.received;
  receipt.returned = sha256(R"({"choices":[],"id":"chatcmpl-123"})");
  std::string expected = *input;
  const std::size_t from = expected.find("{\"model_id\"");
  expected.erase(from, expected.find("{", from + 1) - from);
  const std::string ours = sign_receipt(receipt, key);
  EXPECT_EQ(canonical_json_without(test::parsed(ours), "signature"), expected);
  EXPECT_TRUE(verify_receipt(ours, key.public_key()));
}

TEST(Aci, SessionIdIsTheHashOfTheCanonicalForm) {
  REQUIRE_SHARED(kShared);
  const Json session = test::parsed("{\"api_version\":\"aci/1\",\"channel_binding\"" +
                                    block("{\"api_version\":\"aci/1\",\"channel_binding\""));
  EXPECT_EQ(encode_hex(sha256(canonical_json(session).value_or(""))), block("session_id = "));
}

TEST(Aci, ReportOfAnotherServiceHasOurDigest) {
  constexpr const char* kReport = "vectors/inference/aci_report.json";
  REQUIRE_SHARED(kReport);
  const Json report = nostril::test::load_json(kReport);
  const Json& keyset = *report.find("attestation")->find("workload_keyset");
  EXPECT_EQ("sha256:" + encode_hex(sha256(canonical_json(keyset).value_or(""))),
            text_of(report, "workload_keyset_digest"));
  // Our own writer, given the same keyset.
  AciKeyset same;
  same.not_after = *keyset.find_integer("not_after");
  const Json& receipt_key = keyset.find("receipt_signing_keys")->items()[0];
  same.receipt_keys.push_back(
      {text_of(receipt_key, "key_id"),
       nostril::test::fixed_of<Ed25519PublicKey>(receipt_key, "public_key")});
  const Json& key = keyset.find("e2ee_public_keys")->items()[0];
  same.encryption_keys.push_back({text_of(key, "key_id"), kAciX25519, text_of(key, "public_key")});
  EXPECT_EQ(keyset_digest(same), text_of(report, "workload_keyset_digest"));
}

TEST(Aci, WritersAreCanonical) {
  const AciKeyset keyset = vector_keyset();
  EXPECT_EQ(canonical_json(test::parsed(keyset_json(keyset))), keyset_json(keyset));
  const Ed25519Key key = Ed25519Key::from_seed(test::secret_filled(2));
  AciReceipt receipt = example_receipt();
  EXPECT_EQ(canonical_json(test::parsed(sign_receipt(receipt, key))), sign_receipt(receipt, key));
  receipt.forwarded.reset();  // a refusal
  receipt.model.reset();
  receipt.chat_id.reset();
  const std::string refusal = sign_receipt(receipt, key);
  EXPECT_EQ(canonical_json(test::parsed(refusal)), refusal);
  EXPECT_EQ(test::parsed(refusal).find("event_log")->items().size(), 2U);
  EXPECT_TRUE(verify_receipt(refusal, key.public_key()));
}

TEST(Aci, ReceiptStopsVerifyingWithAnyChange) {
  const Ed25519Key key = Ed25519Key::from_seed(test::secret_filled(2));
  const std::string good = sign_receipt(example_receipt(), key);
  ASSERT_TRUE(verify_receipt(good, key.public_key()));
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = changed[i] == 'a' ? 'b' : 'a';
    EXPECT_FALSE(verify_receipt(changed, key.public_key())) << i;
  }
  EXPECT_FALSE(verify_receipt(good, Ed25519Key::from_seed(test::secret_filled(4)).public_key()));
  EXPECT_FALSE(verify_receipt("{}", key.public_key()));
}

TEST(Aci, ReportIsWhole) {
  AciReport report;
  report.keyset = vector_keyset();
  report.nonce = counting_nonce();
  report.provenance.repo_url = "https://example.com/repo";
  report.evidence = R"({"quote":"00"})";
  report.field_encryption = true;
  const Json json = test::parsed(aci_report_json(report));
  const Json& attestation = *json.find("attestation");
  EXPECT_EQ(text_of(json, "api_version"), "aci/1");
  EXPECT_EQ(text_of(json, "workload_keyset_digest"), keyset_digest(report.keyset));
  EXPECT_EQ(text_of(attestation, "report_data") + std::string(64, '0'),
            encode_hex(aci_report_data(keyset_digest(report.keyset), report.nonce)));
  EXPECT_EQ(attestation.find("evidence")->dump(), report.evidence);
  EXPECT_EQ(attestation.find("source_provenance")->dump(),
            R"({"repo_url":"https://example.com/repo","repo_commit":null,"image_digest":null,)"
            R"("image_provenance":null})");
  EXPECT_EQ(json.find("service_capabilities")->dump(),
            R"({"supported_e2ee_versions":["2"],"serving":"direct"})");
}

TEST(Aci, QueryTakesANonceOfOneForm) {
  EXPECT_EQ(parse_aci_query("a=b"), std::nullopt);
  EXPECT_EQ(*parse_aci_query("nonce=" + encode_hex(counting_nonce())), counting_nonce());
  for (const std::string& query :
       {std::string("nonce="), "nonce=" + std::string(64, 'A'), "nonce=" + std::string(63, 'a'),
        "nonce=" + std::string(64, 'a') + "&nonce=" + std::string(64, 'a')}) {
    const auto read = parse_aci_query(query);
    ASSERT_FALSE(read) << query;
    EXPECT_EQ(read.error().type, "invalid_request_error");
  }
}

TEST(Aci, TakesItsConstraintsOutOfARequest) {
  const auto take = [](const std::string& body) {
    return take_constraints(body, test::parsed(body));
  };
  const std::string plain = R"({ "model" : "m", "provider":{"order":[1]} })";
  EXPECT_EQ(*take(plain), plain);
  EXPECT_EQ(*take(R"({"model":"m","provider":{"aci_verified":true},"n":1})"),
            R"({"model":"m","n":1})");
  EXPECT_EQ(*take(R"({"provider":{"order":["a"],"aci_verified":false}})"),
            R"({"provider":{"order":["a"]}})");
  EXPECT_EQ(take(R"({"provider":{"aci_session_ids":["ab"]}})").error().status, 412);
  for (const char* body : {R"({"provider":{"aci_verified":1}})", R"({"provider":{"aci_other":1}})",
                           R"({"provider":{"aci_session_ids":[]}})",
                           R"({"provider":{"aci_verified":false,"aci_session_ids":["ab"]}})"}) {
    EXPECT_EQ(take(body).error().status, 400) << body;
  }
}

}  // namespace

}  // namespace nostril::face
