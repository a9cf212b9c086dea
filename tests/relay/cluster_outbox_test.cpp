// The outbox: what it says it keeps is there after any end of its process, in order, once.
#include "relay/cluster/outbox.h"
#include "tests/relay/disk_faults.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace nostril::relay {
namespace {

using test::TempDir;
using test::disk::Fault;

const std::vector<Event>& events() {
  static const std::vector<Event> once = [] {
    std::vector<Event> out;
    for (int i = 0; i < 12; ++i) {
      // Also over several pages.
      out.push_back(test::signed_by(
          2, test::make_event(
                 2, i, 1, {},
                 test::wordy_text(static_cast<std::uint64_t>(i), i % 4 == 3 ? 20'000 : 300))));
    }
    return out;
  }();
  return once;
}

/// Waits for answers.
class Answers {
 public:
  Outbox::KeptHandler handler() {
    return [this](std::vector<OutboxOutcome>&& outcomes) {
      const std::lock_guard lock(mutex_);
      for (const auto& outcome : outcomes) all_.push_back(outcome);
      came_.notify_all();
    };
  }

  std::vector<OutboxOutcome> wait(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        came_.wait_for(lock, std::chrono::seconds(60), [&] { return all_.size() >= count; }));
    return all_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<OutboxOutcome> all_;
};

std::unique_ptr<Outbox> open(const std::filesystem::path& path, Answers& answers,
                             const OutboxOptions& options = {}) {
  auto outbox = Outbox::open(path, options, answers.handler());
  if (!outbox) {
    ADD_FAILURE() << outbox.error();
    std::abort();
  }
  return std::move(*outbox);
}

std::vector<EventId> ids_in(Outbox& outbox) {
  std::vector<EventId> out;
  for (const auto& entry : outbox.after(0, SIZE_MAX, SIZE_MAX)) {
    const auto parsed = parse_event(entry.json);
    EXPECT_TRUE(parsed && parsed->event().id == entry.id);
    out.push_back(entry.id);
  }
  return out;
}

std::vector<EventId> first_ids(std::size_t count) {
  std::vector<EventId> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(events()[i].id);
  return out;
}

TEST(Outbox, KeepsInOrderWhatItAcknowledgesAlsoWhenOpenedAgain) {
  const TempDir dir;
  Answers answers;
  auto outbox = open(dir.path() / "outbox", answers);
  for (std::uint64_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(outbox->submit(test::verified(events()[i]), {i, 3, 1}));
  }
  const auto said = answers.wait(5);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(said[i].result, OutboxResult::Kept);
    EXPECT_EQ(said[i].token.session, i);
    EXPECT_EQ(said[i].token.loop, 3U);
  }
  EXPECT_EQ(ids_in(*outbox), first_ids(5));
  EXPECT_LE(outbox->commits(), 5U);
  outbox.reset();
  outbox = open(dir.path() / "outbox", answers);
  EXPECT_EQ(outbox->size(), 5U);
  EXPECT_EQ(ids_in(*outbox), first_ids(5));
}

TEST(Outbox, GivesPiecesFromAPlaceOn) {
  const TempDir dir;
  Answers answers;
  auto outbox = open(dir.path() / "outbox", answers);
  for (std::size_t i = 0; i < 6; ++i) {
    ASSERT_TRUE(outbox->submit(test::verified(events()[i]), {}));
  }
  (void)answers.wait(6);
  auto piece = outbox->after(0, 2, SIZE_MAX);
  ASSERT_EQ(piece.size(), 2U);
  piece = outbox->after(piece.back().number, 10, 1);  // one is always given
  ASSERT_EQ(piece.size(), 1U);
  EXPECT_EQ(piece.front().id, events()[2].id);
  // The fourth is larger than what is left.
  piece = outbox->after(piece.back().number, 10, 10'000);
  ASSERT_EQ(piece.size(), 1U);
  EXPECT_EQ(piece.front().id, events()[3].id);
}

TEST(Outbox, RefusesBeyondItsBoundAndKnowsWhatItHas) {
  const TempDir dir;
  Answers answers;
  OutboxOptions options;
  options.events_max = 3;
  auto outbox = open(dir.path() / "outbox", answers, options);
  for (const std::size_t i : {0U, 1U, 1U, 2U, 3U}) {
    ASSERT_TRUE(outbox->submit(test::verified(events()[i]), {}));
  }
  std::vector<OutboxResult> results;
  for (const auto& outcome : answers.wait(5)) results.push_back(outcome.result);
  using R = OutboxResult;
  EXPECT_EQ(results, (std::vector{R::Kept, R::Kept, R::Duplicate, R::Kept, R::Full}));
  const auto first = outbox->after(0, 1, SIZE_MAX);
  ASSERT_EQ(first.size(), 1U);
  outbox->sent(first[0].number, first[0].id);
  outbox->sent(first[0].number, first[0].id);  // told twice: once is enough
  EXPECT_EQ(outbox->size(), 2U);
  EXPECT_EQ(ids_in(*outbox), (std::vector{events()[1].id, events()[2].id}));
  ASSERT_TRUE(outbox->submit(test::verified(events()[4]), {}));
  EXPECT_EQ(answers.wait(6).back().result, R::Kept);
}

TEST(Outbox, WhatWasSentDoesNotComeBack) {
  const TempDir dir;
  Answers answers;
  auto outbox = open(dir.path() / "outbox", answers);
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(outbox->submit(test::verified(events()[i]), {}));
  }
  (void)answers.wait(4);
  for (const auto& entry : outbox->after(0, 3, SIZE_MAX)) outbox->sent(entry.number, entry.id);
  const auto last = outbox->after(0, 9, SIZE_MAX).at(0).number;
  outbox.reset();  // the last commit
  outbox = open(dir.path() / "outbox", answers);
  EXPECT_EQ(ids_in(*outbox), std::vector{events()[3].id});
  // A number is never used again while a later one is there.
  ASSERT_TRUE(outbox->submit(test::verified(events()[0]), {}));
  (void)answers.wait(5);
  EXPECT_EQ(outbox->after(last, 9, SIZE_MAX).at(0).id, events()[0].id);
}

TEST(Outbox, GrowsBeyondItsFirstMap) {
  const TempDir dir;
  Answers answers;
  auto outbox = open(dir.path() / "outbox", answers);
  constexpr std::size_t kCount = 700;  // of 128 KiB: 90 MB, more than the 64 that are mapped first
  for (std::size_t i = 0; i < kCount; ++i) {
    const Event big = test::signed_by(
        1, test::make_event(1, static_cast<std::int64_t>(i), 1, {}, std::string(128 << 10, 'x')));
    while (!outbox->submit(test::verified(big), {})) std::this_thread::yield();
  }
  for (const auto& outcome : answers.wait(kCount)) EXPECT_EQ(outcome.result, OutboxResult::Kept);
  EXPECT_EQ(outbox->size(), kCount);
  EXPECT_EQ(outbox->after(0, SIZE_MAX, SIZE_MAX).size(), kCount);
}

class OutboxCrashSteps : public testing::TestWithParam<Fault> {};

// One after the other, three are sent in between; each answer is told to the test.
bool fill(const std::filesystem::path& path, const test::disk::Acknowledge& acknowledge) {
  Answers answers;
  auto opened = Outbox::open(path, {}, answers.handler());
  if (!opened) return false;
  Outbox& outbox = **opened;
  for (std::size_t i = 0; i < events().size(); ++i) {
    if (!outbox.submit(test::verified(events()[i]), {})) return false;
    if (answers.wait(i + 1).back().result != OutboxResult::Kept) return false;
    acknowledge(i + 1);
    if (i == 5) {
      for (const auto& entry : outbox.after(0, 3, SIZE_MAX)) outbox.sent(entry.number, entry.id);
    }
  }
  outbox.stop();
  return outbox.is_healthy();
}

TEST_P(OutboxCrashSteps, WhatWasAcknowledgedIsThereInOrderAndOnce) {
  std::size_t step = 1;
  for (;; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const TempDir dir;
    const auto path = dir.path() / "outbox";
    const auto ended = test::disk::run_with_fault(
        path, GetParam(), step,
        [&](const test::disk::Acknowledge& acknowledge) { return fill(path, acknowledge); });
    if (ended.status == 0) break;
    if (GetParam() == Fault::Fail) {
      ASSERT_TRUE(ended.status == 1 || ended.status == 2) << ended.status;
      ASSERT_TRUE(ended.status == 1 || ended.acknowledged == events().size());
    } else {
      ASSERT_EQ(ended.status, test::disk::kExitStatus);
    }
    if (ended.acknowledged == 0 && test::disk::is_torn_at_birth(path)) continue;
    Answers answers;
    const auto outbox = open(path, answers);
    const auto ids = ids_in(*outbox);
    // The three that were sent are there or not; all others are, and maybe one more.
    const bool is_sent_gone = ended.acknowledged >= 6 && ids.at(0) == events()[3].id;
    const std::ptrdiff_t gone = is_sent_gone ? 3 : 0;
    std::vector<EventId> least = first_ids(ended.acknowledged);
    least.erase(least.begin(), least.begin() + gone);
    std::vector<EventId> most = first_ids(std::min(ended.acknowledged + 1, events().size()));
    most.erase(most.begin(), most.begin() + gone);
    EXPECT_TRUE(ids == least || ids == most) << ids.size() << " of " << ended.acknowledged;
    if (HasFailure()) return;
  }
  EXPECT_GT(step, 2 * events().size());
}

INSTANTIATE_TEST_SUITE_P(Faults, OutboxCrashSteps,
                         testing::Values(Fault::Exit, Fault::ExitHalf, Fault::Fail));

}  // namespace
}  // namespace nostril::relay
