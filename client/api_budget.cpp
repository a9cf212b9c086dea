#include "client/api_budget.h"

#include "base/lmdb.h"
#include "events/big_endian.h"
#include "settlement/usage_limit.h"

#include <algorithm>
#include <limits>

namespace nostril::client {

namespace {

constexpr std::size_t kNumberBytes = 8;
constexpr std::size_t kNumbers = 5;

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  return a > kMax - b ? kMax : a + b;
}

ApiSpending sum(const ApiSpending& a, const ApiSpending& b) {
  return {sum(a.tokens, b.tokens), sum(a.amount, b.amount)};
}

/// 0 of a budget is no limit.
bool within(std::uint64_t spent, std::uint64_t limit) {
  return limit == 0 || spent <= limit;
}

bool covers(const ApiBudget& budget, const ApiSpending& today, const ApiSpending& total) {
  return within(today.tokens, budget.tokens_per_day) &&
         within(today.amount, budget.amount_per_day) && within(total.tokens, budget.tokens) &&
         within(total.amount, budget.amount);
}

ApiUsage as_of(const ApiUsage& usage, std::int64_t now_s) {
  ApiUsage out = usage;
  const std::int64_t day = now_s / kSecondsPerDay;
  // A clock that is set back opens no day anew.
  if (day > usage.day) {
    out.day = day;
    out.today = {};
  }
  return out;
}

std::uint64_t narrow(Uint128 value) {
  return static_cast<std::uint64_t>(
      std::min<Uint128>(value, std::numeric_limits<std::uint64_t>::max()));
}

std::uint64_t take_number(ByteSpan& bytes) {
  std::uint64_t out = 0;
  for (const std::uint8_t byte : bytes.first(kNumberBytes)) out = (out << 8U) | byte;
  bytes = bytes.subspan(kNumberBytes);
  return out;
}

std::uint64_t price_of(const settlement::PriceTable& prices, const Usage& usage,
                       std::uint64_t milliseconds) {
  const auto micro = prices.charge(usage, milliseconds);
  return narrow(micro ? (*micro + settlement::kMicroPerUnit - 1) / settlement::kMicroPerUnit
                      : Amount::kMax);
}

}  // namespace

ApiSpending most_of(const Offer& offer, const settlement::PriceTable& prices,
                    std::string_view body) {
  Usage usage = settlement::usage_max(offer, body);
  usage.input = std::min<std::uint64_t>(usage.input, body.size() + settlement::kTemplateTokensMax);
  usage.cached = 0;
  return {usage.input + usage.output, price_of(prices, usage, 0)};
}

ApiSpending spent_by(const ResponseRecord& record) {
  return {record.usage.input + record.usage.output, narrow(record.cost.value())};
}

ApiSpending spent_by(const Offer& offer, const ResponseRecord& record) {
  return {record.usage.input + record.usage.output,
          price_of(settlement::PriceTable::of(offer), record.usage, record.milliseconds)};
}

std::optional<BudgetRefusal> ApiBudgets::reserve(const Digest& caller, const ApiBudget& budget,
                                                 const ApiSpending& most, std::int64_t now_s) {
  if (!covers(budget, most, most)) return BudgetRefusal::TooLarge;
  Account& account = accounts_[caller];
  const ApiUsage used = as_of(account.usage, now_s);
  const ApiSpending wanted = sum(account.reserved, most);
  if (!covers(budget, sum(used.today, wanted), sum(used.total, wanted))) {
    return BudgetRefusal::UsedUp;
  }
  account.reserved = wanted;
  return std::nullopt;
}

void ApiBudgets::release(const Digest& caller, const ApiSpending& most) {
  Account& account = accounts_[caller];
  // Less than `most` is there only where a number without limit stood at its greatest.
  account.reserved.tokens -= std::min(account.reserved.tokens, most.tokens);
  account.reserved.amount -= std::min(account.reserved.amount, most.amount);
}

ApiUsage ApiBudgets::charge(const Digest& caller, const ApiSpending& real, std::int64_t now_s) {
  Account& account = accounts_[caller];
  account.usage = as_of(account.usage, now_s);
  account.usage.today = sum(account.usage.today, real);
  account.usage.total = sum(account.usage.total, real);
  return account.usage;
}

ApiUsage ApiBudgets::usage(const Digest& caller, std::int64_t now_s) const {
  const auto found = accounts_.find(caller);
  return as_of(found == accounts_.end() ? ApiUsage{} : found->second.usage, now_s);
}

JournalChange put_usage(const Digest& caller, const ApiUsage& usage) {
  Bytes row;
  append_big_endian(row, static_cast<std::uint64_t>(usage.day), kNumberBytes);
  for (const ApiSpending& one : {usage.today, usage.total}) {
    append_big_endian(row, one.tokens, kNumberBytes);
    append_big_endian(row, one.amount, kNumberBytes);
  }
  return {JournalTable::ApiUsage, Bytes(caller.bytes.begin(), caller.bytes.end()), std::move(row)};
}

std::optional<ApiUsage> decode_usage(ByteSpan row) {
  if (row.size() != kNumbers * kNumberBytes) return std::nullopt;
  ApiUsage out;
  const std::uint64_t day = take_number(row);
  if (day > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  out.day = static_cast<std::int64_t>(day);
  for (ApiSpending* one : {&out.today, &out.total}) {
    one->tokens = take_number(row);
    one->amount = take_number(row);
  }
  return out;
}

std::map<Digest, ApiUsage> read_usage(const std::filesystem::path& journal) {
  std::map<Digest, ApiUsage> out;
  if (!std::filesystem::exists(journal / "data.mdb")) return out;
  auto env = lmdb::Env::open(journal, {.read_only = true});
  if (!env) return out;
  const auto table = (*env)->open_table("api_usage", false);
  if (!table) return out;
  lmdb::ReadTxn txn(**env);
  lmdb::Cursor cursor(txn, *table);
  for (bool there = cursor.first(); there; there = cursor.next()) {
    const auto caller = Digest::from(cursor.key());
    const auto usage = decode_usage(cursor.value());
    if (caller && usage) out.emplace(*caller, *usage);
  }
  return out;
}

}  // namespace nostril::client
