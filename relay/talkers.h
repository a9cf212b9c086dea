#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nostril::relay {

/// Who comes most often, in bounded memory: the counters of "space saving" (Metwally, Agrawal, El
/// Abbadi 2005). Whoever has more than 1/places of all that was added is among them; a count is
/// never too low, and too high by `over` at most. Threads: one.
template <typename Key, typename Hash>
class SpaceSaving {
 public:
  struct Row {
    Key key{};
    std::uint64_t count = 0;
    std::uint64_t over = 0;
  };

  explicit SpaceSaving(std::size_t places) : places_(places) {}

  void add(const Key& key, std::uint64_t amount) {
    if (const auto found = at_.find(key); found != at_.end()) {
      rows_[found->second].count += amount;
      return;
    }
    if (rows_.size() < places_) {
      at_.emplace(key, rows_.size());
      rows_.push_back({key, amount, 0});
      return;
    }
    const auto least = std::min_element(
        rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.count < b.count; });
    at_.erase(least->key);
    at_.emplace(key, static_cast<std::size_t>(least - rows_.begin()));
    *least = {key, least->count + amount, least->count};
  }

  [[nodiscard]] const std::vector<Row>& rows() const { return rows_; }

 private:
  std::size_t places_;
  std::vector<Row> rows_;
  std::unordered_map<Key, std::size_t, Hash> at_;
};

/// The most talkative of the present and the last full ten minutes.
/// Threads: any; a lock that is hardly ever waited for.
template <typename Key, typename Hash>
class TopTalkers {
 public:
  using Row = typename SpaceSaving<Key, Hash>::Row;

  static constexpr std::size_t kPlaces = 128;  ///< each 100 bytes
  static constexpr std::int64_t kWindowMs = 600'000;

  void add(const Key& key, std::uint64_t amount, std::int64_t now_ms) {
    const std::lock_guard lock(mutex_);
    turn(now_ms);
    present_.add(key, amount);
  }

  /// In no order.
  [[nodiscard]] std::vector<Row> rows(std::int64_t now_ms) {
    const std::lock_guard lock(mutex_);
    turn(now_ms);
    std::vector<Row> out = present_.rows();
    out.insert(out.end(), last_.rows().begin(), last_.rows().end());
    return out;
  }

 private:
  void turn(std::int64_t now_ms) {
    if (now_ms < turns_at_ms_) return;
    // After a long silence the last window is over as well.
    const bool is_next = now_ms < turns_at_ms_ + kWindowMs;
    last_ = is_next ? std::exchange(present_, SpaceSaving<Key, Hash>(kPlaces))
                    : SpaceSaving<Key, Hash>(kPlaces);
    if (!is_next) present_ = SpaceSaving<Key, Hash>(kPlaces);
    turns_at_ms_ = now_ms + kWindowMs;
  }

  std::mutex mutex_;
  // Guarded by mutex_.
  SpaceSaving<Key, Hash> present_{kPlaces};
  SpaceSaving<Key, Hash> last_{kPlaces};
  std::int64_t turns_at_ms_ = 0;
};

/// Rows of several counters added up by key, the greatest first, `count_max` of them.
template <typename Key, typename Hash>
std::vector<typename SpaceSaving<Key, Hash>::Row> greatest(
    const std::vector<typename SpaceSaving<Key, Hash>::Row>& rows, std::size_t count_max) {
  using Row = typename SpaceSaving<Key, Hash>::Row;
  std::unordered_map<Key, Row, Hash> sums;
  for (const Row& row : rows) {
    Row& sum = sums[row.key];
    sum.key = row.key;
    sum.count += row.count;
    sum.over += row.over;
  }
  std::vector<Row> out;
  out.reserve(sums.size());
  for (const auto& [key, row] : sums) out.push_back(row);
  std::ranges::sort(out, [](const Row& a, const Row& b) { return a.count > b.count; });
  if (out.size() > count_max) out.resize(count_max);
  return out;
}

}  // namespace nostril::relay
