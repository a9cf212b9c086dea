#include "base/crash_point.h"

#include <csignal>
#include <cstdlib>

namespace nostril {

void crash_point(std::string_view name) {
  const char* wanted = std::getenv("NOSTRIL_CRASH_AT");  // NOLINT(concurrency-mt-unsafe): read only
  if (wanted != nullptr && name == wanted) (void)std::raise(SIGKILL);
}

}  // namespace nostril
