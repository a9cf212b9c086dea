#pragma once

#include "base/bytes.h"
#include "client/api_keys.h"
#include "client/journal.h"
#include "events/inference.h"
#include "schnorr/types.h"
#include "settlement/price.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>

namespace nostril::client {

inline constexpr std::int64_t kSecondsPerDay = 86'400;

struct ApiSpending {
  std::uint64_t tokens = 0;  ///< of prompt and answer together
  std::uint64_t amount = 0;  ///< base units

  bool operator==(const ApiSpending&) const = default;
};

/// The most that a request with this body may come to. No token is shorter than a byte, so a short
/// body needs no room for the model's whole context.
[[nodiscard]] ApiSpending most_of(const Offer& offer, const settlement::PriceTable& prices,
                                  std::string_view body);
[[nodiscard]] ApiSpending spent_by(const ResponseRecord& record);
/// The whole request's, where several statements were made of it: by the offer's prices.
[[nodiscard]] ApiSpending spent_by(const Offer& offer, const ResponseRecord& record);

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
[[nodiscard]] JournalChange put_usage(const Digest& caller, const ApiUsage& usage);
[[nodiscard]] std::optional<ApiUsage> decode_usage(ByteSpan row);
/// All rows of a journal, by caller; another process may be writing it. Empty: it is not there.
[[nodiscard]] std::map<Digest, ApiUsage> read_usage(const std::filesystem::path& journal);

}  // namespace nostril::client
