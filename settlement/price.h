#pragma once

#include "base/result.h"
#include "events/inference.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

/// Prices and cost: integers only, checked, no I/O. spec/06-record.md.
namespace nostril::settlement {

/// Millionths of a base unit: what token prices multiply to.
using Micro = Uint128;

inline constexpr Micro kMicroPerUnit = 1'000'000;
/// Most that a channel can ever owe: Amount::kMax base units.
inline constexpr Micro kMicroMax = Amount::kMax * kMicroPerUnit;

/// The locked price of an offer. Constant after construction.
class PriceTable {
 public:
  /// Everything is free: offers without price tags.
  PriceTable() = default;
  /// Reads the offer's prices. A missing unit is free, but cached tokens without a price of their
  /// own cost what input tokens cost.
  [[nodiscard]] static PriceTable of(const Offer& offer);

  [[nodiscard]] const std::string& asset() const { return asset_; }

  [[nodiscard]] Amount amount(PriceUnit unit) const;
  [[nodiscard]] bool free() const;

  /// What a request costs so far:
  ///   (input - cached) * p_input + cached * p_cached + output * p_output
  ///   + 10^6 * (ceil(milliseconds / 1000) * p_second + p_request)
  /// Nothing on overflow or when cached > input. The session price is charged by the channel once.
  [[nodiscard]] std::optional<Micro> charge(const Usage& usage, std::uint64_t milliseconds) const;

  bool operator==(const PriceTable&) const = default;

 private:
  std::string asset_;
  std::array<std::optional<Amount>, kPriceUnitCount> amounts_{};
};

/// A channel's cumulative meter. Rounding happens once, upwards, on the total, so it never drifts.
class Meter {
 public:
  Meter() = default;
  /// From a record's spent and remainder. Nothing when they can't belong together.
  [[nodiscard]] static std::optional<Meter> from_record(Amount spent, std::uint32_t remainder);

  /// False, with nothing changed, when the total would pass kMicroMax.
  [[nodiscard]] bool add(Micro micro);

  [[nodiscard]] Micro micro() const { return micro_; }

  /// ceil(micro / 10^6)
  [[nodiscard]] Amount spent() const;
  /// micro mod 10^6
  [[nodiscard]] std::uint32_t remainder() const;

  bool operator==(const Meter&) const = default;

 private:
  Micro micro_ = 0;
};

}  // namespace nostril::settlement
