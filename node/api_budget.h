#pragma once

#include "base/bytes.h"
#include "client/journal.h"
#include "node/api_keys.h"
#include "schnorr/types.h"

#include <cstdint>
#include <map>
#include <optional>

namespace nostril::node {

inline constexpr std::int64_t kSecondsPerDay = 86'400;

struct ApiSpending {
  std::uint64_t tokens = 0;  ///< of prompt and answer together
  std::uint64_t amount = 0;  ///< base units

  bool operator==(const ApiSpending&) const = default;
};

/// What one caller has used.
struct ApiUsage {
  std::int64_t day = 0;  ///< since 1970, of `today`
  ApiSpending today;
  ApiSpending total;

  bool operator==(const ApiUsage&) const = default;
};

enum class BudgetRefusal : std::uint8_t {
  UsedUp,   ///< of the day, or for good
  TooLarge  ///< not even the whole budget covers what this request may come to
};

/// Budgets of callers: what a request may come to at most is reserved before it begins, and what it
/// came to is charged when it ends. So budgets hold whatever runs at the same time. Numbers that
/// would overflow stay at their greatest. Pure. Threads: one.
class ApiBudgets {
 public:
  /// From the journal, before the first reservation.
  void restore(const Digest& caller, const ApiUsage& usage) { accounts_[caller].usage = usage; }

  [[nodiscard]] std::optional<BudgetRefusal> reserve(const Digest& caller, const ApiBudget& budget,
                                                     const ApiSpending& most, std::int64_t now_s);
  /// Once for each reservation.
  void release(const Digest& caller, const ApiSpending& most);
  /// The new state, to be kept. The reservation stays.
  ApiUsage charge(const Digest& caller, const ApiSpending& real, std::int64_t now_s);

  [[nodiscard]] ApiUsage usage(const Digest& caller, std::int64_t now_s) const;

 private:
  struct Account {
    ApiUsage usage;
    ApiSpending reserved;
  };

  std::map<Digest, Account> accounts_;
};

/// Row of JournalTable::ApiUsage: caller (32) -> five numbers of 8 bytes, big-endian: day, tokens
/// and amount of that day, tokens and amount in all.
[[nodiscard]] client::JournalChange put_usage(const Digest& caller, const ApiUsage& usage);
[[nodiscard]] std::optional<ApiUsage> decode_usage(ByteSpan row);

}  // namespace nostril::node
