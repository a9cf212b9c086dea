#include "node/api_exchange.h"

#include "base/json.h"

#include <utility>

namespace nostril::node {

std::string_view api_error_type(int status) {
  switch (status) {
    case 401:
    case 403:
      return "unauthorized";
    case 402:
      return "payment_required";
    case 404:
      return "not_found";
    case 405:
      return "method_not_allowed";
    case 408:
      return "timeout";
    case 413:
      return "payload_too_large";
    case 429:
      return "rate_limited";
    default:
      return status < 500 ? "bad_request" : "server_error";
  }
}

net::HttpResponse json_response(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}}, std::move(body)};
}

namespace {

std::string error_body(const ApiRefusal& refusal) {
  JsonWriter out;
  out.begin_object().key("error").begin_object();
  out.key("message").string(refusal.message).key("type").string(refusal.type);
  out.key("param").null().key("code");
  if (refusal.code.empty()) {
    out.null();
  } else {
    out.string(refusal.code);
  }
  out.end_object().end_object();
  return std::move(out).take();
}

}  // namespace

net::HttpResponse to_response(const ApiRefusal& refusal) {
  net::HttpResponse response{refusal.status,
                             {{"Content-Type", std::string(refusal.content_type)}},
                             refusal.body.empty() ? error_body(refusal) : refusal.body};
  for (const net::HttpHeader& field : refusal.headers.fields()) {
    response.headers.add(field.name, field.value);
  }
  return response;
}

}  // namespace nostril::node
