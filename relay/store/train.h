#pragma once

#include "base/result.h"
#include "relay/store/store.h"

#include <cstddef>
#include <cstdint>

namespace nostril::relay {

struct TrainOptions {
  std::size_t samples = 20000;  ///< events looked at, spread evenly; 80 MiB of memory at most
  std::size_t dictionary_bytes = std::size_t{64} << 10;  ///< larger ones gain 1 % a doubling
};

struct TrainReport {
  DictionaryId id{};
  std::size_t samples = 0;  ///< contents long enough to be packed
  std::size_t dictionary_bytes = 0;
  std::uint64_t test_content_bytes = 0;  ///< of the fifth that was kept out of the training
  std::uint64_t test_stored_bytes = 0;
};

/// Makes a dictionary of the store's own contents and adds it: new records are packed with it, old
/// ones stay. Refused when it would save less than a tenth of contents it was not trained on.
/// Works on a live file: short read transactions, then one write.
[[nodiscard]] Result<TrainReport, StoreError> train_dictionary(Store& store,
                                                               const TrainOptions& options,
                                                               std::int64_t now_s);

}  // namespace nostril::relay
