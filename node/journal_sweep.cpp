#include "node/journal_sweep.h"

#include "events/event.h"

#include <array>
#include <utility>

namespace nostril::node {

namespace {

using client::JournalChange;
using client::JournalTable;

constexpr std::array kTables = {JournalTable::Records, JournalTable::Receipts,
                                JournalTable::Channels};
/// A receipt's date is its payer's word: one from the future would stay for ever.
constexpr std::int64_t kAheadS = 86'400;

}  // namespace

JournalSweep::JournalSweep(client::Journal& journal, std::function<bool(const ChannelId&)> in_use,
                           Clock& clock)
    : journal_(journal), in_use_(std::move(in_use)), clock_(clock) {}

std::vector<JournalChange> JournalSweep::next(std::int64_t kept_s, std::size_t rows_max) {
  std::vector<JournalChange> changes;
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (rest_until_ms_ && now_ms < *rest_until_ms_) return changes;
  rest_until_ms_.reset();
  const JournalTable table = kTables.at(table_);
  const std::int64_t before_s = clock_.unix_s() - kept_s;
  std::size_t rows = 0;
  bool is_end = true;
  journal_.scan(table, from_, [&](ByteSpan key, ByteSpan value) {
    if (rows++ == rows_max) {
      is_end = false;
      from_.assign(key.begin(), key.end());
      return false;
    }
    if (is_over(table, value, before_s)) {
      changes.push_back({table, Bytes(key.begin(), key.end()), std::nullopt});
    }
    return true;
  });
  if (is_end) end_table();
  return changes;
}

void JournalSweep::end_table() {
  from_.clear();
  if (++table_ < kTables.size()) return;
  table_ = 0;
  rest_until_ms_ = clock_.monotonic_ms() + kPauseMs;
}

/// What does not read is left: `doctor` and its owner may want to see it.
bool JournalSweep::is_over(JournalTable table, ByteSpan value, std::int64_t before_s) const {
  if (table == JournalTable::Channels) return channel_is_over(value, before_s);
  const auto event = parse_event(as_text(value));
  if (!event) return false;
  const std::int64_t at_s = event->event().created_at;
  return at_s < before_s || (table == JournalTable::Receipts && at_s > clock_.unix_s() + kAheadS);
}

bool JournalSweep::channel_is_over(ByteSpan value, std::int64_t before_s) const {
  const auto channel = client::decode_channel(as_text(value));
  if (!channel || !channel->record || channel->snapshot.accepted > Amount{}) return false;
  return channel->record->created_at < before_s && !in_use_(settlement::channel_id(channel->terms));
}

}  // namespace nostril::node
