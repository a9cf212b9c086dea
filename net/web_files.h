#pragma once

#include "net/http.h"

#include <optional>
#include <span>
#include <string_view>

namespace nostril::net {

/// A file of a program's pages for people, inside the program (cmake/EmbedFiles.cmake).
struct WebFile {
  std::string_view path;  ///< "/app.js"
  std::string_view type;
  std::string_view etag;  ///< with its quotes; of the bytes
  std::string_view bytes;
};

/// GET or HEAD of the file `path`; 304 when the browser has it already. Nothing for any other
/// request. The page's policy lets it load nothing from elsewhere, run nothing inline, and speak to
/// its own origin only. Pure; any thread.
[[nodiscard]] std::optional<HttpResponse> web_response(std::span<const WebFile> files,
                                                       std::string_view path,
                                                       const HttpRequest& request);

}  // namespace nostril::net
