#include "relay/cluster/applied_ids.h"

#include "base/file_at.h"
#include "base/hex.h"
#include "relay/store/keys.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::string_view kMagic = "nostrids";
constexpr std::size_t kNumberBytes = 8;
constexpr std::size_t kHeaderBytes = 4'096;
constexpr std::size_t kSlotHeaderBytes = 64;
constexpr std::size_t kMessageIdBytes = 16;
constexpr std::size_t kSlotBytes = kSlotHeaderBytes + AppliedIds::kWindow * EventId::kSize;

std::size_t slot_of(std::uint64_t sequence) {
  return static_cast<std::size_t>((sequence - 1) / AppliedIds::kWindow % AppliedIds::kWindows);
}

std::uint64_t place_of_slot(std::uint64_t sequence) {
  return kHeaderBytes + std::uint64_t{slot_of(sequence)} * kSlotBytes;
}

std::uint64_t place_of_id(std::uint64_t sequence) {
  return place_of_slot(sequence) + kSlotHeaderBytes +
         (sequence - 1) % AppliedIds::kWindow * EventId::kSize;
}

Bytes header_of(const StreamIdentity& stream) {
  const Key created =
      Key().add_integer(static_cast<std::uint64_t>(stream.created_ns), kNumberBytes);
  Bytes out(as_bytes(kMagic).begin(), as_bytes(kMagic).end());
  out.insert(out.end(), created.span().begin(), created.span().end());
  out.insert(out.end(), stream.name.begin(), stream.name.end());
  out.resize(kHeaderBytes);
  return out;
}

std::span<std::uint8_t> bytes_of(std::vector<EventId>& ids) {
  static_assert(sizeof(EventId) == EventId::kSize);
  return {reinterpret_cast<std::uint8_t*>(ids.data()), ids.size() * EventId::kSize};
}

ByteSpan bytes_of(std::span<const EventId> ids) {
  return {reinterpret_cast<const std::uint8_t*>(ids.data()), ids.size() * EventId::kSize};
}

bool is_in_one_window(const StreamRange& range) {
  return range.first > 0 && range.first <= range.last &&
         range.last <= AppliedIds::window_of(range.first).last;
}

}  // namespace

AppliedIds::AppliedIds(UniqueFd file) : file_(std::move(file)), digests_(kWindows) {}

Result<std::unique_ptr<AppliedIds>, std::string> AppliedIds::open(
    const std::filesystem::path& file) {
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.is_open()) {
    return failure(
        fmt::format("{}: {}", file.string(), std::generic_category().message(int{errno})));
  }
  return std::unique_ptr<AppliedIds>(  // NOLINT: the constructor is private
      new AppliedIds(std::move(fd)));
}

void AppliedIds::begin(const StreamIdentity& of, std::uint64_t applied) {
  const std::lock_guard lock(mutex_);
  std::ranges::fill(digests_, Cached());
  begin_window(applied + 1);
  if (!is_of(of)) {
    late_.clear();
    late_set_.clear();
    // Without its header the file is of no stream: what it holds is not looked at.
    if (::ftruncate(file_.get(), 0) == 0) (void)write_at(file_.get(), 0, header_of(of));
    return;
  }
  // The window that is going on, as far as it was applied.
  if (window_of(first_).first > applied) return;
  const auto known = known_in_file(applied);
  auto ids = known && known->first <= applied ? read({known->first, applied}) : std::nullopt;
  if (!ids) return;
  first_ = known->first;
  now_ = std::move(*ids);
  written_ = now_.size();
}

bool AppliedIds::is_of(const StreamIdentity& stream) const {
  Bytes there(kHeaderBytes);
  const auto got = read_at(file_.get(), 0, there);
  return got && *got == there.size() && there == header_of(stream);
}

void AppliedIds::add(std::uint64_t sequence, const EventId& id) {
  const std::lock_guard lock(mutex_);
  if (sequence < next()) return;
  const StreamRange window = window_of(sequence);
  if (window.first > window_of(first_).first) {
    write();
    begin_window(window.first);
  }
  now_.resize(static_cast<std::size_t>(sequence - first_));
  now_.push_back(id);
  if (sequence < window.last) return;
  write();
  begin_window(sequence + 1);
}

void AppliedIds::add_late(const EventId& id) {
  const std::lock_guard lock(mutex_);
  if (!late_set_.insert(id).second) return;
  if (late_.size() == kLateMax) {
    const auto oldest = std::span<const EventId>(late_).first(kWindow);
    for (const EventId& one : oldest) late_set_.erase(one);
    late_.erase(late_.begin(), late_.begin() + kWindow);
    late_first_ += kWindow;
  }
  late_.push_back(id);
}

std::optional<StreamRange> AppliedIds::late() const {
  const std::lock_guard lock(mutex_);
  if (late_.empty()) return std::nullopt;
  return StreamRange{late_first_, late_first_ + late_.size() - 1};
}

void AppliedIds::begin_window(std::uint64_t first) {
  first_ = first;
  now_.clear();
  written_ = 0;
  digests_.at(slot_of(first)) = Cached();
}

void AppliedIds::flush() {
  const std::lock_guard lock(mutex_);
  write();
}

// What can't be written is tried again with what follows in its window. The slot's header last:
// without it the ids mean nothing.
void AppliedIds::write() {
  if (written_ == now_.size()) return;
  const auto ids = bytes_of(std::span<const EventId>(now_).subspan(written_));
  if (write_at(file_.get(), place_of_id(first_ + written_), ids) != 0) return;
  const Key header = Key()
                         .add_integer(window_of(first_).first, kNumberBytes)
                         .add_integer(first_, kNumberBytes)
                         .add_integer(next() - 1, kNumberBytes);
  if (write_at(file_.get(), place_of_slot(first_), header.span()) == 0) written_ = now_.size();
}

// What the file has of a message's window.
std::optional<StreamRange> AppliedIds::known_in_file(std::uint64_t sequence) const {
  std::array<std::uint8_t, 3 * kNumberBytes> header{};
  const auto got = read_at(file_.get(), place_of_slot(sequence), header);
  if (!got || *got != header.size()) return std::nullopt;
  const auto number = [&header](std::size_t at) {
    return read_integer(ByteSpan(header).subspan(at * kNumberBytes, kNumberBytes));
  };
  const StreamRange window = window_of(sequence);
  const StreamRange known{number(1), number(2)};
  // Not of this window, or not as it is written here.
  if (number(0) != window.first || known.first < window.first) return std::nullopt;
  return known;
}

std::optional<std::vector<EventId>> AppliedIds::read(const StreamRange& range) const {
  const auto known = known_in_file(range.first);
  if (!known || known->first > range.first || known->last < range.last) return std::nullopt;
  std::vector<EventId> ids(static_cast<std::size_t>(range.size()));
  const auto bytes = bytes_of(ids);
  const auto read = read_at(file_.get(), place_of_id(range.first), bytes);
  if (!read || *read != bytes.size()) return std::nullopt;
  return ids;
}

std::optional<std::vector<EventId>> AppliedIds::find(const StreamRange& range) const {
  if (!is_in_one_window(range)) return std::nullopt;
  const auto part = [&range](const std::vector<EventId>& ids, std::uint64_t first) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(range.first - first);
    return std::vector<EventId>(begin, begin + static_cast<std::ptrdiff_t>(range.size()));
  };
  if (range.first >= kLateFirst) {
    if (range.first < late_first_ || range.last >= late_first_ + late_.size()) return std::nullopt;
    return part(late_, late_first_);
  }
  const std::uint64_t window = window_of(range.first).first;
  const std::uint64_t window_now = window_of(first_).first;
  if (window < window_now) return read(range);
  if (window > window_now || range.first < first_ || range.last >= next()) return std::nullopt;
  return part(now_, first_);
}

std::optional<std::vector<EventId>> AppliedIds::ids(const StreamRange& range) {
  const std::lock_guard lock(mutex_);
  return find(range);
}

bool AppliedIds::has(std::uint64_t sequence, const EventId& id) {
  const std::lock_guard lock(mutex_);
  if (late_set_.contains(id)) return true;
  const auto ids = find({sequence, sequence});
  return ids && ids->front() == id;
}

std::vector<EventId> AppliedIds::known_of(const StreamRange& window) {
  const std::lock_guard lock(mutex_);
  if (window.first == window_of(first_).first) return now_;
  return find(window).value_or(std::vector<EventId>());
}

AppliedIds::Set AppliedIds::known_about(const StreamRange& range) {
  constexpr std::uint64_t kReach = 4 * kWindow;
  const std::uint64_t until = range.last + kReach;
  Set out;
  for (std::uint64_t at = range.first > kReach ? range.first - kReach : 1; at <= until;
       at = window_of(at).last + 1) {
    const auto ids = known_of(window_of(at));
    out.insert(ids.begin(), ids.end());
  }
  const std::lock_guard lock(mutex_);
  out.insert(late_.begin(), late_.end());
  return out;
}

std::optional<RangeDigest> AppliedIds::digest(const StreamRange& range) {
  const std::lock_guard lock(mutex_);
  if (!is_in_one_window(range)) return std::nullopt;
  Cached& cached = digests_.at(slot_of(range.first));
  const bool is_whole = range == window_of(range.first) && range.first < kLateFirst;
  if (is_whole && cached.first == range.first) return cached.digest;
  const auto ids = find(range);
  if (!ids) return std::nullopt;
  const Key ends =
      Key().add_integer(range.first, kNumberBytes).add_integer(range.last, kNumberBytes);
  Sha256 hash;
  hash.update(ends.span());
  hash.update(bytes_of(std::span<const EventId>(*ids)));
  const Digest full = hash.finish();
  const auto digest = *RangeDigest::from(ByteSpan(full.bytes).first(RangeDigest::kSize));
  if (is_whole) cached = {range.first, digest};
  return digest;
}

std::optional<EventId> AppliedIds::decision(std::string_view message_id) {
  using MessageId = FixedBytes<struct MessageIdTag, kMessageIdBytes>;
  const auto id = from_hex<MessageId>(message_id.substr(0, message_id.find('.')));
  if (!id) return std::nullopt;
  EventId out;
  const auto rest = std::ranges::copy(id->bytes, out.bytes.begin()).out;
  std::ranges::copy(kDecisionMark, rest);
  return out;
}

std::string AppliedIds::message_id(const EventId& decision) {
  return encode_hex(ByteSpan(decision.bytes).first(kMessageIdBytes));
}

bool AppliedIds::is_decision(const EventId& id) {
  return std::ranges::equal(std::span(id.bytes).last(kMessageIdBytes), as_bytes(kDecisionMark));
}

}  // namespace nostril::relay
