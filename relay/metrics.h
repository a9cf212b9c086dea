#pragma once

#include "base/metrics.h"
#include "events/parse_error.h"
#include "relay/admission.h"

#include <array>
#include <cstdint>

namespace nostril::relay {

/// What one query worker, or a loop that did a step itself, counts.
struct QueryMetrics {
  Counter steps;
  Counter rows;
  Counter cached_rows;  ///< of them, whose text was at hand
  Counter visits;
  Counter busy_us;
  Counter failures;
  Counter commit_waits;  ///< first steps that had to wait until the log was in the tables
};

/// What one loop thread counts. Written by it, read by any.
struct LoopMetrics {
  Counter events_received;      ///< well-formed EVENT messages
  Counter duplicates_early;     ///< answered or queued without a verification
  Counter events_accepted;      ///< OK true
  Counter events_not_accepted;  ///< OK false, for any reason
  Counter ephemeral_unheard;    ///< nobody was subscribed
  Counter requests;             ///< REQ
  Counter requests_refused;     ///< CLOSED instead of an answer
  Counter counts;               ///< COUNT
  Counter closes;               ///< CLOSE
  Counter subscriptions_opened;
  Counter subscriptions_closed;
  Counter stored_sent;  ///< events of the stored part
  Counter live_sent;    ///< events as they were committed
  Counter ephemeral_sent;
  Counter queries_done;             ///< EOSE
  Counter queries_cut;              ///< CLOSED for what they cost
  Counter rests;                    ///< times a peer was not read because it was too fast
  Counter reading_paused;           ///< times a peer was not read because a queue was full
  Counter authentications;          ///< AUTH that was right
  Counter authentications_refused;  ///< AUTH that was not
  Counter unsupported;              ///< binary messages
  Counter negentropies;             ///< NEG-OPEN
  Counter negentropies_opened;      ///< of them, those that were not refused
  Counter negentropies_closed;      ///< by either side
  Counter negentropies_refused;     ///< NEG-ERR
  Counter negentropy_answers;       ///< NEG-MSG sent
  QueryMetrics queries;             ///< steps on this thread
  std::array<Counter, kParseErrorCount> parse_errors;
  std::array<Counter, kRefusalCount> refusals;

  void count(ParseError error) { parse_errors[static_cast<std::size_t>(error)].add(); }

  void count(Refusal refusal) { refusals[static_cast<std::size_t>(refusal)].add(); }
};

/// What became of an operator's signals; written by the thread that takes them.
struct OperatorMetrics {
  Counter reloads;
  Counter reloads_refused;   ///< the file could not be used
  Counter restarts_refused;  ///< the successor would not have started
};

/// What one verifier thread counts.
struct VerifierMetrics {
  Counter busy_us;  ///< of verifier threads
  Counter verified;
  Counter bad_signatures;
  Counter batches;
};

}  // namespace nostril::relay
