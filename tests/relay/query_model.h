#pragma once

#include "base/hex.h"
#include "base/json.h"
#include "events/event.h"
#include "tests/relay/store_support.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::relay::test {

/// An event and a filter as NIP-01 writes them: text and numbers, compared one by one. Shares no
/// code with events/filter.h nor with the store.
struct PlainEvent {
  std::string id;
  std::string pubkey;
  std::int64_t created_at = 0;
  std::uint32_t kind = 0;
  std::vector<std::vector<std::string>> tags;
  bool is_expired = false;
};

struct PlainFilter {
  std::optional<std::vector<std::string>> ids;
  std::optional<std::vector<std::string>> authors;
  std::optional<std::vector<std::uint32_t>> kinds;
  std::vector<std::pair<char, std::vector<std::string>>> tags;
  std::optional<std::int64_t> since;
  std::optional<std::int64_t> until;
  std::optional<std::uint64_t> limit;
};

template <typename T>
bool is_in(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

inline bool matches(const PlainFilter& filter, const PlainEvent& event) {
  if (filter.since && event.created_at < *filter.since) return false;
  if (filter.until && event.created_at > *filter.until) return false;
  if (filter.kinds && !is_in(*filter.kinds, event.kind)) return false;
  if (filter.ids && !is_in(*filter.ids, event.id)) return false;
  if (filter.authors && !is_in(*filter.authors, event.pubkey)) return false;
  return std::all_of(filter.tags.begin(), filter.tags.end(), [&](const auto& wanted) {
    return std::any_of(event.tags.begin(), event.tags.end(), [&](const auto& tag) {
      return tag.size() > 1 && tag[0] == std::string(1, wanted.first) &&
             is_in(wanted.second, tag[1]);
    });
  });
}

/// `created_at` descending, then lowest id.
inline bool comes_before(const PlainEvent& a, const PlainEvent& b) {
  return a.created_at != b.created_at ? a.created_at > b.created_at : a.id < b.id;
}

/// The stored part of a REQ, as ids. `stored` in the order of comes_before().
inline std::vector<std::string> answer(const std::vector<PlainEvent>& stored,
                                       const std::vector<PlainFilter>& filters,
                                       std::uint64_t limit_max) {
  std::vector<bool> is_wanted(stored.size());
  for (const PlainFilter& filter : filters) {
    std::uint64_t left = std::min(filter.limit.value_or(limit_max), limit_max);
    for (std::size_t i = 0; i < stored.size() && left > 0; ++i) {
      if (stored[i].is_expired || !matches(filter, stored[i])) continue;
      is_wanted[i] = true;
      --left;
    }
  }
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    if (is_wanted[i]) ids.push_back(stored[i].id);
  }
  return ids;
}

inline PlainEvent plain(const Event& event, std::int64_t now_s) {
  PlainEvent out{encode_hex(event.id),
                 encode_hex(event.pubkey),
                 event.created_at,
                 event.kind,
                 {},
                 ModelStore::is_expired(event, now_s)};
  for (const auto tag : event.tags) {
    std::vector<std::string> elements;
    for (std::size_t i = 0; i < tag.size(); ++i) elements.emplace_back(tag[i]);
    out.tags.push_back(std::move(elements));
  }
  return out;
}

inline std::vector<PlainEvent> plain(const std::vector<Event>& events, std::int64_t now_s) {
  std::vector<PlainEvent> out;
  out.reserve(events.size());
  for (const Event& event : events) out.push_back(plain(event, now_s));
  std::sort(out.begin(), out.end(), comes_before);
  return out;
}

inline std::string to_json(const PlainFilter& filter) {
  JsonWriter writer;
  writer.begin_object();
  const auto texts = [&writer](std::string_view name, const std::vector<std::string>& values) {
    writer.key(name).begin_array();
    for (const auto& value : values) writer.string(value);
    writer.end_array();
  };
  if (filter.limit) writer.key("limit").raw(std::to_string(*filter.limit));
  if (filter.ids) texts("ids", *filter.ids);
  for (const auto& [name, values] : filter.tags) texts(std::string("#") + name, values);
  if (filter.authors) texts("authors", *filter.authors);
  if (filter.until) writer.key("until").raw(std::to_string(*filter.until));
  if (filter.kinds) {
    writer.key("kinds").begin_array();
    for (const std::uint32_t kind : *filter.kinds) writer.integer(kind);
    writer.end_array();
  }
  if (filter.since) writer.key("since").raw(std::to_string(*filter.since));
  writer.end_object();
  return std::string(writer.text());
}

/// ["REQ",...] of these filters.
inline std::string request_json(const std::vector<PlainFilter>& filters) {
  std::string out = R"(["REQ","s")";
  for (const PlainFilter& filter : filters) out += "," + to_json(filter);
  return out + "]";
}

/// Dice.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t count) { return random_() % count; }

  bool one_in(std::uint64_t count) { return below(count) == 0; }

  template <typename T>
  const T& of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

 private:
  std::mt19937_64 random_;
};

/// Events made to be confused: few seconds and authors, keys and values that agree in the bytes
/// that an index keeps, tags of odd names and lengths.
class ConfusingEvents {
 public:
  explicit ConfusingEvents(Chance& chance) : chance_(chance) {
    for (unsigned i = 0; i < 12; ++i) {
      PublicKey key = author(i);
      authors_.push_back(key);
      key.bytes[8 + i % 8] ^= 1U;  // the first 8 bytes agree
      authors_.push_back(key);
    }
    for (unsigned i = 12; i < 110; ++i) authors_.push_back(author(i));
    for (const std::size_t size : {0U, 1U, 2U, 31U, 32U, 63U, 65U, 255U, 256U, 511U, 4096U}) {
      values_.emplace_back(size, 'v');
    }
    for (const PublicKey& key : authors_) {
      PublicKey other = key;
      other.bytes[3] ^= 1U;  // the last 7 bytes agree
      values_.insert(values_.end(), {encode_hex(key), encode_hex(other)});
    }
    values_.insert(values_.end(), {std::string(64, 'A'), std::string(64, 'g'), "\x01\x7f\"\\",
                                   "\xc3\xa4\xf0\x9f\x98\x80", "1", "01", " 1"});
  }

  Event next() {
    static const std::vector<std::uint32_t> kKinds = {0, 1, 1, 1, 7, 3, 5, 30023, 10002, 65535};
    const std::uint32_t kind = chance_.of(kKinds);
    Tags tags;
    for (std::uint64_t i = chance_.below(6); i > 0; --i) add_tag(tags);
    if (chance_.one_in(12)) tags.add({"expiration", std::to_string(chance_.below(2000))});
    Event event;
    event.pubkey = chance_.of(authors_);
    event.created_at = 1000 + static_cast<std::int64_t>(chance_.below(25));
    event.kind = kind;
    event.tags = std::move(tags);
    event.content = std::to_string(chance_.below(1'000'000));
    event.id = compute_id(event);
    ids_.push_back(encode_hex(event.id));
    return event;
  }

 private:
  void add_tag(Tags& tags) {
    static const std::vector<std::string> kNames = {"e", "e", "p", "p",  "t",    "d",
                                                    "E", "",  "_", "ab", "title"};
    const std::string& name = chance_.of(kNames);
    const bool is_id = name == "e" && !ids_.empty() && chance_.one_in(2);
    const std::string value = is_id ? chance_.of(ids_) : chance_.of(values_);
    if (chance_.one_in(10)) {
      tags.add({name});
    } else if (chance_.one_in(3)) {
      tags.add({name, value, value, ""});
    } else {
      tags.add({name, value});
    }
  }

  Chance& chance_;
  std::vector<PublicKey> authors_;
  std::vector<std::string> values_;
  std::vector<std::string> ids_;
};

/// Filters of every shape whose values come from the events, exactly or nearly.
class RandomFilters {
 public:
  RandomFilters(Chance& chance, const std::vector<PlainEvent>& events)
      : chance_(chance), events_(events) {}

  /// Those of one REQ; they often overlap.
  std::vector<PlainFilter> next() {
    std::vector<PlainFilter> filters = {one()};
    while (chance_.one_in(3) && filters.size() < 6) {
      PlainFilter more = chance_.one_in(2) ? one() : filters.front();
      if (chance_.one_in(2)) more.limit = chance_.below(12);
      if (chance_.one_in(3)) more.kinds.reset();
      if (chance_.one_in(3)) more.until = time();
      filters.push_back(std::move(more));
    }
    return filters;
  }

 private:
  PlainFilter one() {
    PlainFilter filter;
    // Aimed: the first value of each member is the same event's, so all conditions together hit.
    const PlainEvent* aim = chance_.one_in(3) ? nullptr : &chance_.of(events_);
    const auto event = [&]() -> const PlainEvent& { return aim ? *aim : chance_.of(events_); };
    if (chance_.one_in(7)) filter.ids = hexes(event().id, [this] { return any().id; });
    if (chance_.one_in(3)) filter.authors = hexes(event().pubkey, [this] { return any().pubkey; });
    if (chance_.one_in(2)) {
      filter.kinds = list<std::uint32_t>(event().kind, [this] { return kind(); });
    }
    for (std::uint64_t i = chance_.below(4); i > 1; --i) add_tag(filter, event());
    if (chance_.one_in(4)) filter.since = time();
    if (chance_.one_in(4)) filter.until = time();
    if (chance_.one_in(2)) filter.limit = chance_.below(chance_.one_in(2) ? 8 : 200);
    return filter;
  }

  const PlainEvent& any() { return chance_.of(events_); }

  std::uint32_t kind() {
    return chance_.one_in(8) ? static_cast<std::uint32_t>(chance_.below(65536)) : any().kind;
  }

  std::int64_t time() {
    switch (chance_.below(16)) {
      case 0:
        return 0;
      case 1:
        return INT64_MAX;
      case 2:
        return kCreatedAtMax + static_cast<std::int64_t>(chance_.below(3)) - 1;
      default:
        return std::max<std::int64_t>(
            any().created_at + static_cast<std::int64_t>(chance_.below(3)) - 1, 0);
    }
  }

  template <typename T>
  std::vector<T> list(const T& first, const std::function<T()>& more) {
    if (chance_.one_in(40)) return {};
    std::vector<T> values = {first};
    std::uint64_t count = 0;
    if (chance_.one_in(2)) count = chance_.below(4);
    if (chance_.one_in(20)) count = chance_.below(300);
    for (; count > 0; --count) values.push_back(more());
    return values;
  }

  std::vector<std::string> hexes(const std::string& first,
                                 const std::function<std::string()>& more) {
    auto values = list<std::string>(first, more);
    for (auto& value : values) {
      if (!chance_.one_in(6)) continue;
      char& digit = value[chance_.below(value.size())];  // a miss, often in one byte only
      digit = digit == '0' ? '1' : '0';
    }
    return values;
  }

  void add_tag(PlainFilter& filter, const PlainEvent& event) {
    const PlainEvent& source = event.tags.empty() ? any() : event;
    if (source.tags.empty()) return;
    const auto& tag = chance_.of(source.tags);
    if (tag.size() < 2 || tag[0].size() != 1 || !is_letter(tag[0][0])) return;
    char name = tag[0][0];
    if (chance_.one_in(20)) name = static_cast<char>('a' + chance_.below(26));
    for (const auto& [other, values] : filter.tags) {
      if (other == name) return;
    }
    filter.tags.emplace_back(name, list<std::string>(nearly(tag[1]), [&] { return value(); }));
  }

  std::string value() {
    const PlainEvent& event = any();
    if (event.tags.empty()) return event.id;
    const auto& tag = chance_.of(event.tags);
    return nearly(tag.size() > 1 ? tag[1] : event.pubkey);
  }

  std::string nearly(std::string value) {
    if (value.size() > 4096) return event_id();  // longer than a filter may ask for
    switch (chance_.below(24)) {
      case 0:
        return "";
      case 1:
        if (!value.empty() && is_ascii(value)) value.pop_back();
        return value;
      case 2:
        if (is_ascii(value)) {
          for (char& c : value) c = static_cast<char>(std::toupper(c));
        }
        return value;
      case 3:
        return value.size() < 4096 ? value + "0" : value;
      case 4:
        return event_id();
      default:
        return value;
    }
  }

  std::string event_id() { return any().id; }

  static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  static bool is_ascii(const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0; });
  }

  Chance& chance_;
  const std::vector<PlainEvent>& events_;
};

}  // namespace nostril::relay::test
