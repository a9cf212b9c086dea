#include "node/api_exchange.h"

#include "base/json.h"

#include <utility>

namespace nostril::node {

net::HttpResponse json_response(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}}, std::move(body)};
}

net::HttpResponse to_response(const ApiRefusal& refusal) {
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
  net::HttpResponse response = json_response(refusal.status, std::move(out).take());
  for (const net::HttpHeader& field : refusal.headers.fields()) {
    response.headers.add(field.name, field.value);
  }
  return response;
}

}  // namespace nostril::node
