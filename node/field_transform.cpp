#include "node/field_transform.h"

#include "net/utf8.h"
#include "node/endpoint.h"
#include "node/form_body.h"

#include "face/aci_encryption.h"
#include "face/field_places.h"
#include "face/sse_rewriter.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

namespace nostril::node {

namespace {

constexpr int kOk = 200;

class FieldTransform final : public ApiTransform {
 public:
  explicit FieldTransform(FieldCipher cipher)
      : cipher_(std::move(cipher)),
        events_([this](std::string_view data) { return seal_event(data); }) {}

  Result<std::string, ApiRefusal> open(std::string_view /*path*/, std::string body) override {
    auto opened = cipher_.open(body);
    if (!opened) return failure(ApiRefusal(opened.error()));
    return *std::move(opened);
  }

  void begin(int status, bool stream, net::HttpHeaders& headers) override {
    status_ = status;
    stream_ = stream;
    if (status_ != kOk) return;
    for (const net::HttpHeader& field : cipher_.headers.fields()) {
      headers.add(field.name, field.value);
    }
  }

  bool seal(std::string_view bytes, std::string& out) override {
    if (stream_) return events_.feed(bytes, out).has_value();
    whole_ += bytes;
    return true;
  }

  bool finish(std::string& out) override {
    if (stream_) return events_.finish(out).has_value();
    if (status_ != kOk) {  // our own words
      out += whole_;
      return true;
    }
    const auto sealed = cipher_.seal(whole_);
    if (!sealed) return false;
    out += *sealed;
    return true;
  }

 private:
  std::optional<std::string> seal_event(std::string_view data) const {
    auto sealed = cipher_.seal(data);
    if (!sealed) return std::nullopt;
    return *std::move(sealed);
  }

  FieldCipher cipher_;
  face::SseRewriter events_;
  std::string whole_;
  int status_ = 0;
  bool stream_ = false;
};

Result<face::FieldEncryptionHeaders, ApiRefusal> encryption_headers(
    const net::HttpHeaders& headers) {
  face::FieldEncryptionHeaders out;
  const auto read = read_headers(headers, {
                                              {"X-Signing-Algo", &out.signing_algo},
                                              {"X-Client-Pub-Key", &out.client_public_key},
                                              {"X-Model-Pub-Key", &out.model_public_key},
                                              {"X-Encryption-Version", &out.encryption_version},
                                              {"X-Encrypt-All-Fields", &out.encrypt_all_fields},
                                              {"X-E2EE-Version", &out.e2ee_version},
                                              {"X-E2EE-Nonce", &out.e2ee_nonce},
                                              {"X-E2EE-Timestamp", &out.e2ee_timestamp},
                                          });
  if (!read) return failure(read.error());
  return out;
}

Result<std::string, face::ApiError> refuse_form(std::string_view message) {
  return failure(face::ApiError{400, "bad_request", message});
}

/// Whether the answer has content where no field is: tokens, segments, events, addresses.
bool answers_beside_fields(const FormPart& part) {
  if (part.name == "stream") return part.content != "false";
  if (part.name == "response_format") return part.content != "json" && part.content != "b64_json";
  return part.name.starts_with("include") || part.name.starts_with("timestamp_granularities");
}

/// The `prompt` of an uploaded form is its only field; files come as they are.
Result<std::string, face::ApiError> open_form(std::string_view body,
                                              face::FieldEncryption& encryption,
                                              const face::LegacySigner& signer) {
  const auto form = parse_form_body(body);
  if (!form) return refuse_form("The body is not a form");
  const FormPart* prompt = nullptr;
  for (const FormPart& part : form->parts) {
    if (answers_beside_fields(part)) {
      return refuse_form("Encryption is not supported for this form of answer");
    }
    if (part.name != "prompt" || part.content.empty()) continue;
    if (prompt != nullptr || part.is_file) return refuse_form("The form has no single prompt");
    prompt = &part;
  }
  if (prompt == nullptr) return std::string(body);
  const auto text = encryption.decrypt_field(prompt->content, signer);
  if (!text || !net::is_utf8(*text)) return refuse_form("Decryption failed");
  const auto at = static_cast<std::size_t>(prompt->content.data() - body.data());
  std::string out(body);
  out.replace(at, prompt->content.size(), *text);
  // The text must not end its part and begin others.
  const auto opened = parse_form_body(out);
  const bool same = opened && std::ranges::equal(opened->parts, form->parts, {}, &FormPart::name,
                                                 &FormPart::name);
  if (!same) return refuse_form("Decryption failed");
  return out;
}

/// Phala's version 2: its time is now, and the request is the first of its name.
Result<void, ApiRefusal> check_once(const face::FieldEncryption& encryption,
                                    face::AciReplays& replays, std::int64_t now_s) {
  const auto once = encryption.once();
  if (!once) return {};
  if (!face::is_in_aci_window(once->timestamp, now_s)) {
    return failure(
        ApiRefusal(400, "e2ee_invalid_timestamp", "X-E2EE-Timestamp is not within 300 s of now"));
  }
  if (!replays.admit(once->id, once->timestamp, now_s)) {
    return failure(ApiRefusal(400, "e2ee_replay_detected",
                              "These X-E2EE-Nonce and X-E2EE-Timestamp were used before"));
  }
  return {};
}

net::HttpHeaders answer_headers(const face::FieldEncryption& encryption) {
  net::HttpHeaders out;
  out.add("X-E2EE-Applied", "true");
  if (!encryption.e2ee_version().empty()) {
    out.add("X-E2EE-Version", std::string(encryption.e2ee_version()));
  }
  out.add("X-E2EE-Algo", std::string(to_string(encryption.algorithm())));
  return out;
}

bool is_acis(const face::FieldEncryptionHeaders& headers) {
  return !headers.signing_algo &&
         (headers.e2ee_version || headers.e2ee_nonce || headers.e2ee_timestamp);
}

Result<std::unique_ptr<ApiTransform>, ApiRefusal> make(const net::HttpRequest& request,
                                                       const face::LegacySigner& signer,
                                                       face::AciReplays& replays, Clock& clock,
                                                       Rng& rng) {
  const auto headers = encryption_headers(request.headers);
  if (!headers) return failure(headers.error());
  if (is_acis(*headers)) return std::unique_ptr<ApiTransform>();
  auto encryption = face::FieldEncryption::from_headers(*headers, signer);
  if (!encryption) return failure(ApiRefusal(encryption.error()));
  if (!*encryption) return std::unique_ptr<ApiTransform>();
  const auto endpoint = face::endpoint_of(request.path);
  if (!endpoint) {
    return failure(ApiRefusal(400, "bad_request", "Encryption is not supported on this path"));
  }
  if (const auto checked = check_once(**encryption, replays, clock.unix_s()); !checked) {
    return failure(checked.error());
  }
  const auto shared = std::make_shared<face::FieldEncryption>(**std::move(encryption));
  const Endpoint* served = find_endpoint(request.path);
  const bool is_form = served != nullptr && served->is_form;
  return make_field_transform({
      [shared, endpoint, is_form, &signer](std::string_view body) {
        if (is_form) return open_form(body, *shared, signer);
        return shared->decrypt_request(*endpoint, body, signer);
      },
      [shared, endpoint, &rng](std::string_view body) {
        return shared->encrypt_response(*endpoint, body, rng);
      },
      answer_headers(*shared),
  });
}

}  // namespace

std::unique_ptr<ApiTransform> make_field_transform(FieldCipher cipher) {
  return std::make_unique<FieldTransform>(std::move(cipher));
}

Result<void, ApiRefusal> read_headers(const net::HttpHeaders& headers,
                                      std::initializer_list<HeaderPlace> places) {
  for (const HeaderPlace& place : places) {
    if (headers.count(place.name) > 1) {
      return failure(ApiRefusal(400, "bad_request", "a header is given twice"));
    }
    *place.value = headers.find(place.name);
  }
  return {};
}

ApiTransformMaker field_transforms(const face::LegacySigner& signer, Clock& clock, Rng& rng) {
  // The keys outlive a start, so what was taken before this one must not be taken again.
  constexpr std::size_t kReplaysMax = 1U << 17;
  const auto replays = std::make_shared<face::AciReplays>(kReplaysMax, clock.unix_s());
  return [&signer, &clock, &rng, replays](const net::HttpRequest& request) {
    return make(request, signer, *replays, clock, rng);
  };
}

}  // namespace nostril::node
