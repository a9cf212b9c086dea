// Values of different meaning don't mix. Each case is one mistake; case 0 is the right way.
// case 1: could not convert|no known conversion|cannot convert|no viable conversion|conversion from
// case 2: no match for 'operator==|invalid operands to binary expression
// case 3: no match for call|constraints not satisfied|no matching function|no known conversion
#include "base/fixed_bytes.h"

using Id = nostril::FixedBytes<struct IdTag, 32>;
using Key = nostril::FixedBytes<struct KeyTag, 32>;
using Short = nostril::FixedBytes<struct ShortTag, 8>;

bool use(const Id& id, const Key& key, const Short& small) {
#if CASE == 0
  const Id other = id;
  return other == id && key == key && small == small && nostril::FixedBytesHash()(id) != 0;
#elif CASE == 1
  const Id other = key;
  return other == id;
#elif CASE == 2
  return id == key;
#elif CASE == 3
  return nostril::FixedBytesHash()(small) != 0;
#endif
}
