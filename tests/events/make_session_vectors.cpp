#include "tests/events/session_vectors.h"

#include <cstdio>

int main() {
  const std::string text = nostril::test::make_session_vectors();
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
