#pragma once

#include "base/metrics.h"
#include "events/frames.h"
#include "events/inference.h"
#include "settlement/channel.h"

#include <array>
#include <cstddef>
#include <string>

namespace nostril::node {

/// What the node counts. Numbers only, under names that are fixed here: nothing of a prompt, an
/// answer, a client or its keys has a place in it. Threads: raised on the loop's, read by any.
struct NodeMetrics {
  std::array<Counter, kRecordStatusCount> records;  ///< signed statements, by how they ended
  std::array<Counter, kErrorCodeCount> refusals;    ///< requests without a record, by reason
  std::array<Counter, settlement::kReceiptVerdictCount> receipts;
  Counter input_tokens;  ///< of answers that ended, as their records state them
  Counter cached_tokens;
  Counter output_tokens;

  void count(const ResponseRecord& record) {
    records.at(static_cast<std::size_t>(record.status)).add();
    if (record.status == RecordStatus::Partial) return;
    input_tokens.add(record.usage.input);
    cached_tokens.add(record.usage.cached);
    output_tokens.add(record.usage.output);
  }

  void count(ErrorCode refusal) { refusals.at(static_cast<std::size_t>(refusal)).add(); }

  void count(settlement::ReceiptVerdict receipt) {
    receipts.at(static_cast<std::size_t>(receipt)).add();
  }
};

}  // namespace nostril::node
