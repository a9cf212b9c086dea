#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <iterator>
#include <list>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nostril {

/// How a Mailbox keeps its items when many put in and all shall have their turn: one of each in
/// rotation, those of one in order. So who puts in a thousand waits for them, and nobody else does.
/// `KeyOf()(item)` says whose an item is; it must be hashable.
template <typename T, typename KeyOf>
class InTurns {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }

  void push_back(T&& item) {
    Key key = KeyOf()(item);
    const auto found = places_.find(key);
    if (found != places_.end()) {
      found->second->items.push_back(std::move(item));
    } else {
      turns_.push_back({key, {}});
      turns_.back().items.push_back(std::move(item));
      places_.emplace(std::move(key), std::prev(turns_.end()));
    }
    ++size_;
  }

  std::vector<T> take(std::size_t count_max) {
    std::vector<T> out;
    out.reserve(std::min(count_max, size_));
    while (size_ > 0 && out.size() < count_max) out.push_back(take_one());
    return out;
  }

 private:
  using Key = std::decay_t<decltype(KeyOf()(std::declval<const T&>()))>;

  struct Turn {
    Key key;
    std::deque<T> items;  // never empty
  };

  T take_one() {
    Turn& turn = turns_.front();
    T item = std::move(turn.items.front());
    turn.items.pop_front();
    --size_;
    if (turn.items.empty()) {
      places_.erase(turn.key);
      turns_.pop_front();
    } else {
      turns_.splice(turns_.end(), turns_, turns_.begin());
    }
    return item;
  }

  std::list<Turn> turns_;
  std::unordered_map<Key, typename std::list<Turn>::iterator> places_;
  std::size_t size_ = 0;
};

}  // namespace nostril
