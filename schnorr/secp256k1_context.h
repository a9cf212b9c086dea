#pragma once

#include <secp256k1.h>

namespace nostril {

/// The context for operations with secret keys, its blinding randomized from the system once.
/// Threads: made on first use by whoever is first; constant after that, so any thread may share it.
/// Operations on public data use secp256k1_context_static.
const secp256k1_context* signing_context();

}  // namespace nostril
