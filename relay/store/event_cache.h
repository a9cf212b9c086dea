#pragma once

#include "relay/store/keys.h"
#include "relay/store/record.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// Events that were shown lately, each as its record and as its JSON text: to show one again takes
/// no walk through the store's pages and no writing of JSON. Whether an event is still stored is
/// the index's to say; a Sequence is never used again, so what is here never goes bad.
///
/// A ring of bytes, the oldest overwritten first, and a table that finds entries by their number.
/// An event comes in when it is shown a second time: who pages through the past once costs those
/// nothing who read the same every day. Memory: `bytes`, taken as it fills, and a 24th of it for
/// the tables. Threads: one.
class EventCache {
 public:
  struct Entry {
    RecordView record;
    std::string_view json;
  };

  /// 0: remembers nothing.
  explicit EventCache(std::size_t bytes);

  /// Borrowed until the next add().
  [[nodiscard]] const Entry* find(Sequence sequence) const;

  /// It will be read soon.
  static void prefetch(const Entry& entry);

  /// Tells of an event that was shown and not found here. True: add() it.
  [[nodiscard]] bool wants(Sequence sequence);

  /// Copies both. Events that would take more than a 64th of the memory are left out.
  void add(Sequence sequence, const RecordView& record, std::string_view json);

 private:
  // Where an entry begins: bytes ever written before it. 0 is before all entries.
  using Place = std::uint64_t;

  struct Slot {
    Sequence sequence{};
    Place place = 0;
  };

  static constexpr std::size_t kWays = 4;

  // A line of the processor's cache.
  struct alignas(64) Bucket {
    Slot slots[kWays];  // NOLINT(modernize-avoid-c-arrays): its size is the point
  };

  struct FreeMemory {
    void operator()(std::byte* memory) const;
  };

  [[nodiscard]] std::size_t bucket_of(Sequence sequence) const;

  // Not overwritten, nor in part.
  [[nodiscard]] bool is_there(Place place) const { return place != 0 && end_ - place <= capacity_; }

  [[nodiscard]] std::byte* at(Place place) const { return ring_.get() + place % capacity_; }

  std::size_t capacity_ = 0;
  std::unique_ptr<std::byte[], FreeMemory> ring_;  // NOLINT(modernize-avoid-c-arrays)
  Place end_ = 0;                                  // of what was written
  std::vector<Bucket> buckets_;                    // a power of two of them
  std::vector<std::uint32_t> shown_once_;          // low bits of sequences; another power of two
};

}  // namespace nostril::relay
