#pragma once

#include "base/rng.h"
#include "client/relay_pool.h"
#include "events/event.h"
#include "net/loop.h"
#include "schnorr/keys.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace nostril::client {

struct FrameInboxLimits {
  /// Keys that one subscription gets at once; the first ones get fewer, because most users ask
  /// once.
  std::size_t keys_max = 32;
  /// Relays that say a number in NIP-11 allow 20 and more; above this, subscriptions grow instead.
  std::size_t subscriptions_max = 8;
};

struct AddressCallbacks {
  /// A frame to this address. Its id is right; its signature is not looked at, because what opens
  /// under a session's keys proves more (spec/05-session.md).
  std::function<void(const Event& event)> on_frame;
  /// This relay brings frames from now on. Not told of those that did so at take(): ready_relays().
  /// Again after each reconnect.
  std::function<void(const std::string& relay)> on_ready;
  /// The relay refused or ended the subscription that this address is part of.
  std::function<void(const std::string& relay, const std::string& reason)> on_closed;
};

/// Keys for sessions, made ahead, and the subscriptions that bring the frames sent to them: many
/// addresses share one, so any number of sessions takes few subscriptions of a relay, and a session
/// that starts finds the relays listening already. Each key is given out once.
/// A relay learns which addresses are one party's; it sees that from the connection, too.
/// Threads: the loop's. The pool outlives it.
class FrameInbox {
 public:
  FrameInbox(RelayPool& pool, net::Loop& loop, Rng& rng, const FrameInboxLimits& limits = {});
  ~FrameInbox();
  FrameInbox(const FrameInbox&) = delete;
  FrameInbox& operator=(const FrameInbox&) = delete;

  [[nodiscard]] Keypair take(AddressCallbacks callbacks);
  /// No more frames for it. Unknown ones are fine.
  void release(const PublicKey& address);
  /// Relays that bring this address' frames by now.
  [[nodiscard]] std::vector<std::string> ready_relays(const PublicKey& address) const;

  /// The owner of the pool's callback passes it on.
  void on_connection_change(const std::string& relay, bool connected);

  [[nodiscard]] std::size_t subscription_count() const { return batches_.size(); }

 private:
  struct Batch;

  struct Address {
    std::shared_ptr<Batch> batch;
    std::uint64_t generation;  ///< of the batch, when the key joined it
    std::shared_ptr<const AddressCallbacks> callbacks;
  };

  [[nodiscard]] std::shared_ptr<Batch> batch_with_key() const;
  std::shared_ptr<Batch> fill();
  [[nodiscard]] std::shared_ptr<Batch> batch_to_fill() const;
  void subscribe(const std::shared_ptr<Batch>& batch);
  void fill_ahead();
  void on_event(const Event& event);
  void on_stored_end(Batch& batch, const std::string& relay);
  void on_closed(const Batch& batch, const std::string& relay, const std::string& reason);
  /// Of one batch, since a generation; copies, because what is called may take and release.
  [[nodiscard]] std::vector<std::shared_ptr<const AddressCallbacks>> addressed(
      const Batch& batch, std::uint64_t since) const;

  RelayPool& pool_;
  net::Loop& loop_;
  Rng& rng_;
  const FrameInboxLimits limits_;
  std::size_t next_keys_ = 1;
  std::uint64_t taken_ = 0;
  net::TimerId ahead_ = net::TimerId::None;
  std::vector<std::shared_ptr<Batch>> batches_;
  std::unordered_map<PublicKey, Address, FixedBytesHash> addresses_;
};

}  // namespace nostril::client
