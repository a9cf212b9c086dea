#include "face/ohttp.h"

#include "base/check.h"
#include "tests/face/fuzz_keys.h"

#include "face/binary_http.h"

#include <algorithm>

using namespace nostril;

namespace {

class ZeroRng final : public Rng {
 public:
  void fill(std::span<std::uint8_t> out) override { std::ranges::fill(out, std::uint8_t{0}); }
};

/// What a client would send that seals `text` in parts of `step` bytes.
std::string sealed(const X25519Key& key, const X25519Key& ephemeral, std::string_view text,
                   std::size_t step) {
  const std::string head("\x01\0\x20\0\x01\0\x01", 7);
  const std::string info = "message/bhttp chunked request" + std::string(1, '\0') + head;
  auto context = HpkeContext::send(key.public_key(), info, ephemeral, HpkeAead::Aes128Gcm);
  std::string out = head + std::string(as_text(ephemeral.public_key().bytes));
  while (!text.empty()) {
    Bytes some;
    context->seal(some, {}, as_bytes(text.substr(0, step)));
    text.remove_prefix(std::min(step, text.size()));
    face::append_quic_number(out, some.size());
    out += as_text(some);
  }
  Bytes last;
  context->seal(last, as_bytes(std::string_view("final")), {});
  face::append_quic_number(out, 0);
  return out + std::string(as_text(last));
}

}  // namespace

/// First byte: the split. The rest: a binary request, sealed and opened; and a body as it came.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const X25519Key kKey = X25519Key::from_secret(face::test::fuzz_secret());
  static const Digest kSecret = sha256("ephemeral");
  static const X25519Key kEphemeral = X25519Key::from_secret(SecretBytes<32>(kSecret.span()));
  if (size < 1 || size > 8192) return 0;
  const std::string_view message = as_text({data + 1, size - 1});
  ZeroRng rng;
  const std::size_t step = data[0] % 64U + 1;
  const auto opened = face::open_ohttp(kKey, face::OhttpForm::Chunked,
                                       sealed(kKey, kEphemeral, message, step), rng);
  CHECK(opened && opened->message == message);
  for (const auto form : {face::OhttpForm::Whole, face::OhttpForm::Chunked}) {
    (void)face::open_ohttp(kKey, form, message, rng);
  }
  if (const auto read = face::parse_binary_request(message)) {
    std::size_t bytes = read->method.size() + read->path.size() + read->content.size();
    for (const auto& [name, value] : read->fields) bytes += name.size() + value.size();
    CHECK(bytes <= message.size());
  }
  return 0;
}
