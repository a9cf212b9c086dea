#include "relay/store/search_scan.h"

#include <algorithm>
#include <utility>

namespace nostril::relay {

SearchScan::SearchScan(Filter filter, std::uint64_t limit_max)
    : limit_(std::min(filter.limit.value_or(limit_max), limit_max)), filter_(std::move(filter)) {
  for (const auto& word : filter_.filter().search->words()) words_.push_back(word_prefix(word));
}

bool SearchScan::gather(Store& store, ReadTxn& txn, Meter& meter, std::int64_t now_s) {
  if (is_gathered_) return true;
  const SearchQuery& query = *filter_.filter().search;
  if (limit_ == 0 || words_.empty() || filter_.filter().matches_nothing() || !store.has_search()) {
    is_exhausted_ = is_gathered_ = true;
    return true;
  }
  std::vector<lmdb::Cursor> cursors;
  for (std::size_t i = 0; i < words_.size(); ++i) cursors.emplace_back(txn, store.tables().words);
  while (!is_exhausted_ && visits_ < kVisitsMax) {
    if (meter.is_spent()) return false;
    const std::size_t before = meter.visits();
    const auto candidate = next_candidate(cursors, meter);
    visits_ += meter.visits() - before;
    if (!candidate) break;  // is_exhausted_, or the budget says so at the next look
    const auto found = record(store, txn, *candidate, now_s);
    if (!found) continue;
    const auto score = query.score(search_text_of(*found), now_s - found->created_at());
    if (!score) continue;
    ++found_;
    keep({*score, *candidate});
  }
  if (!is_exhausted_ && visits_ < kVisitsMax) return false;
  std::sort(best_.begin(), best_.end());
  is_gathered_ = true;
  return true;
}

// Each word's range is read backwards, and all go down to the same number in turn.
std::optional<Sequence> SearchScan::next_candidate(std::vector<lmdb::Cursor>& of, Meter& meter) {
  while (agreed_ < words_.size()) {
    if (meter.is_spent()) return std::nullopt;
    meter.visit();
    const Key& word = words_[word_];
    lmdb::Cursor& cursor = of[word_];
    word_ = (word_ + 1) % words_.size();
    Key start = word;
    start.add_integer(at_, kSequenceBytes);
    const bool is_there = cursor.seek_back(start.span()) &&
                          starts_with(cursor.key(), word.span()) &&
                          cursor.key().size() == word.size() + kSequenceBytes;
    if (!is_there) {
      is_exhausted_ = true;
      return std::nullopt;
    }
    const std::uint64_t found = read_integer(cursor.key().last(kSequenceBytes));
    agreed_ = found == at_ ? agreed_ + 1 : 1;
    at_ = found;
  }
  agreed_ = 0;
  const Sequence candidate{at_};
  if (at_ == 0) {
    is_exhausted_ = true;
  } else {
    --at_;
  }
  return candidate;
}

void SearchScan::keep(const Hit& hit) {
  if (best_.size() == limit_) {
    if (!(hit < best_.front())) return;  // no better than the worst
    std::pop_heap(best_.begin(), best_.end());
    best_.pop_back();
  }
  best_.push_back(hit);
  std::push_heap(best_.begin(), best_.end());
}

std::optional<Sequence> SearchScan::next() {
  if (given_ == best_.size()) return std::nullopt;
  return best_[given_++].sequence;
}

std::optional<RecordView> SearchScan::record(Store& store, ReadTxn& txn, Sequence sequence,
                                             std::int64_t now_s) const {
  const auto found = store.find(txn, sequence);
  if (!found || !found->matches(filter_) || found->is_expired(now_s)) return std::nullopt;
  return found;
}

}  // namespace nostril::relay
