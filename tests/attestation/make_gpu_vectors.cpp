#include "tests/attestation/gpu_vectors.h"

#include <cstdio>

int main() {
  const std::string text = nostril::attestation::test::make_gpu_vectors();
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
