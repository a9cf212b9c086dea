#include "node/ehbp_transform.h"

#include "face/ehbp.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace nostril::node {

namespace {

ApiRefusal refusal_of(face::EhbpError error) {
  const int status = face::http_status(error);
  ApiRefusal out(status, status == 413 ? "payload_too_large" : "bad_request", to_string(error));
  if (error == face::EhbpError::KeyMismatch) {
    out.content_type = face::kEhbpProblemType;
    out.body = face::ehbp_problem_json();
  }
  return out;
}

class EhbpTransform final : public ApiTransform {
 public:
  EhbpTransform(face::EhbpRequest request, Rng& rng) : request_(std::move(request)), rng_(rng) {}

  Result<std::string, ApiRefusal> open(std::string_view /*path*/, std::string body) override {
    std::string out;
    auto read = request_.feed(body, out);
    if (read) read = request_.finish();
    if (!read) return failure(refusal_of(read.error()));
    answer_ = request_.answer(rng_);
    return out;
  }

  void begin(int /*status*/, bool /*stream*/, net::HttpHeaders& headers) override {
    headers.add(std::string(face::kEhbpNonceHeader), answer_->nonce());
  }

  [[nodiscard]] bool hides_errors() const override { return true; }

  bool seal(std::string_view bytes, std::string& out) override {
    answer_->seal(bytes, out);
    return true;
  }

  bool finish(std::string& /*out*/) override { return true; }

 private:
  face::EhbpRequest request_;
  Rng& rng_;
  std::optional<face::EhbpResponse> answer_;  ///< since open()
};

}  // namespace

ApiTransformMaker ehbp_transforms(const X25519Key& key, Rng& rng) {
  using Made = Result<std::unique_ptr<ApiTransform>, ApiRefusal>;
  return [&key, &rng](const net::HttpRequest& request) -> Made {
    const auto header = request.headers.find(face::kEhbpKeyHeader);
    if (!header) return nullptr;
    if (request.headers.count(face::kEhbpKeyHeader) > 1) {
      return failure(refusal_of(face::EhbpError::BadKeyHeader));
    }
    auto begun = face::EhbpRequest::begin(key, *header);
    if (!begun) return failure(refusal_of(begun.error()));
    return std::make_unique<EhbpTransform>(*std::move(begun), rng);
  };
}

ApiRoute ehbp_keys_route(const X25519Key& key) {
  return {"GET", std::string(face::kEhbpKeysPath), false,
          [config = face::ehbp_key_config(key.public_key())](const net::HttpRequest& /*request*/,
                                                             const net::PeerAddress& /*peer*/,
                                                             const ApiReply& reply) {
            reply({200, {{"Content-Type", std::string(face::kEhbpKeysType)}}, config});
          }};
}

}  // namespace nostril::node
