#pragma once

#include "base/clock.h"
#include "net/address_range.h"
#include "net/forwarded.h"
#include "net/peer_address.h"
#include "relay/token_bucket.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

namespace nostril::relay {

/// What one address may do, whatever the number of its connections. Rates of 0: any.
struct ClientRules {
  net::TrustedProxies proxies;
  net::AddressRanges exempt;     ///< without limits
  unsigned v6_prefix_bits = 64;  ///< what counts as one address
  /// Known at a time, 300 bytes each; beyond, new ones share one account (of 16).
  std::size_t addresses_max = 65'536;
  std::size_t connections_max = 0;  ///< WebSockets; 0: any
  Rate connections;
  Rate messages;
  Rate bytes;
  Rate events;
  Rate requests;                    ///< REQ, COUNT and HTTP requests
  std::size_t query_steps_max = 0;  ///< on the query workers at a time; 0: any
};

/// Which of them was passed.
enum class Overrun : std::uint8_t {
  Sockets,         ///< closed at once
  Connections,     ///< 429 to an upgrade
  ConnectionRate,  ///< likewise
  HttpRequests,    ///< 429
  Messages,        ///< not read for a while
  Bytes,           ///< likewise
  Events,          ///< OK false
  KeyEvents,       ///< likewise
  Requests,        ///< CLOSED
  QuerySteps,      ///< waited for a turn
};
inline constexpr std::size_t kOverrunCount = 10;
/// Its name in metrics.
std::string_view name_of(Overrun overrun);

/// Counted by any thread, which is rare.
class OverrunCounts {
 public:
  void add(Overrun overrun) {
    counts_[static_cast<std::size_t>(overrun)].fetch_add(1, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t read(Overrun overrun) const {
    return counts_[static_cast<std::size_t>(overrun)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, kOverrunCount> counts_{};
};

/// What is known of one address. Shared by its connections on all loops.
struct AddressState {
  std::atomic<std::int64_t> sockets{0};
  std::atomic<std::int64_t> websockets{0};
  std::atomic<std::int64_t> query_steps{0};
  TokenBucket new_sockets;
  TokenBucket connections;
  TokenBucket messages;
  TokenBucket bytes;
  TokenBucket events;
  TokenBucket requests;

  [[nodiscard]] bool is_idle(std::int64_t now_ms) const;
};

class ClientLimits;

/// A unit of one of the counts above, given back when this goes.
class Share {
 public:
  Share() = default;

  Share(std::shared_ptr<AddressState> state, std::atomic<std::int64_t> AddressState::*count)
      : state_(std::move(state)), count_(count) {}

  Share(Share&& other) noexcept : state_(std::move(other.state_)), count_(other.count_) {}

  Share& operator=(Share&& other) noexcept {
    if (this != &other) {
      give_back();
      state_ = std::move(other.state_);
      count_ = other.count_;
    }
    return *this;
  }

  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

  ~Share() { give_back(); }

 private:
  void give_back() {
    if (state_) (state_.get()->*count_).fetch_sub(1);
    state_.reset();
  }

  std::shared_ptr<AddressState> state_;
  std::atomic<std::int64_t> AddressState::*count_ = nullptr;
};

/// A connection's part in what its address may do. Made empty it has no limits. Threads: its
/// loop's.
class ClientAccount {
 public:
  ClientAccount() = default;

  /// Who the client is, behind trusted proxies. Nothing: nobody said.
  [[nodiscard]] const std::optional<net::PeerAddress>& address() const { return address_; }

  /// A message has come. Milliseconds for which the connection must not be read; 0: go on.
  [[nodiscard]] std::int64_t on_message(std::size_t bytes);
  [[nodiscard]] bool take_event();
  [[nodiscard]] bool take_request();
  /// Nothing: wait until another step of this address is done.
  [[nodiscard]] std::optional<Share> take_query_step();

 private:
  friend class ClientLimits;

  const ClientLimits* limits_ = nullptr;
  std::shared_ptr<AddressState> state_;  // nothing: without limits
  std::optional<net::PeerAddress> address_;
  Share websocket_;
};

/// Limits by address, shared by all loops. A connection looks its address up once and then touches
/// atomic words only. An address is forgotten when it has no connection and its buckets are full.
/// Threads: any.
class ClientLimits {
 public:
  /// `clock` and `counts` outlive this.
  ClientLimits(ClientRules rules, const Clock& clock, OverrunCounts& counts)
      : rules_(std::move(rules)), clock_(clock), counts_(counts) {}

  /// A socket opens; its peer is a client or a proxy. False: close it. Each that was taken is given
  /// back with close_socket().
  [[nodiscard]] bool open_socket(const net::PeerAddress& peer);
  void close_socket(const net::PeerAddress& peer);

  /// Who asks, see net::client_of().
  [[nodiscard]] net::PeerAddress client_of(const net::PeerAddress& peer,
                                           const net::HttpHeaders& headers) const {
    return net::client_of(peer, headers, rules_.proxies);
  }

  /// A WebSocket of this client. Nothing: too many; try again after `retry_after_s`.
  [[nodiscard]] std::optional<ClientAccount> open(const net::PeerAddress& client,
                                                  std::int64_t& retry_after_s);
  /// An HTTP request of this client. Seconds until the next may come; 0: it is taken.
  [[nodiscard]] std::int64_t take_http_request(const net::PeerAddress& client);

  [[nodiscard]] std::size_t address_count() const;

 private:
  friend class ClientAccount;
  static constexpr std::size_t kShards = 16;
  using Group = std::array<std::uint8_t, 16>;

  struct GroupHash {
    std::size_t operator()(const Group& group) const noexcept;
  };

  struct Shard {
    mutable std::mutex mutex;
    // Guarded by mutex.
    std::unordered_map<Group, std::shared_ptr<AddressState>, GroupHash> states;
    std::shared_ptr<AddressState> rest = std::make_shared<AddressState>();  // of all that don't fit
    std::int64_t next_sweep_ms = 0;
  };

  // Nothing: without limits.
  [[nodiscard]] std::shared_ptr<AddressState> state_of(const net::PeerAddress& client);
  void sweep(Shard& shard, std::int64_t now_ms);
  [[nodiscard]] Shard& shard_of(const Group& group);

  const ClientRules rules_;
  const Clock& clock_;
  OverrunCounts& counts_;
  mutable std::array<Shard, kShards> shards_;
};

}  // namespace nostril::relay
