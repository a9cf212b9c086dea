#include "client/gateway/protocol.h"

#include "base/json.h"

#include <utility>

namespace nostril::client {

namespace {

std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 402:
      return "billing_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

std::string error_body(Protocol protocol, const ApiError& error) {
  JsonWriter w;
  w.begin_object();
  switch (protocol) {
    case Protocol::OpenAi:
      w.key("error").begin_object();
      w.key("message").string(error.message).key("type").string(error.type);
      w.key("param").null().key("code").string(error.type).end_object();
      break;
    case Protocol::Anthropic:
      w.key("type").string("error").key("error").begin_object();
      w.key("type").string(anthropic_type(error.status)).key("message").string(error.message);
      w.end_object();
      break;
    case Protocol::Ollama:
      w.key("error").string(error.message);
      break;
  }
  w.end_object();
  return std::move(w).take();
}

net::HttpResponse json_response(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}}, std::move(body)};
}

net::HttpResponse error_response(Protocol protocol, const ApiError& error) {
  net::HttpResponse out = json_response(error.status, error_body(protocol, error));
  if (error.final) out.headers.add("x-should-retry", "false");
  if (error.retry_after_s > 0) out.headers.add("Retry-After", std::to_string(error.retry_after_s));
  return out;
}

}  // namespace nostril::client
