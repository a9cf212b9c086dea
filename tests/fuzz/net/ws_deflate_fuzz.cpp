// Compressed messages: bounded, the same events however the bytes are cut, and what we compress
// comes back.
#include "base/check.h"
#include "tests/fuzz/net/ws_events.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace nostril::net;

constexpr std::size_t kMessageBytesMax = 20'000;

std::string outcome(const std::vector<std::uint8_t>& bytes, WsRole role, bool takeover,
                    std::size_t piece_bytes) {
  WsInflaters inflaters(takeover);
  return events_of(WsDecoder(role, kMessageBytesMax, &inflaters), kMessageBytesMax, bytes,
                   piece_bytes);
}

// As a relay sends it to two readers, and as a client with history does.
void check_round_trip(std::string_view text, std::size_t cut, bool takeover) {
  cut = std::min(cut, text.size());
  WsInflater inflater(takeover);
  WsDeflater deflater({}, 9 + static_cast<int>(text.size() % 7), takeover);
  for (int i = 0; i < 2; ++i) {
    std::string payload;
    deflater.append_message(payload, text.substr(0, cut), text.substr(cut));
    CHECK(payload.size() <= deflated_bytes_max(text.size()));
    CHECK(*inflater.inflate(payload, text.size()) == text);
  }
  WsSharedForms forms({});
  const auto shared = std::make_shared<const std::string>(text);
  const auto form = forms.form_of(shared, "]");
  if (!form) return;
  std::string payload;
  if (cut > 0) append_stored_block(payload, text.substr(0, cut));
  payload += *form;
  WsInflater reader(false);
  const std::string expected = std::string(text.substr(0, cut)) + std::string(text) + "]";
  CHECK(*reader.inflate(payload, expected.size()) == expected);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const WsRole role = (data[0] & 1U) != 0 ? WsRole::Client : WsRole::Server;
  const bool takeover = (data[0] & 2U) != 0;
  const std::vector<std::uint8_t> bytes(data + 2, data + size);
  const std::string whole = outcome(bytes, role, takeover, size);
  CHECK(outcome(bytes, role, takeover, 1) == whole);
  CHECK(outcome(bytes, role, takeover, std::size_t{2} + data[1]) == whole);
  check_round_trip({reinterpret_cast<const char*>(data + 2), size - 2}, data[1], takeover);
  return 0;
}
