#pragma once

#include "bench/relay/load/drafts.h"
#include "bench/relay/load/random.h"
#include "events/event.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::bench {

inline constexpr std::size_t kCorpusAuthors = 2'000;
/// The second of the newest event: 2026-01-01. The others follow every kCorpusGapS backwards, so
/// that no two share a second and every relay must give the same order.
inline constexpr std::int64_t kCorpusNewest = 1'767'225'600;
inline constexpr std::int64_t kCorpusGapS = 40;
/// A root is every 32nd event; replies, reactions and reports name an earlier root.
inline constexpr std::size_t kCorpusRootEvery = 32;

/// Makes the stored corpus, event by event, the same bytes in every run and on every machine:
/// - every second event is a short note of one author, for deep paging;
/// - the rest is by 2,000 authors in Zipf's proportions: first their profile, follow list and relay
///   list, then notes (64 %), reactions (28 %), articles (6 %), reports (2 %), 0.3 to 8 KB of JSON.
/// No event replaces another, so every one must be found again. Ephemeral events are not in it:
/// relays refuse old ones. One thread; signing uses two.
class CorpusMaker {
 public:
  explicit CorpusMaker(std::size_t events);

  /// The next `count` events, oldest first, signed.
  [[nodiscard]] std::vector<Event> next(std::size_t count);

 private:
  struct Author {
    Keypair key;
    std::size_t events = 0;
  };

  [[nodiscard]] EventDraft draft_for(std::size_t author, Random& random);
  void refer_to_root(Tags& tags, Random& random) const;
  [[nodiscard]] EventDraft note(Random& random, std::size_t bytes) const;

  std::size_t events_;
  std::size_t made_ = 0;
  Zipf zipf_;
  Zipf topics_;
  std::vector<Author> authors_;  // the last one is the author of the deep half
  std::vector<std::pair<EventId, PublicKey>> roots_;
};

/// The corpus in memory, without contents, and as lines of JSON in a mapped file. Immutable.
class Corpus {
 public:
  using Progress = std::function<void(std::size_t made, std::size_t of)>;

  /// Reads corpus-vN-EVENTS.jsonl of `folder`; makes it first when it is not there. Throws
  /// std::runtime_error when the folder cannot be written or the file is damaged.
  Corpus(const std::filesystem::path& folder, std::size_t events, const Progress& progress);
  ~Corpus();
  Corpus(const Corpus&) = delete;
  Corpus& operator=(const Corpus&) = delete;
  Corpus(Corpus&&) = delete;
  Corpus& operator=(Corpus&&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  [[nodiscard]] std::size_t size() const { return events_.size(); }

  /// Oldest first; their contents are empty.
  [[nodiscard]] const std::vector<Event>& events() const { return events_; }

  /// The JSON of one event.
  [[nodiscard]] std::string_view line(std::size_t index) const { return lines_[index]; }

  /// Of one event's JSON, on average.
  [[nodiscard]] double bytes_each() const {
    return static_cast<double>(text_.size()) / static_cast<double>(size()) - 1;
  }

  /// Who wrote every second event.
  [[nodiscard]] const PublicKey& deep_author() const { return events_[1].pubkey; }

 private:
  void map();
  void read_lines();

  std::filesystem::path path_;
  std::string_view text_;  // the mapped file
  std::vector<std::string_view> lines_;
  std::vector<Event> events_;
};

}  // namespace nostril::bench
