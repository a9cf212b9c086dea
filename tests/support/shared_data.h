#pragma once

#include "tests/support/source_dir.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace nostril::test {

/// A file of vectors that is not part of the repository: below $NOSTRIL_SHARED, else ../shared
/// beside the checkout.
inline std::filesystem::path shared_path(const std::string& relative) {
  const char* root =
      std::getenv("NOSTRIL_SHARED");  // NOLINT(concurrency-mt-unsafe): tests only read
  const std::filesystem::path base =
      root != nullptr ? std::filesystem::path(root) : source_dir() / ".." / "shared";
  return base / relative;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// A file of this repository, by its path from the root.
inline std::string read_source(const std::string& relative) {
  return read_file(source_dir() / relative);
}

}  // namespace nostril::test

/// Skips the test with a clear line when the shared vectors are not there.
#define REQUIRE_SHARED(path)                                                             \
  if (!std::filesystem::exists(::nostril::test::shared_path(path)))                      \
  GTEST_SKIP() << "skipped: shared data " << ::nostril::test::shared_path(path).string() \
               << " is not on this machine"
