#pragma once

#include "base/lmdb.h"
#include "relay/store/keys.h"

#include <cstddef>
#include <vector>

namespace nostril::relay {

/// Index keys of one transaction that nothing reads before its end: written sorted, table by table,
/// they cost half of what they cost one by one. Threads: the transaction's.
class PendingKeys {
 public:
  void add(lmdb::Dbi table, const Key& key);
  /// Writes all, and is empty then.
  void flush(lmdb::WriteTxn& txn);

  [[nodiscard]] std::size_t count() const { return count_; }

  /// The caller flushes at kCountMax: 12 MiB.
  [[nodiscard]] bool is_full() const { return count_ >= kCountMax; }

  static constexpr std::size_t kCountMax = std::size_t{1} << 18;

 private:
  struct OfTable {
    lmdb::Dbi table;
    std::vector<Key> keys;
  };

  std::vector<OfTable> tables_;  // a handful
  std::size_t count_ = 0;
};

}  // namespace nostril::relay
