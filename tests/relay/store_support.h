#pragma once

#include "base/check.h"
#include "base/hex.h"
#include "base/rng.h"
#include "events/event.h"
#include "events/filter.h"
#include "events/kinds.h"
#include "relay/store/editor.h"
#include "relay/store/scan.h"
#include "relay/store/store.h"
#include "schnorr/keys.h"
#include "schnorr/verify.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace nostril::relay::test {

using nostril::test::TempDir;

inline constexpr const char* kOwnUrl = "wss://here.example/";

/// Small and without fsync: tests of rules, not of disks.
inline StoreOptions test_options() {
  StoreOptions options;
  options.map_bytes_initial = std::size_t{1} << 20;
  options.sync = false;
  options.address = RelayAddress::of(kOwnUrl);
  return options;
}

inline std::unique_ptr<Store> open_store(const std::filesystem::path& path,
                                         const StoreOptions& options = test_options()) {
  auto store = Store::open(path, options);
  if (!store) {
    ADD_FAILURE() << store.error().text;
    std::abort();
  }
  return std::move(*store);
}

inline PublicKey author(unsigned number) {
  PublicKey key;
  key.bytes.fill(static_cast<std::uint8_t>(number + 1));
  return key;
}

/// An event with a right id and a signature of zeros, for put_unverified().
inline Event make_event(unsigned author_number, std::int64_t created_at, std::uint32_t kind,
                        Tags tags = {}, std::string content = {}) {
  Event event;
  event.pubkey = author(author_number);
  event.created_at = created_at;
  event.kind = kind;
  event.tags = std::move(tags);
  event.content = std::move(content);
  event.id = compute_id(event);
  return event;
}

/// The same of an author with a key of its own, who is not author(number).
inline Event signed_by(unsigned number, Event event) {
  std::array<std::uint8_t, 32> secret{};
  secret.fill(static_cast<std::uint8_t>(number + 1));
  SystemRng rng;
  return sign_event({event.created_at, event.kind, std::move(event.tags), std::move(event.content)},
                    *Keypair::from_secret(secret), rng);
}

inline UnverifiedEvent unverified(Event event) {
  auto checked = check_id(std::move(event));
  CHECK(checked.has_value());
  return std::move(*checked);
}

/// The proof that the signature is right.
inline VerifiedEvent verified(const Event& event) {
  Verifier verifier;
  auto proven = VerifiedEvent::verify(unverified(event), verifier);
  CHECK(proven.has_value());
  return std::move(*proven);
}

inline std::vector<PutResult> put_all(Store& store, const std::vector<Event>& events,
                                      std::int64_t now_s = 0) {
  std::vector<UnverifiedEvent> checked;
  checked.reserve(events.size());
  for (const Event& event : events) checked.push_back(unverified(event));
  auto results = store.put_unverified(checked, now_s);
  if (!results) {
    ADD_FAILURE() << results.error().text;
    return {};
  }
  return *results;
}

inline PutResult put(Store& store, const Event& event, std::int64_t now_s = 0) {
  const auto results = put_all(store, {event}, now_s);
  return results.empty() ? PutResult::Failed : results[0];
}

/// All rows of a REQ, in steps of `budget`.
inline std::vector<EventId> query(Store& store, std::vector<Filter> filters,
                                  const ScanOptions& options = {}, const ScanBudget& budget = {}) {
  Scan scan(store, std::move(filters), options);
  std::vector<EventId> ids;
  for (bool done = false; !done;) {
    ReadTxn txn = store.read();
    const auto step = scan.step(txn, budget, [&ids](const ScanRow& row) {
      ids.push_back(row.record.id());
      return RowAction::Take;
    });
    if (!step) {
      ADD_FAILURE() << step.error().text;
      break;
    }
    done = step->done;
  }
  return ids;
}

inline std::vector<EventId> ids_of(const std::vector<Event>& events) {
  std::vector<EventId> ids;
  ids.reserve(events.size());
  for (const Event& event : events) ids.push_back(event.id);
  return ids;
}

/// Text that packs well and differs by number.
inline std::string wordy_text(std::uint64_t number, std::size_t bytes = 300) {
  static constexpr std::array<std::string_view, 12> kWords = {
      "relay ", "the ",   "event ", "signature ", "\"quoted\" ", "of ",
      "nostr ", "store ", "a\n",    "key ",       "\xc3\xa4 ",   "query "};
  std::mt19937_64 random(number);
  std::string text = std::to_string(number) + " ";
  while (text.size() < bytes) text += kWords[random() % kWords.size()];
  return text;
}

inline void expect_consistent(Store& store) {
  const CheckReport report = store.check(true);
  EXPECT_TRUE(report.ok()) << report.problem_count << " problems, first: " << report.problems[0];
}

/// The rules of a store again, over a plain list: the slow twin.
class ModelStore {
 public:
  PutResult put(const Event& event, std::int64_t now_s) {
    if (kind_class(event.kind) == KindClass::Ephemeral) return PutResult::Ephemeral;
    if (event.created_at > kCreatedAtMax) return PutResult::OutOfRange;
    for (const Event& stored : events_) {
      if (stored.id == event.id) return PutResult::Duplicate;
    }
    if (is_expired(event, now_s)) return PutResult::Expired;
    for (const Event& request : vanished_) {
      if (vanishes(request, event)) return PutResult::Vanished;
    }
    for (const Event& deletion : deletions_) {
      if (deletes(deletion, event)) return PutResult::Deleted;
    }
    for (const Event& stored : events_) {
      if (!same_address(stored, event)) continue;
      if (!is_expired(stored, now_s) && !newer(event, stored)) return PutResult::HaveNewer;
    }
    std::erase_if(events_, [&](const Event& stored) { return same_address(stored, event); });
    events_.push_back(event);
    if (event.kind == kinds::kDeletion) {
      deletions_.push_back(event);
      std::erase_if(events_, [&](const Event& stored) { return deletes(event, stored); });
    }
    if (event.kind == kinds::kVanish && is_of_this_relay(event)) {
      const auto goes = [&](const Event& stored) {
        const bool is_request =
            stored.kind == kinds::kVanish && stored.created_at == event.created_at;
        return !is_request && vanishes(event, stored);
      };
      std::erase_if(events_, goes);
      std::erase_if(deletions_, goes);
      vanished_.push_back(event);
    }
    return PutResult::Stored;
  }

  [[nodiscard]] std::vector<EventId> query(const std::vector<Filter>& filters,
                                           const ScanOptions& options) const {
    std::vector<Event> found;
    for (const Filter& filter : filters) {
      std::vector<Event> matches;
      for (const Event& event : events_) {
        if (!is_expired(event, options.now_s) && filter.matches(event)) matches.push_back(event);
      }
      std::ranges::sort(matches, newer);
      const auto limit = std::min(filter.limit.value_or(options.limit_max), options.limit_max);
      matches.resize(std::min<std::size_t>(matches.size(), limit));
      found.insert(found.end(), matches.begin(), matches.end());
    }
    std::ranges::sort(found, newer);
    std::vector<EventId> ids = ids_of(found);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
  }

  [[nodiscard]] const std::vector<Event>& events() const { return events_; }

  /// The order of answers.
  static bool newer(const Event& a, const Event& b) {
    if (a.created_at != b.created_at) return a.created_at > b.created_at;
    return a.id < b.id;
  }

  static bool is_expired(const Event& event, std::int64_t now_s) {
    const auto expiration = expiration_of(event);
    return expiration && *expiration <= now_s;
  }

 private:
  static std::string d_of(const Event& event) {
    if (kind_class(event.kind) != KindClass::Addressable) return "";
    return std::string(event.tags.find("d").value_or(""));
  }

  static bool same_address(const Event& a, const Event& b) {
    if (kind_class(a.kind) == KindClass::Regular) return false;
    return a.kind == b.kind && a.pubkey == b.pubkey && d_of(a) == d_of(b);
  }

  static bool deletes(const Event& deletion, const Event& event) {
    if (event.kind == kinds::kDeletion || event.kind == kinds::kVanish) return false;
    if (event.kind == kinds::kGiftWrap && has_tag(event, "p", encode_hex(deletion.pubkey)) &&
        has_tag(deletion, "e", encode_hex(event.id))) {
      return true;
    }
    if (deletion.pubkey != event.pubkey) return false;
    const std::string address =
        std::to_string(event.kind) + ":" + encode_hex(event.pubkey) + ":" + d_of(event);
    for (const auto tag : deletion.tags) {
      if (tag.name() == "e" && tag.value() == encode_hex(event.id)) return true;
      if (tag.name() == "a" && tag.value() == address &&
          kind_class(event.kind) != KindClass::Regular && event.created_at <= deletion.created_at) {
        return true;
      }
    }
    return false;
  }

  static bool has_tag(const Event& event, std::string_view name, std::string_view value) {
    for (const Tags::View tag : event.tags) {
      if (tag.name() == name && tag.value() == value) return true;
    }
    return false;
  }

  static bool is_of_this_relay(const Event& request) {
    return has_tag(request, "relay", "ALL_RELAYS") || has_tag(request, "relay", kOwnUrl);
  }

  static bool vanishes(const Event& request, const Event& event) {
    if (event.created_at > request.created_at) return false;
    if (event.pubkey == request.pubkey) return true;
    return event.kind == kinds::kGiftWrap && has_tag(event, "p", encode_hex(request.pubkey));
  }

  std::vector<Event> events_;
  std::vector<Event> deletions_;
  std::vector<Event> vanished_;
};

/// Random events of a small world, so that they meet: few authors, kinds, seconds, tag values.
class RandomWorld {
 public:
  explicit RandomWorld(std::uint64_t seed, bool is_signed = false)
      : random_(seed), is_signed_(is_signed) {}

  std::uint64_t below(std::uint64_t count) { return random_() % count; }

  Event event() {
    static constexpr std::array<std::uint32_t, 9> kKinds = {0, 1, 1, 1, 3, 5, 7, 30023, 10002};
    Tags tags;
    std::uint32_t kind = kKinds[below(kKinds.size())];
    if (below(12) == 0) kind = kinds::kGiftWrap;
    if (below(60) == 0) kind = kinds::kVanish;
    for (std::uint64_t i = below(4); i > 0; --i) add_tag(tags);
    if (kind == 30023 && below(8) != 0) tags.add({"d", tag_value()});
    if (below(10) == 0) tags.add({"expiration", std::to_string(1000 + below(100))});
    if (kind == kinds::kDeletion) add_deletions(tags);
    if (kind == kinds::kGiftWrap) tags.add({"p", encode_hex(author(author_number()))});
    if (kind == kinds::kVanish) {
      static constexpr std::array<std::string_view, 3> kRelays = {"ALL_RELAYS", kOwnUrl,
                                                                  "wss://other.example"};
      tags.add({"relay", std::string(kRelays[below(kRelays.size())])});
    }
    const unsigned number = author_number();
    Event made = make_event(number, 1000 + static_cast<std::int64_t>(below(40)), kind,
                            std::move(tags), std::to_string(below(1000)));
    if (is_signed_) made = signed_by(number, std::move(made));
    made_.push_back(made);
    return made;
  }

  Filter filter() {
    Filter filter;
    if (below(6) == 0) filter.ids = list<EventId>(5, [this] { return known().id; });
    if (below(2) == 0)
      filter.authors = list<PublicKey>(4, [this] { return author(author_number()); });
    if (below(2) == 0) {
      filter.kinds = list<std::uint32_t>(4, [this] { return known().kind; });
    }
    for (const char name : {'e', 't', 'd'}) {
      if (below(5) != 0) continue;
      filter.tags.push_back({name, list<std::string>(3, [this] { return tag_value(); })});
    }
    if (below(4) == 0) filter.since = 995 + static_cast<std::int64_t>(below(50));
    if (below(4) == 0) filter.until = 995 + static_cast<std::int64_t>(below(50));
    if (below(3) == 0) filter.limit = below(30);
    return filter;
  }

 private:
  unsigned author_number() { return static_cast<unsigned>(below(5)); }

  const Event& known() {
    if (made_.empty()) made_.push_back(make_event(0, 1000, 1));
    return made_[below(made_.size())];
  }

  // Sorted and without doubles, as parse_filter() makes them.
  template <typename T, typename Make>
  std::vector<T> list(std::uint64_t count_max, Make make) {
    std::vector<T> values;
    for (std::uint64_t i = below(count_max) + 1; i > 0; --i) values.push_back(make());
    std::ranges::sort(values);
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return values;
  }

  std::string tag_value() {
    switch (below(4)) {
      case 0:
        return std::string(300 + below(3), 'v');
      case 1:
        return encode_hex(author(author_number()));
      case 2:
        return "";
      default:
        return std::to_string(below(5));
    }
  }

  void add_tag(Tags& tags) {
    static constexpr std::array<std::string_view, 4> kNames = {"e", "t", "d", "title"};
    const std::string_view name = kNames[below(kNames.size())];
    if (below(10) == 0) {
      tags.add({name});
    } else {
      tags.add({name, tag_value(), "more"});
    }
  }

  void add_deletions(Tags& tags) {
    for (std::uint64_t i = below(3); i > 0; --i) tags.add({"e", encode_hex(known().id)});
    if (below(2) != 0) return;
    const Event& target = known();
    const std::string d(target.kind == 30023 ? target.tags.find("d").value_or("") : "");
    tags.add({"a", std::to_string(target.kind) + ":" + encode_hex(target.pubkey) + ":" + d});
  }

  std::mt19937_64 random_;
  const bool is_signed_;
  std::vector<Event> made_;
};

/// The lines of the shared corpus of real events, unpacked with the zstd program.
inline std::vector<std::string> real_event_lines() {
  const auto path = nostril::test::shared_path("corpus/real-events.jsonl.zst");
  const std::string command = "zstd -dc '" + path.string() + "'";
  std::FILE* pipe = popen(command.c_str(), "r");  // NOLINT(cert-env33-c)
  CHECK(pipe != nullptr);
  std::string text;
  std::array<char, 65536> buffer{};
  for (std::size_t got = 1; got > 0;) {
    got = std::fread(buffer.data(), 1, buffer.size(), pipe);
    text.append(buffer.data(), got);
  }
  pclose(pipe);
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

inline std::uint64_t random_seed() {
  const char* fixed =
      std::getenv("NOSTRIL_SEED");  // NOLINT(concurrency-mt-unsafe): tests only read
  if (fixed != nullptr) return std::stoull(fixed);
  return std::random_device()();
}

}  // namespace nostril::relay::test
