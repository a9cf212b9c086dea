#include "tests/support/world.h"

#include "base/json.h"
#include "base/log.h"
#include "client/key_file.h"
#include "node/node_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace nostril::test {

namespace {

constexpr std::array<std::uint8_t, 32> kSimulatorSeed = {0x51, 0x4d};

Keypair key_in(const std::filesystem::path& file, Rng& rng) {
  auto key = node::load_or_make_identity(file, rng);
  EXPECT_TRUE(key) << key.error();
  return std::move(*key);
}

std::unique_ptr<client::Journal> journal_in(const std::filesystem::path& folder, net::Loop& loop) {
  auto journal = client::Journal::open(folder, loop);
  EXPECT_TRUE(journal) << journal.error();
  return std::move(*journal);
}

}  // namespace

bool run_until(net::Loop& loop, const std::function<bool()>& condition, std::uint64_t wait_ms) {
  bool held = condition();
  if (held) return true;
  const net::TimerId check = loop.every(2, [&] {
    held = condition();
    if (held) loop.stop();
  });
  const net::TimerId limit = loop.after(wait_ms, [&loop] { loop.stop(); });
  loop.run();
  loop.cancel(check);
  loop.cancel(limit);
  return held;
}

void run_for(net::Loop& loop, std::uint64_t wait_ms) {
  run_until(
      loop, [] { return false; }, wait_ms);
}

std::vector<std::uint8_t> simulator_root() {
  return attestation::Simulator(kSimulatorSeed).root_der();
}

client::TrustSettings test_trust() {
  auto roots = attestation::TrustRoots::vendors_and_test_root(simulator_root());
  EXPECT_TRUE(roots);
  client::VerifyPolicy policy;
  policy.tdx.accept_simulated = true;
  return {std::move(*roots), policy};
}

client::TrustSettings default_trust() {
  return {attestation::TrustRoots::vendors(), {}};
}

TestEvidence::TestEvidence() : simulator_(kSimulatorSeed) {}

Result<attestation::Evidence, std::string> TestEvidence::evidence(
    const attestation::Statement& statement, std::int64_t now_s) {
  return simulator_.evidence(statement, now_s);
}

Result<attestation::Evidence, std::string> TestEvidence::quote(
    std::span<const std::uint8_t, 64> report_data, std::int64_t /*now_s*/) {
  attestation::Evidence out;
  out.kind = attestation::kKindSimulatedTdx;
  out.cpu_quote = simulator_.tdx_quote(report_data, {});
  return out;
}

TestClient::TestClient(net::Loop& loop, Clock& clock, Rng& rng, const std::string& relay,
                       const std::filesystem::path& folder, client::TrustSettings trust_in)
    : trust(std::move(trust_in)),
      pool(loop, clock),
      journal(journal_in(folder / "journal", loop)),
      wallet(*journal, key_in(folder / "payment.nsec", rng), Amount::of(1'000'000), clock, rng),
      offers(pool, trust, clock),
      inference(pool, wallet, loop, clock, rng),
      asker(offers, inference, loop, rng) {
  EXPECT_TRUE(pool.add_relay(relay));
  offers.on_change([this] { asker.on_offers_changed(); });
}

World::World(const std::function<void(node::NodeConfig&)>& configure,
             client::TrustSettings trust_in)
    : relay(loop), engine(loop), trust(std::move(trust_in)) {
  set_log_level(std::getenv("TEST_LOG") == nullptr ? LogLevel::Off : LogLevel::Debug);
  config.relays = {relay.url()};
  config.data = (folder.path() / "node").string();
  config.engine.url = engine.url();
  config.engine.warm_up = false;  // tests count what the engine is asked
  config.access.mode = "open";
  if (configure) configure(config);
  std::filesystem::create_directories(config.data);
  std::filesystem::create_directories(folder.path() / "user");
  start_node();
  start_client();
}

World::~World() = default;

void World::start_node() {
  const std::filesystem::path data = config.data;
  auto journal = journal_in(data / "journal", loop);
  node_journal = journal.get();
  agent = std::make_unique<node::Agent>(config, key_in(data / "identity.nsec", rng),
                                        std::make_unique<TestEvidence>(), std::move(journal), loop,
                                        clock, rng);
  if (!config.https.listen.empty()) {
    https = std::make_unique<node::HttpsFace>(agent->https_parts());
    agent->set_direct_path(https->direct_path());
  }
  agent->start([](const std::string&) {},
               [this](const std::string& problem) { fatal.push_back(problem); });
}

void World::stop_node() {
  https.reset();
  agent.reset();
  node_journal = nullptr;
}

void World::start_client() {
  user = std::make_unique<TestClient>(loop, clock, rng, relay.url(), folder.path() / "user", trust);
}

void World::stop_client() {
  user.reset();
}

bool World::wait_for_offer() {
  return until([this] { return offer() != nullptr; });
}

std::shared_ptr<const client::VerifiedOffer> World::offer() const {
  const auto usable = user->offers.usable();
  return usable.empty() ? nullptr : usable.front();
}

std::shared_ptr<Answer> World::query(const std::string& body, std::optional<RequestId> request,
                                     std::shared_ptr<const client::VerifiedOffer> chosen,
                                     const std::string& path) {
  const auto answer = std::make_shared<Answer>();
  if (!chosen) chosen = offer();
  if (!chosen) {
    ADD_FAILURE() << "no offer";
    return answer;
  }
  client::QueryCallbacks callbacks;
  callbacks.on_head = [answer](const ResponseHead& head) { answer->head = head; };
  callbacks.on_data = [answer](ByteSpan bytes) { answer->body += as_text(bytes); };
  callbacks.on_end = [answer](const client::QueryResult& result) {
    EXPECT_FALSE(answer->ended()) << "on_end came twice";
    answer->result = result;
  };
  client::QueryRequest asked;
  asked.path = path;
  asked.body = body;
  asked.request = request;
  answer->id = user->inference.start(chosen, std::move(asked), std::move(callbacks));
  return answer;
}

std::shared_ptr<Answer> World::ask(const std::string& body, const std::string& model) {
  const auto answer = std::make_shared<Answer>();
  client::AskCallbacks callbacks;
  callbacks.on_head = [answer](const ResponseHead& head) { answer->head = head; };
  callbacks.on_data = [answer](ByteSpan bytes) { answer->body += as_text(bytes); };
  callbacks.on_end = [answer](const client::QueryResult& result) {
    EXPECT_FALSE(answer->ended()) << "on_end came twice";
    answer->result = result;
  };
  answer->ask = user->asker.ask(model, "/v1/chat/completions", body, std::move(callbacks));
  return answer;
}

bool World::finish(const std::shared_ptr<Answer>& answer, std::uint64_t wait_ms) {
  return until([&answer] { return answer->ended(); }, wait_ms);
}

std::string chat(const std::string& prompt, bool stream) {
  JsonWriter w;
  w.begin_object().key("model").string(kTestModel);
  w.key("messages").begin_array().begin_object();
  w.key("role").string("user").key("content").string(prompt).end_object().end_array();
  if (stream) w.key("stream").boolean(true);
  w.end_object();
  return std::move(w).take();
}

}  // namespace nostril::test
