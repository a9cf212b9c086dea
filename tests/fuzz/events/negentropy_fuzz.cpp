#include "events/negentropy.h"

#include "base/check.h"

#include <algorithm>
#include <cstring>

using namespace nostril;              // NOLINT(google-build-using-namespace)
using namespace nostril::negentropy;  // NOLINT(google-build-using-namespace)

namespace {

// Some of the same seconds, some of the same first bytes.
Set some_set() {
  std::vector<Item> items;
  for (std::uint32_t i = 0; i < 200; ++i) {
    Item item;
    item.created_at = i / 3;
    const std::uint32_t mixed = i * 2'654'435'761U;
    std::memcpy(item.id.bytes.data() + (i % 2 == 0 ? 0 : 8), &mixed, sizeof mixed);
    item.id.bytes[31] = static_cast<std::uint8_t>(i);
    items.push_back(item);
  }
  return Set(std::move(items));
}

Result<Bytes, Error> next_question(const Set& set, ByteSpan message, Differences& found) {
  Asker asker(set, kFrameBytesMin);
  (void)asker.first();
  return asker.next(message, found);
}

void check_reply(const Set& set, const Bytes& reply) {
  CHECK(reply.size() <= kFrameBytesMin);
  // What this side writes, both sides can read.
  Differences found;
  CHECK(reply.empty() || answer(set, reply, kFrameBytesMin).has_value());
  CHECK(reply.empty() || next_question(set, reply, found).has_value());
}

}  // namespace

/// Any message is answered or refused, in its size; what this side has is all that it can say to
/// have, and it needs nothing that it has.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Set set = some_set();
  const ByteSpan message(data, size);
  const auto reply = answer(set, message, kFrameBytesMin);
  if (reply) check_reply(set, *reply);
  Differences found;
  const auto question = next_question(set, message, found);
  if (question) check_reply(set, *question);
  CHECK(found.have.size() <= set.size());
  CHECK(found.need.size() <= size / EventId::kSize);
  return 0;
}
