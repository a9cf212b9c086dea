#include "events/nip19.h"

#include "base/bytes.h"
#include "base/check.h"
#include "events/bech32.h"

#include <array>
#include <string>

using namespace nostril;  // NOLINT(google-build-using-namespace)

namespace {

std::string encoded(const nip19::Entity& entity) {
  return std::visit([](const auto& value) { return nip19::encode(value); }, entity);
}

/// What is decoded comes back the same from its own code.
void decode_twice(std::string_view code) {
  const auto first = nip19::decode(code);
  if (!first) return;
  const std::string text = encoded(*first);
  const auto second = nip19::decode(text);
  CHECK(second.has_value());
  CHECK(second->index() == first->index());
  CHECK(encoded(*second) == text);
}

}  // namespace

/// The input as a code, and as the data of a code with a right checksum, which mutation never hits.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  decode_twice(as_text({data, size}));
  if (size == 0 || size > 4000) return 0;
  constexpr std::array<std::string_view, 6> kPrefixes = {"npub",     "nsec",   "note",
                                                         "nprofile", "nevent", "naddr"};
  const ByteSpan body(data + 1, size - 1);
  const std::string_view prefix = kPrefixes[data[0] % kPrefixes.size()];
  const std::string code = encode_bech32(prefix, body);
  if (code.size() <= kBech32CharactersMax) {
    const auto decoded = decode_bech32(code);
    CHECK(decoded.has_value() && decoded->prefix == prefix);
    CHECK(decoded->data == Bytes(body.begin(), body.end()));
  }
  decode_twice(code);
  return 0;
}
