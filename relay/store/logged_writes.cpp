#include "relay/store/logged_writes.h"

#include "relay/store/transaction.h"

namespace nostril::relay {

namespace {

std::vector<const Event*> stored_ones(std::span<const VerifiedEvent> events,
                                      const std::vector<PutResult>& results) {
  std::vector<const Event*> stored;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (results[i] == PutResult::Stored) stored.push_back(&events[i].event());
  }
  return stored;
}

}  // namespace

LoggedWrites::LoggedWrites(Store& store) : store_(store) {}

LoggedWrites::~LoggedWrites() = default;

Result<std::vector<PutResult>, StoreError> LoggedWrites::put(std::span<const VerifiedEvent> events,
                                                             std::int64_t now_s, bool may_log,
                                                             std::uint64_t stream_sequence) {
  std::vector<PutResult> results;
  bool is_logged = false;
  bool is_committed = false;
  const auto work = [&](Editor& editor) {
    results.clear();
    for (const VerifiedEvent& event : events) results.push_back(editor.put(event.event()));
    if (stream_sequence != 0) editor.advance_stream(stream_sequence);
  };
  const auto finish = [&](Transaction& txn) -> Result<void, lmdb::Error> {
    const auto stored = stored_ones(events, results);
    if (stored.empty()) return {};  // nothing has changed
    if (may_log) {
      const auto logged = txn.log(stored, now_s, stream_sequence);
      if (!logged) return failure(logged.error());
      is_logged = *logged;
      if (is_logged) return {};
    }
    is_committed = true;
    return txn.commit();
  };
  if (auto written = store_.write_in(open_, now_s, work, finish); !written) {
    return failure(written.error());
  }
  if (is_logged) ++batches_in_log_;
  if (is_committed) batches_in_log_ = 0;
  if (batches_in_log_ == 0) open_.reset();
  return results;
}

Result<void, StoreError> LoggedWrites::commit() {
  if (batches_in_log_ == 0) return {};
  auto written = store_.write_in(
      open_, 0, [](Editor&) {}, [](Transaction& txn) { return txn.commit(); });
  open_.reset();
  if (written) batches_in_log_ = 0;
  return written;
}

bool LoggedWrites::log_has_removed() const {
  return open_ && open_->editor().removed_count() > 0;
}

}  // namespace nostril::relay
