#include "node/ohttp_envelope.h"

#include "face/binary_http.h"
#include "face/ohttp.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace nostril::node {

namespace {

using face::OhttpForm;

constexpr int kOk = 200;

ApiRefusal malformed() {
  return {400, "bad_request", face::to_string(face::OhttpError::Malformed)};
}

ApiRefusal refusal_of(face::OhttpError error) {
  ApiRefusal out(400, "bad_request", face::to_string(error));
  if (error == face::OhttpError::UnknownKey) {
    out.content_type = face::kOhttpProblemType;
    out.body = face::ohttp_problem_json();
  }
  return out;
}

face::BinaryFields fields_of(const net::HttpHeaders& headers) {
  face::BinaryFields out;
  for (const net::HttpHeader& field : headers.fields()) out.emplace_back(field.name, field.value);
  return out;
}

/// Seals what is written to it; a stream is kept until its end, since this form knows no parts.
class WholeWire final : public ApiWire {
 public:
  WholeWire(std::shared_ptr<ApiWire> outer, face::OhttpResponse seal, std::size_t bytes_max)
      : outer_(std::move(outer)), seal_(std::move(seal)), bytes_max_(bytes_max) {}

  void respond(net::HttpResponse response) override {
    send(face::binary_response(response.status, fields_of(response.headers), response.body));
  }

  void start_stream(int status, net::HttpHeaders headers) override {
    kept_.status = status;
    kept_.headers = std::move(headers);
  }

  void write(std::string_view bytes) override {
    if (kept_.body.size() + bytes.size() > bytes_max_) return drop();
    kept_.body += bytes;
  }

  void end_stream() override { respond(kept_); }

  void drop() override { outer_->drop(); }

  [[nodiscard]] std::size_t pending_bytes() const override { return 0; }

 private:
  void send(const std::string& message) {
    const std::string type(face::response_type(OhttpForm::Whole));
    outer_->respond({kOk, {{"Content-Type", type}}, seal_.seal(message)});
  }

  std::shared_ptr<ApiWire> outer_;
  face::OhttpResponse seal_;
  std::size_t bytes_max_;
  net::HttpResponse kept_;
};

/// Seals each part as it is written.
class ChunkedWire final : public ApiWire {
 public:
  ChunkedWire(std::shared_ptr<ApiWire> outer, face::OhttpResponse seal)
      : outer_(std::move(outer)), seal_(std::move(seal)) {}

  void respond(net::HttpResponse response) override {
    begin();
    send(face::binary_response(response.status, fields_of(response.headers), response.body));
    finish();
  }

  void start_stream(int status, net::HttpHeaders headers) override {
    begin();
    send(face::binary_response_head(status, fields_of(headers)));
  }

  void write(std::string_view bytes) override {
    std::string message;
    face::append_binary_content(message, bytes);
    send(message);
  }

  void end_stream() override {
    std::string message;
    face::append_binary_end(message);
    send(message);
    finish();
  }

  void drop() override { outer_->drop(); }

  [[nodiscard]] std::size_t pending_bytes() const override { return outer_->pending_bytes(); }

 private:
  void begin() {
    const std::string type(face::response_type(OhttpForm::Chunked));
    outer_->start_stream(kOk, {{"Content-Type", type}, {"Cache-Control", "no-cache"}});
    outer_->write(seal_.nonce());
  }

  void send(std::string_view message) {
    std::string out;
    seal_.seal_part(message, out);
    if (!out.empty()) outer_->write(out);
  }

  void finish() {
    std::string out;
    seal_.seal_end(out);
    outer_->write(out);
    outer_->end_stream();
  }

  std::shared_ptr<ApiWire> outer_;
  face::OhttpResponse seal_;
};

/// What is about one connection says nothing here.
bool is_of_connection(std::string_view name) {
  constexpr std::array<std::string_view, 7> kNames = {
      "connection", "content-length",    "expect", "host",
      "keep-alive", "transfer-encoding", "upgrade"};
  return std::ranges::any_of(
      kNames, [name](std::string_view each) { return net::equals_ignoring_case(name, each); });
}

Result<net::HttpRequest, ApiRefusal> to_request(face::BinaryRequest inner,
                                                const net::HttpRequest& outer) {
  if (!net::is_http_token(inner.method) || !inner.path.starts_with('/') ||
      !std::ranges::all_of(inner.path, [](char c) { return c > ' ' && c < '\x7f'; })) {
    return failure(malformed());
  }
  net::HttpRequest out;
  out.method = std::move(inner.method);
  out.target = std::move(inner.path);
  const std::size_t mark = std::min(out.target.find('?'), out.target.size());
  out.path = out.target.substr(0, mark);
  out.query = out.target.substr(std::min(mark + 1, out.target.size()));
  out.body = std::move(inner.content);
  const auto authorization = outer.headers.find("Authorization");
  if (outer.headers.count("Authorization") > 1) return failure(malformed());
  if (authorization) out.headers.add("Authorization", std::string(*authorization));
  for (auto& [name, value] : inner.fields) {
    if (!net::is_http_token(name) || !net::is_http_field_value(value)) {
      return failure(malformed());
    }
    const bool replaced = authorization && net::equals_ignoring_case(name, "Authorization");
    if (replaced || is_of_connection(name)) continue;
    out.headers.add(std::move(name), std::move(value));
  }
  return out;
}

Result<OhttpForm, ApiRefusal> form_of(const net::HttpRequest& request) {
  const auto type = request.headers.find("Content-Type");
  for (const OhttpForm form : {OhttpForm::Whole, OhttpForm::Chunked}) {
    if (type == face::request_type(form)) return form;
  }
  return failure(ApiRefusal(415, "bad_request", "not an oblivious request by its Content-Type"));
}

}  // namespace

ApiEnvelope ohttp_envelope(const X25519Key& key, Rng& rng, std::size_t whole_bytes_max) {
  const auto open = [&key, &rng, whole_bytes_max](
                        const net::HttpRequest& request,
                        const std::shared_ptr<ApiWire>& wire) -> Result<ApiInner, ApiRefusal> {
    const auto form = form_of(request);
    if (!form) return failure(form.error());
    auto opened = face::open_ohttp(key, *form, request.body, rng);
    if (!opened) return failure(refusal_of(opened.error()));
    auto parsed = face::parse_binary_request(opened->message);
    if (!parsed) return failure(malformed());
    auto inner = to_request(*std::move(parsed), request);
    if (!inner) return failure(std::move(inner.error()));
    ApiInner out{*std::move(inner), nullptr};
    if (*form == OhttpForm::Chunked) {
      out.wire = std::make_shared<ChunkedWire>(wire, std::move(opened->response));
    } else {
      out.wire = std::make_shared<WholeWire>(wire, std::move(opened->response), whole_bytes_max);
    }
    return out;
  };
  return {std::string(face::kOhttpPath), open};
}

std::vector<ApiRoute> ohttp_key_routes(const X25519Key& key) {
  std::vector<ApiRoute> out;
  for (const std::string_view path : {face::kOhttpKeysPath, face::kOhttpKeysOtherPath}) {
    const auto answer = [config = face::ohttp_key_config(key.public_key())](
                            const net::HttpRequest& /*request*/, const net::PeerAddress& /*peer*/,
                            const ApiReply& reply) {
      reply({kOk, {{"Content-Type", std::string(face::kOhttpKeysType)}}, config});
    };
    out.push_back({"GET", std::string(path), false, answer});
  }
  return out;
}

}  // namespace nostril::node
