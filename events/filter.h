#pragma once

#include "events/event.h"
#include "events/search.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril {

/// Bounds on one filter from outside.
struct FilterLimits {
  /// Of one member: ids, authors, kinds, values of one tag. Who follows as many as an event has
  /// tags may ask for all of them.
  std::size_t values_max = 5000;
  std::size_t tag_names_max = 16;
  std::size_t search_bytes_max = 1024;
  std::size_t tag_value_bytes_max = 64U << 10;  ///< as of an event's: what is stored can be found
};

/// A NIP-01 filter. Lists must be sorted and without doubles, so that matches() can search them:
/// parse_filter() leaves them so, code that fills a filter calls normalize() (a debug build stops
/// when it was forgotten). A list that is present and empty matches nothing.
/// Tag values are compared as text, byte for byte, those of #e and #p too.
struct Filter {
  struct TagValues {
    char name;  ///< one letter a-z, A-Z
    std::vector<std::string> values;
  };

  std::optional<std::vector<EventId>> ids;
  std::optional<std::vector<PublicKey>> authors;
  std::optional<std::vector<std::uint32_t>> kinds;
  std::vector<TagValues> tags;  ///< each must match
  std::optional<std::int64_t> since;
  std::optional<std::int64_t> until;
  std::optional<std::uint64_t> limit;
  /// NIP-50. Of a relay that offers no search: refused before this is used.
  std::optional<SearchQuery> search;

  /// Sorts the lists and removes doubles.
  void normalize();

  /// It has words to look for.
  [[nodiscard]] bool is_search() const { return search && !search->is_empty(); }

  /// Exact: no prefixes. `limit` plays no part.
  [[nodiscard]] bool matches(const Event& event) const;
  /// True when no event can match: an empty list, or since > until.
  [[nodiscard]] bool matches_nothing() const;
};

/// Strict: unknown members are refused (a filter that a relay half understands returns wrong
/// events), each member once, hex is lowercase and
/// whole, numbers are digits only and in range: times to 2^63 - 1, kinds to 65535.
[[nodiscard]] Result<Filter, ParseError> parse_filter(std::string_view json,
                                                      const FilterLimits& limits = {});
void append_json(std::string& out, const Filter& filter);

[[nodiscard]] bool matches_any(const std::vector<Filter>& filters, const Event& event);

}  // namespace nostril
