#include "events/parse_error.h"

namespace nostril {

std::string_view to_string(ParseError error) {
  switch (error) {
    case ParseError::NotJson:
      return "not JSON";
    case ParseError::NotAnObject:
      return "not an object";
    case ParseError::NotAnArray:
      return "not an array";
    case ParseError::MissingField:
      return "a field is missing";
    case ParseError::UnknownField:
      return "unknown field";
    case ParseError::DoubleField:
      return "a field stands twice";
    case ParseError::BadType:
      return "a value has the wrong type";
    case ParseError::BadHex:
      return "not lowercase hex of the right size";
    case ParseError::BadNumber:
      return "a number is not an integer in range";
    case ParseError::BadTag:
      return "a tag is not a non-empty array of strings";
    case ParseError::BadText:
      return "text holds U+0000";
    case ParseError::TooLarge:
      return "too large";
    case ParseError::TooDeep:
      return "nested too deeply";
    case ParseError::TooMany:
      return "too many elements";
    case ParseError::WrongId:
      return "the id is not the hash of the event";
    case ParseError::BadSubscriptionId:
      return "bad subscription id";
    case ParseError::UnknownCommand:
      return "unknown command";
  }
  return "unknown";
}

}  // namespace nostril
