#include "node/admission.h"

#include "node/engine_load.h"
#include "node/engine_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace nostril::node {
namespace {

PublicKey payer(std::uint8_t name) {
  PublicKey out;
  out.bytes.fill(name);
  return out;
}

AdmissionSettings settings(std::size_t running, std::size_t waiting = 256) {
  AdmissionSettings out;
  out.running_start = out.running_max = running;
  out.waiting_max = waiting;
  return out;
}

/// An engine that does what it is let do, one place, in no time.
class OnePlace {
 public:
  explicit OnePlace(AdmissionSettings settings) : admission(settings) {
    holder_ = *admission.enter({payer(255), 1, 0}).ticket;
    EXPECT_EQ(admission.next(0), holder_);
  }

  Admission::Entered enter(std::uint8_t name, std::uint64_t tokens = 100, std::uint64_t price = 0) {
    const auto out = admission.enter({payer(name), tokens, price});
    if (out.ticket) owner_[*out.ticket] = {name, tokens};
    return out;
  }

  /// Who is served next, and its tokens; 0: nobody waits.
  std::pair<std::uint8_t, std::uint64_t> serve() {
    admission.leave(holder_, now_ms_ += 10, true);
    const auto ticket = admission.next(now_ms_);
    if (!ticket) return {0, 0};
    holder_ = *ticket;
    return owner_.at(*ticket);
  }

  std::string serve_all() {
    std::string out;
    for (auto served = serve(); served.first != 0; served = serve()) {
      out += static_cast<char>(served.first);
    }
    return out;
  }

  Admission admission;

 private:
  Admission::Ticket holder_ = 0;
  std::int64_t now_ms_ = 0;
  std::map<Admission::Ticket, std::pair<std::uint8_t, std::uint64_t>> owner_;
};

TEST(Admission, LetsInAsManyAsItMayAndAPlaceOnlyOnce) {
  Admission admission(settings(2));
  std::vector<Admission::Ticket> tickets;
  for (int i = 0; i < 4; ++i) tickets.push_back(*admission.enter({payer(1), 1, 0}).ticket);
  EXPECT_EQ(admission.next(0), tickets[0]);
  EXPECT_EQ(admission.next(0), tickets[1]);
  EXPECT_FALSE(admission.next(0));
  EXPECT_EQ(admission.ahead_of(tickets[3]), 1U);
  admission.leave(tickets[2], 0, false);  // gave up while it waited
  EXPECT_FALSE(admission.next(0));
  admission.leave(tickets[0], 0, true);
  EXPECT_EQ(admission.next(0), tickets[3]);
  admission.leave(tickets[0], 0, true);  // a ticket that is gone frees no second place
  EXPECT_EQ(admission.running(), 2U);
}

TEST(Admission, APayerWithManyRequestsDoesNotHoldUpOneWithFew) {
  OnePlace engine(settings(1));
  for (int i = 0; i < 6; ++i) engine.enter('a');
  engine.enter('b');
  engine.enter('b');
  EXPECT_EQ(engine.serve_all(), "ababaaaa");
}

TEST(Admission, SharesAreOfTokensNotOfRequests) {
  OnePlace engine(settings(1));
  for (int i = 0; i < 4; ++i) engine.enter('a', 400);
  for (int i = 0; i < 8; ++i) engine.enter('b', 100);
  EXPECT_EQ(engine.serve_all().substr(0, 5), "bbbab");
}

TEST(Admission, ADearerRequestGoesFirstButNotForEver) {
  OnePlace engine(settings(1));
  engine.enter('a', 100, 1);
  for (int i = 0; i < 20; ++i) engine.enter('b', 100, 1'000'000);
  const std::string order = engine.serve_all();
  EXPECT_EQ(order.find('a'), Admission::kWeightMax - 1) << order;
}

TEST(Admission, AFullLineMakesRoomForWhoHasLessInIt) {
  OnePlace engine(settings(1, 4));
  std::vector<Admission::Ticket> greedy;
  for (int i = 0; i < 4; ++i) greedy.push_back(*engine.enter('a').ticket);
  const auto refused = engine.enter('a');
  EXPECT_FALSE(refused.ticket);
  EXPECT_GE(refused.retry_after_ms, Admission::kRetryMsMin);
  const auto other = engine.enter('b');
  ASSERT_TRUE(other.ticket);
  EXPECT_EQ(other.pushed_out, greedy.back()) << "the newest of the longest line";
  EXPECT_GE(other.retry_after_ms, Admission::kRetryMsMin);
  EXPECT_TRUE(engine.enter('b').pushed_out) << "one against three";
  EXPECT_FALSE(engine.enter('b').ticket) << "two against two";
  EXPECT_TRUE(engine.enter('c').ticket);
  EXPECT_EQ(engine.admission.waiting(), 4U);
}

TEST(Admission, RefusesEarlyByWhatServiceTook) {
  AdmissionSettings bounds = settings(1);
  bounds.wait_ms_max = 5'000;
  Admission admission(bounds);
  std::int64_t now_ms = 0;
  for (int i = 0; i < 50; ++i) {  // each takes 1000 ms
    const auto ticket = *admission.enter({payer(1), 10, 0}).ticket;
    ASSERT_TRUE(admission.next(now_ms));
    admission.leave(ticket, now_ms += 1'000, true);
  }
  ASSERT_TRUE(admission.enter({payer(1), 10, 0}).ticket);
  ASSERT_TRUE(admission.next(now_ms));
  int waiting = 0;
  Admission::Entered last;
  while ((last = admission.enter({payer(1), 10, 0})).ticket) ++waiting;
  EXPECT_EQ(waiting, 5);
  EXPECT_EQ(last.retry_after_ms, 1'000) << "then the line is short enough";
  EXPECT_TRUE(admission.enter({payer(2), 10, 0}).ticket) << "whose turn comes sooner";
}

/// What an engine says that makes `tokens` a second, one second after the other.
class CountingEngine {
 public:
  explicit CountingEngine(Admission& admission) : admission_(admission) {}

  void work(int seconds, std::uint64_t tokens_a_second, std::uint64_t running) {
    for (int i = 0; i < seconds; ++i) {
      out_ += tokens_a_second;
      now_ms += 1'000;
      admission_.observe({running, 0, {}, 0, out_}, now_ms);
    }
  }

  void start_again() { out_ = 0; }

  std::int64_t now_ms = 0;

 private:
  Admission& admission_;
  std::uint64_t out_ = 1'000'000;
};

TEST(Admission, RefusesEarlyByTheTokensThatAreBeforeOne) {
  AdmissionSettings bounds = settings(1);
  bounds.wait_ms_max = 10'000;
  Admission admission(bounds);
  CountingEngine engine(admission);
  // Each is expected to use 1,000 tokens and uses 200, of 100 a second.
  const auto first = *admission.enter({payer(1), 1'000, 0}).ticket;
  ASSERT_TRUE(admission.next(0));
  engine.work(20, 100, 1);
  EXPECT_EQ(admission.tokens_s(), 100U);
  admission.leave(first, engine.now_ms, true, 200);
  ASSERT_TRUE(admission.enter({payer(1), 1'000, 0}).ticket);
  ASSERT_TRUE(admission.next(engine.now_ms));
  EXPECT_EQ(admission.wait_ms(), 2'000) << "for the one that runs";
  int waiting = 0;
  Admission::Entered last;
  while ((last = admission.enter({payer(1), 1'000, 0})).ticket) ++waiting;
  EXPECT_EQ(waiting, 5) << "2 s each";
  EXPECT_EQ(last.retry_after_ms, 2'000);
  EXPECT_FALSE(admission.enter({payer(1), 10, 0}).ticket) << "short, but behind the same ones";
}

TEST(Admission, ARestartedOrIdleEngineIsNotTakenForASlowOne) {
  Admission admission(settings(4));
  CountingEngine engine(admission);
  engine.work(10, 500, 2);
  EXPECT_EQ(admission.tokens_s(), 500U);
  engine.work(100, 0, 0);
  engine.work(1, 0, 1);
  EXPECT_EQ(admission.tokens_s(), 500U) << "nothing ran";
  engine.start_again();
  engine.work(1, 7, 2);
  EXPECT_EQ(admission.tokens_s(), 500U) << "its counters began anew";
}

TEST(Admission, LetsFewerInWhileAnswersAreTooSlow) {
  AdmissionSettings bounds = settings(10);
  bounds.answer_tokens_s_min = 20;
  Admission admission(bounds);
  CountingEngine engine(admission);
  engine.work(5, 200, 10);
  EXPECT_EQ(admission.limit(), 10U) << "20 each";
  engine.work(1, 150, 10);
  EXPECT_EQ(admission.limit(), 8U) << "15 each";
  engine.work(100, 19, 1);
  EXPECT_EQ(admission.limit(), 1U) << "one always may";
  bounds.answer_tokens_s_min = 0;
  Admission patient(bounds);
  CountingEngine slow(patient);
  slow.work(20, 5, 10);
  EXPECT_EQ(patient.limit(), 10U);
}

TEST(Admission, ARequestThatFailedSaysNothingAboutTime) {
  Admission admission(settings(1));
  const auto ticket = *admission.enter({payer(1), 1, 0}).ticket;
  ASSERT_TRUE(admission.next(0));
  admission.leave(ticket, 600'000, false);
  EXPECT_EQ(admission.wait_ms(), 0);
}

TEST(Admission, LearnsHowMuchTheEngineTakes) {
  AdmissionSettings bounds;
  bounds.running_start = 4;
  bounds.running_max = 100;
  Admission admission(bounds);
  // An engine that computes 20 at a time and keeps the others waiting.
  constexpr std::size_t kPlaces = 20;
  std::deque<Admission::Ticket> inside;
  std::int64_t now_ms = 0;
  std::vector<std::size_t> limits;
  for (int second = 0; second < 200; ++second) {
    now_ms += Admission::kLearnMs;
    for (int i = 0; i < 5 && !inside.empty(); ++i) {
      admission.leave(inside.front(), now_ms, true);
      inside.pop_front();
    }
    while (admission.waiting() < 50) admission.enter({payer(1), 10, 0});
    while (const auto ticket = admission.next(now_ms)) inside.push_back(*ticket);
    const std::size_t computed = std::min(inside.size(), kPlaces);
    admission.observe({computed, inside.size() - computed, {}}, now_ms);
    limits.push_back(admission.limit());
  }
  for (std::size_t i = 100; i < limits.size(); ++i) {
    EXPECT_GE(limits[i], kPlaces / 2) << i;
    EXPECT_LE(limits[i], kPlaces + 2) << i;
  }
}

TEST(Admission, DoesNotGrowWithoutNeedNorBeyondTheSlots) {
  AdmissionSettings bounds;
  bounds.running_start = 4;
  Admission admission(bounds);
  for (int i = 1; i < 50; ++i) admission.observe({0, 0, {}}, i * Admission::kLearnMs);
  EXPECT_EQ(admission.limit(), 4U);
  admission.observe({0, 0, 2}, 100 * Admission::kLearnMs);
  EXPECT_EQ(admission.limit(), 2U);
  for (int i = 101; i < 120; ++i) admission.observe({2, 9, {}}, i * Admission::kLearnMs);
  EXPECT_EQ(admission.limit(), 1U) << "one always may";
  admission.observe({2, 9, 0}, 200 * Admission::kLearnMs);
  EXPECT_EQ(admission.limit(), 1U);
}

TEST(Admission, IsAskedOnceASecondAtMost) {
  AdmissionSettings bounds;
  bounds.running_start = 100;
  Admission admission(bounds);
  for (int i = 0; i < 50; ++i) admission.observe({100, 5, {}}, 1'000 + i);
  EXPECT_EQ(admission.limit(), 80U);
}

// ---- What holds whatever happens ----------------------------------------------------------------

class AdmissionProperties : public ::testing::TestWithParam<std::uint64_t> {};

/// Payers that always have more to ask get shares of tokens as their weights are, to within a
/// request or two.
TEST_P(AdmissionProperties, BackloggedPayersShareByTokens) {
  std::mt19937_64 random(GetParam());
  OnePlace engine(settings(1, 64));
  constexpr std::array<std::uint64_t, 3> kPrices = {100, 200, 900};  // weights 1, 2, 4
  constexpr std::array<std::uint64_t, 3> kWeights = {1, 2, 4};
  std::array<std::size_t, 3> waiting{};
  std::array<double, 3> got{};
  const auto refill = [&] {
    for (std::uint8_t i = 0; i < 3; ++i) {
      for (; waiting[i] < 4; ++waiting[i]) {
        ASSERT_TRUE(engine.enter(static_cast<std::uint8_t>(i + 1), 1 + random() % 1'000, kPrices[i])
                        .ticket);
      }
    }
  };
  refill();
  for (int i = 0; i < 5'000; ++i) {
    const auto [who, tokens] = engine.serve();
    ASSERT_NE(who, 0);
    --waiting[who - 1U];
    got[who - 1U] += static_cast<double>(tokens);
    refill();
  }
  const double share = got[0];
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_NEAR(got[i] / share, static_cast<double>(kWeights[i]),
                0.05 * static_cast<double>(kWeights[i]))
        << "seed " << GetParam();
  }
}

/// However the others come and pay, who waits is passed by each of them by a bounded part.
TEST_P(AdmissionProperties, NobodyStarves) {
  std::mt19937_64 random(GetParam());
  OnePlace engine(settings(1, 64));
  constexpr std::uint64_t kTokens = 500;
  constexpr std::uint64_t kTokensMax = 1'000;
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(engine.enter(100, kTokens, 1).ticket);
    std::map<std::uint8_t, std::uint64_t> passed;
    for (;;) {
      for (int i = 0; i < 4; ++i) {
        engine.enter(static_cast<std::uint8_t>(1 + random() % 5), 1 + random() % kTokensMax,
                     1 + random() % 1'000'000);
      }
      const auto [who, tokens] = engine.serve();
      ASSERT_NE(who, 0);
      if (who == 100) break;
      passed[who] += tokens;
      ASSERT_LE(passed[who], Admission::kWeightMax * kTokens + kTokensMax) << "seed " << GetParam();
    }
  }
}

/// Bounds hold and every ticket ends once, whatever the order of calls.
TEST_P(AdmissionProperties, KeepsItsBounds) {
  std::mt19937_64 random(GetParam());
  AdmissionSettings bounds;
  bounds.running_start = 3;
  bounds.running_max = 7;
  bounds.waiting_max = 9;
  bounds.wait_ms_max = 20'000;
  Admission admission(bounds);
  std::vector<Admission::Ticket> waiting;
  std::vector<Admission::Ticket> running;
  std::int64_t now_ms = 0;
  for (int step = 0; step < 20'000; ++step) {
    now_ms += static_cast<std::int64_t>(random() % 300);
    const std::size_t running_before = admission.running();
    switch (random() % 5) {
      case 0:
      case 1: {
        const auto entered = admission.enter(
            {payer(static_cast<std::uint8_t>(random() % 6)), random() % 5'000, random() % 1'000});
        if (entered.pushed_out) {
          ASSERT_EQ(std::erase(waiting, *entered.pushed_out), 1U);
        }
        if (entered.ticket) {
          waiting.push_back(*entered.ticket);
        } else {
          ASSERT_GE(entered.retry_after_ms, Admission::kRetryMsMin);
          ASSERT_LE(entered.retry_after_ms, Admission::kRetryMsMax);
        }
        break;
      }
      case 2:
        if (const auto next = admission.next(now_ms)) {
          ASSERT_EQ(std::erase(waiting, *next), 1U) << "only who waits is let in";
          running.push_back(*next);
          ASSERT_LE(admission.running(), admission.limit());
        }
        break;
      case 3: {
        auto& from = random() % 4 == 0 ? waiting : running;
        if (from.empty()) break;
        const std::size_t index = random() % from.size();
        admission.leave(from[index], now_ms, random() % 2 == 0);
        from.erase(from.begin() + static_cast<std::ptrdiff_t>(index));
        break;
      }
      default:
        admission.observe({random() % 9, random() % 3, {}}, now_ms);
        ASSERT_EQ(admission.running(), running_before) << "overload breaks nothing that runs";
    }
    ASSERT_EQ(admission.waiting(), waiting.size());
    ASSERT_EQ(admission.running(), running.size());
    ASSERT_LE(admission.waiting(), bounds.waiting_max);
    ASSERT_GE(admission.limit(), 1U);
    ASSERT_LE(admission.limit(), bounds.running_max);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, AdmissionProperties, ::testing::Values(1U, 2U, 3U, 77U, 4711U));

// ---- The queue ----------------------------------------------------------------------------------

TEST(EngineQueue, CallsWhoMayStartAndWhoHasToGo) {
  FakeClock clock(1'700'000'000);
  EngineQueue queue(settings(1, 2), clock);
  std::string said;
  const auto enter = [&](std::uint8_t who, char name) {
    QueueCallbacks callbacks;
    callbacks.start = [&said, name] { said += name; };
    callbacks.pushed_out = [&said, name](std::int64_t) { said += std::string("-") + name; };
    const auto ticket = queue.enter({payer(who), 10, 0}, std::move(callbacks));
    return ticket ? *ticket : 0;
  };
  const auto a = enter(1, 'a');
  enter(1, 'b');
  enter(1, 'c');
  EXPECT_EQ(said, "a");
  EXPECT_EQ(enter(1, 'd'), 0U) << "full";
  enter(2, 'e');
  EXPECT_EQ(said, "a-c");
  queue.leave(a, true);
  EXPECT_EQ(said.size(), 4U);
  EXPECT_NE(said.find_last_of("be"), std::string::npos);
}

// ---- What engines say ---------------------------------------------------------------------------

TEST(EngineLoad, IsReadFromEachEnginesFigures) {
  const auto vllm = read_metrics(
      "# HELP vllm:num_requests_running Number of requests.\n"
      "# TYPE vllm:num_requests_running gauge\n"
      "vllm:num_requests_running{engine=\"0\",model_name=\"a b} c\"} 3.0\n"
      "vllm:num_requests_running{engine=\"1\",model_name=\"x\"} 4.0\n"
      "vllm:num_requests_waiting{engine=\"0\",model_name=\"x\"} 2.0 1700000000\n"
      "vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 9\n");
  EXPECT_EQ(vllm, (EngineLoad{7, 2, {}}));
  EXPECT_EQ(read_metrics("sglang:num_running_reqs{model_name=\"x\"} 5\n"
                         "sglang:num_queue_reqs{model_name=\"x\"} 1e1\n"),
            (EngineLoad{5, 10, {}}));
  EXPECT_EQ(read_metrics("llamacpp:requests_processing 1\r\nllamacpp:requests_deferred 2"),
            (EngineLoad{1, 2, {}}));
  for (const std::string text :
       {"", "go_goroutines 7\n", "vllm:num_requests_running\n", "vllm:num_requests_running{x 3\n",
        "vllm:num_requests_running -1\n", "vllm:num_requests_running NaN\n",
        "vllm:num_requests_running 1e300\n", "# vllm:num_requests_running 3\n"}) {
    EXPECT_FALSE(read_metrics(text)) << text;
  }
}

TEST(EngineLoad, CountsTokensWhereTheEngineDoes) {
  const auto vllm = read_metrics(
      "vllm:num_requests_running{model_name=\"a\"} 1.0\n"
      "vllm:prompt_tokens_total{model_name=\"a\"} 1.5e+06\n"
      "vllm:generation_tokens_total{engine=\"0\"} 200.0\n"
      "vllm:generation_tokens_total{engine=\"1\"} 50.0\n"
      "vllm:generation_tokens_created{engine=\"1\"} 1.7e+09\n");
  EXPECT_EQ(vllm, (EngineLoad{1, 0, {}, 1'500'000, 250}));
  EXPECT_EQ(read_metrics("sglang:num_running_reqs 2\nsglang:prompt_tokens_total 7\n"
                         "sglang:generation_tokens_total 9\n"),
            (EngineLoad{2, 0, {}, 7, 9}));
  EXPECT_EQ(read_metrics("llamacpp:requests_processing 1\nllamacpp:prompt_tokens_total 3\n"
                         "llamacpp:tokens_predicted_total 4\n"),
            (EngineLoad{1, 0, {}, 3, 4}));
  EXPECT_FALSE(read_metrics("vllm:generation_tokens_total 9\n")) << "no count of requests";
}

TEST(EngineLoad, IsReadFromLlamaCppsSlots) {
  EXPECT_EQ(read_slots(R"([{"id":0,"is_processing":true},{"id":1,"is_processing":false}])"),
            (EngineLoad{1, 0, 2}));
  for (const std::string text : {"", "{}", "[]", "x", R"({"error":{"code":501}})"}) {
    EXPECT_FALSE(read_slots(text)) << text;
  }
}

}  // namespace
}  // namespace nostril::node
