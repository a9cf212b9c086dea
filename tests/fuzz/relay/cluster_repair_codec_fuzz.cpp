// What relays of a cluster ask each other to repair what they were told. What is read and written
// again is the same bytes.
#include "base/check.h"
#include "relay/cluster/repair_codec.h"

#include <algorithm>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const nostril::ByteSpan bytes(data, size);
  const auto is_same = [bytes](const auto& read) {
    return !read || std::ranges::equal(nostril::relay::encode(*read), bytes);
  };
  CHECK(is_same(nostril::relay::parse_digest_report(bytes)));
  CHECK(is_same(nostril::relay::parse_repair_request(bytes)));
  CHECK(is_same(nostril::relay::parse_repair_answer(bytes)));
  return 0;
}
