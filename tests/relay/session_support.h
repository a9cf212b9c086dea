#pragma once

#include "relay/session.h"
#include "tests/relay/event_support.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nostril::relay::test {

/// What a session asks of its loop, kept for the test. No sockets, no threads.
class FakeHost final : public SessionHost {
 public:
  void send(net::ConnectionId /*to*/, std::string_view message) override {
    sent.emplace_back(message);
  }

  void send_event(net::ConnectionId /*to*/, std::string_view prefix,
                  std::shared_ptr<const std::string> json) override {
    sent.push_back(std::string(prefix) + *json + "]");
  }

  [[nodiscard]] std::size_t pending_bytes(net::ConnectionId /*of*/) const override {
    return pending;
  }

  void pause_reading(net::ConnectionId /*of*/) override {
    EXPECT_FALSE(is_paused);
    is_paused = true;
  }

  void resume_reading(net::ConnectionId /*of*/) override {
    EXPECT_TRUE(is_paused);
    is_paused = false;
  }

  void retry_later(net::ConnectionId /*of*/) override { ++retries_asked; }

  void rest(net::ConnectionId /*of*/, std::int64_t ms) override { rests_ms.push_back(ms); }

  [[nodiscard]] Offer offer(UnverifiedEvent& event, net::ConnectionId /*origin*/) override {
    if (std::holds_alternative<Queued>(next_offer)) offered.push_back(std::move(event));
    return next_offer;
  }

  [[nodiscard]] bool start_step(std::shared_ptr<Query>& query) override {
    if (is_queue_full) return false;
    steps.push_back(std::move(query));
    return true;
  }

  [[nodiscard]] std::optional<QueryStep> step_now(const std::shared_ptr<Query>& query) override {
    asked_now.push_back(query);
    return next_now ? next_now(query) : std::nullopt;
  }

  /// All messages since the last call.
  std::vector<std::string> take() { return std::exchange(sent, {}); }

  /// The query of the only step that is out.
  std::shared_ptr<Query> take_step() {
    EXPECT_EQ(steps.size(), 1U);
    if (steps.empty()) return nullptr;
    auto query = std::move(steps.front());
    steps.pop_front();
    return query;
  }

  std::vector<std::string> sent;
  std::deque<std::shared_ptr<Query>> steps;
  std::vector<std::shared_ptr<Query>> asked_now;
  std::function<std::optional<QueryStep>(const std::shared_ptr<Query>&)> next_now;
  std::vector<UnverifiedEvent> offered;
  Offer next_offer = Queued{};
  std::size_t pending = 0;
  int retries_asked = 0;
  std::vector<std::int64_t> rests_ms;
  bool is_queue_full = false;
  bool is_paused = false;
};

inline std::shared_ptr<const CommittedEvent> committed(const Event& event) {
  return std::make_shared<const CommittedEvent>(verified(event));
}

/// One session, with what a loop has, and the loop's way of delivering.
class SessionBed {
 public:
  explicit SessionBed(const SessionLimits& limits_ = {}, AdmissionRules rules = {},
                      AuthRules auth = {})
      : limits(limits_), admission(std::move(rules)), authentication(std::move(auth)) {}

  void deliver(const Event& event, std::uint64_t commit) { deliver(committed(event), commit); }

  void deliver(const std::shared_ptr<const CommittedEvent>& event, std::uint64_t commit) {
    index.match(event->event.event(), [&](IndexedSubscription& found) {
      auto& subscription = static_cast<Subscription&>(found);
      subscription.session->deliver(subscription, event, commit);
    });
  }

  void deliver_ephemeral(const Event& event) {
    const Ephemeral ephemeral(verified(event), SessionId{}, true, Credit{});
    index.match(event, [&](IndexedSubscription& found) {
      auto& subscription = static_cast<Subscription&>(found);
      subscription.session->deliver(subscription, ephemeral);
    });
  }

  /// A step's result: these events, as the workers write them.
  static QueryStep step(std::shared_ptr<Query> query, const std::vector<Event>& events,
                        bool done = true, std::uint64_t commits_announced = 0) {
    QueryStep out;
    for (const Event& event : events) {
      out.text += query->prefix + to_json(event) + "]";
      out.rows.push_back({fingerprint_of(event.id), out.text.size()});
    }
    out.query = std::move(query);
    out.done = done;
    out.commits_announced = commits_announced;
    return out;
  }

  void request(const std::string& subscription, const std::string& filters = "{}") {
    session->on_text("[\"REQ\",\"" + subscription + "\"," + filters + "]");
  }

  /// Asked, answered with nothing stored.
  void subscribe(const std::string& subscription, const std::string& filters = "{}") {
    request(subscription, filters);
    session->on_step(step(host.take_step(), {}));
    EXPECT_EQ(host.take(), std::vector<std::string>{eose_text(subscription)});
  }

  const SessionLimits limits;
  const Admission admission;
  const Authentication authentication;
  FakeHost host;
  SystemRng rng;
  SubscriptionIndex index{rng};
  LoopMetrics metrics;
  FakeClock clock{SystemClock().unix_s()};
  const SessionContext context{host, index, metrics, limits, admission, authentication, clock};
  std::unique_ptr<Session> session = std::make_unique<Session>(net::ConnectionId{1}, context);
};

}  // namespace nostril::relay::test
