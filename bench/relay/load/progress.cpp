#include "bench/relay/load/progress.h"

#include <fmt/format.h>

#include <unistd.h>

#include <cstdio>

namespace nostril::bench {

void show_progress(std::string_view what) {
  if (isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\r\033[K{}", what);
}

}  // namespace nostril::bench
