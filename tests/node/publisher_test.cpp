// What a node publishes of a machine with GPUs, and what clients make of it: an agent, a relay and
// a client on one loop.
#include "attestation/gpu_simulator.h"
#include "attestation/pack.h"
#include "attestation/tee_tag.h"
#include "events/kinds.h"
#include "node/event_evidence.h"
#include "node/simulated_source.h"
#include "tests/attestation/gpu_fixtures.h"
#include "tests/attestation/live_fixtures.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/world.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace nostril::node {
namespace {

namespace fs = std::filesystem;
using attestation::TrustRoots;
using test::World;
using ::testing::HasSubstr;

constexpr std::array<std::uint8_t, 32> kSeed = {1, 2, 3};

Bytes read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void board_of_eight(NodeConfig& config) {
  config.tee.simulated_gpus = 8;
  config.tee.simulated_switches = 4;
}

/// The simulated machine of the configuration, whose keys are those of kSeed.
std::unique_ptr<EvidenceSource> simulated(const NodeConfig& config, Rng& rng) {
  fs::create_directories(config.data);
  std::ofstream(fs::path(config.data) / "sim-seed", std::ios::binary) << as_text(ByteSpan(kSeed));
  auto source = make_simulated_source(config.evidence_settings(), config.data, rng);
  EXPECT_TRUE(source) << source.error();
  return std::move(*source);
}

/// What kSeed's machine writes as its roots.
struct Roots {
  Roots() {
    SystemRng rng;
    NodeConfig config;
    config.data = folder.path().string();
    board_of_eight(config);
    simulated(config, rng);
    cpu = read_all(folder.path() / "sim-root.der");
    gpu = read_all(folder.path() / "sim-gpu-root.der");
  }

  test::TempDir folder;
  Bytes cpu;
  Bytes gpu;
};

client::TrustSettings trust(bool gpus = true) {
  const Roots roots;
  TrustRoots all = TrustRoots::vendors_and_test_root(roots.cpu).value();
  if (gpus) all = all.joined(TrustRoots::with_test_root(roots.gpu).value());
  client::VerifyPolicy policy;
  policy.tdx.accept_simulated = true;
  policy.gpu.require_ocsp = true;
  policy.gpu.switch_count = 4;
  return {std::move(all), policy};
}

/// Spoils what the simulated machine says of its board.
class SpoiledSource final : public EvidenceSource {
 public:
  using Spoil = std::function<void(BoardAnswer&)>;

  SpoiledSource(std::unique_ptr<EvidenceSource> source, Spoil spoil)
      : source_(std::move(source)), spoil_(std::move(spoil)) {}

  Result<attestation::Evidence, std::string> evidence(const attestation::Statement& statement,
                                                      std::int64_t now_s) override {
    return source_->evidence(statement, now_s);
  }

  Result<BoardAnswer, std::string> board(const Digest& nonce) override {
    auto out = source_->board(nonce);
    if (out) spoil_(*out);
    return out;
  }

  BoardDocuments board_documents(const BoardAnswer& board, std::int64_t now_s) override {
    return source_->board_documents(board, now_s);
  }

  [[nodiscard]] std::string_view tee() const override { return source_->tee(); }

  [[nodiscard]] bool simulated() const override { return true; }

 private:
  std::unique_ptr<EvidenceSource> source_;
  Spoil spoil_;
};

TEST(Publisher, OffersABoardThatClientsVerifyWhole) {
  World world(board_of_eight, trust(), simulated);
  ASSERT_TRUE(world.wait_for_offer());
  const auto verdict = world.offer()->verdict();
  EXPECT_EQ(verdict.find("gpu_revocation")->status, attestation::CheckStatus::Passed);
  EXPECT_EQ(verdict.find("switch_revocation")->status, attestation::CheckStatus::Passed);
  EXPECT_NE(verdict.claim("gpu7.driver"), nullptr);
  EXPECT_NE(verdict.claim("switch3.pdi"), nullptr);
  EXPECT_EQ(world.offer()->offer().tee, "simulated+8xgh100");
}

/// As the client of `world` has judged it, once it had the vendors' documents or no relay had them.
std::string reason_of(World& world) {
  EXPECT_TRUE(world.until([&] {
    const auto rejected = world.user->offers.rejected();
    return !rejected.empty() && rejected.front().reason.find("documents are") == std::string::npos;
  }));
  return world.user->offers.rejected().front().reason;
}

TEST(Publisher, VendorsDocumentsTravelByThemselves) {
  World world(board_of_eight, trust(), simulated);
  ASSERT_TRUE(world.wait_for_offer());
  EXPECT_EQ(world.relay.seen_count(kinds::kDocument), 5U)
      << "manifests of driver, VBIOS and switches, OCSP answers, Intel's collateral";
  const auto evidence = world.user->offers.evidence_of(world.offer()->offer());
  ASSERT_TRUE(evidence);
  EXPECT_TRUE(evidence->documents.empty());
  EXPECT_EQ(evidence->gpu_manifests.size(), 3U);
  EXPECT_TRUE(evidence->collateral);
}

TEST(Publisher, GpusUnderARootThatTheClientDoesNotNameAreRefused) {
  World world(board_of_eight, trust(false), simulated);
  EXPECT_THAT(reason_of(world), HasSubstr("gpu_chain"));
  EXPECT_TRUE(world.user->offers.usable().empty());
}

struct Spoiling {
  const char* reason;
  SpoiledSource::Spoil spoil;
};

TEST(Publisher, ABoardThatIsNotWholeIsRefusedForThat) {
  for (const Spoiling& one : std::vector<Spoiling>{
           {"switch_count", [](BoardAnswer& board) { board.switches.pop_back(); }},
           {"switch_count", [](BoardAnswer& board) { board.switches.clear(); }},
           {"gpu_distinct", [](BoardAnswer& board) { board.gpus[7] = board.gpus[0]; }},
           {"gpu_signature", [](BoardAnswer& board) { board.gpus[3].chain = board.gpus[4].chain; }},
           {"switch_signature", [](BoardAnswer& board) { board.switches[1].report[200] ^= 1; }},
       }) {
    World world(board_of_eight, trust(), [&one](const NodeConfig& config, Rng& rng) {
      return std::make_unique<SpoiledSource>(simulated(config, rng), one.spoil);
    });
    EXPECT_THAT(reason_of(world), HasSubstr(one.reason));
    EXPECT_TRUE(world.user->offers.usable().empty()) << one.reason;
  }
}

/// Text that does not compress below six bits a character.
std::string noise(std::size_t bytes) {
  std::string out(bytes, 'x');
  std::uint64_t state = 1;
  for (char& c : out) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    c = static_cast<char>('0' + (state >> 58U));
  }
  return out;
}

TEST(Publisher, EvidenceThatNoEventHoldsIsNotOffered) {
  World world(
      [](NodeConfig& config) {
        fs::create_directories(config.data);
        config.tee.simulated_compose = (fs::path(config.data) / "compose").string();
        std::ofstream(config.tee.simulated_compose) << noise(200'000);
      },
      trust(), simulated);
  EXPECT_FALSE(world.until([&] { return world.relay.seen_count(kinds::kAttestation) != 0; }, 700));
  EXPECT_EQ(world.relay.seen_count(kinds::kOffer), 0U);
}

/// The whole event of evidence as it is published.
std::size_t event_bytes(const EventEvidence& made) {
  test::SeededRng rng(1);
  const Keypair node = test::key_of("node");
  const AttestationEvent out = attestation_event(made, attestation::test::kNow);
  return to_json(sign_event(build_attestation(out), node, rng)).size();
}

/// Of a node's evidence as it stands, each part's bytes, and of the events that carry it.
void print_parts(const char* name, const attestation::Evidence& whole, const EventEvidence& made) {
  const auto joined = [](const std::vector<Bytes>& parts) {
    Bytes out;
    for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
    return out;
  };
  const auto part = [](const char* what, ByteSpan bytes) {
    fmt::print("  {:18} {:6} bytes, {:5} packed alone\n", what, bytes.size(),
               attestation::pack_bytes(bytes).size());
  };
  fmt::print("{}: whole {} of text; in its event {}, the event {} bytes of JSON\n", name,
             attestation::pack_evidence(whole).size(), made.packed.size(), event_bytes(made));
  part("quote", whole.cpu_quote);
  part("GPU reports", joined(whole.gpu_reports));
  part("GPU certificates", joined(whole.gpu_chains));
  part("switches", joined({joined(whole.switch_reports), joined(whole.switch_chains)}));
  if (whole.app) part("event log", as_bytes(whole.app->event_log));
  if (whole.app) part("compose text", as_bytes(whole.app->compose));
  for (const auto& document : made.documents) {
    part(document.named.name.c_str(), document.bytes);
  }
}

constexpr std::size_t kWholeEventBytesMax = 24U << 10U;

TEST(EvidenceSize, OfEightGenuineGpusWithManifestsLogAndComposeTextIs24KbOfEvent) {
  REQUIRE_SHARED("vectors/attestation/combined/cases.json");
  for (const char* folder : {"nearcloud-2026-06-29", "venice-2026-06-10"}) {
    attestation::Evidence evidence = attestation::test::live_evidence(folder);
    ASSERT_EQ(evidence.gpu_reports.size(), 8U);
    for (const char* name :
         {"NV_GPU_DRIVER_GH100_550.90.07", "NV_GPU_VBIOS_1010_0200_882_96009F0001"}) {
      evidence.gpu_manifests.push_back(
          attestation::test::read_vector_bytes("nvidia/rims/" + std::string(name) + ".xml"));
    }
    const EventEvidence made = evidence_for_event(evidence);
    print_parts(folder, evidence, made);
    EXPECT_LE(event_bytes(made), kWholeEventBytesMax) << folder;
    EXPECT_EQ(made.documents.size(), 3U);
    auto back = attestation::unpack_evidence(made.packed);
    ASSERT_TRUE(back);
    attestation::put_documents(*back, [&made](const Digest& digest) -> const Bytes* {
      for (const auto& document : made.documents) {
        if (document.named.sha256 == digest) return &document.bytes;
      }
      return nullptr;
    });
    EXPECT_EQ(*back, evidence);
  }
}

TEST(EvidenceSize, OfASimulatedBoardOfEightIs24KbOfEventAndMoreWithSwitches) {
  for (const std::size_t switches : {0U, 4U}) {
    SystemRng rng;
    test::TempDir folder;
    NodeConfig config;
    config.data = folder.path().string();
    config.tee.simulated_gpus = 8;
    config.tee.simulated_switches = static_cast<std::int64_t>(switches);
    const auto source = simulated(config, rng);
    const auto evidence =
        whole_evidence(*source, attestation::test::statement(), attestation::test::kNow);
    ASSERT_TRUE(evidence);
    ASSERT_TRUE(evidence->app);
    const EventEvidence made = evidence_for_event(*evidence);
    print_parts(switches == 0 ? "simulated" : "simulated, 4 switches", *evidence, made);
    EXPECT_EQ(made.documents.size(), switches == 0 ? 4U : 5U);
    EXPECT_LE(event_bytes(made), switches == 0 ? kWholeEventBytesMax : 32U << 10U);
  }
}

TEST(EvidenceSize, SaysHowLargeEachPartIsAndWhatToDo) {
  attestation::Evidence evidence =
      attestation::test::sound_evidence(attestation::test::simulator());
  EXPECT_FALSE(too_large(evidence, 98'304, 98'304));
  evidence.app = attestation::AppDocuments{"[]", noise(150'000), ""};
  evidence.manifest = noise(20'000);
  const std::size_t packed = attestation::pack_evidence(evidence).size();
  const auto problem = too_large(evidence, packed, 98'304);
  ASSERT_TRUE(problem);
  EXPECT_THAT(*problem, HasSubstr(fmt::format("packs to {} bytes, and an event holds 98304: "
                                              "compose text 150000 (",
                                              packed)));
  EXPECT_THAT(*problem, HasSubstr("model manifest 20000 ("));
  EXPECT_THAT(*problem, HasSubstr("To do: make app-compose.json shorter"));
  evidence.app.reset();
  evidence.manifest = noise(200'000);
  EXPECT_THAT(*too_large(evidence, 200'000, 98'304), HasSubstr("name weight_files"));
}

}  // namespace
}  // namespace nostril::node
