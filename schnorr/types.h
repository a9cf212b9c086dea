#pragma once

#include "base/fixed_bytes.h"

namespace nostril {

using PublicKey = FixedBytes<struct PublicKeyTag, 32>;  ///< x-only point of secp256k1, BIP-340
using Signature = FixedBytes<struct SignatureTag, 64>;  ///< BIP-340
using Digest = FixedBytes<struct DigestTag, 32>;        ///< SHA-256

}  // namespace nostril
