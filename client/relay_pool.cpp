#include "client/relay_pool.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/log.h"
#include "net/tls.h"
#include "net/url.h"
#include "net/ws_client.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::uint64_t kDeadlineCheckMs = 250;

/// One publish() over all relays.
struct Publication {
  PublishCallback callback;
  std::string text;
  std::size_t waiting = 0;   // relays that have not answered
  std::size_t answered = 0;  // of those that refused
  std::size_t muted = 0;
  PublishResult result;
  bool reported = false;

  void report() {
    if (std::exchange(reported, true)) return;
    result.refused = !result.accepted && answered > 0;
    result.nobody_listens = result.refused && muted == answered;
    if (callback) callback(result);
  }

  void accept() {
    result.accepted = true;
    report();
  }

  void refuse(const std::string& relay, std::string_view reason) {
    ++answered;
    if (reason.starts_with("mute:")) ++muted;
    fail(relay, reason);
  }

  void fail(const std::string& relay, std::string_view reason) {
    result.refusals.push_back(relay + ": " + std::string(reason));
    if (--waiting == 0) report();
  }
};

struct Unanswered {
  std::shared_ptr<Publication> publication;
  std::int64_t deadline_ms;
};

/// Ids seen before, the oldest forgotten first.
class SeenIds {
 public:
  explicit SeenIds(std::size_t ids_max) : ids_max_(ids_max) {}

  [[nodiscard]] bool contains(const EventId& id) const { return ids_.contains(id); }

  void add(const EventId& id) {
    if (!ids_.insert(id).second) return;
    order_.push_back(id);
    if (order_.size() <= ids_max_) return;
    ids_.erase(order_.front());
    order_.pop_front();
  }

 private:
  std::size_t ids_max_;
  std::unordered_set<EventId, FixedBytesHash> ids_;
  std::deque<EventId> order_;
};

struct Subscription {
  std::vector<Filter> filters;
  SubscriptionCallbacks callbacks;
  SeenIds seen;
};

std::string wire_name(SubscriptionId id) {
  return "s" + std::to_string(static_cast<std::uint64_t>(id));
}

}  // namespace

struct RelayPool::Impl {
  struct Relay {
    Relay(net::Loop& loop, net::Url parsed, std::int64_t reconnect_ms)
        : url(std::move(parsed)), name(url.to_string()), socket(loop), wait_ms(reconnect_ms) {}

    net::Url url;
    std::string name;
    net::WsClient socket;
    bool connected = false;
    std::string problem;  // empty while it is connected, or not known to be out of reach
    std::int64_t wait_ms;
    net::TimerId reconnect = net::TimerId::None;
    // Ordered by time of publishing, so that a reconnect repeats events in their order.
    std::map<std::uint64_t, Unanswered> unanswered;
    std::unordered_map<EventId, std::uint64_t, FixedBytesHash> unanswered_by_id;
  };

  Impl(net::Loop& loop_in, Clock& clock_in, const RelayPoolLimits& limits_in,
       const std::string& ca_file)
      : loop(loop_in), clock(clock_in), limits(limits_in) {
    if (!ca_file.empty()) {
      roots = net::TlsContext::client(ca_file);
      options.ca_path = ca_file;
    }
    deadline_timer = loop.every(kDeadlineCheckMs, [this] { check_deadlines(); });
  }

  ~Impl() {
    loop.cancel(deadline_timer);
    for (auto& relay : relays) loop.cancel(relay->reconnect);
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void connect(Relay& relay) {
    relay.reconnect = net::TimerId::None;
    net::WsClientCallbacks callbacks;
    callbacks.on_open = [this, &relay] { opened(relay); };
    callbacks.on_text = [this, &relay](std::string_view text) { received(relay, text); };
    callbacks.on_close = [this, &relay](const net::WsCloseInfo& info) { closed(relay, info); };
    relay.socket.connect(relay.url, std::move(callbacks), options);
  }

  void opened(Relay& relay) {
    relay.connected = true;
    relay.problem.clear();
    relay.wait_ms = limits.reconnect_first_ms;
    for (const auto& [id, subscription] : subscriptions) {
      relay.socket.send_text(request_text(wire_name(id), subscription.filters));
    }
    for (const auto& [order, unanswered] : relay.unanswered) {
      relay.socket.send_text(unanswered.publication->text);
    }
    if (connection_change) connection_change(relay.name, true);
  }

  void closed(Relay& relay, const net::WsCloseInfo& info) {
    const bool was_connected = std::exchange(relay.connected, false);
    const std::string problem = info.reason.empty() ? "connection closed" : info.reason;
    if (!was_connected && problem != relay.problem) {
      log(LogLevel::Info, "{}: {}", public_text(relay.name), public_text(problem));
    }
    relay.problem = problem;
    relay.reconnect =
        loop.after(static_cast<std::uint64_t>(relay.wait_ms), [this, &relay] { connect(relay); });
    relay.wait_ms = std::min(relay.wait_ms * 2, limits.reconnect_ms_max);
    if (was_connected && connection_change) connection_change(relay.name, false);
  }

  void received(Relay& relay, std::string_view text) {
    auto message = parse_relay_message(text, message_limits);
    if (!message) {
      // A relay can't be asked to mend its words; say it where an operator looks.
      log(LogLevel::Debug, "{}: message refused: {}", public_text(relay.name), message.error());
      return;
    }
    if (auto* found = std::get_if<relay_message::EventFound>(&*message)) {
      deliver(found->subscription, std::move(found->event));
    } else if (const auto* ok = std::get_if<relay_message::Ok>(&*message)) {
      answered(relay, *ok);
    } else if (const auto* end = std::get_if<relay_message::EndOfStored>(&*message)) {
      if (const auto* callbacks = callbacks_of(end->subscription);
          callbacks != nullptr && callbacks->on_stored_end) {
        const auto call = callbacks->on_stored_end;
        call(relay.name);
      }
    } else if (const auto* refused = std::get_if<relay_message::Closed>(&*message)) {
      if (const auto* callbacks = callbacks_of(refused->subscription);
          callbacks != nullptr && callbacks->on_closed) {
        const auto call = callbacks->on_closed;
        call(relay.name, refused->message);
      }
    } else if (const auto* notice = std::get_if<relay_message::Notice>(&*message)) {
      log(LogLevel::Info, "{} says: {}", public_text(relay.name), public_text(notice->message));
    }
  }

  [[nodiscard]] std::map<SubscriptionId, Subscription>::iterator find(const std::string& name) {
    if (name.size() < 2 || name.size() > 20 || name[0] != 's' ||
        name.find_first_not_of("0123456789", 1) != std::string::npos) {
      return subscriptions.end();
    }
    return subscriptions.find(SubscriptionId{std::strtoull(name.c_str() + 1, nullptr, 10)});
  }

  const SubscriptionCallbacks* callbacks_of(const std::string& name) {
    const auto found = find(name);
    return found == subscriptions.end() ? nullptr : &found->second.callbacks;
  }

  void deliver(const std::string& name, UnverifiedEvent&& event) {
    const auto found = find(name);
    if (found == subscriptions.end()) return;
    Subscription& subscription = found->second;
    const EventId id = event.event().id;
    if (subscription.seen.contains(id) || !matches_any(subscription.filters, event.event())) return;
    if (const auto call = subscription.callbacks.on_unverified) {
      subscription.seen.add(id);
      call(event);
      return;
    }
    auto verified = VerifiedEvent::verify(std::move(event), verifier);
    if (!verified) return;  // and the id is not remembered: the true event may still come
    subscription.seen.add(id);
    const auto call = subscription.callbacks.on_event;  // the callback may unsubscribe
    if (call) call(*verified);
  }

  void answered(Relay& relay, const relay_message::Ok& ok) {
    const auto found = relay.unanswered_by_id.find(ok.id);
    if (found == relay.unanswered_by_id.end()) return;
    const auto entry = relay.unanswered.find(found->second);
    const auto publication = entry->second.publication;
    relay.unanswered.erase(entry);
    relay.unanswered_by_id.erase(found);
    // Some relays say `mute:` with true, some with false: the event has reached nobody.
    const bool is_lost = ok.message.starts_with("mute:");
    if ((ok.accepted && !is_lost) || ok.message.starts_with("duplicate:")) {
      publication->accept();
    } else {
      publication->refuse(relay.name, ok.message);
      // Those that are away are not waited for; should one come back, it still gets the event.
      const auto may_answer = [&ok](const auto& other) {
        return other->connected && other->unanswered_by_id.contains(ok.id);
      };
      if (std::ranges::none_of(relays, may_answer)) publication->report();
    }
  }

  void check_deadlines() {
    const std::int64_t now_ms = clock.monotonic_ms();
    std::vector<std::pair<std::shared_ptr<Publication>, std::string>> expired;
    for (auto& relay : relays) {
      for (auto it = relay->unanswered_by_id.begin(); it != relay->unanswered_by_id.end();) {
        const auto entry = relay->unanswered.find(it->second);
        if (entry->second.deadline_ms > now_ms) {
          ++it;
          continue;
        }
        expired.emplace_back(entry->second.publication, relay->name);
        relay->unanswered.erase(entry);
        it = relay->unanswered_by_id.erase(it);
      }
    }
    for (const auto& [publication, name] : expired) publication->fail(name, "no answer");
  }

  void send_to_all(const std::string& text) {
    for (auto& relay : relays) {
      if (relay->connected) relay->socket.send_text(text);
    }
  }

  net::Loop& loop;
  Clock& clock;
  const RelayPoolLimits limits;
  net::WsClientOptions options;
  std::shared_ptr<net::TlsContext> roots;  ///< of the file, kept: it is read once
  const MessageLimits message_limits = [] {
    MessageLimits wide;
    wide.event.json_bytes_max = 1U << 20;  // evidence is large; the socket bounds the message
    wide.event.content_bytes_max = 1U << 20;
    return wide;
  }();
  Verifier verifier;
  std::vector<std::unique_ptr<Relay>> relays;
  std::size_t hinted = 0;
  std::map<SubscriptionId, Subscription> subscriptions;
  std::uint64_t next_subscription = 1;
  std::uint64_t next_publication = 1;
  std::function<void(const std::string&, bool)> connection_change;
  net::TimerId deadline_timer = net::TimerId::None;
};

RelayPool::RelayPool(net::Loop& loop, Clock& clock, const RelayPoolLimits& limits,
                     const std::string& ca_file)
    : impl_(std::make_unique<Impl>(loop, clock, limits, ca_file)) {}

RelayPool::~RelayPool() = default;

bool RelayPool::add_relay(const std::string& url) {
  auto parsed = net::parse_url(url);
  if (!parsed) return false;
  if (parsed->scheme != net::UrlScheme::Ws && parsed->scheme != net::UrlScheme::Wss) return false;
  const std::string name = parsed->to_string();
  const auto same = [&name](const auto& relay) { return relay->name == name; };
  if (std::ranges::any_of(impl_->relays, same)) return true;
  if (impl_->relays.size() >= impl_->limits.relays_max) return false;
  impl_->relays.push_back(std::make_unique<Impl::Relay>(impl_->loop, std::move(*parsed),
                                                        impl_->limits.reconnect_first_ms));
  impl_->connect(*impl_->relays.back());
  return true;
}

void RelayPool::remove_relay(const std::string& url) {
  const auto parsed = net::parse_url(url);
  if (!parsed) return;
  const auto found = std::ranges::find(impl_->relays, parsed->to_string(),
                                       [](const auto& relay) { return relay->name; });
  if (found == impl_->relays.end()) return;
  const std::unique_ptr<Impl::Relay> relay = std::move(*found);
  impl_->relays.erase(found);
  impl_->loop.cancel(relay->reconnect);
  for (const auto& [order, unanswered] : relay->unanswered) {
    unanswered.publication->fail(relay->name, "is no relay of ours any more");
  }
}

std::size_t RelayPool::add_hinted_relays(const std::vector<std::string>& urls) {
  const auto is_plain = [](const auto& relay) { return relay->url.scheme == net::UrlScheme::Ws; };
  const bool plain_too = std::ranges::any_of(impl_->relays, is_plain);
  std::size_t added = 0;
  for (const std::string& url : urls) {
    const auto parsed = net::parse_url(url);
    if (!parsed || impl_->hinted >= impl_->limits.hinted_max) continue;
    if (parsed->scheme != net::UrlScheme::Wss && !plain_too) continue;
    const std::size_t before = impl_->relays.size();
    if (!add_relay(url) || impl_->relays.size() == before) continue;
    ++impl_->hinted;
    ++added;
  }
  return added;
}

std::size_t RelayPool::relay_count() const {
  return impl_->relays.size();
}

std::size_t RelayPool::connected_count() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(impl_->relays, [](const auto& relay) { return relay->connected; }));
}

std::vector<std::string> RelayPool::problems() const {
  std::vector<std::string> out;
  for (const auto& relay : impl_->relays) {
    if (relay->connected) continue;
    out.push_back(relay->name + ": " +
                  (relay->problem.empty() ? "not connected yet" : relay->problem));
  }
  return out;
}

bool RelayPool::is_starting() const {
  return std::ranges::any_of(
      impl_->relays, [](const auto& relay) { return !relay->connected && relay->problem.empty(); });
}

void RelayPool::on_connection_change(std::function<void(const std::string&, bool)> callback) {
  impl_->connection_change = std::move(callback);
}

SubscriptionId RelayPool::subscribe(std::vector<Filter> filters, SubscriptionCallbacks callbacks) {
  if (impl_->subscriptions.size() >= impl_->limits.subscriptions_max) return SubscriptionId::None;
  const SubscriptionId id{impl_->next_subscription++};
  const std::string text = request_text(wire_name(id), filters);
  impl_->subscriptions.emplace(id, Subscription{std::move(filters), std::move(callbacks),
                                                SeenIds(impl_->limits.seen_ids_max)});
  impl_->send_to_all(text);
  return id;
}

void RelayPool::unsubscribe(SubscriptionId id) {
  if (impl_->subscriptions.erase(id) > 0) impl_->send_to_all(close_text(wire_name(id)));
}

void RelayPool::change_filters(SubscriptionId id, std::vector<Filter> filters) {
  const auto found = impl_->subscriptions.find(id);
  if (found == impl_->subscriptions.end()) return;
  found->second.filters = std::move(filters);
  impl_->send_to_all(request_text(wire_name(id), found->second.filters));
}

std::size_t RelayPool::unanswered() const {
  const bool is_any_connected = connected_count() > 0;
  std::optional<std::size_t> least;
  for (const auto& relay : impl_->relays) {
    if (is_any_connected && !relay->connected) continue;
    least = std::min(least.value_or(relay->unanswered.size()), relay->unanswered.size());
  }
  return least.value_or(0);
}

bool RelayPool::publish(const Event& event, PublishCallback callback) {
  const auto publication = std::make_shared<Publication>();
  publication->callback = std::move(callback);
  publication->text = publish_text(event);
  const std::uint64_t order = impl_->next_publication++;
  const std::int64_t deadline_ms = impl_->clock.monotonic_ms() + impl_->limits.publish_ms_max;
  for (auto& relay : impl_->relays) {
    if (relay->unanswered.size() >= impl_->limits.unanswered_max) continue;
    if (!relay->unanswered_by_id.emplace(event.id, order).second) continue;
    relay->unanswered.emplace(order, Unanswered{publication, deadline_ms});
    ++publication->waiting;
    if (relay->connected) relay->socket.send_text(publication->text);
  }
  return publication->waiting > 0;
}

}  // namespace nostril::client
