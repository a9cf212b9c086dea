#pragma once

#include "base/file.h"

#include <cstdint>
#include <filesystem>

namespace nostril::relay {

/// How late the signed requests (NIP-98) were made that have been taken, on disk: which they were
/// is remembered only while the process runs, and the next one takes later ones only. The file: 20
/// decimal digits and a newline, Unix seconds.
/// Threads: one.
class UsedRequests {
 public:
  static constexpr const char* kFile = "requests.used";

  /// `is_new`: the relay never ran before, so nothing can have been taken. Where that can't be
  /// known (the file is missing or damaged), all that may have been made up to `now_s` counts as
  /// taken.
  UsedRequests(const std::filesystem::path& folder, bool is_new, std::int64_t now_s);

  /// Whatever was made up to then may have been taken.
  [[nodiscard]] std::int64_t until_s() const { return until_s_; }

  /// On disk when it returns true.
  [[nodiscard]] bool raise(std::int64_t made_at_s);

 private:
  [[nodiscard]] bool write(std::int64_t until_s) const;

  UniqueFd file_;
  std::int64_t until_s_ = 0;
};

}  // namespace nostril::relay
