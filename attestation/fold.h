#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <optional>

/// Text that holds hex and base64 (quotes with certificates in PEM, event logs, compose files) in
/// fewer and plainer bytes, so that what is inside compresses with what stands elsewhere in binary.
/// Lossless for all bytes; only text that can be made anew exactly is folded. Pure.
///
///   folded = *( literal [ run ] )         until the end; only the last literal has no run
///   literal = length, bytes               as they stand in the text
///   run = kind u8, length, bytes          length of at least 1
///   length = unsigned LEB128, shortest form
///
///   kind  the text of a run
///      1  its bytes in lowercase hex
///      2  its bytes in base64 in lines of 64 characters, each ended by LF, the last may be shorter
///
/// Runs are found from the left, the longest that fits at each place:
///   2  at the start of the text or behind an LF: at least one full line; a shorter one at the end
///      belongs to it when the whole is then strict base64
///   1  16 digits or more, an odd last one stays literal
/// So a text has one folding, and unfold() takes no other.
namespace nostril::attestation {

[[nodiscard]] Bytes fold(ByteSpan bytes);

/// Nothing when `folded` is not what fold() makes of a text of at most `bytes_max`. Works within
/// that bound: a run grows by 2 at most.
[[nodiscard]] std::optional<Bytes> unfold(ByteSpan folded, std::size_t bytes_max);

}  // namespace nostril::attestation
