#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace nostril::bench {

/// What a relay says, read no further than a load client needs: parsing whole events would make the
/// client the bottleneck. Any spacing, any order of members. Borrows the text.
struct RelayLine {
  enum class Kind : std::uint8_t { Event, Ok, EndOfStored, Count, Closed, Notice, Other };

  Kind kind = Kind::Other;
  std::string_view subject;  ///< the subscription; for OK the id
  std::string_view rest;     ///< what follows the subject, from the comma on

  /// OK only.
  [[nodiscard]] bool accepted() const;
  /// The first 16 hex characters of the id: of the event, or of the one that is OK. Equals
  /// id_key().
  [[nodiscard]] std::optional<std::uint64_t> id_key() const;
  /// COUNT only: the number.
  [[nodiscard]] std::optional<std::uint64_t> count() const;
};

[[nodiscard]] RelayLine read_relay_line(std::string_view text);

}  // namespace nostril::bench
