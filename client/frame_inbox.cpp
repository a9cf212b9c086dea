#include "client/frame_inbox.h"

#include "base/check.h"
#include "base/hex.h"
#include "events/kinds.h"
#include "events/session.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_set>
#include <utility>

namespace nostril::client {

namespace {

/// Each new subscription gets this many times the keys of the one before.
constexpr std::size_t kGrowth = 4;
/// Making keys waits until what took the last one has sent its frame.
constexpr std::uint64_t kAheadMs = 2;

}  // namespace

/// The keys of one subscription.
struct FrameInbox::Batch {
  SubscriptionId subscription = SubscriptionId::None;
  std::uint64_t generation = 0;  ///< of its filter
  std::vector<std::pair<Keypair, std::uint64_t>> unused;
  std::unordered_set<PublicKey, FixedBytesHash> in_use;
  std::map<std::string, std::uint64_t> ready;  ///< by relay: the newest filter that it listens for

  /// No relay has still to answer to an older filter: the next answer is to the next one.
  [[nodiscard]] bool settled() const {
    return std::ranges::all_of(ready, [this](const auto& one) { return one.second == generation; });
  }
};

FrameInbox::FrameInbox(RelayPool& pool, net::Loop& loop, Rng& rng, const FrameInboxLimits& limits)
    : pool_(pool), loop_(loop), rng_(rng), limits_(limits) {
  CHECK(limits.keys_max > 0 && limits.subscriptions_max > 0);
}

FrameInbox::~FrameInbox() {
  loop_.cancel(ahead_);
  for (const auto& batch : batches_) pool_.unsubscribe(batch->subscription);
}

Keypair FrameInbox::take(AddressCallbacks callbacks) {
  auto batch = batch_with_key();
  if (!batch) batch = fill();
  auto [key, generation] = std::move(batch->unused.back());
  batch->unused.pop_back();
  batch->in_use.insert(key.public_key());
  addresses_.emplace(
      key.public_key(),
      Address{batch, generation, std::make_shared<const AddressCallbacks>(std::move(callbacks))});
  // Who asks a second time may ask often.
  if (++taken_ > 1 && ahead_ == net::TimerId::None) {
    ahead_ = loop_.after(kAheadMs, [this] { fill_ahead(); });
  }
  return std::move(key);
}

void FrameInbox::release(const PublicKey& address) {
  const auto found = addresses_.find(address);
  if (found == addresses_.end()) return;
  const auto batch = found->second.batch;
  addresses_.erase(found);
  batch->in_use.erase(address);
  if (!batch->in_use.empty() || !batch->unused.empty()) return;
  pool_.unsubscribe(batch->subscription);
  std::erase(batches_, batch);
}

std::vector<std::string> FrameInbox::ready_relays(const PublicKey& address) const {
  std::vector<std::string> out;
  const auto found = addresses_.find(address);
  if (found == addresses_.end()) return out;
  for (const auto& [relay, generation] : found->second.batch->ready) {
    if (generation >= found->second.generation) out.push_back(relay);
  }
  return out;
}

void FrameInbox::on_connection_change(const std::string& relay, bool connected) {
  if (connected) return;
  for (const auto& batch : batches_) batch->ready.erase(relay);
}

// ---- Keys ---------------------------------------------------------------------------------------

/// One that relays listen for already, where there is one.
std::shared_ptr<FrameInbox::Batch> FrameInbox::batch_with_key() const {
  std::shared_ptr<Batch> best;
  for (const auto& batch : batches_) {
    if (batch->unused.empty()) continue;
    if (!batch->ready.empty() && batch->settled()) return batch;
    best = batch;
  }
  return best;
}

void FrameInbox::fill_ahead() {
  ahead_ = net::TimerId::None;
  std::size_t unused = 0;
  for (const auto& batch : batches_) unused += batch->unused.size();
  if (unused < std::max<std::size_t>(1, next_keys_ / 2)) fill();
}

std::shared_ptr<FrameInbox::Batch> FrameInbox::fill() {
  auto batch = batch_to_fill();
  ++batch->generation;
  for (std::size_t count = 0; count < next_keys_; ++count) {
    batch->unused.emplace_back(Keypair::generate(rng_), batch->generation);
  }
  next_keys_ = std::min(next_keys_ * kGrowth, limits_.keys_max);
  subscribe(batch);
  return batch;
}

/// A new one as long as there may be more; then that with the fewest keys.
std::shared_ptr<FrameInbox::Batch> FrameInbox::batch_to_fill() const {
  if (batches_.size() < limits_.subscriptions_max) return std::make_shared<Batch>();
  const auto order = [](const auto& batch) {
    return std::pair(!batch->settled(), batch->in_use.size() + batch->unused.size());
  };
  return *std::ranges::min_element(batches_, {}, order);
}

void FrameInbox::subscribe(const std::shared_ptr<Batch>& batch) {
  Filter filter;
  filter.kinds = {kinds::kFrame};
  Filter::TagValues recipients{'p', {}};
  for (const PublicKey& key : batch->in_use) recipients.values.push_back(encode_hex(key));
  for (const auto& [key, generation] : batch->unused) {
    recipients.values.push_back(encode_hex(key.public_key()));
  }
  std::ranges::sort(recipients.values);
  filter.tags.push_back(std::move(recipients));
  if (batch->subscription != SubscriptionId::None) {
    pool_.change_filters(batch->subscription, {std::move(filter)});
    return;
  }
  SubscriptionCallbacks callbacks;
  callbacks.on_unverified = [this](const UnverifiedEvent& event) { on_event(event.event()); };
  callbacks.on_stored_end = [this, weak = std::weak_ptr(batch)](const std::string& relay) {
    if (const auto held = weak.lock()) on_stored_end(*held, relay);
  };
  callbacks.on_closed = [this, weak = std::weak_ptr(batch)](const std::string& relay,
                                                            const std::string& reason) {
    if (const auto held = weak.lock()) on_closed(*held, relay, reason);
  };
  batch->subscription = pool_.subscribe({std::move(filter)}, std::move(callbacks));
  batches_.push_back(batch);
}

// ---- What relays say ----------------------------------------------------------------------------

void FrameInbox::on_event(const Event& event) {
  const auto recipient = frame_recipient(event);
  if (!recipient) return;
  const auto found = addresses_.find(*recipient);
  if (found == addresses_.end()) return;
  const auto callbacks = found->second.callbacks;
  callbacks->on_frame(event);
}

void FrameInbox::on_stored_end(Batch& batch, const std::string& relay) {
  const auto before = batch.ready.find(relay);
  const std::uint64_t since = before == batch.ready.end() ? 0 : before->second + 1;
  batch.ready[relay] = batch.generation;
  for (const auto& callbacks : addressed(batch, since)) {
    if (callbacks->on_ready) callbacks->on_ready(relay);
  }
}

void FrameInbox::on_closed(const Batch& batch, const std::string& relay,
                           const std::string& reason) {
  for (const auto& callbacks : addressed(batch, 0)) {
    if (callbacks->on_closed) callbacks->on_closed(relay, reason);
  }
}

std::vector<std::shared_ptr<const AddressCallbacks>> FrameInbox::addressed(
    const Batch& batch, std::uint64_t since) const {
  std::vector<std::shared_ptr<const AddressCallbacks>> out;
  for (const PublicKey& key : batch.in_use) {
    const Address& address = addresses_.at(key);
    if (address.generation >= since) out.push_back(address.callbacks);
  }
  return out;
}

}  // namespace nostril::client
