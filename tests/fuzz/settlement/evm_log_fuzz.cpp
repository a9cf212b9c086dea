#include "base/check.h"
#include "settlement/evm/abi.h"
#include "settlement/evm/log.h"

#include <algorithm>
#include <vector>

using namespace nostril;                   // NOLINT(google-build-using-namespace)
using namespace nostril::settlement::evm;  // NOLINT(google-build-using-namespace)

/// First byte: how many topics. Then topics and data, as a log entry; and all of it as an answer.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  ByteSpan rest(data + 1, size - 1);
  std::vector<Digest> topics;
  for (int i = 0; i < data[0] % 6 && rest.size() >= Digest::kSize; ++i) {
    topics.push_back(*Digest::from(rest.first(Digest::kSize)));
    rest = rest.subspan(Digest::kSize);
  }
  (void)parse_log(topics, rest);

  const ByteSpan answer(data + 1, size - 1);
  if (const auto state = parse_channel_state(answer)) {
    CHECK(state->claimed <= state->locked);
    CHECK(state->known || *state == ChannelState{});
  }
  if (const auto amount = parse_amount(answer)) {
    Bytes word;
    append_number_word(word, amount->value());
    CHECK(std::ranges::equal(word, answer));
  }
  return 0;
}
