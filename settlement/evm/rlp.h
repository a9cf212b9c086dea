#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "events/amount.h"

#include <cstddef>
#include <cstdint>

/// RLP, the form of Ethereum's transactions (Yellow Paper, appendix B): strings and lists, each
/// with one spelling only. Pure functions. Threads: any.
namespace nostril::settlement::evm {

/// Builds the items of one list, or of nothing around them.
class RlpWriter {
 public:
  void string(ByteSpan bytes);
  /// Big-endian without leading zeros; zero is the empty string.
  void number(Uint128 value);
  /// The items written so far by `items` as one list.
  void list(const RlpWriter& items);

  [[nodiscard]] const Bytes& bytes() const { return out_; }

 private:
  void head(std::size_t size, std::uint8_t short_base);

  Bytes out_;
};

enum class RlpError : std::uint8_t {
  Truncated,     ///< ends inside an item
  NotCanonical,  ///< another spelling of what has a shorter one
  WrongType,     ///< a list where a string is wanted, or the other way round
  OutOfRange,    ///< a number or size above what is asked for
  TrailingBytes,
};

/// Reads items one after the other. Borrows the bytes. Strict: what it takes, RlpWriter would write
/// the same. Never recurses: a list gives a reader of its items.
class RlpReader {
 public:
  explicit RlpReader(ByteSpan bytes) : rest_(bytes) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }

  [[nodiscard]] Result<ByteSpan, RlpError> string();
  [[nodiscard]] Result<Uint128, RlpError> number(Uint128 max);
  [[nodiscard]] Result<RlpReader, RlpError> list();

 private:
  struct Item {
    bool is_list = false;
    ByteSpan payload;
  };

  [[nodiscard]] Result<Item, RlpError> next();
  [[nodiscard]] Result<std::size_t, RlpError> long_size(std::size_t size_bytes);

  ByteSpan rest_;
};

}  // namespace nostril::settlement::evm
