#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <type_traits>
#include <utility>
#include <vector>

namespace nostril {

/// How a Mailbox keeps its items when some come before others: the lowest rank first, those of one
/// rank in order. `RankOf()(item)` is asked once, when it is put in; with times as ranks nothing
/// waits for ever.
template <typename T, typename RankOf>
class InRankOrder {
 public:
  [[nodiscard]] std::size_t size() const { return items_.size(); }

  void push_back(T&& item) {
    auto rank = RankOf()(item);
    items_.emplace(std::move(rank), std::move(item));
  }

  std::vector<T> take(std::size_t count_max) {
    std::vector<T> out;
    out.reserve(std::min(count_max, items_.size()));
    while (!items_.empty() && out.size() < count_max) {
      out.push_back(std::move(items_.extract(items_.begin()).mapped()));
    }
    return out;
  }

 private:
  using Rank = std::decay_t<decltype(RankOf()(std::declval<const T&>()))>;

  std::multimap<Rank, T> items_;
};

}  // namespace nostril
