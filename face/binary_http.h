#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Binary HTTP messages (RFC 9292), as Oblivious HTTP carries them. Numbers are QUIC's: 1, 2, 4 or
/// 8 bytes big-endian, the first two bits say which. A text is its size and its bytes.
///
///   request    framing 0   method, scheme, authority, path; size of all fields, name and value of
///                          each; size and bytes of the content; the trailer as the fields
///              framing 2   the same, but fields end with an empty name, content comes in texts and
///                          ends with an empty one
///   response   framing 1, 3   the same with the status in place of the first four
///
/// A message of framing 0 or 1 may leave out what is empty at its end; zero bytes may follow. Pure.
namespace nostril::face {

using BinaryFields = std::vector<std::pair<std::string, std::string>>;

struct BinaryRequest {
  std::string method;
  std::string scheme;
  std::string authority;
  std::string path;  ///< with its query
  BinaryFields fields;
  std::string content;
};

enum class BinaryHttpError : std::uint8_t { Malformed, TooManyFields };

inline constexpr std::size_t kBinaryFieldsMax = 100;

/// Takes it apart; what method, path and fields may be is the caller's to judge. The trailer is
/// read and dropped. Memory: that of the message.
[[nodiscard]] Result<BinaryRequest, BinaryHttpError> parse_binary_request(std::string_view message);

/// QUIC's number (RFC 9000 16), in the fewest bytes. CHECK: below 2^62.
void append_quic_number(std::string& out, std::uint64_t value);
/// Takes one off the front; false: it is cut off.
[[nodiscard]] bool take_quic_number(std::string_view& from, std::uint64_t& value);

/// A whole response, framing 1. Names are written in lower case, as the RFC has them.
[[nodiscard]] std::string binary_response(int status, const BinaryFields& fields,
                                          std::string_view content);

/// The same in parts, framing 3: head, any number of contents, end.
[[nodiscard]] std::string binary_response_head(int status, const BinaryFields& fields);
void append_binary_content(std::string& out, std::string_view content);  ///< nothing when empty
void append_binary_end(std::string& out);

}  // namespace nostril::face
