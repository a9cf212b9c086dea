#pragma once

#include "base/clock.h"
#include "base/hex.h"
#include "base/rng.h"
#include "events/event.h"
#include "schnorr/keys.h"
#include "tests/relay/store_support.h"

#include <string>
#include <utility>

namespace nostril::relay::test {

/// Signs events of one author.
class Author {
 public:
  Author() : keys_(Keypair::generate(rng_)) {}

  Event sign(std::uint32_t kind, std::string content = "hello", Tags tags = {},
             std::int64_t age_s = 0) {
    return sign_event({SystemClock().unix_s() - age_s, kind, std::move(tags), std::move(content)},
                      keys_, rng_);
  }

  [[nodiscard]] std::string hex() const { return encode_hex(keys_.public_key()); }

 private:
  SystemRng rng_;
  Keypair keys_;
};

inline std::string hex(const Event& event) {
  return encode_hex(event.id);
}

}  // namespace nostril::relay::test
