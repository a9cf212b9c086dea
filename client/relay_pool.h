#pragma once

#include "base/clock.h"
#include "events/event.h"
#include "events/filter.h"
#include "events/messages.h"
#include "net/loop.h"
#include "schnorr/verify.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

struct RelayPoolLimits {
  std::size_t relays_max = 16;
  std::size_t hinted_max = 4;  ///< of them, added by add_hinted_relays()
  std::size_t subscriptions_max = 256;
  /// Events sent and not yet answered by a relay, a relay; publish() refuses above. They are sent
  /// again after a reconnect, so this is also the memory a dead relay costs: events of 16 KiB.
  std::size_t unanswered_max = 4096;
  /// Ids remembered so that an event that several relays deliver is handed on once. 40 bytes each.
  std::size_t seen_ids_max = 65536;
  std::int64_t publish_ms_max = 10'000;    ///< without an OK for this long: that relay failed
  std::int64_t reconnect_first_ms = 250;   ///< doubles with each failure …
  std::int64_t reconnect_ms_max = 30'000;  ///< … up to this
};

enum class SubscriptionId : std::uint64_t { None = 0 };

struct SubscriptionCallbacks {
  /// A matching event with a checked signature, once, from whichever relay is first. What does not
  /// match the filters was not asked for and is dropped.
  std::function<void(const VerifiedEvent& event)> on_event;
  /// In place of on_event, when set: the signature is not checked. For what proves itself by other
  /// means.
  std::function<void(const UnverifiedEvent& event)> on_unverified;
  /// This relay has sent what it stores; live events follow. Again after each reconnect.
  std::function<void(const std::string& relay)> on_stored_end;
  /// The relay refused or ended the subscription; `reason` is its text.
  std::function<void(const std::string& relay, const std::string& reason)> on_closed;
};

/// What became of one publish(): reported once, when the first relay took the event or the last
/// connected one did not.
struct PublishResult {
  bool accepted = false;
  bool refused = false;  ///< not accepted, and a relay said so
  /// "relay: reason" of those that refused or did not answer so far.
  std::vector<std::string> refusals;
  /// Every relay that answered said `mute:`: nobody listens there (an ephemeral event is lost).
  bool nobody_listens = false;
};

using PublishCallback = std::function<void(const PublishResult&)>;

/// Connections to several relays as one: each subscription and each event goes to all of them,
/// answers come back once. A lost connection is made again with growing pauses; subscriptions are
/// opened again and unanswered events sent again.
/// Threads: the loop's only. Destroying it drops connections and calls nothing back; callbacks may
/// call every method but the destructor.
class RelayPool {
 public:
  /// `ca_file`: PEM file of the roots that wss:// relays are checked against; empty: the system's.
  /// Throws std::runtime_error that names the file when it can't be used.
  RelayPool(net::Loop& loop, Clock& clock, const RelayPoolLimits& limits = {},
            const std::string& ca_file = {});
  ~RelayPool();
  RelayPool(const RelayPool&) = delete;
  RelayPool& operator=(const RelayPool&) = delete;

  /// Starts to connect. False when `url` is no ws:// or wss:// URL or there are too many; true also
  /// when it is there already.
  [[nodiscard]] bool add_relay(const std::string& url);
  /// Ends the connection without a word of it. What it has not answered counts as not taken there.
  /// Not inside a callback of the pool.
  void remove_relay(const std::string& url);
  /// Adds relays that a node names, for a client that can't reach it otherwise: wss:// ones, and
  /// ws:// only when a relay that is here already is one; `hinted_max` at most over the pool's
  /// life. How many were added.
  std::size_t add_hinted_relays(const std::vector<std::string>& urls);
  [[nodiscard]] std::size_t relay_count() const;
  [[nodiscard]] std::size_t connected_count() const;
  /// Why each relay that is not connected is not, for a message to the user: "ws://…: refused".
  [[nodiscard]] std::vector<std::string> problems() const;
  /// Of some relay it is not known yet whether it can be reached.
  [[nodiscard]] bool is_starting() const;
  /// Called with the relay's URL each time a connection opens or is lost.
  void on_connection_change(std::function<void(const std::string& relay, bool connected)> callback);

  /// None when there are too many.
  SubscriptionId subscribe(std::vector<Filter> filters, SubscriptionCallbacks callbacks);
  void unsubscribe(SubscriptionId id);
  /// The same subscription with other filters from now on. Nothing that both match is lost.
  void change_filters(SubscriptionId id, std::vector<Filter> filters);

  /// Events that the quickest relay has not answered yet; of the connected ones when there are any.
  /// Who makes many waits while it is high: above `unanswered_max` publish() takes none.
  [[nodiscard]] std::size_t unanswered() const;

  /// False, and no callback, when the event could not be queued for any relay.
  bool publish(const Event& event, PublishCallback callback = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nostril::client
