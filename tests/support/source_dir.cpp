#include "tests/support/source_dir.h"

namespace nostril::test {

std::filesystem::path source_dir() {
  return NOSTRIL_SOURCE_DIR;
}

}  // namespace nostril::test
