#pragma once

#include "base/clock.h"
#include "client/journal.h"
#include "client/relay_pool.h"
#include "events/inference.h"
#include "net/loop.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace nostril::node {

struct PickupLimits {
  std::uint64_t bytes_max = std::uint64_t{256} << 20;  ///< of all rows; beyond it nothing is taken
  std::size_t under_way_max = 256;                     ///< events at a time that no relay answered
  std::uint64_t again_ms = 10'000;                     ///< what no relay took is tried again
};

/// Stored frames (kind 1470, events/stored_answer.h) of finished answers whose client asked for
/// pick-up: on the disk with their record, on the relays once the client turns out to be away. They
/// are sealed and signed when they come here, so a restart needs no key to go on.
///
/// Row of JournalTable::StoredFrames: request id (16), n (2, big-endian) -> expiry (8, Unix
/// seconds, big-endian), event JSON.
/// Threads: the loop's only.
class PickupOutbox {
 public:
  PickupOutbox(client::Journal& journal, client::RelayPool& pool, net::Loop& loop, Clock& clock,
               const PickupLimits& limits = {});
  ~PickupOutbox();
  PickupOutbox(const PickupOutbox&) = delete;
  PickupOutbox& operator=(const PickupOutbox&) = delete;

  /// To be committed with the record. Nothing when there is no room.
  [[nodiscard]] std::vector<client::JournalChange> rows(const RequestId& request,
                                                        const std::vector<Event>& events,
                                                        std::int64_t expires_at);
  /// The client is away: the rows, committed by now, go to the relays and from the disk.
  void publish(const RequestId& request);
  /// What is left of that, and of earlier runs: now, for a relay is connected.
  void send_due();
  /// The client has the answer.
  void drop(const RequestId& request);

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  /// For callbacks that this object can't cancel.
  struct Alive {};

  void send(ByteSpan key, ByteSpan row);
  void answered(const Bytes& key, std::size_t row_bytes, bool taken);
  void erase(const Bytes& key, std::size_t row_bytes);

  client::Journal& journal_;
  client::RelayPool& pool_;
  net::Loop& loop_;
  Clock& clock_;
  const PickupLimits limits_;
  std::shared_ptr<Alive> alive_ = std::make_shared<Alive>();
  net::TimerId timer_ = net::TimerId::None;
  std::set<RequestId> due_;
  std::set<Bytes> under_way_;
  std::uint64_t bytes_ = 0;
};

}  // namespace nostril::node
