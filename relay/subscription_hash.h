#pragma once

#include "base/rng.h"
#include "events/event.h"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// Keyed hash of what filters name and events carry: an id, an author, a kind, a tag's value. 64
/// bits; without the secret nobody can say which inputs meet, so nobody outside can make them.
/// Threads: any. Indexes that share one understand the same keys.
class SubscriptionHash {
 public:
  using Key = std::uint64_t;

  SubscriptionHash(Rng& rng);  // NOLINT(google-explicit-constructor): an index of its own secret

  [[nodiscard]] Key of_id(const EventId& id) const;
  [[nodiscard]] Key of_author(const PublicKey& author) const;
  [[nodiscard]] Key of_kind(std::uint32_t kind) const;
  [[nodiscard]] Key of_tag(char name, std::string_view value) const;

  /// Replaces `keys` by all that a filter which matches the event can be filed under.
  void keys_of(const Event& event, std::vector<Key>& keys) const;

 private:
  enum class Member : std::uint8_t { Id, Author, Kind, Tag };

  [[nodiscard]] Key hash(Member member, char tag, std::string_view bytes) const;

  std::array<std::uint64_t, 3> secret_{};
};

}  // namespace nostril::relay
