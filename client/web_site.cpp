#include "client/web_site.h"

namespace nostril::client {

std::optional<net::HttpResponse> web_response(const net::HttpRequest& request) {
  const std::string_view path =
      request.path == "/" ? "/index.html" : std::string_view(request.path);
  return net::web_response(web_files(), path, request);
}

}  // namespace nostril::client
