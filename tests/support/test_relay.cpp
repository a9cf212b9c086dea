#include "tests/support/test_relay.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "events/messages.h"

#include <algorithm>
#include <utility>

namespace nostril::test {

namespace {

constexpr std::uint64_t kHeldMs = 30;

std::string d_of(const Event& event) {
  for (const Tags::View tag : event.tags) {
    if (tag.name() == "d") return std::string(tag.value().value_or(""));
  }
  return {};
}

std::string address_of(const Event& event) {
  const KindClass kind = kind_class(event.kind);
  std::string out = std::to_string(event.kind) + ":" + encode_hex(event.pubkey) + ":";
  if (kind == KindClass::Addressable) out += d_of(event);
  return out;
}

bool is_replaceable(const Event& event) {
  const KindClass kind = kind_class(event.kind);
  return kind == KindClass::Replaceable || kind == KindClass::Addressable;
}

bool every(std::uint64_t k, std::uint64_t n) {
  return k != 0 && n % k == 0;
}

MessageLimits wide_limits() {
  MessageLimits limits;
  limits.event.content_bytes_max = 1U << 20;
  limits.event.json_bytes_max = 1U << 20;
  return limits;
}

}  // namespace

TestRelay::TestRelay(net::Loop& loop) : loop_(loop) {
  listen(0);
  port_ = server_->local_port();
}

TestRelay::~TestRelay() {
  loop_.cancel(held_timer_);
}

void TestRelay::listen(std::uint16_t port) {
  net::ListenConfig config;
  config.port = port;
  server_ = std::make_unique<net::Server>(loop_, *this, config);
}

std::string TestRelay::url() const {
  return "ws://127.0.0.1:" + std::to_string(port_);
}

void TestRelay::set_faults(Faults faults) {
  faults_ = std::move(faults);
  frames_ = 0;
}

void TestRelay::drop_connections() {
  const auto clients = clients_;
  for (const auto& [id, client] : clients) server_->drop(id);
}

void TestRelay::go_away() {
  clients_.clear();
  server_.reset();
}

void TestRelay::come_back() {
  listen(port_);
}

std::size_t TestRelay::subscription_count() const {
  std::size_t count = 0;
  for (const auto& [id, client] : clients_) count += client.subscriptions.size();
  return count;
}

std::size_t TestRelay::seen_count(std::uint32_t kind) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(seen_, [kind](const Event& event) { return event.kind == kind; }));
}

void TestRelay::on_http(net::ConnectionId id, const net::HttpRequest&) {
  net::HttpResponse response{404, {}, "a relay"};
  if (!document_.empty()) response = {200, {}, document_};
  if (!date_.empty()) response.headers.add("Date", date_);
  server_->respond(id, response);
}

void TestRelay::on_ws_open(net::ConnectionId id, const net::PeerAddress&, const net::HttpRequest&) {
  clients_[id];
}

void TestRelay::on_ws_close(net::ConnectionId id) {
  clients_.erase(id);
}

void TestRelay::on_ws_text(net::ConnectionId id, std::string_view message) {
  received_text_ += message;
  const auto parsed = parse_client_message(message, wide_limits());
  if (!parsed) {
    server_->send_text(id, notice_text("bad message"));
    return;
  }
  if (const auto* event = std::get_if<client_message::Publish>(&*parsed)) {
    publish(id, event->event.event());
  } else if (const auto* request = std::get_if<client_message::Request>(&*parsed)) {
    clients_[id].subscriptions[request->subscription] = request->filters;
    for (const Event& found : stored_) {
      if (!matches_any(request->filters, found)) continue;
      server_->send_text(id, event_prefix(request->subscription) + to_json(found) + "]");
    }
    if (!faults_.no_stored_end) server_->send_text(id, eose_text(request->subscription));
  } else if (const auto* close = std::get_if<client_message::Close>(&*parsed)) {
    clients_[id].subscriptions.erase(close->subscription);
  }
}

void TestRelay::publish(net::ConnectionId id, const Event& event) {
  seen_.push_back(event);
  const std::string hex = encode_hex(event.id);
  const auto answer = [&](bool accepted, std::string_view text) {
    if (!faults_.no_ok) server_->send_text(id, ok_text(hex, accepted, text));
  };
  if (!faults_.refuse_events.empty()) return answer(false, faults_.refuse_events);
  auto checked = check_id(event);
  if (!checked || !VerifiedEvent::verify(std::move(*checked), verifier_)) {
    return answer(false, "invalid: signature");
  }
  if (kind_class(event.kind) == KindClass::Ephemeral) {
    if (!somebody_listens(event)) return answer(false, "mute: nobody listens");
    answer(true, "");
    if (event.kind == kinds::kFrame) {
      fan_out_frame(event);
    } else {
      fan_out(event);
    }
    return;
  }
  if (!store(event)) return answer(true, "duplicate: have a newer one");
  answer(true, "");
  fan_out(event);
}

bool TestRelay::somebody_listens(const Event& event) const {
  return std::ranges::any_of(clients_, [&event](const auto& client) {
    return std::ranges::any_of(client.second.subscriptions, [&event](const auto& subscription) {
      return matches_any(subscription.second, event);
    });
  });
}

void TestRelay::fan_out(const Event& event) {
  const std::string json = to_json(event);
  for (const auto& [id, client] : clients_) {
    for (const auto& [name, filters] : client.subscriptions) {
      if (matches_any(filters, event)) server_->send_text(id, event_prefix(name) + json + "]");
    }
  }
}

void TestRelay::fan_out_frame(const Event& event) {
  ++frames_;
  if (every(faults_.drop_every, frames_)) return;
  if (every(faults_.reorder_every, frames_) && !held_) {
    held_ = event;
    held_timer_ = loop_.after(kHeldMs, [this] {
      if (held_) fan_out(*std::exchange(held_, std::nullopt));
    });
    return;
  }
  fan_out(event);
  if (every(faults_.duplicate_every, frames_)) fan_out(event);
  if (held_) {
    loop_.cancel(held_timer_);
    fan_out(*std::exchange(held_, std::nullopt));
  }
}

bool TestRelay::store(const Event& event) {
  const auto same = [&event](const Event& other) {
    if (other.id == event.id) return true;
    return is_replaceable(event) && address_of(other) == address_of(event);
  };
  if (const auto found = std::ranges::find_if(stored_, same); found != stored_.end()) {
    if (found->created_at >= event.created_at) return false;
    stored_.erase(found);
  }
  if (event.kind == kinds::kDeletion) obey_deletion(event);
  stored_.push_back(event);
  return true;
}

void TestRelay::obey_deletion(const Event& event) {
  for (const Tags::View tag : event.tags) {
    const std::string value(tag.value().value_or(""));
    std::erase_if(stored_, [&](const Event& other) {
      if (other.pubkey != event.pubkey || other.created_at > event.created_at) return false;
      return (tag.name() == "e" && encode_hex(other.id) == value) ||
             (tag.name() == "a" && is_replaceable(other) && address_of(other) == value);
    });
  }
}

void TestRelay::inject(const Event& event) {
  if (kind_class(event.kind) != KindClass::Ephemeral) stored_.push_back(event);
  fan_out(event);
}

void TestRelay::inject_text(const std::string& text) {
  for (const auto& [id, client] : clients_) server_->send_text(id, text);
}

}  // namespace nostril::test
