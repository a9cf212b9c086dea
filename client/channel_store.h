#pragma once

#include "base/json.h"
#include "client/journal.h"
#include "events/event.h"
#include "events/frames.h"
#include "events/inference.h"
#include "settlement/channel.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client {

/// A channel as it lies in the journal: the book, and the newest documents of both sides. Payer and
/// node keep the same row.
struct StoredChannel {
  settlement::ChannelTerms terms;
  settlement::ChannelSnapshot snapshot;
  std::optional<Event> record;        ///< newest statement, 1471
  std::optional<ChannelResync> paid;  ///< newest receipt, the node's claim, and what it pays
  /// The payer's: an answer is under way, or ended without its record. What the node stated last is
  /// then not known after a restart, and the channel is not used again.
  bool open = false;
};

/// Rows of the tables, integers big-endian so that keys sort by number:
///   channels: channel id (32)                  -> JSON of StoredChannel
///   records:  channel id (32), n (8)           -> event JSON
///   receipts: channel id (32), amount (16)     -> event JSON
[[nodiscard]] JournalChange put_channel(const StoredChannel& channel);
[[nodiscard]] JournalChange put_record(const ResponseRecord& record, const Event& event);
[[nodiscard]] JournalChange put_receipt(const BalanceReceipt& receipt, const Event& event);

/// Nothing when there is no such row, or it does not read (logged: a damaged file).
[[nodiscard]] std::optional<StoredChannel> get_channel(Journal& journal, const ChannelId& id);
[[nodiscard]] std::vector<StoredChannel> all_channels(Journal& journal);
/// A channel's records or receipts, oldest first, `count_max` at most.
[[nodiscard]] std::vector<Event> all_records(Journal& journal, const ChannelId& id,
                                             std::size_t count_max);
[[nodiscard]] std::vector<Event> all_receipts(Journal& journal, const ChannelId& id,
                                              std::size_t count_max);

/// Members of a JSON object that hold the terms, and back.
void write_terms(JsonWriter& w, const settlement::ChannelTerms& terms);
[[nodiscard]] std::optional<settlement::ChannelTerms> read_terms(const Json& row);

/// The JSON text of a row, and back; for tests.
[[nodiscard]] std::string encode_channel(const StoredChannel& channel);
[[nodiscard]] std::optional<StoredChannel> decode_channel(std::string_view text);

}  // namespace nostril::client
