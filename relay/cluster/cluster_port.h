#pragma once

#include "events/event.h"
#include "relay/store/writer.h"

namespace nostril::relay {

/// What Ingest hands to the cluster, where there is one. Threads: any; none of it waits.
class ClusterPort {
 public:
  virtual ~ClusterPort() = default;
  ClusterPort(const ClusterPort&) = delete;
  ClusterPort& operator=(const ClusterPort&) = delete;
  ClusterPort(ClusterPort&&) = delete;
  ClusterPort& operator=(ClusterPort&&) = delete;

  /// Instead of writing it. It comes back by Ingest::apply_own(), or is answered by
  /// Ingest::answer_unwritten(): one of them for each call.
  virtual void publish(VerifiedEvent event, const WriteToken& token) = 0;
  /// To the other relays. False: nobody there can hear it now.
  [[nodiscard]] virtual bool publish_ephemeral(const VerifiedEvent& event) = 0;
  /// On the writer's thread, before anybody else hears of it.
  virtual void on_committed(const CommittedBatch& batch) = 0;

 protected:
  ClusterPort() = default;
};

}  // namespace nostril::relay
