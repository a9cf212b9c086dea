#include "settlement/evm/rlp.h"

#include "events/big_endian.h"

namespace nostril::settlement::evm {

namespace {

// First byte: below 0x80 itself; then strings and lists, each up to 55 bytes with the size in it,
// or with 1 to 8 bytes of size behind it.
constexpr std::uint8_t kString = 0x80;
constexpr std::uint8_t kList = 0xc0;
constexpr std::size_t kShortMax = 55;

std::size_t bytes_of(Uint128 value) {
  std::size_t count = 0;
  for (; value != 0; value >>= 8) ++count;
  return count;
}

}  // namespace

void RlpWriter::head(std::size_t size, std::uint8_t short_base) {
  if (size <= kShortMax) {
    out_.push_back(static_cast<std::uint8_t>(short_base + size));
    return;
  }
  const std::size_t size_bytes = bytes_of(size);
  out_.push_back(static_cast<std::uint8_t>(short_base + kShortMax + size_bytes));
  append_big_endian(out_, size, size_bytes);
}

void RlpWriter::string(ByteSpan bytes) {
  if (bytes.size() != 1 || bytes[0] >= kString) head(bytes.size(), kString);
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

void RlpWriter::number(Uint128 value) {
  Bytes bytes;
  append_big_endian(bytes, value, bytes_of(value));
  string(bytes);
}

void RlpWriter::list(const RlpWriter& items) {
  head(items.out_.size(), kList);
  out_.insert(out_.end(), items.out_.begin(), items.out_.end());
}

Result<std::size_t, RlpError> RlpReader::long_size(std::size_t size_bytes) {
  if (rest_.size() <= size_bytes) return failure(RlpError::Truncated);
  std::uint64_t size = 0;
  for (std::size_t i = 1; i <= size_bytes; ++i) size = size << 8 | rest_[i];
  if (rest_[1] == 0 || size <= kShortMax) return failure(RlpError::NotCanonical);
  return size;
}

Result<RlpReader::Item, RlpError> RlpReader::next() {
  if (rest_.empty()) return failure(RlpError::Truncated);
  const std::uint8_t first = rest_[0];
  if (first < kString) {
    const Item item{.is_list = false, .payload = rest_.first(1)};
    rest_ = rest_.subspan(1);
    return item;
  }
  const bool is_list = first >= kList;
  std::size_t size = static_cast<std::size_t>(first - (is_list ? kList : kString));
  std::size_t head = 1;
  if (size > kShortMax) {
    const std::size_t size_bytes = size - kShortMax;
    const auto said = long_size(size_bytes);
    if (!said) return failure(said.error());
    size = *said;
    head += size_bytes;
  }
  if (rest_.size() - head < size) return failure(RlpError::Truncated);
  const Item item{.is_list = is_list, .payload = rest_.subspan(head, size)};
  if (!is_list && size == 1 && item.payload[0] < kString) return failure(RlpError::NotCanonical);
  rest_ = rest_.subspan(head + size);
  return item;
}

Result<ByteSpan, RlpError> RlpReader::string() {
  const auto item = next();
  if (!item) return failure(item.error());
  if (item->is_list) return failure(RlpError::WrongType);
  return item->payload;
}

Result<Uint128, RlpError> RlpReader::number(Uint128 max) {
  const auto bytes = string();
  if (!bytes) return failure(bytes.error());
  if (!bytes->empty() && bytes->front() == 0) return failure(RlpError::NotCanonical);
  if (bytes->size() > sizeof(Uint128)) return failure(RlpError::OutOfRange);
  Uint128 value = 0;
  for (const std::uint8_t byte : *bytes) value = value << 8 | byte;
  if (value > max) return failure(RlpError::OutOfRange);
  return value;
}

Result<RlpReader, RlpError> RlpReader::list() {
  const auto item = next();
  if (!item) return failure(item.error());
  if (!item->is_list) return failure(RlpError::WrongType);
  return RlpReader(item->payload);
}

}  // namespace nostril::settlement::evm
