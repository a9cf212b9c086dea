#pragma once

#include "base/result.h"
#include "events/event.h"
#include "events/filter.h"
#include "relay/store/store.h"
#include "relay/store/writer.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace nostril::relay {

/// What the operator looks for or removes: on his own thread, which may wait for the disk. It sees
/// all that was acknowledged before.
/// Threads: any but a loop's or the writer's.
[[nodiscard]] Result<std::vector<Event>, std::string> find_events(Store& store, StoreWriter& writer,
                                                                  const Filter& filter,
                                                                  std::size_t count_max,
                                                                  std::int64_t now_s);

/// Some at a time, so that the events of others are written in between.
[[nodiscard]] Result<std::size_t, std::string> erase_events(Store& store, StoreWriter& writer,
                                                            const Filter& filter,
                                                            std::int64_t now_s);

}  // namespace nostril::relay
