// The published vector of a simulated GPU: made by our generator, judged from the file alone.
#include "tests/attestation/gpu_vectors.h"

#include "tests/support/shared_data.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

constexpr const char* kFile = "spec/vectors/gpu.json";

/// What the file holds.
struct Vector {
  Json file = Json::parse(nostril::test::read_source(kFile)).value();
  std::vector<GpuEvidence> gpus = {{bytes("report"), bytes("chain")}};
  std::vector<Bytes> manifests = list("manifests");
  std::vector<Bytes> ocsp = list("ocsp");

  [[nodiscard]] Bytes bytes(std::string_view name) const {
    return decode_base64(*file.find_string(name)).value();
  }

  [[nodiscard]] std::vector<Bytes> list(std::string_view name) const {
    std::vector<Bytes> out;
    for (const Json& item : file.find(name)->items()) {
      out.push_back(decode_base64(*item.string()).value());
    }
    return out;
  }

  Bytes& part(std::string_view name) {
    if (name == "report") return gpus[0].report;
    if (name == "chain") return gpus[0].chain;
    return name == "manifest" ? manifests.front() : ocsp.front();
  }

  [[nodiscard]] Verdict judge() const {
    GpuPolicy policy;
    policy.accept_simulated = true;
    policy.require_ocsp = true;
    policy.nonce = decode_hex(*file.find_string("nonce")).value();
    const TrustRoots roots = TrustRoots::with_test_root(bytes("root")).value();
    return verify_gpus({gpus, manifests, roots, *file.find_integer("now"), policy, ocsp});
  }
};

TEST(GpuVectors, AreWhatOurGeneratorMakes) {
  EXPECT_EQ(nostril::test::read_source(kFile), test::make_gpu_vectors());
}

TEST(GpuVectors, AreAccepted) {
  const Verdict verdict = Vector().judge();
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_TRUE(verdict.simulated);
}

TEST(GpuVectors, EachChangeFailsTheCheckItNames) {
  const Vector sound;
  for (const Json& change : sound.file.find("changes")->items()) {
    Vector changed;
    const auto offset = static_cast<std::size_t>(*change.find_integer("offset"));
    changed.part(*change.find_string("part")).at(offset) ^= 1;
    const Verdict verdict = changed.judge();
    EXPECT_FALSE(verdict.accepted);
    EXPECT_EQ(test::status_of(verdict, *change.find_string("fails")), CheckStatus::Failed)
        << change.dump() << "\n"
        << explain(verdict);
  }
}

}  // namespace
}  // namespace nostril::attestation
