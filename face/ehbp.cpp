#include "face/ehbp.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/json.h"

#include "face/text.h"

#include <algorithm>
#include <array>

namespace nostril::face {

namespace {

constexpr std::string_view kRequestInfo = "ehbp request";
constexpr std::string_view kExportLabel = "ehbp response";
constexpr std::size_t kSizeBytes = 4;
constexpr std::size_t kPartBytesMax = 1U << 20;  // readers keep a whole frame in memory

std::size_t frame_size(std::string_view head) {
  std::size_t size = 0;
  for (const std::uint8_t byte : as_bytes(head.substr(0, kSizeBytes))) size = size << 8 | byte;
  return size;
}

}  // namespace

std::string_view to_string(EhbpError error) {
  switch (error) {
    case EhbpError::KeyMismatch:
      return "key configuration mismatch";
    case EhbpError::FrameTooLarge:
      return "a frame is too large";
    case EhbpError::BadKeyHeader:
    case EhbpError::BadFrame:
    case EhbpError::BadTag:
    case EhbpError::NoFrame:
      break;
  }
  return "malformed encrypted request";
}

int http_status(EhbpError error) {
  if (error == EhbpError::KeyMismatch) return 422;
  return error == EhbpError::FrameTooLarge ? 413 : 400;
}

std::string ehbp_key_config(const X25519PublicKey& key) {
  std::string out(1, '\0');  // key id
  append_u16(out, kHpkeKem);
  out += as_text(key.bytes);
  append_u16(out, 4);  // bytes of suites
  append_u16(out, kHpkeKdf);
  append_u16(out, static_cast<std::uint16_t>(HpkeAead::Aes256Gcm));
  return out;
}

std::string ehbp_problem_json() {
  JsonWriter out;
  out.begin_object().key("type").string("urn:ietf:params:ehbp:error:key-config");
  out.key("title").string(to_string(EhbpError::KeyMismatch)).end_object();
  return std::move(out).take();
}

void EhbpResponse::seal(std::string_view part, std::string& out) {
  while (!part.empty()) {
    const std::string_view some = part.substr(0, kPartBytesMax);
    part.remove_prefix(some.size());
    Bytes frame(kSizeBytes);
    frames_.seal(frame, {}, as_bytes(some));
    const std::size_t size = frame.size() - kSizeBytes;
    for (std::size_t i = 0; i < kSizeBytes; ++i) {
      frame[i] = static_cast<std::uint8_t>(size >> (8 * (kSizeBytes - 1 - i)));
    }
    out += as_text(frame);
  }
}

Result<EhbpRequest, EhbpError> EhbpRequest::begin(const X25519Key& key, std::string_view key_header,
                                                  std::size_t frame_bytes_max) {
  const auto enc = from_hex<X25519PublicKey>(key_header);
  if (!enc) return failure(EhbpError::BadKeyHeader);
  auto context = HpkeContext::receive(key, *enc, kRequestInfo);
  if (!context) return failure(EhbpError::BadKeyHeader);
  return EhbpRequest(*std::move(context), *enc, frame_bytes_max);
}

Result<void, EhbpError> EhbpRequest::feed(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    // As much as the frame under way lacks, so that `partial_` never holds more than one.
    const std::size_t wanted =
        partial_.size() < kSizeBytes ? kSizeBytes : kSizeBytes + frame_size(partial_);
    const std::string_view some = bytes.substr(0, wanted - partial_.size());
    partial_ += some;
    bytes.remove_prefix(some.size());
    if (auto taken = take_frame(out); !taken) return failure(taken.error());
  }
  return {};
}

Result<bool, EhbpError> EhbpRequest::take_frame(std::string& out) {
  if (partial_.size() < kSizeBytes) return false;
  const std::size_t size = frame_size(partial_);
  if (size > frame_bytes_max_) return failure(EhbpError::FrameTooLarge);
  if (size != 0 && size < kAeadTagBytes) return failure(EhbpError::BadFrame);
  if (partial_.size() < kSizeBytes + size) return false;
  if (size != 0) {
    const auto text = context_.open({}, as_bytes(partial_).subspan(kSizeBytes));
    if (!text) return failure(opened_ == 0 ? EhbpError::KeyMismatch : EhbpError::BadTag);
    ++opened_;
    out += as_text(*text);
  }
  partial_.clear();
  return true;
}

Result<void, EhbpError> EhbpRequest::finish() const {
  if (!partial_.empty()) return failure(EhbpError::BadFrame);
  if (opened_ == 0) return failure(EhbpError::NoFrame);
  return {};
}

EhbpResponse EhbpRequest::answer(Rng& rng) const {
  CHECK(opened_ > 0);
  std::array<std::uint8_t, kResponseNonceBytes> nonce{};
  rng.fill(nonce);
  return {response_sequence(context_.export_secret(kExportLabel).expose(), enc_, nonce),
          encode_hex(nonce)};
}

}  // namespace nostril::face
