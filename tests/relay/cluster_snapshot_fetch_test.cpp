// A snapshot over a real nats-server: one relay has it, another fetches it; the one that gives it
// dies, lies, falls silent.
#include "relay/cluster/snapshot_desk.h"
#include "relay/cluster/snapshot_fetch.h"
#include "schnorr/hash.h"
#include "tests/relay/nats_server.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>

namespace nostril::relay {
namespace {

namespace fs = std::filesystem;
using test::NatsServer;
using test::TempDir;

constexpr std::uint64_t kPosition = 41;

BusOptions options_for(const NatsServer& server, const std::string& name) {
  BusOptions out;
  out.servers = {server.url()};
  out.name = name;
  out.inbox_prefix = "main.inbox." + name;
  return out;
}

/// A relay that has something to give.
class Giver {
 public:
  Giver(const NatsServer& server, fs::path data, const std::string& name,
        const std::vector<Event>& events)
      : data_(std::move(data)),
        subjects_("main", name),
        store_(test::open_store(data_)),
        bus_(options_for(server, name), nullptr) {
    (void)test::put_all(*store_, events);
    EXPECT_TRUE(store_->set_stream_position({{"main", 7}, kPosition}));
    moderation_ = std::move(*Moderation::open(data_ / "moderation"));
    writer_ =
        std::make_unique<StoreWriter>(*store_, clock_, WriterOptions{}, [](CommittedBatch&&) {});
    desk_ = std::make_unique<SnapshotDesk>(
        SnapshotDeskParts{bus_,
                          subjects_,
                          {*store_, *writer_, *moderation_, name, {}, {}},
                          data_,
                          clock_,
                          [this] { return may_give.load(); },
                          [] { return std::uint64_t{1}; }});
    EXPECT_TRUE(bus_.wait_connected(20'000));
    desk_->start();
  }

  [[nodiscard]] SnapshotDesk& desk() { return *desk_; }

  [[nodiscard]] std::uint64_t events() { return store_->count(); }

  std::atomic<bool> may_give{true};

 private:
  const fs::path data_;
  const ClusterSubjects subjects_;
  const SystemClock clock_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Moderation> moderation_;
  std::unique_ptr<StoreWriter> writer_;
  Bus bus_;
  std::unique_ptr<SnapshotDesk> desk_;
};

/// Gives the first chunks of a snapshot and then nothing, until it may.
class HalfGiver {
 public:
  HalfGiver(const NatsServer& server, const fs::path& data, const std::string& name,
            const std::vector<Event>& events)
      : subjects_("main", name),
        store_(test::open_store(data)),
        bus_(options_for(server, name), nullptr) {
    (void)test::put_all(*store_, events);
    EXPECT_TRUE(store_->set_stream_position({{"main", 7}, kPosition}));
    auto moderation = std::move(*Moderation::open(data / "moderation"));
    const SystemClock clock;
    StoreWriter writer(*store_, clock, {}, [](CommittedBatch&&) {});
    snapshot_ = std::move(
        *Snapshot::make({*store_, writer, *moderation, name, {}, {}}, data, clock.unix_s()));
    EXPECT_TRUE(bus_.wait_connected(20'000));
    for (const auto& subject : {subjects_.snapshot(), subjects_.snapshot(name)}) {
      (void)bus_.subscribe(subject, [this](BusMessage&& message) { answer(message); });
    }
  }

  ~HalfGiver() { bus_.stop(); }

  HalfGiver(const HalfGiver&) = delete;
  HalfGiver& operator=(const HalfGiver&) = delete;

  std::atomic<std::uint64_t> chunks_given_max{3};

 private:
  void answer(const BusMessage& message) {
    const auto request = parse_snapshot_request(message.body);
    if (!request) return;
    const SnapshotHeader& header = snapshot_->header();
    if (const auto* who = std::get_if<SnapshotWho>(&*request)) {
      if (std::ranges::find(who->but, header.relay) != who->but.end()) return;
      (void)bus_.send(message.reply,
                      to_json(SnapshotOffer{header.relay, header.stream, header.position, 1}));
    } else if (const auto* piece = std::get_if<SnapshotPiece>(&*request)) {
      if (piece->of == SnapshotPiece::Of::Chunks && piece->number >= chunks_given_max) return;
      const auto bytes = piece->of == SnapshotPiece::Of::Chunks ? snapshot_->chunk(piece->number)
                                                                : snapshot_->hashes(piece->number);
      (void)bus_.send(message.reply, as_text(piece_reply(bytes.value())));
    } else {
      (void)bus_.send(message.reply, to_json(SnapshotOpened(header)));
    }
  }

  const ClusterSubjects subjects_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Snapshot> snapshot_;
  Bus bus_;
};

/// One that has nothing yet.
class Joiner {
 public:
  Joiner(const NatsServer& server, fs::path data, const SnapshotFetchOptions& options)
      : data_(std::move(data)), options_(options), bus_(options_for(server, "joiner"), nullptr) {
    fs::create_directories(data_);
    EXPECT_TRUE(bus_.wait_connected(20'000));
  }

  void begin() {
    fetch_ = std::make_unique<SnapshotFetch>(
        bus_, subjects_, data_, clock_, [this] { ready_.set_value(); }, options_);
  }

  void end() { fetch_.reset(); }

  bool wait_ready(std::chrono::seconds wait = std::chrono::seconds(60)) {
    return future_.wait_for(wait) == std::future_status::ready;
  }

  /// Until this many chunks are here.
  bool wait_chunks(std::uint64_t count) {
    for (int i = 0; i < 6'000; ++i) {
      const auto progress = fetch_->progress();
      if (progress.chunks > 0 && progress.chunks - progress.missing >= count) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  [[nodiscard]] SnapshotProgress progress() const { return fetch_->progress(); }

  [[nodiscard]] Bus& bus() { return bus_; }

 private:
  const fs::path data_;
  const SnapshotFetchOptions options_;
  const ClusterSubjects subjects_{"main", "joiner"};
  const SystemClock clock_;
  Bus bus_;
  std::promise<void> ready_;
  std::future<void> future_ = ready_.get_future();
  std::unique_ptr<SnapshotFetch> fetch_;
};

SnapshotFetchOptions quick() {
  SnapshotFetchOptions out;
  out.answer_ms_max = 300;
  out.pause_ms_min = 20;
  out.pause_ms_max = 100;
  return out;
}

std::vector<Event> some_events(std::size_t count) {
  std::vector<Event> out;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(test::make_event(static_cast<unsigned>(i % 7), static_cast<std::int64_t>(i), 1,
                                   {}, test::wordy_text(i, 2'000)));
  }
  return out;
}

class SnapshotFetchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Bus::is_built_in()) GTEST_SKIP() << "built without libnats";
    if (!NatsServer::installed()) GTEST_SKIP() << NatsServer::kMissing;
    server = std::make_unique<NatsServer>(dir.path() / "nats");
  }

  std::unique_ptr<Giver> giver(const std::string& name) {
    return std::make_unique<Giver>(*server, dir.path() / name, name, events);
  }

  std::unique_ptr<Joiner> joiner(const SnapshotFetchOptions& options = quick()) {
    return std::make_unique<Joiner>(*server, dir.path() / "joiner", options);
  }

  void expect_in_place(std::size_t count) {
    EXPECT_TRUE(put_snapshot_in_place(dir.path() / "joiner"));
    auto store = test::open_store(dir.path() / "joiner");
    EXPECT_EQ(store->count(), count);
    test::expect_consistent(*store);
  }

  TempDir dir;
  const std::vector<Event> events = some_events(3'000);
  std::unique_ptr<NatsServer> server;
};

TEST_F(SnapshotFetchTest, OneRelayHasItAndTheOtherGetsIt) {
  const auto from = giver("a");
  const auto to = joiner();
  to->begin();
  ASSERT_TRUE(to->wait_ready());
  const auto progress = to->progress();
  EXPECT_EQ(progress.missing, 0U);
  EXPECT_EQ(progress.from, "a");
  EXPECT_EQ(progress.wrong, 0U);
  EXPECT_EQ(from->desk().made(), 1U);
  to->end();
  expect_in_place(from->events());
}

TEST_F(SnapshotFetchTest, WaitsForARelayThatHasOneAndMayGiveIt) {
  const auto to = joiner();
  to->begin();
  const auto from = giver("a");
  from->may_give = false;
  for (int i = 0; i < 1'000 && to->progress().problem.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_NE(to->progress().problem, "");
  from->may_give = true;
  ASSERT_TRUE(to->wait_ready());
  to->end();
  expect_in_place(from->events());
}

TEST_F(SnapshotFetchTest, GoesOnAtAnotherRelayWithWhatIsHere) {
  HalfGiver first(*server, dir.path() / "a", "a", events);
  const auto to = joiner();
  to->begin();
  ASSERT_TRUE(to->wait_chunks(3));
  const auto second = giver("b");  // the same events, so the same chunks
  ASSERT_TRUE(to->wait_ready());
  const auto progress = to->progress();
  EXPECT_GE(progress.relays_given_up, 1U);
  EXPECT_EQ(progress.from, "b");
  EXPECT_GE(progress.kept, 3U);
  to->end();
  expect_in_place(second->events());
}

TEST_F(SnapshotFetchTest, GoesOnAfterItsOwnEnd) {
  HalfGiver from(*server, dir.path() / "a", "a", events);
  const auto to = joiner();
  to->begin();
  ASSERT_TRUE(to->wait_chunks(3));
  to->end();
  from.chunks_given_max = UINT64_MAX;
  to->begin();
  ASSERT_TRUE(to->wait_ready());
  EXPECT_EQ(to->progress().kept, 3U);
  to->end();
  expect_in_place(events.size());
}

TEST_F(SnapshotFetchTest, GoesOnWhenTheServerWasAway) {
  HalfGiver from(*server, dir.path() / "a", "a", events);
  const auto to = joiner();
  to->begin();
  ASSERT_TRUE(to->wait_chunks(3));
  server->kill();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  from.chunks_given_max = UINT64_MAX;
  server->start();
  ASSERT_TRUE(to->wait_ready());
  to->end();
  expect_in_place(events.size());
}

TEST_F(SnapshotFetchTest, LeavesARelayThatSendsOtherBytes) {
  // It says what "a" says, and gives other bytes.
  auto from = giver("a");
  const auto to = joiner();
  ClusterSubjects subjects("main", "liar");
  Bus bus(options_for(*server, "liar"), nullptr);
  ASSERT_TRUE(bus.wait_connected(20'000));
  from->may_give = false;
  std::atomic<int> asked{0};
  (void)bus.subscribe(subjects.snapshot(), [&](BusMessage&& message) {
    const auto request = parse_snapshot_request(message.body);
    const auto* who = request ? std::get_if<SnapshotWho>(&*request) : nullptr;
    if (who == nullptr) return;
    if (std::ranges::find(who->but, "liar") != who->but.end()) {
      from->may_give = true;
      return;
    }
    (void)bus.send(message.reply, to_json(SnapshotOffer{"liar", {"main", 7}, kPosition, 1}));
  });
  Bytes wrong(2 * kHashBytes, 1);
  SnapshotHeader header;
  header.id = std::string(32, 'a');
  header.relay = "liar";
  header.stream = {"main", 7};
  header.position = kPosition;
  header.events = 1;
  header.bytes = {10, 10};
  header.hashes_sha256 = sha256(wrong);
  (void)bus.subscribe(subjects.snapshot("liar"), [&](BusMessage&& message) {
    const auto request = parse_snapshot_request(message.body);
    if (!request) return;
    const auto* piece = std::get_if<SnapshotPiece>(&*request);
    if (piece == nullptr) {
      (void)bus.send(message.reply, to_json(SnapshotOpened(header)));
      return;
    }
    if (piece->of == SnapshotPiece::Of::Chunks) ++asked;
    const Bytes reply = piece_reply(
        piece->of == SnapshotPiece::Of::Hashes ? ByteSpan(wrong) : ByteSpan(wrong).first(10));
    (void)bus.send(message.reply, as_text(reply));
  });
  to->begin();
  ASSERT_TRUE(to->wait_ready());
  EXPECT_GE(asked.load(), 1);
  EXPECT_GE(to->progress().wrong, 1U);
  EXPECT_EQ(to->progress().from, "a");
  to->end();
  bus.stop();
  expect_in_place(from->events());
}

TEST_F(SnapshotFetchTest, TheDeskCountsWhatItCantReadAndGivesNoOtherPieces) {
  const auto from = giver("a");
  const auto to = joiner();
  EXPECT_FALSE(to->bus().request("main.snap.a", "{\"do\":\"everything\"}", 200));
  EXPECT_EQ(from->desk().malformed(), 1U);
  const SnapshotPiece piece{std::string(32, 'a'), SnapshotPiece::Of::Chunks, 0};
  const auto reply = to->bus().request("main.snap.a", to_json(SnapshotRequest(piece)), 20'000);
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_FALSE(parse_piece_reply(as_bytes(*reply)));
}

}  // namespace
}  // namespace nostril::relay
