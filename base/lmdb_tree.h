#pragma once

#include "base/bytes.h"
#include "base/lmdb.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace nostril::lmdb {

/// Looks up many keys of a table at once. liblmdb goes down its tree for one key after the other,
/// and on a large file waits for memory four or five times a key. Here the keys go down side by
/// side: while one waits for its page, so do the others.
///
/// Reads pages as liblmdb 0.9 lays them out on a little-endian machine (data version 1; MDB_page,
/// MDB_node and MDB_db in its mdb.c). What it does not know it leaves to liblmdb: the answer is
/// then Unsure.
///
/// Threads: one, that of its transaction, which it does not outlive.
class TreeReader {
 public:
  static constexpr std::size_t kTogether = 16;

  enum class Answer : std::uint8_t {
    Found,
    Absent,  ///< no such key
    Unsure,  ///< ask the transaction or a cursor
  };

  struct Entry {
    Answer answer = Answer::Unsure;
    ByteSpan key;
    ByteSpan value;  ///< its first bytes are on their way to the processor's cache
  };

  /// An entry of a leaf page, from where the entries before it in that page can be read.
  class Place {
   public:
    /// False: not known. Ask a cursor.
    [[nodiscard]] bool is_known() const { return page_ != nullptr; }

    [[nodiscard]] ByteSpan key() const;

    /// Steps to the entry before. False: that is in another page, if there is one.
    bool previous() { return index_ > 0 && index_-- > 0; }

   private:
    friend class TreeReader;

    const std::uint8_t* page_ = nullptr;
    std::size_t index_ = 0;
  };

  /// Of the table with that name in the transaction's file.
  TreeReader(ReadTxn& txn, const char* table);

  /// Whether each key, of 1 to 511 bytes, is there. At most kTogether of them, as many `out`.
  void find(std::span<const ByteSpan> keys, std::span<Entry> out) const {
    search(keys, out, false);
  }

  /// As find() of one key; near the last one that was found so, this is much quicker.
  [[nodiscard]] Entry find_near(ByteSpan key);

  /// The last entry that is not above each of these keys.
  void find_last(std::span<const ByteSpan> keys, std::span<Place> out) const;

  /// The only key that begins with each of these bytes. Unsure where it may not be the only one.
  void find_prefixes(std::span<const ByteSpan> prefixes, std::span<Entry> out) const {
    search(prefixes, out, true);
  }

 private:
  void search(std::span<const ByteSpan> keys, std::span<Entry> out, bool are_prefixes) const;
  [[nodiscard]] Entry at_leaf(const std::uint8_t* page, ByteSpan wanted, std::size_t index,
                              bool is_prefix) const;
  [[nodiscard]] const std::uint8_t* page(std::uint64_t number) const;

  const std::uint8_t* map_ = nullptr;  // where the file begins; none: everything is Unsure
  std::size_t page_bytes_ = 0;
  std::uint64_t page_count_ = 0;
  std::uint64_t root_ = 0;
  std::size_t depth_ = 0;  // pages from the root to a leaf, both included
  // The last leaf that find_near() saw, and the page above it.
  const std::uint8_t* leaf_ = nullptr;
  const std::uint8_t* branch_ = nullptr;
};

}  // namespace nostril::lmdb
