#include "face/ehbp.h"

#include "base/check.h"
#include "base/hex.h"
#include "tests/face/fuzz_keys.h"

#include <algorithm>

using namespace nostril;

namespace {

struct Outcome {
  std::string text;
  std::optional<face::EhbpError> error;

  bool operator==(const Outcome&) const = default;
};

Outcome decrypted(const X25519Key& key, std::string_view header, std::string_view body,
                  std::size_t step) {
  Outcome out;
  auto request = face::EhbpRequest::begin(key, header, 4096);
  if (!request) {
    out.error = request.error();
    return out;
  }
  for (std::size_t at = 0; at < body.size(); at += step) {
    if (auto fed = request->feed(body.substr(at, step), out.text); !fed) {
      out.error = fed.error();
      return out;
    }
  }
  if (auto ended = request->finish(); !ended) out.error = ended.error();
  return out;
}

/// Where the input has a frame's text: frames that open, as a client would make them.
std::string sealed(const X25519Key& key, const X25519Key& ephemeral, std::string_view text) {
  auto context = HpkeContext::send(key.public_key(), "ehbp request", ephemeral);
  std::string out;
  while (!text.empty()) {
    const std::string_view some = text.substr(0, 7);
    text.remove_prefix(some.size());
    Bytes frame{0, 0, 0, static_cast<std::uint8_t>(some.size() + kAeadTagBytes)};
    context->seal(frame, {}, as_bytes(some));
    out += as_text(frame);
  }
  return out;
}

}  // namespace

/// First byte: the split. Second: how many bytes of the rest are sealed before the others follow.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const X25519Key kKey = X25519Key::from_secret(face::test::fuzz_secret());
  static const Digest kSecret = sha256("ephemeral");
  static const X25519Key kEphemeral = X25519Key::from_secret(SecretBytes<32>(kSecret.span()));
  if (size < 2 || size > 8192) return 0;
  const std::string_view rest = as_text({data + 2, size - 2});
  const std::string_view genuine = rest.substr(0, data[1]);
  const std::string body =
      sealed(kKey, kEphemeral, genuine) + std::string(rest.substr(genuine.size()));
  const std::string header = encode_hex(kEphemeral.public_key());
  const Outcome whole = decrypted(kKey, header, body, body.size() + 1);
  CHECK(whole.text == genuine);
  CHECK(decrypted(kKey, header, body, data[0] % 32 + 1) == whole);
  (void)face::EhbpRequest::begin(kKey, rest);
  return 0;
}
