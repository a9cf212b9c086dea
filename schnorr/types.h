#pragma once

#include "base/fixed_bytes.h"

namespace nostril {

using PublicKey = FixedBytes<struct PublicKeyTag, 32>;  ///< x-only point of secp256k1, BIP-340
using Signature = FixedBytes<struct SignatureTag, 64>;  ///< BIP-340
using Digest = FixedBytes<struct DigestTag, 32>;        ///< SHA-256

using X25519PublicKey = FixedBytes<struct X25519PublicKeyTag, 32>;    ///< RFC 7748, u coordinate
using Ed25519PublicKey = FixedBytes<struct Ed25519PublicKeyTag, 32>;  ///< RFC 8032
using Ed25519Signature = FixedBytes<struct Ed25519SignatureTag, 64>;  ///< RFC 8032

/// An uncompressed point of secp256k1 (SEC 1): 04, x, y. Not checked by its type.
using EcdsaPublicKey = FixedBytes<struct EcdsaPublicKeyTag, 65>;
using EthereumAddress = FixedBytes<struct EthereumAddressTag, 20>;
/// r, s (low), v (27 or 28)
using EthereumSignature = FixedBytes<struct EthereumSignatureTag, 65>;

}  // namespace nostril
