#include "face/api_error.h"

#include "base/json.h"

#include <utility>

namespace nostril::face {

std::string error_json(const ApiError& error) {
  JsonWriter out;
  out.begin_object().key("error").begin_object();
  out.key("message").string(error.message).key("type").string(error.type);
  out.key("param").null().key("code").null().end_object().end_object();
  return std::move(out).take();
}

}  // namespace nostril::face
