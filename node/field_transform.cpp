#include "node/field_transform.h"

#include "face/field_places.h"
#include "face/sse_rewriter.h"

#include <array>
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

Result<face::FieldEncryptionHeaders, ApiRefusal> read_headers(const net::HttpHeaders& headers) {
  face::FieldEncryptionHeaders out;
  const std::array<std::pair<std::string_view, std::optional<std::string_view>*>, 5> places{{
      {"X-Signing-Algo", &out.signing_algo},
      {"X-Client-Pub-Key", &out.client_public_key},
      {"X-Model-Pub-Key", &out.model_public_key},
      {"X-Encryption-Version", &out.encryption_version},
      {"X-Encrypt-All-Fields", &out.encrypt_all_fields},
  }};
  for (const auto& [name, place] : places) {
    const auto value = single_header(headers, name);
    if (!value) return failure(value.error());
    *place = *value;
  }
  return out;
}

Result<std::unique_ptr<ApiTransform>, ApiRefusal> make(const net::HttpRequest& request,
                                                       const face::LegacySigner& signer, Rng& rng) {
  if (request.headers.find("X-E2EE-Version")) return std::unique_ptr<ApiTransform>();
  const auto headers = read_headers(request.headers);
  if (!headers) return failure(headers.error());
  auto encryption = face::FieldEncryption::from_headers(*headers, signer);
  if (!encryption) return failure(ApiRefusal(encryption.error()));
  if (!*encryption) return std::unique_ptr<ApiTransform>();
  const auto endpoint = face::endpoint_of(request.path);
  if (!endpoint) {
    return failure(ApiRefusal(400, "bad_request", "Encryption is not supported on this path"));
  }
  const auto shared = std::make_shared<face::FieldEncryption>(**std::move(encryption));
  return make_field_transform({
      [shared, endpoint, &signer](std::string_view body) {
        return shared->decrypt_request(*endpoint, body, signer);
      },
      [shared, endpoint, &rng](std::string_view body) {
        return shared->encrypt_response(*endpoint, body, rng);
      },
  });
}

}  // namespace

std::unique_ptr<ApiTransform> make_field_transform(FieldCipher cipher) {
  return std::make_unique<FieldTransform>(std::move(cipher));
}

Result<std::optional<std::string_view>, ApiRefusal> single_header(const net::HttpHeaders& headers,
                                                                  std::string_view name) {
  if (headers.count(name) > 1) {
    return failure(ApiRefusal(400, "bad_request", "a header is given twice"));
  }
  return headers.find(name);
}

ApiTransformMaker field_transforms(const face::LegacySigner& signer, Rng& rng) {
  return [&signer, &rng](const net::HttpRequest& request) { return make(request, signer, rng); };
}

}  // namespace nostril::node
