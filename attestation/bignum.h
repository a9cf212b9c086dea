#pragma once

#include "base/bytes.h"
#include "base/check.h"

#include <openssl/bn.h>

#include <memory>

/// OpenSSL's big numbers with an owner.
namespace nostril::attestation {

struct NumberDeleter {
  void operator()(BIGNUM* number) const { BN_free(number); }
};

struct NumberContextDeleter {
  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
};

using Number = std::unique_ptr<BIGNUM, NumberDeleter>;
using NumberContext = std::unique_ptr<BN_CTX, NumberContextDeleter>;

inline Number to_number(ByteSpan big_endian) {
  Number out(BN_bin2bn(big_endian.data(), static_cast<int>(big_endian.size()), nullptr));
  CHECK(out);
  return out;
}

/// Big-endian, padded with zeros in front.
inline Bytes to_bytes(const BIGNUM* number, std::size_t size) {
  Bytes out(size);
  CHECK(BN_bn2binpad(number, out.data(), static_cast<int>(size)) == static_cast<int>(size));
  return out;
}

}  // namespace nostril::attestation
