#pragma once

#include "attestation/statement.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::attestation {

/// A UTC date and time of the Gregorian calendar; nothing when a part is out of range.
std::optional<UnixTime> unix_from_utc(int year, int month, int day, int hour, int minute,
                                      int second);

/// Exactly "YYYY-MM-DDTHH:MM:SSZ", the form of Intel's collateral.
std::optional<UnixTime> parse_iso_utc(std::string_view text);

/// The inverse, for years 1970 to 9999.
std::string format_iso_utc(UnixTime time);

}  // namespace nostril::attestation
