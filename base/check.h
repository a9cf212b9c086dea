#pragma once

#include <cstdio>
#include <cstdlib>

/// A broken promise of our own code: print where and stop. On in release builds too. Never for
/// bytes from outside: those are a Result.
#define CHECK(condition)                                                                   \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      std::fprintf(stderr, "CHECK failed: %s at %s:%d\n", #condition, __FILE__, __LINE__); \
      std::abort();                                                                        \
    }                                                                                      \
  } while (false)
