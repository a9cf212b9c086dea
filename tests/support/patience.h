#pragma once

namespace nostril::test {

/// What nothing should need, a wait before a test fails, is so much longer in a build with
/// sanitizers. Of tests in JavaScript: NOSTRIL_PATIENCE, which tests/support/sanitized sets.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kPatience = 5;
#else
inline constexpr int kPatience = 1;
#endif

}  // namespace nostril::test
