#include "relay/store/transaction.h"

namespace nostril::relay {

Transaction::Transaction(lmdb::Env& env, const Tables& tables, Dictionaries& dictionaries,
                         EventLog& log)
    : tables_(tables), log_(log), txn_(env), editor_(tables, dictionaries, txn_) {
  replay();
}

void Transaction::replay() {
  if (txn_.get(tables_.meta, as_bytes(kSearchKey)) && !tables_.words.exists()) {
    damage_ = "another program has turned searches on in this file; start again";
    return;
  }
  const auto value = txn_.get(tables_.meta, as_bytes(kLogMarkKey));
  if (!value) return;
  mark_ = LogMark::parse(*value);
  if (!mark_) {
    damage_ = "the log's mark is damaged";
    return;
  }
  const auto end = log_.read(
      *mark_,
      [this](const Event& event, std::int64_t now_s) {
        editor_.set_now(now_s);
        (void)editor_.put(event);
        ++replayed_;
      },
      [this](std::uint64_t sequence) { editor_.advance_stream(sequence); });
  if (end) {
    end_ = *end;
  } else {
    damage_ = end.error();
  }
}

Result<bool, lmdb::Error> Transaction::log(std::span<const Event* const> events, std::int64_t now_s,
                                           std::uint64_t stream_sequence) {
  if (!mark_ || !has_room_to_commit()) return false;
  return log_.append(*mark_, end_, events, now_s, stream_sequence);
}

// What was acknowledged is in the log only: no full disk may keep it from the readers. Much work
// (a deletion of very much) is not worth that much room, it is committed at once.
bool Transaction::has_room_to_commit() {
  constexpr std::size_t kGrowthBytesMax = std::size_t{64} << 20;
  constexpr std::size_t kOwnRows = 4;  // the mark, the numbers given
  const std::size_t growth = txn_.growth_bytes_max(editor_.rows_held_back() + kOwnRows);
  return growth <= kGrowthBytesMax && txn_.reserve(growth).has_value();
}

Result<void, lmdb::Error> Transaction::commit() {
  editor_.finish();
  if (mark_ && end_.number > 1) {
    mark_->applied_epoch = end_.epoch;
    txn_.put(tables_.meta, as_bytes(kLogMarkKey), mark_->value().span());
  }
  return txn_.commit();
}

}  // namespace nostril::relay
