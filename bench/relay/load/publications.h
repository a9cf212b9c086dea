#pragma once

#include "bench/relay/load/drafts.h"
#include "events/event.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace nostril::bench {

/// Events as they are sent, found again by their id.
class Publications {
 public:
  Publications() = default;
  explicit Publications(std::span<const Event> events);

  void add(const EventId& id, std::string_view json);

  [[nodiscard]] std::size_t count() const { return frames_.size(); }

  [[nodiscard]] const std::string& frame(std::size_t index) const { return frames_[index]; }

  /// The place of the event with this id_key(); count() for a stranger.
  [[nodiscard]] std::size_t find(std::uint64_t key) const;

 private:
  std::vector<std::string> frames_;
  std::unordered_map<std::uint64_t, std::size_t> places_;
};

inline constexpr std::size_t kLiveAuthors = 256;

/// Makes signed events of this moment: new in every run, so that no relay has them yet, and never
/// like the corpus in author or tag. One thread; signing uses two.
class LiveEvents {
 public:
  LiveEvents();

  /// Notes, reactions and articles in the corpus's proportions.
  [[nodiscard]] std::vector<Event> mixed(std::size_t count);
  /// Profiles of kLiveAuthors in turn: each replaces the one made kLiveAuthors events before it.
  [[nodiscard]] std::vector<Event> profiles(std::size_t count);
  /// 400 bytes of text each, about 900 of JSON; event i has the tag [name, values[i]].
  [[nodiscard]] std::vector<Event> tagged(std::uint32_t kind, char name,
                                          std::span<const std::string> values);

 private:
  [[nodiscard]] std::vector<Event> sign_drafts(std::vector<EventDraft> drafts);

  std::uint64_t run_;  // tells runs apart
  std::size_t count_ = 0;
  std::int64_t profile_time_;
  std::vector<Keypair> authors_;
  Random random_;
};

/// The hex key that a live event for `index` names in its p tag.
[[nodiscard]] std::string recipient(std::size_t index);

}  // namespace nostril::bench
