#pragma once

#include "base/clock.h"
#include "client/channel_store.h"
#include "client/journal.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace nostril::node {

/// Finds what the journal need not keep for ever, a few rows at a time:
///
///   records    older than the period; a channel's newest stands in its row
///   receipts   the same; cumulative, so only the newest is worth anything, and it stands there too
///   channels   without any accepted receipt, last used longer ago: free ones, of which each
///              session leaves one, and debts that nobody signed. Who comes back begins anew
///
/// A channel that payers have signed for is kept: its receipt is the claim. The same request again
/// does not lean on these rows (answer_store.h), nor do answers to be picked up.
/// Threads: the loop's only.
class JournalSweep {
 public:
  /// From the end of one pass to the beginning of the next.
  static constexpr std::int64_t kPauseMs = 3'600'000;

  /// `in_use`: a channel's book is in memory, and may be written again.
  JournalSweep(client::Journal& journal, std::function<bool(const ChannelId&)> in_use,
               Clock& clock);

  /// Looks at `rows_max` rows at most. The erasures, for one commit; what is not committed is found
  /// again by the next pass.
  [[nodiscard]] std::vector<client::JournalChange> next(std::int64_t kept_s, std::size_t rows_max);

 private:
  [[nodiscard]] bool is_over(client::JournalTable table, ByteSpan value,
                             std::int64_t before_s) const;
  [[nodiscard]] bool channel_is_over(ByteSpan value, std::int64_t before_s) const;
  void end_table();

  client::Journal& journal_;
  const std::function<bool(const ChannelId&)> in_use_;
  Clock& clock_;
  std::size_t table_ = 0;  ///< of those above
  Bytes from_;             ///< first key not looked at
  std::optional<std::int64_t> rest_until_ms_;
};

}  // namespace nostril::node
