#include "relay/store_search.h"

#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace nostril::relay {

namespace {

constexpr std::int64_t kNow = 2'000;

VerifiedEvent signed_event() {
  SystemRng rng;
  const Keypair key = Keypair::generate(rng);
  EventDraft draft;
  draft.created_at = 1'000;
  draft.kind = 1;
  Verifier verifier;
  auto event = VerifiedEvent::verify(test::unverified(sign_event(draft, key, rng)), verifier);
  CHECK(event.has_value());
  return std::move(*event);
}

// The door is closed (a ban) while an event has passed it and is not written yet.
TEST(EraseEvents, WaitsForWhatHasPassedTheDoor) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path());
  const FakeClock clock(kNow);
  const VerifiedEvent event = signed_event();
  std::atomic<bool> is_banned{false};
  std::promise<void> has_asked;
  std::promise<void> go_on;
  std::atomic<bool> is_first{true};
  WriterOptions options;
  options.refuses = [&](const Event& /*asked*/) {
    const bool banned = is_banned;
    if (is_first.exchange(false)) {
      has_asked.set_value();
      go_on.get_future().wait();
    }
    return banned;
  };
  StoreWriter writer(*store, clock, options, [](CommittedBatch&& /*batch*/) {});
  ASSERT_TRUE(writer.submit({event, {}}));
  has_asked.get_future().wait();
  is_banned = true;
  Filter filter;
  filter.authors = {event->pubkey};
  auto erased =
      std::async(std::launch::async, [&] { return erase_events(*store, writer, filter, kNow); });
  (void)erased.wait_for(std::chrono::milliseconds(100));  // it may look too early, and end
  go_on.set_value();
  const auto count = erased.get();
  ASSERT_TRUE(count.has_value());
  EXPECT_EQ(*count, 1U);
  writer.stop();
  EXPECT_EQ(store->count(), 0U);
}

}  // namespace

}  // namespace nostril::relay
