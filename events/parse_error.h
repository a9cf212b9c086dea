#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nostril {

/// Why bytes from a peer were not an event, filter or message. One byte: it travels on the hot path
/// and is counted in metrics.
enum class ParseError : std::uint8_t {
  NotJson,
  NotAnObject,
  NotAnArray,
  MissingField,
  UnknownField,
  DoubleField,
  BadType,
  BadHex,
  BadNumber,
  BadTag,
  BadText,  ///< U+0000, or not UTF-8
  TooLarge,
  TooDeep,
  TooMany,
  WrongId,
  BadSubscriptionId,
  UnknownCommand,
};
inline constexpr std::size_t kParseErrorCount = 17;

/// The text a peer sees after "invalid: ".
std::string_view to_string(ParseError error);

}  // namespace nostril
