#include "events/nip98.h"

#include "base/base64.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <string>

namespace nostril {

namespace {

constexpr EventLimits kLimits{.json_bytes_max = kNip98BytesMax,
                              .tags_max = 16,
                              .tag_elements_max = 4,
                              .tag_element_bytes_max = 4096,
                              .content_bytes_max = 1024};

/// The value of a tag that may stand once. `bad` when it stands twice or has no value.
std::optional<std::string_view> find_tag(const Event& event, std::string_view name, bool& bad) {
  std::optional<std::string_view> out;
  for (const auto& tag : event.tags) {
    if (tag.name() != name) continue;
    if (out || !tag.value()) bad = true;
    out = tag.value();
  }
  return out;
}

/// Methods are told apart by case; clients are not always.
bool is_same_method(std::string_view a, std::string_view b) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; };
  return std::ranges::equal(a, b, {}, upper, upper);
}

}  // namespace

std::string_view to_string(Nip98Error error) {
  switch (error) {
    case Nip98Error::BadForm:
      return "not a NIP-98 event in base64";
    case Nip98Error::BadSignature:
      return "the NIP-98 event is not signed by its key";
    case Nip98Error::OutOfTime:
      return "the NIP-98 event is too old, or of the future: check the clock";
    case Nip98Error::WrongTarget:
      return "the NIP-98 event is for another URL or method";
    case Nip98Error::WrongPayload:
      return "the NIP-98 event names no payload hash, or another body's";
    case Nip98Error::Repeated:
      return "the NIP-98 event was used before: sign a new one for each request";
    case Nip98Error::TooMany:
      return "too many signed requests at a time";
  }
  return "unknown";
}

Result<Nip98Token, Nip98Error> read_nip98(std::string_view base64, const Nip98Target& target,
                                          std::int64_t now_s, Verifier& verifier) {
  if (base64.size() > kNip98BytesMax) return failure(Nip98Error::BadForm);
  const auto json = decode_base64(base64);
  if (!json) return failure(Nip98Error::BadForm);
  auto parsed = parse_event(as_text(*json), kLimits);
  if (!parsed || parsed->event().kind != kNip98Kind) return failure(Nip98Error::BadForm);
  // What is cheap to refuse goes before the signature.
  const Event& event = parsed->event();
  bool bad = false;
  const auto url = find_tag(event, "u", bad);
  const auto method = find_tag(event, "method", bad);
  const auto payload = find_tag(event, "payload", bad);
  if (bad || !url || !method) return failure(Nip98Error::BadForm);
  Nip98Token out{event.id, event.pubkey, event.created_at, std::nullopt};
  if (payload) {
    out.payload = from_hex<Digest>(*payload);
    if (!out.payload) return failure(Nip98Error::BadForm);
  }
  if (event.created_at < now_s - kNip98PastSeconds ||
      event.created_at > now_s + kNip98FutureSeconds) {
    return failure(Nip98Error::OutOfTime);
  }
  if (*url != target.url || !is_same_method(*method, target.method)) {
    return failure(Nip98Error::WrongTarget);
  }
  if (!VerifiedEvent::verify(std::move(*parsed), verifier)) {
    return failure(Nip98Error::BadSignature);
  }
  return out;
}

Result<void, Nip98Error> check_payload(const Nip98Token& token, const std::optional<Digest>& body) {
  const bool right =
      body ? token.payload == body : !token.payload || *token.payload == sha256(std::string_view());
  if (!right) return failure(Nip98Error::WrongPayload);
  return {};
}

Result<void, Nip98Error> Nip98Replays::admit(const Nip98Token& token, std::int64_t now_s) {
  forgotten_before_ = std::max(forgotten_before_, now_s - kNip98PastSeconds);
  seen_.erase(seen_.begin(), seen_.lower_bound({forgotten_before_, EventId{}}));
  const std::pair key(token.created_at, token.id);
  if (token.created_at < forgotten_before_ || seen_.contains(key)) {
    return failure(Nip98Error::Repeated);
  }
  if (seen_.size() >= count_max_) return failure(Nip98Error::TooMany);
  seen_.insert(key);
  return {};
}

}  // namespace nostril
