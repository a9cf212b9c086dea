#pragma once

#include "base/lmdb.h"
#include "base/result.h"
#include "relay/cluster/codec.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

inline constexpr std::string_view kDecisionsFolder = "decisions";  ///< in a relay's directory

/// The last decisions of moderators that this relay has applied, to tell them to a relay that was
/// not told (repair.h). An LMDB environment of its own; one table, "decisions":
///
///   key    8 bytes number, big-endian, in the order in which they were applied
///   value  16 bytes message id, then the message as JSON
///
/// Threads: any.
class DecisionLog {
 public:
  static constexpr std::size_t kKept = 512;

  /// Opens or creates `folder`. The error is one line.
  [[nodiscard]] static Result<std::unique_ptr<DecisionLog>, std::string> open(
      const std::filesystem::path& folder);
  DecisionLog(const DecisionLog&) = delete;
  DecisionLog& operator=(const DecisionLog&) = delete;
  DecisionLog(DecisionLog&&) = delete;
  DecisionLog& operator=(DecisionLog&&) = delete;
  ~DecisionLog() = default;

  /// On disk when it returns; the oldest goes. What is there already stays where it is.
  [[nodiscard]] Result<void, std::string> put(const ModerationMessage& message);

  [[nodiscard]] bool has(std::string_view id) const;

  /// A decision that comes late, as it is told again: without changes of what others have changed
  /// that were made after it and applied before it. The error is one line.
  [[nodiscard]] Result<ModerationMessage, std::string> still_decided(
      const ModerationMessage& late) const;

  /// What to tell a relay that was not told of it: see decided_again(). Nothing: it is not there
  /// any more, or nothing of it is in force.
  [[nodiscard]] std::optional<ModerationMessage> again(std::string_view id);

 private:
  DecisionLog(std::unique_ptr<lmdb::Env> env, lmdb::Dbi table)
      : env_(std::move(env)), table_(table) {}

  [[nodiscard]] Result<void, std::string> load();
  [[nodiscard]] Result<std::vector<ModerationMessage>, std::string> from(
      std::uint64_t number) const;

  // Constant after construction.
  std::unique_ptr<lmdb::Env> env_;
  const lmdb::Dbi table_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, std::uint64_t, std::less<>> numbers_;  // by message id
  std::uint64_t last_ = 0;
};

/// The message id of decision `id` when it is told again: the same whoever does.
[[nodiscard]] std::string id_of_again(std::string_view id);

/// A decision as it is told again, when `later` ones were applied behind it: without changes of
/// what these have changed since. Nothing: that is all of it.
[[nodiscard]] std::optional<ModerationMessage> decided_again(
    const ModerationMessage& decision, std::span<const ModerationMessage> later);

}  // namespace nostril::relay
