#include "face/ohttp.h"

#include "base/json.h"

#include "face/binary_http.h"
#include "face/text.h"

#include <array>
#include <optional>

namespace nostril::face {

namespace {

constexpr std::uint8_t kKeyId = 1;
constexpr std::array<HpkeAead, 2> kAeads = {HpkeAead::Aes128Gcm, HpkeAead::Aes256Gcm};
constexpr std::size_t kHeadBytes = 7;
constexpr std::size_t kEncBytes = 32;
constexpr std::string_view kFinal = "final";

std::string head_of(HpkeAead aead) {
  std::string out(1, static_cast<char>(kKeyId));
  for (const std::uint16_t id : {kHpkeKem, kHpkeKdf, static_cast<std::uint16_t>(aead)}) {
    append_u16(out, id);
  }
  return out;
}

std::optional<HpkeAead> aead_of(std::string_view head) {
  for (const HpkeAead aead : kAeads) {
    if (head == head_of(aead)) return aead;
  }
  return std::nullopt;
}

std::string_view request_label(OhttpForm form) {
  return form == OhttpForm::Whole ? "message/bhttp request" : "message/bhttp chunked request";
}

std::string_view response_label(OhttpForm form) {
  return form == OhttpForm::Whole ? "message/bhttp response" : "message/bhttp chunked response";
}

std::optional<std::string> open_whole(HpkeContext& context, std::string_view sealed) {
  const auto text = context.open({}, as_bytes(sealed));
  if (!text) return std::nullopt;
  return std::string(as_text(*text));
}

std::optional<std::string> open_chunks(HpkeContext& context, std::string_view rest) {
  std::string out;
  for (;;) {
    std::uint64_t size = 0;
    if (!take_quic_number(rest, size) || size > rest.size()) return std::nullopt;
    const bool last = size == 0;
    const std::string_view sealed = last ? rest : rest.substr(0, size);
    const auto text = context.open(last ? as_bytes(kFinal) : ByteSpan{}, as_bytes(sealed));
    if (!text) return std::nullopt;
    out += as_text(*text);
    if (last) return out;
    rest.remove_prefix(size);
  }
}

OhttpResponse make_response(const HpkeContext& context, const X25519PublicKey& enc, HpkeAead aead,
                            OhttpForm form, Rng& rng) {
  Bytes nonce(hpke_key_bytes(aead));
  rng.fill(nonce);
  const std::string_view label = response_label(form);
  std::string text(as_text(nonce));
  if (aead == HpkeAead::Aes128Gcm) {
    return {response_sequence(context.export_short_secret(label).expose(), enc, nonce, aead),
            std::move(text)};
  }
  return {response_sequence(context.export_secret(label).expose(), enc, nonce, aead),
          std::move(text)};
}

}  // namespace

std::string_view request_type(OhttpForm form) {
  return form == OhttpForm::Whole ? "message/ohttp-req" : "message/ohttp-chunked-req";
}

std::string_view response_type(OhttpForm form) {
  return form == OhttpForm::Whole ? "message/ohttp-res" : "message/ohttp-chunked-res";
}

std::string_view to_string(OhttpError error) {
  return error == OhttpError::UnknownKey ? "unknown key configuration"
                                         : "malformed oblivious request";
}

std::string ohttp_problem_json() {
  JsonWriter out;
  out.begin_object().key("type").string(
      "https://iana.org/assignments/http-problem-types#ohttp-key");
  out.key("title").string(to_string(OhttpError::UnknownKey)).end_object();
  return std::move(out).take();
}

std::string ohttp_key_config(const X25519PublicKey& key) {
  std::string out(1, static_cast<char>(kKeyId));
  append_u16(out, kHpkeKem);
  out += as_text(key.bytes);
  append_u16(out, static_cast<std::uint16_t>(4 * kAeads.size()));  // bytes of suites
  for (const HpkeAead aead : kAeads) {
    append_u16(out, kHpkeKdf);
    append_u16(out, static_cast<std::uint16_t>(aead));
  }
  return out;
}

std::string OhttpResponse::seal(std::string_view message) {
  Bytes out(nonce_.begin(), nonce_.end());
  messages_.seal(out, {}, as_bytes(message));
  return std::string(as_text(out));
}

void OhttpResponse::seal_part(std::string_view part, std::string& out) {
  while (!part.empty()) {
    const std::string_view some = part.substr(0, kChunkBytesMax);
    part.remove_prefix(some.size());
    Bytes sealed;
    messages_.seal(sealed, {}, as_bytes(some));
    append_quic_number(out, sealed.size());
    out += as_text(sealed);
  }
}

void OhttpResponse::seal_end(std::string& out) {
  Bytes sealed;
  messages_.seal(sealed, as_bytes(kFinal), {});
  append_quic_number(out, 0);
  out += as_text(sealed);
}

Result<OhttpOpened, OhttpError> open_ohttp(const X25519Key& key, OhttpForm form,
                                           std::string_view body, Rng& rng) {
  if (body.size() < kHeadBytes + kEncBytes + kAeadTagBytes) {
    return failure(OhttpError::Malformed);
  }
  const std::string_view head = body.substr(0, kHeadBytes);
  const auto aead = aead_of(head);
  if (!aead) return failure(OhttpError::UnknownKey);
  X25519PublicKey enc;
  std::ranges::copy(as_bytes(body.substr(kHeadBytes, kEncBytes)), enc.bytes.begin());
  std::string info(request_label(form));
  info += '\0';
  info += head;
  auto context = HpkeContext::receive(key, enc, info, *aead);
  if (!context) return failure(OhttpError::Malformed);
  const std::string_view sealed = body.substr(kHeadBytes + kEncBytes);
  auto message =
      form == OhttpForm::Whole ? open_whole(*context, sealed) : open_chunks(*context, sealed);
  if (!message) return failure(OhttpError::UnknownKey);
  return OhttpOpened{*std::move(message), make_response(*context, enc, *aead, form, rng)};
}

}  // namespace nostril::face
