#include "relay/store/pending_keys.h"

#include <algorithm>

namespace nostril::relay {

void PendingKeys::add(lmdb::Dbi table, const Key& key) {
  const auto same = [table](const OfTable& of) { return of.table.handle == table.handle; };
  auto found = std::ranges::find_if(tables_, same);
  if (found == tables_.end()) found = tables_.insert(tables_.end(), OfTable{table, {}});
  found->keys.push_back(key);
  ++count_;
}

void PendingKeys::flush(lmdb::WriteTxn& txn) {
  for (auto& [table, keys] : tables_) {
    if (keys.empty()) continue;
    std::ranges::sort(keys);
    lmdb::WriteCursor cursor(txn, table);
    for (const Key& key : keys) cursor.put(key.span(), {});
    keys.clear();
  }
  count_ = 0;
}

}  // namespace nostril::relay
