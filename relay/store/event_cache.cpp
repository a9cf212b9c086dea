#include "relay/store/event_cache.h"

#include "base/check.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace nostril::relay {

namespace {

// A page that the processor finds with one look; the memory is read all over.
constexpr std::size_t kPageBytes = std::size_t{2} << 20;
constexpr std::size_t kCapacityMin = kPageBytes;
// A slot for each so many bytes: most entries are larger.
constexpr std::size_t kBytesASlot = 512;
constexpr std::size_t kBytesAShownOnce = 256;
constexpr std::size_t kShareMax = 64;
constexpr std::size_t kAlignment = 64;

std::size_t rounded(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::size_t hash(Sequence sequence) {
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;  // Fibonacci hashing
  return static_cast<std::uint64_t>(sequence) * kGolden >> 32;
}

}  // namespace

void EventCache::FreeMemory::operator()(std::byte* memory) const {
  ::operator delete[](memory, std::align_val_t{kPageBytes});
}

EventCache::EventCache(std::size_t bytes) {
  if (bytes == 0) return;
  capacity_ = std::max(bytes / kPageBytes * kPageBytes, kCapacityMin);
  // Not zeroed: it is taken from the machine as it fills.
  ring_.reset(static_cast<std::byte*>(::operator new[](capacity_, std::align_val_t{kPageBytes})));
  (void)madvise(ring_.get(), capacity_, MADV_HUGEPAGE);  // without, it is only slower
  end_ = capacity_;                                      // so that no place is 0
  buckets_.resize(std::bit_ceil(capacity_ / kBytesASlot / kWays));
  shown_once_.resize(std::bit_ceil(capacity_ / kBytesAShownOnce));
}

// Those that fall on one place drive each other out: then one is shown a third time.
bool EventCache::wants(Sequence sequence) {
  if (shown_once_.empty()) return false;
  const auto mark = static_cast<std::uint32_t>(static_cast<std::uint64_t>(sequence));
  std::uint32_t& place = shown_once_[hash(sequence) & (shown_once_.size() - 1)];
  if (std::exchange(place, mark) != mark) return false;
  place = 0;
  return true;
}

std::size_t EventCache::bucket_of(Sequence sequence) const {
  return hash(sequence) & (buckets_.size() - 1);
}

const EventCache::Entry* EventCache::find(Sequence sequence) const {
  if (buckets_.empty()) return nullptr;
  for (const Slot& slot : buckets_[bucket_of(sequence)].slots) {
    if (slot.sequence != sequence || !is_there(slot.place)) continue;
    return std::launder(reinterpret_cast<const Entry*>(at(slot.place)));
  }
  return nullptr;
}

void EventCache::prefetch(const Entry& entry) {
  // The entry itself, and where the record's head follows.
  for (std::size_t line = 0; line < 6; ++line) {
    __builtin_prefetch(reinterpret_cast<const std::byte*>(&entry) + line * kAlignment);
  }
}

void EventCache::add(Sequence sequence, const RecordView& record, std::string_view json) {
  static_assert(std::is_trivially_copyable_v<Entry> && alignof(Entry) <= kAlignment);
  const std::size_t size = rounded(sizeof(Entry) + record.bytes().size() + json.size());
  if (size > capacity_ / kShareMax || find(sequence) != nullptr) return;
  const std::size_t used = end_ % capacity_;
  if (used + size > capacity_) end_ += capacity_ - used;  // entries are in one piece
  const Place place = end_;
  end_ += size;

  std::byte* const entry = at(place);
  std::byte* const record_bytes = entry + sizeof(Entry);
  std::byte* const text = record_bytes + record.bytes().size();
  std::memcpy(record_bytes, record.bytes().data(), record.bytes().size());
  std::memcpy(text, json.data(), json.size());
  new (entry) Entry{record.over(reinterpret_cast<const std::uint8_t*>(record_bytes)),
                    {reinterpret_cast<const char*>(text), json.size()}};

  auto& slots = buckets_[bucket_of(sequence)].slots;
  Slot& oldest = *std::ranges::min_element(slots, {}, &Slot::place);
  oldest = {sequence, place};
}

}  // namespace nostril::relay
