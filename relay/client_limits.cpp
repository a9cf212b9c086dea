#include "relay/client_limits.h"

#include <algorithm>
#include <cstring>

namespace nostril::relay {

namespace {

// Sockets that are no WebSocket: on their way to one, HTTP requests, refused ones.
constexpr std::int64_t kOtherSockets = 16;
// New sockets for each new WebSocket that an address may open.
constexpr double kSocketsAConnection = 4;
constexpr std::int64_t kSweepMs = 1'000;
constexpr std::int64_t kRestMsMax = 1'000;

std::int64_t whole_seconds(std::int64_t ms) {
  return std::max<std::int64_t>(1, (ms + 999) / 1'000);
}

}  // namespace

std::string_view name_of(Overrun overrun) {
  switch (overrun) {
    case Overrun::Sockets:
      return "sockets";
    case Overrun::Connections:
      return "connections";
    case Overrun::ConnectionRate:
      return "connection_rate";
    case Overrun::HttpRequests:
      return "http_requests";
    case Overrun::Messages:
      return "messages";
    case Overrun::Bytes:
      return "bytes";
    case Overrun::Events:
      return "events";
    case Overrun::KeyEvents:
      return "key_events";
    case Overrun::Requests:
      return "requests";
    case Overrun::QuerySteps:
      return "query_steps";
  }
  return "unknown";
}

bool AddressState::is_idle(std::int64_t now_ms) const {
  return sockets == 0 && websockets == 0 && query_steps == 0 && new_sockets.is_full(now_ms) &&
         connections.is_full(now_ms) && messages.is_full(now_ms) && bytes.is_full(now_ms) &&
         events.is_full(now_ms) && requests.is_full(now_ms);
}

// --- One connection.

std::int64_t ClientAccount::on_message(std::size_t bytes) {
  if (!state_) return 0;
  const std::int64_t now_ms = limits_->clock_.monotonic_ms();
  const auto size = static_cast<double>(bytes);
  const std::int64_t for_messages_ms = state_->messages.spend(limits_->rules_.messages, now_ms);
  const std::int64_t for_bytes_ms = state_->bytes.spend(limits_->rules_.bytes, now_ms, size);
  if (for_messages_ms > 0) limits_->counts_.add(Overrun::Messages);
  if (for_bytes_ms > 0) limits_->counts_.add(Overrun::Bytes);
  // Others of this address may have made the debt: no one of them waits for all of it.
  return std::min(std::max(for_messages_ms, for_bytes_ms), kRestMsMax);
}

bool ClientAccount::take_event() {
  if (!state_) return true;
  const std::int64_t now_ms = limits_->clock_.monotonic_ms();
  if (state_->events.try_take(limits_->rules_.events, now_ms)) return true;
  limits_->counts_.add(Overrun::Events);
  return false;
}

bool ClientAccount::take_request() {
  if (!state_) return true;
  const std::int64_t now_ms = limits_->clock_.monotonic_ms();
  if (state_->requests.try_take(limits_->rules_.requests, now_ms)) return true;
  limits_->counts_.add(Overrun::Requests);
  return false;
}

std::optional<Share> ClientAccount::take_query_step() {
  if (!state_ || limits_->rules_.query_steps_max == 0) return Share();
  const auto max = static_cast<std::int64_t>(limits_->rules_.query_steps_max);
  const std::int64_t before = state_->query_steps.fetch_add(1);
  Share share(state_, &AddressState::query_steps);
  if (before < max) return share;
  limits_->counts_.add(Overrun::QuerySteps);
  return std::nullopt;
}

// --- All of them.

std::size_t ClientLimits::GroupHash::operator()(const Group& group) const noexcept {
  std::uint64_t parts[2];
  std::memcpy(parts, group.data(), sizeof parts);
  // Which addresses there are is for clients to choose, but not the number kept of them.
  std::uint64_t mixed = (parts[0] ^ (parts[1] * 0x9E3779B97F4A7C15U)) * 0xD6E8FEB86659FD93U;
  mixed ^= mixed >> 32U;
  return mixed * 0xD6E8FEB86659FD93U;
}

ClientLimits::Shard& ClientLimits::shard_of(const Group& group) {
  return shards_[(GroupHash()(group) >> 48U) % kShards];
}

std::shared_ptr<AddressState> ClientLimits::state_of(const net::PeerAddress& client) {
  if (rules_.exempt.contain(client)) return nullptr;
  const Group group = net::peer_group(client, rules_.v6_prefix_bits);
  Shard& shard = shard_of(group);
  const std::int64_t now_ms = clock_.monotonic_ms();
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.states.find(group);
  if (found != shard.states.end()) return found->second;
  if (now_ms >= shard.next_sweep_ms) sweep(shard, now_ms);
  if (shard.states.size() >= std::max<std::size_t>(1, rules_.addresses_max / kShards)) {
    return shard.rest;
  }
  return shard.states.emplace(group, std::make_shared<AddressState>()).first->second;
}

// Not more often: in a full table it would find nothing, again and again.
void ClientLimits::sweep(Shard& shard, std::int64_t now_ms) {
  shard.next_sweep_ms = now_ms + kSweepMs;
  std::erase_if(shard.states, [&](const auto& entry) {
    return entry.second.use_count() == 1 && entry.second->is_idle(now_ms);
  });
}

bool ClientLimits::open_socket(const net::PeerAddress& peer) {
  if (rules_.proxies.ranges.contain(peer)) return true;
  const auto state = state_of(peer);
  if (!state) return true;
  const auto max = static_cast<std::int64_t>(rules_.connections_max) + kOtherSockets;
  const Rate rate{rules_.connections.a_second * kSocketsAConnection,
                  rules_.connections.burst * kSocketsAConnection};
  const std::int64_t before = state->sockets.fetch_add(1);
  const bool is_one_too_many = rules_.connections_max > 0 && before >= max;
  if (!is_one_too_many && state->new_sockets.try_take(rate, clock_.monotonic_ms())) return true;
  state->sockets.fetch_sub(1);
  counts_.add(Overrun::Sockets);
  return false;
}

// A socket that came while the table was full may be given back to its address's own state, and
// then one of that to the common one: each count stays that of its sockets, together.
void ClientLimits::close_socket(const net::PeerAddress& peer) {
  if (rules_.proxies.ranges.contain(peer) || rules_.exempt.contain(peer)) return;
  const Group group = net::peer_group(peer, rules_.v6_prefix_bits);
  Shard& shard = shard_of(group);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.states.find(group);
  const bool is_own = found != shard.states.end() && found->second->sockets > 0;
  (is_own ? found->second : shard.rest)->sockets.fetch_sub(1);
}

std::optional<ClientAccount> ClientLimits::open(const net::PeerAddress& client,
                                                std::int64_t& retry_after_s) {
  ClientAccount out;
  out.limits_ = this;
  out.address_ = client;
  out.state_ = state_of(client);
  if (!out.state_) return out;
  const std::int64_t now_ms = clock_.monotonic_ms();
  const std::int64_t before = out.state_->websockets.fetch_add(1);
  out.websocket_ = Share(out.state_, &AddressState::websockets);
  if (rules_.connections_max > 0 && before >= static_cast<std::int64_t>(rules_.connections_max)) {
    counts_.add(Overrun::Connections);
    retry_after_s = 60;
    return std::nullopt;
  }
  if (!out.state_->connections.try_take(rules_.connections, now_ms)) {
    counts_.add(Overrun::ConnectionRate);
    retry_after_s = whole_seconds(out.state_->connections.wait_ms(rules_.connections, now_ms));
    return std::nullopt;
  }
  return out;
}

std::int64_t ClientLimits::take_http_request(const net::PeerAddress& client) {
  const auto state = state_of(client);
  if (!state) return 0;
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (state->requests.try_take(rules_.requests, now_ms)) return 0;
  counts_.add(Overrun::HttpRequests);
  return whole_seconds(state->requests.wait_ms(rules_.requests, now_ms));
}

std::size_t ClientLimits::address_count() const {
  std::size_t count = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    count += shard.states.size();
  }
  return count;
}

}  // namespace nostril::relay
