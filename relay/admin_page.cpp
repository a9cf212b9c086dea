#include "relay/admin_page.h"

#include <string_view>

namespace nostril::relay {

std::optional<net::HttpResponse> admin_page(const net::HttpRequest& request) {
  constexpr std::string_view kPrefix = "/admin";
  std::string_view path = request.path;
  if (!path.starts_with(kPrefix)) return std::nullopt;
  path.remove_prefix(kPrefix.size());
  if (path.empty() || path == "/") path = "/index.html";
  return net::web_response(admin_files(), path, request);
}

}  // namespace nostril::relay
