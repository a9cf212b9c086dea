#pragma once

#include "attestation/simulator.h"
#include "base/clock.h"
#include "base/rng.h"
#include "client/asker.h"
#include "client/inference_client.h"
#include "client/journal.h"
#include "client/offer_book.h"
#include "client/relay_pool.h"
#include "client/wallet.h"
#include "net/loop.h"
#include "node/agent.h"
#include "node/config.h"
#include "node/evidence_source.h"
#include "node/https_face.h"
#include "tests/support/scripted_engine.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_relay.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace nostril::test {

/// Runs `loop` until `condition` holds. False after `wait_ms`.
bool run_until(net::Loop& loop, const std::function<bool()>& condition,
               std::uint64_t wait_ms = 20'000);
/// Runs `loop` for this long.
void run_for(net::Loop& loop, std::uint64_t wait_ms);

/// The simulator's root whose keys come from kSimulatorSeed: the same in every World.
[[nodiscard]] std::vector<std::uint8_t> simulator_root();
/// Trust with the simulator's root and simulated evidence taken; or what users have by default.
[[nodiscard]] client::TrustSettings test_trust();
[[nodiscard]] client::TrustSettings default_trust();

/// Evidence of the simulator with a fixed seed, so that its root survives restarts.
class TestEvidence final : public node::EvidenceSource {
 public:
  TestEvidence();

  Result<attestation::Evidence, std::string> evidence(const attestation::Statement& statement,
                                                      std::int64_t now_s) override;

  Result<attestation::Evidence, std::string> quote(std::span<const std::uint8_t, 64> report_data,
                                                   std::int64_t now_s) override;

  [[nodiscard]] std::string_view tee() const override { return "simulated"; }

  [[nodiscard]] bool simulated() const override { return true; }

 private:
  attestation::Simulator simulator_;
};

/// A client with all its parts, like client::ClientHome but open to the test.
struct TestClient {
  TestClient(net::Loop& loop, Clock& clock, Rng& rng, const std::string& relay,
             const std::filesystem::path& folder, client::TrustSettings trust_in = test_trust());

  client::TrustSettings trust;
  client::RelayPool pool;
  std::unique_ptr<client::Journal> journal;
  client::Wallet wallet;
  client::OfferBook offers;
  client::InferenceClient inference;
  client::Asker asker;
};

/// What came of one query.
struct Answer {
  std::optional<ResponseHead> head;
  std::string body;
  std::optional<client::QueryResult> result;
  client::QueryId id = client::QueryId::None;
  client::AskId ask = client::AskId::None;

  [[nodiscard]] bool ended() const { return result.has_value(); }
};

/// The system's clock, whose date a test may set forward. Timers run on as they were.
class ShiftedClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t unix_ms() const override { return system_.unix_ms() + shift_ms_; }

  [[nodiscard]] std::int64_t monotonic_ms() const override { return system_.monotonic_ms(); }

  void set_date(std::int64_t unix_s) { shift_ms_ = unix_s * 1000 - system_.unix_ms(); }

 private:
  SystemClock system_;
  std::int64_t shift_ms_ = 0;
};

/// A relay, a scripted engine, a node and a client in one process and on one loop.
class World {
 public:
  explicit World(const std::function<void(node::NodeConfig&)>& configure = {},
                 client::TrustSettings trust = test_trust());
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  void start_node();
  void stop_node();
  void start_client();
  void stop_client();

  /// Waits until the client holds a verified offer.
  bool wait_for_offer();
  [[nodiscard]] std::shared_ptr<const client::VerifiedOffer> offer() const;

  /// Asks the node that made the newest offer, or under the given one.
  std::shared_ptr<Answer> query(const std::string& body,
                                std::optional<RequestId> request = std::nullopt,
                                std::shared_ptr<const client::VerifiedOffer> chosen = nullptr,
                                const std::string& path = "/v1/chat/completions");
  /// Asks through the asker.
  std::shared_ptr<Answer> ask(const std::string& body, const std::string& model = "test-model");
  bool finish(const std::shared_ptr<Answer>& answer, std::uint64_t wait_ms = 20'000);

  bool until(const std::function<bool()>& condition, std::uint64_t wait_ms = 20'000) {
    return run_until(loop, condition, wait_ms);
  }

  ShiftedClock clock;
  SystemRng rng;
  net::Loop loop;
  TempDir folder;
  TestRelay relay;
  ScriptedEngine engine;
  node::NodeConfig config;
  client::TrustSettings trust;
  client::Journal* node_journal = nullptr;  ///< the agent's, while it lives
  std::unique_ptr<node::Agent> agent;
  std::unique_ptr<node::HttpsFace> https;  ///< where [https] is configured
  std::unique_ptr<TestClient> user;
  std::vector<std::string> fatal;
};

/// A chat request body.
[[nodiscard]] std::string chat(const std::string& prompt, bool stream);

}  // namespace nostril::test
