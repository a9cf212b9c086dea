#include "events/client_session.h"
#include "events/node_session.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>

namespace nostril {
namespace {

using test::example_offer;
using test::key_of;
using test::SeededRng;

/// What the relays in between do to events.
struct Weather {
  std::uint64_t loss_percent = 0;
  std::uint64_t duplicate_percent = 0;
  std::int64_t delay_ms_max = 1;
};

/// A client and a node with bad relays between them, in simulated time.
class Pair {
 public:
  Pair(std::uint64_t seed, Weather weather, NodeSessionLimits node_limits = {},
       ClientSessionLimits client_limits = {})
      : rng_(seed),
        weather_(weather),
        node_key_(key_of("node")),
        encryption_(key_of("N")),
        offer_(test::signed_offer(example_offer(node_key_, encryption_.public_key()), node_key_,
                                  rng_)),
        node_limits_(node_limits),
        client_limits_(client_limits) {}

  void ask(std::string body) {
    request_.request.bytes.fill(9);
    request_.method = "POST";
    request_.path = "/v1/chat/completions";
    request_.headers = {{"content-type", "application/json"}};
    request_.body.assign(body.begin(), body.end());
    auto client = ClientSession::start(offer_, request_, client_limits_, now(), verifier_, rng_);
    ASSERT_TRUE(client);
    client_ = std::make_unique<ClientSession>(*std::move(client));
    collect();
  }

  [[nodiscard]] Moment now() const { return {now_ms_, 1'800'000'000 + now_ms_ / 1000}; }

  /// Runs until `done`, or until `limit_ms` of simulated time are over. Returns done().
  template <typename Done>
  bool run(Done done, std::int64_t limit_ms = 600'000) {
    const std::int64_t end = now_ms_ + limit_ms;
    while (!done()) {
      if (now_ms_ >= end) return false;
      step();
    }
    return true;
  }

  Event sign_record(RecordStatus status) {
    ResponseRecord record = test::example_record(offer_);
    record.request = node_->open().request;
    record.request_hash = request_hash_;
    record.response_hash = node_->response_hash();
    record.status = status;
    if (tamper_) tamper_(record);
    return sign_event(build_record(record), record_key_ ? *record_key_ : node_key_, rng_);
  }

  // The application at the client's end, and the engine at the node's.
  std::string answer_;  ///< what the engine will say
  std::size_t answered_ = 0;
  bool ended_by_node_ = false;
  std::string got_;
  std::vector<ClientNotes> notes_;
  std::vector<NodeNotes> node_notes_;
  bool consume_ = true;
  std::uint64_t unconsumed_ = 0;
  std::optional<Bytes> request_seen_;
  Bytes first_body_;
  Digest request_hash_;
  std::function<void(ResponseRecord&)> tamper_;
  const Keypair* record_key_ = nullptr;
  bool drop_all_ = false;
  bool drop_from_client_ = false;

  SeededRng rng_;
  Verifier verifier_;
  Weather weather_;
  Keypair node_key_;
  Keypair encryption_;
  Offer offer_;
  NodeSessionLimits node_limits_;
  ClientSessionLimits client_limits_;
  ClientRequest request_;
  std::unique_ptr<ClientSession> client_;
  std::unique_ptr<NodeSession> node_;
  std::uint64_t events_sent_ = 0;
  std::size_t largest_event_ = 0;
  std::map<bool, std::map<std::size_t, std::uint64_t>> content_sizes_;  ///< after the handshake
  std::map<bool, std::vector<std::int64_t>> sent_at_ms_;                ///< the same

  template <typename Note>
  [[nodiscard]] const Note* find() const {
    for (const ClientNotes& note : notes_) {
      if (const auto* found = std::get_if<Note>(&note)) return found;
    }
    return nullptr;
  }

  template <typename Note>
  [[nodiscard]] std::size_t node_count() const {
    std::size_t count = 0;
    for (const NodeNotes& note : node_notes_) count += std::holds_alternative<Note>(note) ? 1U : 0U;
    return count;
  }

  void collect() {
    if (client_) {
      post(client_->take_events(), true);
      while (auto note = client_->next_note()) {
        if (auto* data = std::get_if<ClientNote::Data>(&*note)) {
          got_.append(as_text(data->bytes));
          unconsumed_ += data->bytes.size();
        }
        notes_.push_back(*std::move(note));
      }
      if (consume_ && unconsumed_ > 0) {
        client_->consumed(std::exchange(unconsumed_, 0), now());
        post(client_->take_events(), true);
      }
    }
    if (node_) {
      while (auto note = node_->next_note()) {
        if (auto* request = std::get_if<NodeNote::Request>(&*note)) {
          request_seen_ = request->open.body;
          request_hash_ = request->request_hash;
          answered_ = 0;
          ended_by_node_ = false;
          node_->push_response_head({200, "text/event-stream"});
        }
        node_notes_.push_back(*std::move(note));
      }
      post(node_->take_events(), false);
    }
  }

 private:
  struct Flying {
    Event event;
    bool to_node;
  };

  void post(std::vector<Event> events, bool from_client) {
    for (Event& event : events) {
      ++events_sent_;
      largest_event_ = std::max(largest_event_, to_json(event).size());
      if (handshakes_ >= 2) {
        ++content_sizes_[from_client][event.content.size()];
        sent_at_ms_[from_client].push_back(now_ms_);
      }
      ++handshakes_;
      if (drop_all_ || (drop_from_client_ && from_client)) continue;
      const std::uint64_t copies = rng_.below(100) < weather_.duplicate_percent ? 2 : 1;
      for (std::uint64_t copy = 0; copy < copies; ++copy) {
        if (rng_.below(100) < weather_.loss_percent) continue;
        const auto delay = 1 + static_cast<std::int64_t>(
                                   rng_.below(static_cast<std::uint64_t>(weather_.delay_ms_max)));
        flying_.emplace(now_ms_ + delay, Flying{event, from_client});
      }
    }
  }

  void arrive(const Flying& flying) {
    if (!flying.to_node) return client_->on_event(flying.event, now());
    const auto recipient = frame_recipient(flying.event);
    if (*recipient == encryption_.public_key()) {
      if (node_) return node_->on_open_again(now());
      auto handshake = NodeHandshake::open_first(flying.event, encryption_);
      ASSERT_TRUE(handshake);
      first_body_ = handshake->open().body;
      auto node =
          NodeSession::accept(*std::move(handshake), {}, node_limits_, now(), verifier_, rng_);
      ASSERT_TRUE(node);
      node_ = std::make_unique<NodeSession>(*std::move(node));
    } else if (node_) {
      node_->on_event(flying.event, now());
    }
  }

  void engine() {
    if (!node_ || !request_seen_) return;
    while (answered_ < answer_.size() && node_->wants_more()) {
      const std::size_t count =
          std::min<std::size_t>(1 + rng_.below(3000), answer_.size() - answered_);
      node_->push_response_bytes(as_bytes(std::string_view(answer_).substr(answered_, count)),
                                 now());
      if (rng_.below(2) == 0) node_->flush(now());
      answered_ += count;
      if (rng_.below(4) == 0) break;
    }
    if (answered_ == answer_.size() && !ended_by_node_ && !hold_end_) {
      ended_by_node_ = true;
      node_->end(sign_record(RecordStatus::Ok), now());
    }
  }

  void step() {
    std::int64_t next = now_ms_ + 20;  // the engine has something every 20 ms
    if (!flying_.empty()) next = std::min(next, flying_.begin()->first);
    if (client_ && client_->next_timer_ms()) next = std::min(next, *client_->next_timer_ms());
    if (node_) next = std::min(next, node_->next_timer_ms());
    now_ms_ = std::max(next, now_ms_ + 1);
    while (!flying_.empty() && flying_.begin()->first <= now_ms_) {
      auto node = flying_.extract(flying_.begin());
      arrive(node.mapped());
      collect();
    }
    client_->on_timer(now());
    if (node_) node_->on_timer(now());
    engine();
    collect();
  }

 public:
  bool hold_end_ = false;

 private:
  int handshakes_ = 0;
  std::int64_t now_ms_ = 1000;
  std::multimap<std::int64_t, Flying> flying_;
};

std::string random_text(SeededRng& rng, std::size_t bytes, bool binary) {
  std::string text(bytes, ' ');
  for (char& character : text) {
    character = static_cast<char>(binary ? rng.below(256) : ' ' + rng.below(95));
  }
  return text;
}

std::uint64_t new_seed() {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  return seed;
}

TEST(SessionPair, DeliversAnAnswerWithItsRecord) {
  Pair pair(1, {});
  pair.answer_ = "data: {\"x\":\"h\xC3\xA4\"}\n\ndata: [DONE]\n\n";
  pair.ask("{\"model\":\"qwen3-32b\"}");
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
  EXPECT_EQ(as_text(*pair.request_seen_), "{\"model\":\"qwen3-32b\"}");
  EXPECT_EQ(pair.got_, pair.answer_);
  const auto* ended = pair.find<ClientNote::Ended>();
  ASSERT_NE(ended, nullptr);
  EXPECT_EQ(ended->record.response_hash, sha256(pair.answer_));
  EXPECT_EQ(pair.find<ClientNote::Head>()->head.content_type, "text/event-stream");
  EXPECT_TRUE(pair.run([&] { return pair.node_->finished(); }));
}

TEST(SessionPair, AHeldBodyIsNotInTheFirstFrame) {
  Pair pair(2, {});
  pair.request_.hold_body = true;
  pair.answer_ = "x";
  pair.ask("a prompt to keep");
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
  EXPECT_EQ(as_text(*pair.request_seen_), "a prompt to keep");
  EXPECT_TRUE(pair.first_body_.empty());
}

TEST(SessionPair, AnEmptyAnswerHasItsHeadAndRecord) {
  Pair pair(1, {});
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
  ASSERT_NE(pair.find<ClientNote::Head>(), nullptr);
  EXPECT_EQ(pair.got_, "");
}

TEST(SessionPair, ExactThroughLossReorderingAndDuplication) {
  const std::uint64_t first_seed = new_seed();
  for (std::uint64_t round = 0; round < 12; ++round) {
    const std::uint64_t seed = first_seed + round;
    SCOPED_TRACE(seed);
    SeededRng rng(seed);
    const Weather weather{.loss_percent = rng.below(31),
                          .duplicate_percent = rng.below(40),
                          .delay_ms_max = static_cast<std::int64_t>(1 + rng.below(200))};
    ClientSessionLimits limits;
    limits.features = {.zstd = round % 3 != 2, .quiet = round % 6 == 0};
    Pair pair(seed, weather, {}, limits);
    pair.answer_ = random_text(rng, 1 + rng.below(400'000), round % 2 == 0);
    const std::string body = random_text(rng, rng.below(60'000), round % 3 == 0);
    pair.ask(body);
    ASSERT_TRUE(pair.run([&] {
      return pair.client_->state() != ClientSession::State::Opening &&
             pair.client_->state() != ClientSession::State::Open;
    })) << "loss "
        << weather.loss_percent << " got " << pair.got_.size() << " of " << pair.answer_.size();
    ASSERT_EQ(pair.client_->state(), ClientSession::State::Ended);
    EXPECT_EQ(as_text(*pair.request_seen_), body);
    EXPECT_TRUE(pair.got_ == pair.answer_);
    EXPECT_LT(pair.largest_event_, 16U << 10);
  }
}

TEST(SessionPair, PassesARatchetUnderLoss) {
  const std::uint64_t seed = new_seed();
  NodeSessionLimits limits;
  limits.flush = {.delay_ms = 0, .bytes_max = 1};
  Pair pair(seed, {.loss_percent = 5, .duplicate_percent = 5, .delay_ms_max = 30}, limits);
  SeededRng rng(seed);
  pair.answer_ = random_text(rng, 4'000'000, false);
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
  EXPECT_TRUE(pair.got_ == pair.answer_);
  EXPECT_GT(pair.node_->counters().frames_sent, kRatchetFrames);
}

TEST(SessionPair, StopsReadingTheEngineWithoutCredit) {
  Pair pair(3, {});
  pair.answer_ = std::string(2'000'000, 'a');
  pair.consume_ = false;
  pair.ask("{}");
  pair.run([] { return false; }, 30'000);
  const NodeSessionLimits limits;
  EXPECT_EQ(pair.got_.size(), limits.link.window_bytes);
  EXPECT_FALSE(pair.node_->wants_more());
  EXPECT_LT(pair.answered_, limits.link.window_bytes + limits.buffer_bytes_max + 3001);
  pair.consume_ = true;
  pair.collect();
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
  EXPECT_EQ(pair.got_.size(), pair.answer_.size());
}

TEST(SessionPair, AFeatureIsUsedOnlyWhenBothNameIt) {
  for (const bool asked : {true, false}) {
    for (const bool known : {true, false}) {
      NodeSessionLimits node;
      node.features = {.zstd = known, .quiet = known};
      ClientSessionLimits client;
      client.features = {.zstd = asked, .quiet = asked};
      Pair pair(21, {}, node, client);
      pair.answer_ = std::string(30'000, 'a');
      pair.ask("{}");
      ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
      EXPECT_EQ(pair.got_, pair.answer_);
      const auto features = read_features(pair.find<ClientNote::Accepted>()->accept.features);
      EXPECT_EQ(features, (SessionFeatures{asked && known, asked && known}));
    }
  }
}

TEST(SessionPair, AnAcceptWithAFeatureThatNobodyAskedForIsRefused) {
  ClientSessionLimits limits;
  limits.features = {};
  Pair pair(22, {}, {}, limits);
  pair.drop_all_ = true;
  pair.ask("{}");
  pair.client_->resume(pair.now());
  const auto handshake =
      NodeHandshake::open_first(pair.client_->take_events().front(), pair.encryption_);
  const Keypair session = key_of("s");
  AcceptFrame accept;
  accept.request = pair.request_.request;
  accept.session_key = session.public_key();
  accept.features = {"zstd"};
  pair.client_->on_event(handshake->accept_event(accept, session, 1'800'000'000, pair.rng_),
                         pair.now());
  pair.collect();
  ASSERT_NE(pair.find<ClientNote::Failed>(), nullptr);
  EXPECT_EQ(pair.find<ClientNote::Failed>()->failure, SessionFailure::BadHandshake);
}

TEST(SessionPair, QuietFramesHaveOneSizeAndOneRateWhateverIsSaid) {
  ClientSessionLimits limits;
  limits.features = {.zstd = true, .quiet = true};
  Pair pair(23, {.loss_percent = 10, .duplicate_percent = 10, .delay_ms_max = 50}, {}, limits);
  pair.hold_end_ = true;
  SeededRng rng(23);
  pair.answer_ = random_text(rng, 60'000, true);
  pair.ask(random_text(rng, 40'000, false));
  ASSERT_TRUE(pair.run([&] { return pair.got_ == pair.answer_; }));
  pair.run([] { return false; }, 20'000);  // nothing to say: nobody can see that
  pair.hold_end_ = false;
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
  for (const bool from_client : {true, false}) {
    EXPECT_EQ(pair.content_sizes_[from_client].size(), 1U);
    const auto& times = pair.sent_at_ms_[from_client];
    ASSERT_GT(times.size(), 100U);
    for (std::size_t i = 1; i < times.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(times[i] - times[i - 1]), kQuietPeriodMs, 25) << i;
    }
  }
}

TEST(SessionPair, CancelStopsTheAnswerAndStillEndsWithARecord) {
  Pair pair(4, {});
  pair.answer_ = std::string(500'000, 'a');
  pair.consume_ = false;
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.got_.size() > 10'000; }));
  pair.client_->cancel("enough", pair.now());
  pair.collect();
  ASSERT_TRUE(pair.run([&] { return pair.node_count<NodeNote::Cancelled>() == 1; }));
  pair.node_->drop_buffered();
  pair.ended_by_node_ = true;
  pair.node_->end(pair.sign_record(RecordStatus::Cancelled), pair.now());
  pair.collect();
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
  EXPECT_EQ(pair.find<ClientNote::Ended>()->record.status, RecordStatus::Cancelled);
  EXPECT_EQ(pair.find<ClientNote::Ended>()->record.response_hash, sha256(pair.got_));
}

TEST(SessionPair, NamesALostClientAndTakesItBackWithResume) {
  Pair pair(5, {});
  pair.hold_end_ = true;
  pair.answer_ = std::string(100'000, 'b');
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.got_.size() > 20'000; }));
  pair.drop_all_ = true;
  ASSERT_TRUE(pair.run([&] { return pair.node_->client_lost(); }));
  EXPECT_GE(pair.now().monotonic_ms - pair.node_->heard_at_ms(), 15'000);
  EXPECT_EQ(pair.node_count<NodeNote::ClientLost>(), 1U);
  pair.drop_all_ = false;
  pair.hold_end_ = false;
  const std::int64_t back_at = pair.now().monotonic_ms;
  pair.client_->resume(pair.now());
  pair.collect();
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
  EXPECT_EQ(pair.node_count<NodeNote::ClientBack>(), 1U);
  EXPECT_EQ(pair.got_, pair.answer_);
  EXPECT_LT(pair.now().monotonic_ms - back_at, 2'000);  // no waiting for a resend timer
}

TEST(SessionPair, AnAnswerForPickUpGoesOnWithoutItsClientAndIsStoredWhole) {
  Pair pair(24, {});
  pair.request_.durable = true;
  SeededRng rng(24);
  pair.answer_ = random_text(rng, 700'000, false);
  pair.consume_ = false;
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.got_.size() > 20'000; }));
  pair.drop_all_ = true;
  ASSERT_TRUE(pair.run([&] { return pair.ended_by_node_; }));
  const Event record = pair.sign_record(RecordStatus::Ok);
  const std::vector<Event> stored = pair.node_->store(
      {{200, "text/event-stream"}, Bytes(pair.answer_.begin(), pair.answer_.end()), record},
      {1'800'000'000, 1'800'003'600});
  OpenFrame open;
  open.request = pair.request_.request;
  open.offer = pair.offer_.id;
  open.attestation = pair.offer_.attestation;
  open.method = "POST";
  open.path = "/";
  StoredAnswerReader reader(*ClientHandshake::start_with_key(pair.offer_.encryption_key, open,
                                                             pair.client_->duplicate_key()));
  for (const Event& event : stored) reader.on_event(event);
  ASSERT_TRUE(reader.answer());
  EXPECT_TRUE(as_text(reader.answer()->body) == pair.answer_);
  // Should it be back in time after all, the live answer goes on too.
  pair.drop_all_ = false;
  pair.consume_ = true;
  pair.client_->resume(pair.now());
  pair.collect();
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() != ClientSession::State::Open; }));
  EXPECT_TRUE(pair.got_ == pair.answer_);
}

TEST(SessionPair, ServesSeveralRequestsOneAfterTheOther) {
  Pair pair(6, {.loss_percent = 10, .duplicate_percent = 10, .delay_ms_max = 40});
  pair.answer_ = std::string(300'000, '1');
  pair.ask("first");
  for (int round = 2; round <= 4; ++round) {
    ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
    EXPECT_EQ(pair.got_, pair.answer_) << round;
    pair.got_.clear();
    pair.request_seen_.reset();
    pair.answer_ =
        std::string(static_cast<std::size_t>(50'000 * round), static_cast<char>('0' + round));
    ClientRequest next = pair.request_;
    next.request.bytes.fill(static_cast<std::uint8_t>(round));
    next.body = Bytes(static_cast<std::size_t>(20'000 * round), 'q');
    ASSERT_TRUE(pair.client_->open_next(next, pair.now()));
    EXPECT_FALSE(pair.client_->open_next(next, pair.now()));
    pair.collect();
    ASSERT_TRUE(pair.run([&] { return pair.request_seen_.has_value(); }));
    EXPECT_EQ(*pair.request_seen_, next.body);
  }
}

TEST(SessionPair, ReceiptTravelsBackAndOnlyWhenItIsGenuine) {
  Pair pair(7, {});
  pair.answer_ = "x";
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
  const BalanceReceipt receipt{.id = {},
                               .signer = key_of("payer").public_key(),
                               .created_at = 1'800'000'020,
                               .channel = {test::digest_of("channel").bytes},
                               .amount = Amount::of(100),
                               .running_hash = test::digest_of("H")};
  Event event = sign_event(build_receipt(receipt), key_of("payer"), pair.rng_);
  pair.client_->send_receipt(event, pair.now());
  pair.collect();
  ASSERT_TRUE(pair.run([&] { return pair.node_count<NodeNote::Receipt>() == 1; }));
  event.sig.bytes[10] ^= 1;
  pair.client_->send_receipt(event, pair.now());
  pair.collect();
  ASSERT_TRUE(pair.run([&] { return pair.node_count<NodeNote::Failed>() == 1; }));
  EXPECT_EQ(pair.node_count<NodeNote::Receipt>(), 1U);
}

TEST(SessionPair, NeedReceiptComesAfterTheBytesItStates) {
  Pair pair(8, {.loss_percent = 10, .duplicate_percent = 0, .delay_ms_max = 50});
  pair.hold_end_ = true;
  pair.answer_ = std::string(40'000, 'c');
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.node_ && pair.answered_ == pair.answer_.size(); }));
  pair.node_->need_receipt(pair.sign_record(RecordStatus::Partial), pair.now());
  pair.node_->push_checkpoint({.input = 1, .cached = 0, .output = 2}, pair.now());
  ASSERT_TRUE(pair.run([&] { return pair.find<ClientNote::Checkpoint>() != nullptr; }));
  ASSERT_NE(pair.find<ClientNote::NeedReceipt>(), nullptr);
  EXPECT_EQ(pair.find<ClientNote::NeedReceipt>()->record.response_hash, sha256(pair.answer_));
  pair.hold_end_ = false;
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
}

TEST(SessionPair, RefusesARecordThatDoesNotMatch) {
  const Keypair thief = key_of("thief");
  const std::map<std::string, std::function<void(ResponseRecord&)>> changes = {
      {"response hash", [](ResponseRecord& r) { r.response_hash.bytes[0] ^= 1; }},
      {"request hash", [](ResponseRecord& r) { r.request_hash.bytes[0] ^= 1; }},
      {"request id", [](ResponseRecord& r) { r.request.bytes[0] ^= 1; }},
      {"offer", [](ResponseRecord& r) { r.offer.bytes[0] ^= 1; }},
      {"attestation", [](ResponseRecord& r) { r.attestation.bytes[0] ^= 1; }},
      {"model", [](ResponseRecord& r) { r.model = "qwen3-0.6b"; }},
      {"weights", [](ResponseRecord& r) { r.weights->bytes[0] ^= 1; }},
      {"weights left out", [](ResponseRecord& r) { r.weights.reset(); }},
      {"partial at the end", [](ResponseRecord& r) { r.status = RecordStatus::Partial; }},
      {"author", {}},
  };
  for (const auto& [name, change] : changes) {
    Pair pair(10, {});
    pair.answer_ = "answer";
    pair.tamper_ = change;
    if (!change) pair.record_key_ = &thief;
    pair.ask("{}");
    ASSERT_TRUE(pair.run([&] {
      return pair.client_->state() != ClientSession::State::Opening &&
             pair.client_->state() != ClientSession::State::Open;
    }));
    const auto* failed = pair.find<ClientNote::Failed>();
    ASSERT_NE(failed, nullptr) << name;
    EXPECT_EQ(failed->failure, SessionFailure::BadRecord) << name;
    EXPECT_EQ(pair.find<ClientNote::Ended>(), nullptr) << name;
  }
}

TEST(SessionPair, ARefusalOfTheFirstFrameReachesTheClient) {
  Pair pair(11, {});
  pair.drop_all_ = true;
  pair.ask("{}");
  const Event first = [&] {
    pair.client_->resume(pair.now());  // the first frame once more
    return pair.client_->take_events().front();
  }();
  const auto handshake = NodeHandshake::open_first(first, pair.encryption_);
  ASSERT_TRUE(handshake);
  pair.client_->on_event(
      handshake->refuse_event(make_error(ErrorCode::Busy, "full", 2000), 1'800'000'000, pair.rng_),
      pair.now());
  pair.collect();
  const auto* error = pair.find<ClientNote::Error>();
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->error.code, ErrorCode::Busy);
  EXPECT_TRUE(error->error.retryable);
  EXPECT_EQ(pair.client_->state(), ClientSession::State::Ended);
  EXPECT_FALSE(pair.client_->next_timer_ms());
}

TEST(SessionPair, WithoutANodeTheClientGivesUpInTime) {
  Pair pair(12, {});
  pair.drop_all_ = true;
  pair.ask("{}");
  ASSERT_TRUE(
      pair.run([&] { return pair.client_->state() == ClientSession::State::Failed; }, 11'000));
  EXPECT_EQ(pair.find<ClientNote::Failed>()->failure, SessionFailure::AcceptTimeout);
  EXPECT_GE(pair.events_sent_, 9U);  // it tried every second
}

TEST(SessionPair, ASilentNodeIsNoticed) {
  Pair pair(13, {});
  pair.hold_end_ = true;
  pair.answer_ = "abc";
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.got_ == "abc"; }));
  pair.drop_all_ = true;
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Failed; }));
  EXPECT_EQ(pair.find<ClientNote::Failed>()->failure, SessionFailure::NodeSilent);
}

TEST(SessionPair, AnIdleSessionStaysAliveBothWays) {
  Pair pair(14, {});
  pair.hold_end_ = true;
  pair.answer_ = "abc";
  pair.ask("{}");
  pair.run([] { return false; }, 120'000);
  EXPECT_EQ(pair.client_->state(), ClientSession::State::Open);
  EXPECT_FALSE(pair.node_->client_lost());
}

TEST(SessionPair, ForgedAndForeignEventsChangeNothing) {
  Pair pair(15, {});
  pair.hold_end_ = true;
  pair.answer_ = "abc";
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.got_ == "abc"; }));
  const Keypair thief = key_of("thief");
  for (int round = 0; round < 50; ++round) {
    std::string junk(200, 'A');
    Event event =
        make_frame_event(thief, pair.client_->client_key(), junk, 1'800'000'000, pair.rng_);
    pair.client_->on_event(event, pair.now());
    // The outer signature of a frame may go unchecked: the author alone must not open anything.
    event.pubkey = pair.node_->session_key();
    pair.client_->on_event(event, pair.now());
    Event to_node =
        make_frame_event(thief, pair.node_->session_key(), junk, 1'800'000'000, pair.rng_);
    to_node.pubkey = pair.client_->client_key();
    pair.node_->on_event(to_node, pair.now());
  }
  pair.hold_end_ = false;
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Ended; }));
}

TEST(SessionPair, ANodeThatIgnoresCreditIsCutOff) {
  ClientSessionLimits limits;
  limits.response_bytes_max = 50'000;
  Pair pair(16, {}, {}, limits);
  pair.answer_ = std::string(200'000, 'z');
  pair.ask("{}");
  ASSERT_TRUE(pair.run([&] { return pair.client_->state() == ClientSession::State::Failed; }));
  EXPECT_EQ(pair.find<ClientNote::Failed>()->failure, SessionFailure::ResponseTooLarge);
  EXPECT_LE(pair.got_.size(), 50'000U);
  EXPECT_TRUE(pair.run([&] { return pair.node_count<NodeNote::Cancelled>() == 1; }));
}

}  // namespace
}  // namespace nostril
