#pragma once

#include "base/rng.h"
#include "events/event.h"
#include "schnorr/keys.h"

#include <string>
#include <utility>

namespace nostril::test {

/// The same author in every test of a process.
inline const Keypair& author() {
  static const Keypair kKey = [] {
    SystemRng rng;
    return Keypair::generate(rng);
  }();
  return kKey;
}

inline Event signed_event(EventDraft draft) {
  SystemRng rng;
  return sign_event(std::move(draft), author(), rng);
}

/// `text` with the first `from` replaced; the test's own mistake when there is none.
inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) return "replaced(): not found: " + std::string(from);
  return text.replace(at, from.size(), to);
}

}  // namespace nostril::test
