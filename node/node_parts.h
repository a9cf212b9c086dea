#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/journal.h"
#include "client/relay_pool.h"
#include "events/session_link.h"
#include "net/loop.h"
#include "node/answer_store.h"
#include "node/config.h"
#include "node/node_metrics.h"
#include "node/pickup_outbox.h"
#include "node/turn_end.h"
#include "schnorr/keys.h"
#include "schnorr/verify.h"

namespace nostril::node {

/// What all of a node works with. Borrowed; the agent owns it and goes last.
struct NodeParts {
  const NodeConfig& config;
  const Keypair& identity;
  net::Loop& loop;
  Clock& clock;
  Rng& rng;
  Verifier& verifier;
  client::RelayPool& pool;
  client::Journal& journal;
  AnswerStore& answers;
  PickupOutbox& pickup;
  NodeMetrics& metrics;
  TurnEnd& turn_end;

  [[nodiscard]] Moment now() const { return {clock.monotonic_ms(), clock.unix_s()}; }
};

}  // namespace nostril::node
