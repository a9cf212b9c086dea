#include "net/web_files.h"

#include <algorithm>
#include <string>

namespace nostril::net {

namespace {

/// Trusted types, none of them named: no text becomes markup or script.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
    "'script'; trusted-types 'none'";

}  // namespace

std::optional<HttpResponse> web_response(std::span<const WebFile> files, std::string_view path,
                                         const HttpRequest& request) {
  if (request.method != "GET" && request.method != "HEAD") return std::nullopt;
  const auto found = std::ranges::find(files, path, &WebFile::path);
  if (found == files.end()) return std::nullopt;
  HttpResponse out;
  out.headers = {{"ETag", std::string(found->etag)},
                 {"Cache-Control", "no-cache"},
                 {"Content-Security-Policy", std::string(kPolicy)},
                 {"X-Content-Type-Options", "nosniff"},
                 {"Referrer-Policy", "no-referrer"},
                 {"Cross-Origin-Opener-Policy", "same-origin"},
                 {"Cross-Origin-Resource-Policy", "same-origin"}};
  if (request.headers.has_token("If-None-Match", found->etag)) {
    out.status = 304;
    return out;
  }
  out.headers.add("Content-Type", std::string(found->type));
  out.body = found->bytes;
  return out;
}

}  // namespace nostril::net
