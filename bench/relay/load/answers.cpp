#include "bench/relay/load/answers.h"

#include "base/check.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

namespace nostril::bench {

std::uint64_t id_key(const EventId& id) {
  std::uint64_t key = 0;
  for (std::size_t i = 0; i < sizeof key; ++i) key = key << 8U | id.bytes[i];
  return key;
}

void Answer::add(std::uint64_t key) {
  ++count;
  sum += key;
  order = order * 0x100000001b3U + key;
}

Answers::Answers(const std::vector<Event>& events) : events_(events) {
  for (std::uint32_t i = 0; i < events.size(); ++i) {
    CHECK(i == 0 || events[i - 1].created_at < events[i].created_at);
    by_id_.emplace(events[i].id, i);
    by_author_[events[i].pubkey].push_back(i);
    for (const auto tag : events[i].tags) {
      if (tag.name().size() != 1 || !tag.value()) continue;
      List& list = by_tag_[std::string(tag.name()) += *tag.value()];
      if (list.empty() || list.back() != i) list.push_back(i);
    }
  }
}

const std::vector<std::uint32_t>& Answers::of_author(const PublicKey& author) const {
  static const List kNone;
  const auto found = by_author_.find(author);
  return found == by_author_.end() ? kNone : found->second;
}

const std::vector<std::uint32_t>& Answers::of_tag(char name, std::string_view value) const {
  static const List kNone;
  const auto found = by_tag_.find(std::string(1, name) += value);
  return found == by_tag_.end() ? kNone : found->second;
}

std::vector<std::size_t> Answers::candidates(const Filter& filter) const {
  std::vector<std::size_t> best(events_.size());
  for (std::size_t i = 0; i < best.size(); ++i) best[i] = i;
  const auto consider = [&](std::vector<std::size_t> list) {
    if (list.size() < best.size()) best = std::move(list);
  };
  const auto joined = [](const auto& values, const auto& list_of) {
    std::vector<std::size_t> all;
    for (const auto& value : values) {
      const List& list = list_of(value);
      all.insert(all.end(), list.begin(), list.end());
    }
    return all;
  };
  if (filter.ids) {
    std::vector<std::size_t> found;
    for (const EventId& id : *filter.ids) {
      const auto at = by_id_.find(id);
      if (at != by_id_.end()) found.push_back(at->second);
    }
    consider(std::move(found));
  }
  if (filter.authors) {
    consider(joined(*filter.authors,
                    [&](const PublicKey& author) -> const List& { return of_author(author); }));
  }
  for (const auto& [name, values] : filter.tags) {
    const char letter = name;
    consider(joined(
        values, [&](const std::string& value) -> const List& { return of_tag(letter, value); }));
  }
  // Newest first; an event that has two of the values came twice.
  std::sort(best.begin(), best.end(), std::greater<>());
  best.erase(std::unique(best.begin(), best.end()), best.end());
  return best;
}

std::vector<std::size_t> Answers::matching(const Filter& filter) const {
  std::vector<std::size_t> out;
  const std::uint64_t limit = filter.limit.value_or(std::numeric_limits<std::uint64_t>::max());
  for (const std::size_t index : candidates(filter)) {
    if (out.size() >= limit) break;
    if (filter.matches(events_[index])) out.push_back(index);
  }
  return out;
}

Answer Answers::answer(const Filter& filter) const {
  Answer out;
  for (const std::size_t index : matching(filter)) out.add(id_key(events_[index].id));
  return out;
}

}  // namespace nostril::bench
