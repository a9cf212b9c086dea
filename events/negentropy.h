#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "events/event.h"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

/// Range-based set reconciliation, the protocol Negentropy v1 that NIP-77 carries: two sides find
/// out which events one has and the other lacks, for some bytes a difference and a few rounds,
/// without naming what both have. Pure: messages are bytes in, bytes out.
///
/// A message is the version, then ranges in the order of (created_at, id), each from the end of the
/// one before:
///
///   range       upper bound, mode (varint), payload
///   bound       varint: 0 = after everything, else 1 + seconds since the bound before;
///               varint n <= 32; n bytes, with which an id must begin to be not below the bound
///   mode 0      skip: nothing to say
///   mode 1      16 bytes: fingerprint of what the sender has in the range
///   mode 2      varint n, n ids of 32 bytes: all that the sender has in the range
///   varint      base 128, the first digit is the highest, bit 7 set on all but the last
///   fingerprint SHA-256(sum of the ids as little-endian numbers mod 2^256, varint of their count),
///               the first 16 bytes
///
/// A range that ends where nothing more follows needs no range after it: the rest is skipped.
namespace nostril::negentropy {

inline constexpr std::uint8_t kVersion = 0x61;
/// What a message of bounded size needs at least to get anywhere.
inline constexpr std::size_t kFrameBytesMin = 4'096;

using RangeFingerprint = std::array<std::uint8_t, 16>;

/// Why a message from outside was refused.
enum class Error : std::uint8_t {
  Truncated,   ///< ends inside a range, or is empty
  BadNumber,   ///< a varint over 64 bits, or with a leading zero digit
  BadBound,    ///< an id prefix over 32 bytes, or a bound below the one before
  BadMode,     ///< none of the three
  TooMany,     ///< ranges that differ: no honest side has so many
  BadVersion,  ///< not a message of this protocol, or the other side speaks another version only
};

[[nodiscard]] std::string_view to_string(Error error);

struct Item {
  std::int64_t created_at = 0;
  EventId id;

  auto operator<=>(const Item&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

/// Between two items, or after all.
struct Bound {
  static constexpr std::uint64_t kInfinity = UINT64_MAX;

  std::uint64_t created_at = kInfinity;
  std::array<std::uint8_t, EventId::kSize> prefix{};  ///< zeros behind `prefix_bytes`
  std::size_t prefix_bytes = 0;

  /// As items stand to each other; how long a prefix is plays no part.
  [[nodiscard]] std::strong_ordering operator<=>(const Bound& other) const;
  [[nodiscard]] bool operator==(const Bound& other) const = default;

  [[nodiscard]] bool is_above(const Item& item) const;
};

/// What one side has. Memory: 42 bytes an item. Immutable. Threads: const, any.
class Set {
 public:
  Set() = default;
  /// In any order; doubles are dropped.
  explicit Set(std::vector<Item> items);

  [[nodiscard]] std::size_t size() const { return items_.size(); }

  [[nodiscard]] const Item& operator[](std::size_t index) const { return items_[index]; }

  /// The first item from `begin` on that is not below the bound.
  [[nodiscard]] std::size_t find(std::size_t begin, const Bound& bound) const;
  /// Of the items [begin, end): the same work for two items as for all.
  [[nodiscard]] RangeFingerprint fingerprint(std::size_t begin, std::size_t end) const;

 private:
  /// A number below 2^256, the lowest word first.
  using Sum = std::array<std::uint64_t, 4>;
  static constexpr std::size_t kStride = 16;

  static void add(Sum& sum, const Sum& other);
  static void subtract(Sum& sum, const Sum& other);
  static Sum number_of(const EventId& id);
  [[nodiscard]] Sum sum_before(std::size_t end) const;

  std::vector<Item> items_;
  std::vector<Sum> sums_;  // of the first 0, kStride, 2 * kStride … items
};

/// The side that was asked. Keeps nothing between two messages.
/// `frame_bytes_max`: of an answer, at least kFrameBytesMin (CHECK); what does not fit is asked for
/// again by the other side.
[[nodiscard]] Result<Bytes, Error> answer(const Set& set, ByteSpan message,
                                          std::size_t frame_bytes_max);

/// What one answer has shown. Of a hostile side it may hold anything, also ids named before.
struct Differences {
  std::vector<EventId> have;  ///< that the other side lacks
  std::vector<EventId> need;  ///< that this side lacks
};

/// The side that asks, and learns the differences. It remembers which ranges are still to be
/// compared: what has no room in one question goes into the next, and what the other side's
/// answers had no room for is asked again, by itself.
/// A side that never comes to an end is the caller's to leave. Memory: 120 bytes a range that
/// waits; for honest sides some thousands.
class Asker {
 public:
  /// `set` outlives this. `frame_bytes_max`: of a question, at least kFrameBytesMin (CHECK).
  Asker(const Set& set, std::size_t frame_bytes_max);

  /// Once, to begin.
  [[nodiscard]] Bytes first();
  /// The next question; empty when all has been compared. `out` is added to. After an error
  /// there is no next one.
  [[nodiscard]] Result<Bytes, Error> next(ByteSpan answer, Differences& out);

 private:
  struct Range {
    Bound lower;
    Bound upper;
    std::size_t begin = 0;  // of ours
    std::size_t end = 0;
    bool is_list = false;  // else by its fingerprint
  };

  void split(const Range& range, std::vector<Range>& out) const;
  void differs(const Range& range, std::vector<Range>& out) const;
  [[nodiscard]] Bytes ask();

  const Set& set_;
  const std::size_t frame_bytes_max_;
  std::deque<Range> waiting_;  // in order, after all of asked_
  std::vector<Range> asked_;   // in the last question, in order
};

}  // namespace nostril::negentropy
