#pragma once

#include "base/file.h"
#include "base/fixed_bytes.h"
#include "base/result.h"
#include "events/event.h"
#include "relay/store/stream_position.h"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace nostril::relay {

/// Messages of the stream, by their sequences: first to last, both included.
struct StreamRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  [[nodiscard]] std::uint64_t size() const { return last - first + 1; }

  auto operator<=>(const StreamRange&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

/// The first 16 bytes of the SHA-256 of first and last (8 bytes each, big-endian) and the ids
/// between.
using RangeDigest = FixedBytes<struct RangeDigestTag, 16>;

inline constexpr std::string_view kAppliedIdsFile = "cluster.ids";  ///< in a relay's directory

/// What a relay was told that the stream has at each place, for some millions of messages back: an
/// event's id; a moderator's decision as its message id (16 bytes) and 16 bytes kDecisionMark;
/// zeros for what means nothing. Relays compare it (repair.h), because servers have been seen to
/// tell them different things.
///
/// A file of kWindows slots, window n in slot n modulo kWindows; it grows to 128 MiB:
///
///   header    4 KiB: "nostrids", 8 bytes created_ns of the stream, its name, zeros
///   slot      64 bytes: the window's first sequence, the first one and the last one whose id is
///             there, 8 bytes each, zeros; then kWindow ids
///
/// Numbers are big-endian.
///
/// It is an aid, and not synced: what is not known, because of a crash or a full disk, is not
/// compared. Threads: begin(), add(), add_late() and flush() from one, the rest from any.
class AppliedIds {
 public:
  using Set = std::unordered_set<EventId, FixedBytesHash>;

  static constexpr std::uint64_t kWindow = 1'024;
  static constexpr std::uint64_t kWindows = 4'096;
  static constexpr std::uint64_t kLateFirst = (std::uint64_t{1} << 62U) + 1;
  static constexpr std::size_t kLateWindows = 16;
  static constexpr std::size_t kLateMax = kLateWindows * kWindow;
  static constexpr std::string_view kDecisionMark = "moderation......";

  /// Opens or makes the file. The error is one line.
  [[nodiscard]] static Result<std::unique_ptr<AppliedIds>, std::string> open(
      const std::filesystem::path& file);
  ~AppliedIds() = default;
  AppliedIds(const AppliedIds&) = delete;
  AppliedIds& operator=(const AppliedIds&) = delete;
  AppliedIds(AppliedIds&&) = delete;
  AppliedIds& operator=(AppliedIds&&) = delete;

  /// From here on add() tells what comes behind `applied` in stream `of`.
  void begin(const StreamIdentity& of, std::uint64_t applied);
  /// In the order of the stream. What was left out is zeros.
  void add(std::uint64_t sequence, const EventId& id);
  /// Of a message that came with the number of another (bus.h): it stands in a range of its own,
  /// from kLateFirst on, the last kLateMax of them; not in the file.
  void add_late(const EventId& id);
  [[nodiscard]] std::optional<StreamRange> late() const;
  /// What was added is in the file.
  void flush();

  /// The window that a message is in. Sequences begin with 1.
  [[nodiscard]] static StreamRange window_of(std::uint64_t sequence) {
    const std::uint64_t first = sequence - (sequence - 1) % kWindow;
    return {first, first + kWindow - 1};
  }

  /// All of a range that lies in one window; nothing where it is not known, or not yet.
  [[nodiscard]] std::optional<std::vector<EventId>> ids(const StreamRange& range);
  /// Whether a message is known, and was this, or this came late.
  [[nodiscard]] bool has(std::uint64_t sequence, const EventId& id);
  /// All of a window; of the one that is being filled what is there; nothing of one in the file
  /// that is not known as a whole.
  [[nodiscard]] std::vector<EventId> known_of(const StreamRange& window);

  /// All that is known of a range and some thousands of messages around it, where the same messages
  /// are if a server numbers them otherwise, and all that came late.
  [[nodiscard]] Set known_about(const StreamRange& range);
  [[nodiscard]] std::optional<RangeDigest> digest(const StreamRange& range);

  /// A moderator's decision, as it stands among the ids. What comes behind a "." of the message id
  /// keeps the stream from taking it for another message. Nothing: `message_id` is none.
  [[nodiscard]] static std::optional<EventId> decision(std::string_view message_id);
  [[nodiscard]] static bool is_decision(const EventId& id);
  [[nodiscard]] static std::string message_id(const EventId& decision);

 private:
  /// Of a whole window.
  struct Cached {
    std::uint64_t first = 0;  ///< 0: none
    RangeDigest digest;
  };

  explicit AppliedIds(UniqueFd file);

  [[nodiscard]] std::optional<std::vector<EventId>> find(const StreamRange& range) const;
  [[nodiscard]] std::optional<StreamRange> known_in_file(std::uint64_t sequence) const;
  [[nodiscard]] std::optional<std::vector<EventId>> read(const StreamRange& range) const;
  [[nodiscard]] bool is_of(const StreamIdentity& stream) const;
  void begin_window(std::uint64_t first);
  void write();

  [[nodiscard]] std::uint64_t next() const { return first_ + now_.size(); }

  const UniqueFd file_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::uint64_t first_ = 1;   // whose id now_ begins with; windows before its one are in the file
  std::vector<EventId> now_;  // all of one window
  std::size_t written_ = 0;   // of these
  std::vector<Cached> digests_;  // by slot
  std::uint64_t late_first_ = kLateFirst;
  std::vector<EventId> late_;
  Set late_set_;  // the same
};

}  // namespace nostril::relay
