#include "schnorr/secret.h"

#include "base/check.h"

#include <openssl/crypto.h>

#include <sys/prctl.h>
#include <sys/resource.h>

namespace nostril {

void wipe(std::span<std::uint8_t> memory) {
  OPENSSL_cleanse(memory.data(), memory.size());
}

void protect_process_memory() {
  CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
  const rlimit none{0, 0};
  CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
}

}  // namespace nostril
