#include "settlement/price.h"

#include <algorithm>

namespace nostril::settlement {

namespace {

/// total += count * amount * scale; false on overflow.
bool add_product(Micro& total, std::uint64_t count, Amount amount, Micro scale) {
  Micro product = 0;
  if (__builtin_mul_overflow(amount.value(), Micro{count}, &product)) return false;
  if (__builtin_mul_overflow(product, scale, &product)) return false;
  return !__builtin_add_overflow(total, product, &total);
}

constexpr std::size_t index_of(PriceUnit unit) {
  return static_cast<std::size_t>(unit);
}

}  // namespace

PriceTable PriceTable::of(const Offer& offer) {
  PriceTable table;
  table.asset_ = offer.asset;
  for (const PriceTag& price : offer.prices) table.amounts_[index_of(price.unit)] = price.amount;
  return table;
}

Amount PriceTable::amount(PriceUnit unit) const {
  const auto& own = amounts_[index_of(unit)];
  if (own) return *own;
  if (unit == PriceUnit::Cached) return amount(PriceUnit::Input);
  return Amount{};
}

bool PriceTable::free() const {
  return std::ranges::all_of(amounts_,
                             [](const auto& amount) { return !amount || amount->is_zero(); });
}

std::optional<Micro> PriceTable::charge(const Usage& usage, std::uint64_t milliseconds) const {
  if (usage.cached > usage.input) return std::nullopt;
  const std::uint64_t seconds = milliseconds / 1000 + (milliseconds % 1000 == 0 ? 0 : 1);
  Micro total = 0;
  const bool fits = add_product(total, usage.input - usage.cached, amount(PriceUnit::Input), 1) &&
                    add_product(total, usage.cached, amount(PriceUnit::Cached), 1) &&
                    add_product(total, usage.output, amount(PriceUnit::Output), 1) &&
                    add_product(total, seconds, amount(PriceUnit::Second), kMicroPerUnit) &&
                    add_product(total, 1, amount(PriceUnit::Request), kMicroPerUnit);
  if (!fits || total > kMicroMax) return std::nullopt;
  return total;
}

std::optional<Meter> Meter::from_record(Amount spent, std::uint32_t remainder) {
  if (remainder >= kMicroPerUnit || (spent.is_zero() && remainder != 0)) return std::nullopt;
  Meter meter;
  meter.micro_ = remainder == 0 ? spent.value() * kMicroPerUnit
                                : (spent.value() - 1) * kMicroPerUnit + remainder;
  return meter;
}

bool Meter::add(Micro micro) {
  if (micro > kMicroMax - micro_) return false;
  micro_ += micro;
  return true;
}

Amount Meter::spent() const {
  const Micro whole = micro_ / kMicroPerUnit + (micro_ % kMicroPerUnit == 0 ? 0 : 1);
  return *Amount::from(whole);  // at most kMicroMax / 10^6 = Amount::kMax
}

std::uint32_t Meter::remainder() const {
  return static_cast<std::uint32_t>(micro_ % kMicroPerUnit);
}

}  // namespace nostril::settlement
