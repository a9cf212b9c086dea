// The client as applications have it: a thread of its own, answers that are waited for, stopped and
// kept.
#include "client/client.h"

#include "client/chat.h"
#include "client/saved_answer.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <optional>
#include <string>
#include <utility>

namespace nostril::client {
namespace {

using test::World;
using namespace std::chrono_literals;

/// A world whose loop runs in this thread while the client's runs in its own.
class ApplicationClient : public ::testing::Test {
 protected:
  ApplicationClient() {
    const auto root = test::simulator_root();
    std::ofstream(root_, std::ios::binary)
        .write(reinterpret_cast<const char*>(root.data()),  // NOLINT: bytes to chars
               static_cast<std::streamsize>(root.size()));
    settings_.home = world_.folder.path() / "application";
    settings_.relays = {world_.relay.url()};
    settings_.test_roots = {root_};
    world_.engine.set_answer(test::stream_answer({"Relays ", "carry ", "events."}, {10, 0, 3}));
    client_.emplace(settings_);
  }

  static Question question() { return {.body = chat_body({.question = "What is a relay?"})}; }

  std::optional<Answer> end_of(const Asking& asking) {
    std::optional<Answer> answer;
    world_.until([&] { return (answer = asking.wait_for(0ms)).has_value(); });
    return answer;
  }

  /// What a call that waits gives, while the world goes on.
  template <typename Call>
  auto waited_for(Call call) {
    auto result = std::async(std::launch::async, call);
    EXPECT_TRUE(world_.until([&] { return result.wait_for(0s) == std::future_status::ready; }));
    return result.get();
  }

  /// An engine that goes on until it is stopped.
  void answer_slowly() {
    auto answer = test::stream_answer({"one ", "two ", "three "}, {10, 0, 3});
    answer.end = test::EngineAnswer::End::Hang;
    world_.engine.set_answer(std::move(answer));
  }

  World world_;
  const std::string root_ = (world_.folder.path() / "root.der").string();
  ClientSettings settings_;
  std::optional<Client> client_;
};

TEST_F(ApplicationClient, StreamsWordsAndKeepsAnAnswerThatProvesItself) {
  std::string words;
  std::string bytes;
  std::optional<AnsweringNode> node;
  AnswerCallbacks callbacks;
  callbacks.on_node = [&](const AnsweringNode& which) {
    EXPECT_TRUE(bytes.empty());
    node = which;
    return true;
  };
  callbacks.on_words = [&](std::string_view more) {
    words += more;
    return true;
  };
  callbacks.on_bytes = [&](std::string_view more) {
    bytes += more;
    return true;
  };
  const auto answer = end_of(client_->ask(question(), std::move(callbacks)));
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->verified) << answer->detail;
  EXPECT_EQ(answer->http_status, 200);
  EXPECT_EQ(words, "Relays carry events.");
  EXPECT_EQ(bytes, answer->response);
  ASSERT_TRUE(node && answer->node);
  EXPECT_EQ(node->npub, answer->node->npub);
  EXPECT_TRUE(node->verdict.accepted && node->verdict.simulated);

  const auto file = answer->to_json();
  ASSERT_TRUE(file);
  auto saved = parse_saved_answer(*file);
  ASSERT_TRUE(saved) << saved.error();
  EXPECT_TRUE(saved->offer && saved->attestation && saved->receipt);
  const std::int64_t now_s = world_.clock.unix_s();
  const auto report = check_answer(*saved, settings_, now_s);
  ASSERT_TRUE(report) << report.error();
  EXPECT_TRUE(report->good && report->simulated);

  ClientSettings genuine_only;
  const auto refused = check_answer(*saved, genuine_only, now_s);
  ASSERT_TRUE(refused);
  EXPECT_FALSE(refused->good) << "nobody named the test root";
  EXPECT_FALSE(check_answer(*saved, settings_, now_s + 100'000)->good) << "evidence has its end";

  for (auto SavedAnswer::*body : {&SavedAnswer::request, &SavedAnswer::response}) {
    SavedAnswer other = *saved;
    (other.*body)->back() ^= 1;
    EXPECT_FALSE(check_answer(other, settings_, now_s)->good);
  }
  SavedAnswer forged = *saved;
  forged.record.replace(forged.record.find("\"sig\":\"") + 7, 4, "0000");
  EXPECT_FALSE(check_answer(forged, settings_, now_s)) << "a signature";
  SavedAnswer without = *saved;
  without.offer.reset();
  EXPECT_FALSE(check_answer(without, settings_, now_s)->good) << "evidence that no offer names";
}

TEST_F(ApplicationClient, ACallbackThatSaysNoStopsTheEngine) {
  answer_slowly();
  AnswerCallbacks callbacks;
  callbacks.on_words = [](std::string_view) { return false; };
  const auto answer = end_of(client_->ask(question(), std::move(callbacks)));
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->verified);
  EXPECT_NE(answer->detail.find("stopped"), std::string::npos);
  EXPECT_NE(answer->record.find("cancelled"), std::string::npos) << "what was used is recorded";
  EXPECT_TRUE(world_.until([&] { return world_.engine.running() == 0; }));
}

TEST_F(ApplicationClient, AnAnswerBeyondItsBoundIsStopped) {
  answer_slowly();
  Question asked = question();
  asked.response_bytes_max = 10;
  const auto answer = end_of(client_->ask(std::move(asked)));
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->verified);
  EXPECT_LE(answer->response.size(), 10U);
  EXPECT_NE(answer->detail.find("longer"), std::string::npos);
}

TEST_F(ApplicationClient, CanBeCancelledFromAnotherThread) {
  answer_slowly();
  std::atomic<bool> began = false;
  AnswerCallbacks callbacks;
  callbacks.on_words = [&](std::string_view) { return began = true; };
  const Asking asking = client_->ask(question(), std::move(callbacks));
  ASSERT_TRUE(world_.until([&] { return began.load(); }));
  asking.cancel();
  const auto answer = end_of(asking);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->verified);
}

TEST_F(ApplicationClient, AClientThatIsClosedEndsItsQuestions) {
  answer_slowly();
  std::atomic<bool> began = false;
  AnswerCallbacks callbacks;
  callbacks.on_words = [&](std::string_view) { return began = true; };
  const Asking asking = client_->ask(question(), std::move(callbacks));
  ASSERT_TRUE(world_.until([&] { return began.load(); }));
  client_.reset();
  const Answer answer = asking.wait();
  EXPECT_FALSE(answer.verified);
  EXPECT_EQ(answer.failure, QueryFailure::NoAnswer);
  EXPECT_NE(answer.detail.find("closed"), std::string::npos);
  asking.cancel();  // nothing is left to cancel
}

TEST_F(ApplicationClient, WaitingInACallbackIsRefused) {
  int refused = 0;
  std::optional<Asking> asking;
  AnswerCallbacks callbacks;
  callbacks.on_node = [&](const AnsweringNode&) {
    const auto expect_refused = [&refused](const auto& call) {
      try {
        call();
      } catch (const InCallback&) {
        ++refused;
      }
    };
    expect_refused([&] { static_cast<void>(asking->wait()); });
    expect_refused([&] { static_cast<void>(client_->relay_problems()); });
    return true;
  };
  asking = client_->ask(question(), std::move(callbacks));
  const auto answer = end_of(*asking);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->verified) << answer->detail;
  EXPECT_EQ(refused, 2);
}

TEST_F(ApplicationClient, PublishesAndReadsEvents) {
  const Keypair author = Keypair::generate(world_.rng);
  const Event event = sign_event(
      {.created_at = world_.clock.unix_s(), .kind = 1, .content = "hello"}, author, world_.rng);
  EXPECT_TRUE(waited_for([&] { return client_->publish(event); }).accepted);
  Filter filter;
  filter.authors = {author.public_key()};
  const auto found = waited_for([&] { return client_->stored(filter); });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front()->content, "hello");
  world_.relay.set_faults({.refuse_events = "blocked: no"});
  const auto refused = waited_for([&] { return client_->publish(event); });
  EXPECT_FALSE(refused.accepted);
  ASSERT_EQ(refused.refusals.size(), 1U);
  EXPECT_NE(refused.refusals.front().find("blocked"), std::string::npos);
}

TEST_F(ApplicationClient, ListsOffersWithTheirVerdicts) {
  const std::string offers = waited_for([&] { return client_->offers_json(); });
  EXPECT_NE(offers.find("\"accepted\":true"), std::string::npos) << offers;
}

TEST_F(ApplicationClient, RefusesWhatCanNotBeAsked) {
  for (const char* body : {"", "[]", "{", "\"text\""}) {
    EXPECT_THROW(static_cast<void>(client_->ask({.body = body})), std::invalid_argument) << body;
  }
}

TEST(ApplicationClientStart, SaysWhatCanNotBeUsed) {
  const test::TempDir folder;
  ClientSettings settings;
  settings.home = folder.path() / "home";
  EXPECT_THROW(Client{settings}, std::runtime_error) << "no relay";
  settings.relays = {"http://127.0.0.1:1"};
  EXPECT_THROW(Client{settings}, std::runtime_error) << "no relay's URL";
  settings.relays = {"ws://127.0.0.1:1"};
  settings.test_roots = {(folder.path() / "not-there.der").string()};
  EXPECT_THROW(Client{settings}, std::runtime_error) << "no root";
}

TEST(SavedAnswer, RefusesWhatIsNone) {
  for (const char* text : {"", "[]", "{}", R"({"record":1})", R"({"record":{},"request":5})"}) {
    const auto saved = parse_saved_answer(text);
    EXPECT_TRUE(!saved || !check_answer(*saved, {}, 1'800'000'000)) << text;
  }
}

TEST(SavedAnswer, HoldsNoBytesThatAreNoText) {
  SavedAnswer answer{.record = "{}"};
  answer.response = "\xff";
  EXPECT_FALSE(to_json(answer));
  answer.response = "text";
  EXPECT_TRUE(to_json(answer));
}

}  // namespace
}  // namespace nostril::client
