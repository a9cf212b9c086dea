#include "relay/store/stream_position.h"

#include "relay/store/keys.h"

namespace nostril::relay {

namespace {

constexpr std::size_t kNumberBytes = 8;

}  // namespace

std::optional<StreamPosition> StreamPosition::parse(ByteSpan value) {
  if (value.size() <= 2 * kNumberBytes || value.size() > 2 * kNumberBytes + kNameBytesMax) {
    return std::nullopt;
  }
  StreamPosition out;
  out.of.created_ns = static_cast<std::int64_t>(read_integer(value.first(kNumberBytes)));
  out.sequence = read_integer(value.subspan(kNumberBytes, kNumberBytes));
  out.of.name = as_text(value.subspan(2 * kNumberBytes));
  return out;
}

Bytes StreamPosition::value() const {
  const Key numbers = Key()
                          .add_integer(static_cast<std::uint64_t>(of.created_ns), kNumberBytes)
                          .add_integer(sequence, kNumberBytes);
  Bytes out(numbers.span().begin(), numbers.span().end());
  const ByteSpan name = as_bytes(of.name);
  out.insert(out.end(), name.begin(), name.end());
  return out;
}

}  // namespace nostril::relay
