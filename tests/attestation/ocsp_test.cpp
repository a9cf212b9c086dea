// OCSP answers of the simulator: sound ones, one deviation each, and OpenSSL's reading beside ours.
#include "attestation/ocsp.h"

#include "attestation/gpu_certificates.h"
#include "tests/attestation/gpu_fixtures.h"

#include <gtest/gtest.h>
#include <openssl/ocsp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

using test::gpu_simulator;
using test::kNow;

struct Device {
  GpuSimulator simulator = gpu_simulator();
  std::vector<Certificate> chain = parse_gpu_chain(simulator.chain(0)).value();
  ChainCache cache;

  /// What the answer about the BROM certificate comes to.
  Result<UnixTime, OcspError> judge(const SimOcsp& fields, ByteSpan nonce = {}) {
    const Bytes bytes = simulator.ocsp_answers(0, fields).front();
    const auto answer = parse_ocsp(bytes);
    if (!answer) return failure(answer.error());
    return judge_ocsp(*answer, chain[1], chain[2], kNow, nonce, cache);
  }
};

TEST(Ocsp, TakesTheIssuersAndItsRespondersWord) {
  Device setup;
  SimOcsp fields;
  fields.next_update = kNow;
  for (const bool delegated : {true, false}) {
    fields.delegated = delegated;
    EXPECT_EQ(setup.judge(fields).value(), kNow);
  }
  fields.this_update = kNow;
  EXPECT_TRUE(setup.judge(fields).has_value());
}

struct Deviation {
  OcspError error;
  std::function<void(SimOcsp&)> make;
};

TEST(Ocsp, NamesEachDeviation) {
  using Word = OcspStatus::Word;
  const std::vector<Deviation> deviations = {
      {OcspError::Revoked, [](SimOcsp& o) { o.word = Word::Revoked; }},
      {OcspError::Unknown, [](SimOcsp& o) { o.word = Word::Unknown; }},
      {OcspError::Expired, [](SimOcsp& o) { o.next_update = kNow - 1; }},
      {OcspError::NotYetValid, [](SimOcsp& o) { o.this_update = kNow + 1; }},
      {OcspError::Malformed, [](SimOcsp& o) { o.next_update = o.this_update - 1; }},
      {OcspError::WrongResponder, [](SimOcsp& o) { o.wrong_issuer = true; }},
      {OcspError::WrongResponder, [](SimOcsp& o) { o.responder_has_purpose = false; }},
      {OcspError::WrongResponder, [](SimOcsp& o) { o.responder_not_after = kNow - 1; }},
      {OcspError::BadSignature, [](SimOcsp& o) { o.wrong_signature = true; }},
  };
  Device setup;
  for (const Deviation& deviation : deviations) {
    SimOcsp fields;
    deviation.make(fields);
    const auto found = setup.judge(fields);
    ASSERT_FALSE(found.has_value()) << to_string(deviation.error);
    EXPECT_EQ(found.error(), deviation.error) << to_string(found.error());
  }
}

TEST(Ocsp, NonceMustBeTheOneAskedFor) {
  Device setup;
  SimOcsp fields;
  const Bytes nonce(16, 7);
  EXPECT_EQ(setup.judge(fields, nonce).error(), OcspError::WrongNonce);
  fields.nonce = Bytes(16, 8);
  EXPECT_EQ(setup.judge(fields, nonce).error(), OcspError::WrongNonce);
  EXPECT_TRUE(setup.judge(fields).has_value());
  fields.nonce = nonce;
  EXPECT_TRUE(setup.judge(fields, nonce).has_value());
}

TEST(Ocsp, SpeaksOnlyOfTheCertificateItNames) {
  Device setup;
  const auto other = parse_gpu_chain(setup.simulator.chain(1)).value();
  const Bytes bytes = setup.simulator.ocsp_answers(0, {}).front();
  const auto answer = parse_ocsp(bytes);
  const auto judge = [&](const Certificate& certificate, const Certificate& issuer) {
    return judge_ocsp(*answer, certificate, issuer, kNow, {}, setup.cache);
  };
  EXPECT_TRUE(judge(setup.chain[1], setup.chain[2]).has_value());
  EXPECT_EQ(judge(other[1], other[2]).error(), OcspError::NoAnswer);
  EXPECT_EQ(judge(setup.chain[2], setup.chain[3]).error(), OcspError::NoAnswer);
  EXPECT_EQ(judge(setup.chain[1], setup.chain[3]).error(), OcspError::NoAnswer);
}

TEST(Ocsp, OneSoundRevocationIsTheLastWord) {
  Device setup;
  SimOcsp revoked;
  revoked.word = OcspStatus::Word::Revoked;
  SimOcsp expired;
  expired.next_update = kNow - 1;
  const Bytes good = setup.simulator.ocsp_answers(0, {}).front();
  const auto judge = [&](const std::vector<Bytes>& answers) {
    return OcspAnswers(answers, kNow, {}).judge(setup.chain[1], setup.chain[2], setup.cache);
  };
  const Bytes old = setup.simulator.ocsp_answers(0, expired).front();
  EXPECT_EQ(judge({good, setup.simulator.ocsp_answers(0, revoked).front()}).error(),
            OcspError::Revoked);
  EXPECT_TRUE(judge({old, good}).has_value());
  EXPECT_EQ(judge({old}).error(), OcspError::Expired);
  EXPECT_EQ(judge({}).error(), OcspError::NoAnswer);
}

TEST(ParseOcsp, RefusesEveryTruncationAnyByteMoreAndOtherStatuses) {
  Device setup;
  Bytes bytes = setup.simulator.ocsp_answers(0, {}).front();
  ASSERT_TRUE(parse_ocsp(bytes).has_value());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(parse_ocsp(ByteSpan(bytes).first(size)).has_value()) << size;
  }
  bytes.push_back(0);
  EXPECT_EQ(parse_ocsp(bytes).error(), OcspError::Malformed);
  const Bytes try_later = {0x30, 0x03, 0x0a, 0x01, 0x03};
  EXPECT_EQ(parse_ocsp(try_later).error(), OcspError::NotSuccessful);
}

TEST(ParseOcsp, NoByteOfAnAnswerMayChange) {
  Device setup;
  SimOcsp fields;
  fields.nonce = Bytes(16, 7);
  Bytes bytes = setup.simulator.ocsp_answers(0, fields).front();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    bytes[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
    const auto answer = parse_ocsp(bytes);
    ASSERT_FALSE(answer && judge_ocsp(*answer, setup.chain[1], setup.chain[2], kNow, fields.nonce,
                                      setup.cache))
        << at;
    bytes[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
  }
}

using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;

X509Ptr to_openssl(const Certificate& certificate) {
  const unsigned char* at = certificate.der.data();
  return {d2i_X509(nullptr, &at, static_cast<long>(certificate.der.size())), X509_free};
}

TEST(ParseOcsp, OpenSslReadsTheSame) {
  Device setup;
  const X509Ptr subject = to_openssl(setup.chain[1]);
  const X509Ptr issuer = to_openssl(setup.chain[2]);
  const Bytes bytes = setup.simulator.ocsp_answers(0, {}).front();
  const unsigned char* at = bytes.data();
  OCSP_RESPONSE* response = d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(bytes.size()));
  ASSERT_NE(response, nullptr);
  OCSP_BASICRESP* basic = OCSP_response_get1_basic(response);
  ASSERT_NE(basic, nullptr);
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha256(), subject.get(), issuer.get());
  int status = -1;
  EXPECT_EQ(OCSP_resp_find_status(basic, id, &status, nullptr, nullptr, nullptr, nullptr), 1);
  EXPECT_EQ(status, V_OCSP_CERTSTATUS_GOOD);
  OCSP_CERTID_free(id);
  OCSP_BASICRESP_free(basic);
  OCSP_RESPONSE_free(response);
}

// ---- within a verdict on GPUs ----

Verdict judge_gpu(const GpuSimulator& simulator, const std::vector<Bytes>& ocsp, bool required) {
  GpuPolicy policy = test::simulated_gpu_policy();
  policy.require_ocsp = required;
  const auto gpus = simulator.evidence(1, test::filled(0x66));
  const auto rims = simulator.manifests();
  return verify_gpus({gpus, rims, test::roots_of(simulator), kNow, policy, ocsp});
}

TEST(GpuRevocation, IsLookedAtWhenThereAreAnswersAndRequiredWhenThePolicySaysSo) {
  const GpuSimulator simulator = gpu_simulator();
  auto answers = simulator.ocsp_answers(0, {});
  const Verdict sound = judge_gpu(simulator, answers, true);
  EXPECT_TRUE(sound.accepted) << explain(sound);
  EXPECT_EQ(sound.find("gpu_revocation")->found, "9 statuses good");
  EXPECT_TRUE(judge_gpu(simulator, {}, false).accepted);
  EXPECT_EQ(test::status_of(judge_gpu(simulator, {}, false), "gpu_revocation"),
            CheckStatus::NotChecked);
  EXPECT_FALSE(judge_gpu(simulator, {}, true).accepted);
  answers.pop_back();
  const Verdict partial = judge_gpu(simulator, answers, true);
  EXPECT_FALSE(partial.accepted);
  EXPECT_EQ(test::status_of(partial, "gpu_revocation"), CheckStatus::NotChecked);
  EXPECT_TRUE(judge_gpu(simulator, answers, false).accepted);
}

TEST(GpuRevocation, RefusesWhatIsRevokedOrNoAnswerEvenUnasked) {
  const GpuSimulator simulator = gpu_simulator();
  for (std::size_t at = 0; at < 6; ++at) {
    auto answers = simulator.ocsp_answers(0, {});
    SimOcsp revoked;
    revoked.word = OcspStatus::Word::Revoked;
    answers[at] = simulator.ocsp_answers(0, revoked)[at];
    const Verdict verdict = judge_gpu(simulator, answers, false);
    EXPECT_FALSE(verdict.accepted);
    EXPECT_TRUE(verdict.find("gpu_revocation")->found.ends_with("certificate revoked")) << at;
  }
  EXPECT_EQ(test::status_of(judge_gpu(simulator, {Bytes{1}}, false), "gpu_ocsp"),
            CheckStatus::Failed);
}

TEST(GpuRevocation, AVerdictHoldsNoLongerThanItsAnswers) {
  const GpuSimulator simulator = gpu_simulator();
  SimOcsp fields;
  fields.next_update = kNow + 60;
  const Verdict verdict = judge_gpu(simulator, simulator.ocsp_answers(0, fields), true);
  EXPECT_EQ(verdict.holds_until, kNow + 60);
}

}  // namespace
}  // namespace nostril::attestation
