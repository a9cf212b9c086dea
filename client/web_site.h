#pragma once

#include "net/http.h"

#include <optional>
#include <span>
#include <string_view>

namespace nostril::client {

/// A file of client/web/, inside the program.
struct WebFile {
  std::string_view path;  ///< "/app.js"
  std::string_view type;
  std::string_view etag;  ///< with its quotes; of the bytes
  std::string_view bytes;
};

/// All of them; written by the build (cmake/EmbedFiles.cmake).
[[nodiscard]] std::span<const WebFile> web_files();

/// The page that the gateway shows to people: GET or HEAD of one of its files, "/" for index.html;
/// 304 when the browser has it already. Nothing for any other request. It holds no secret, so it is
/// served before a key is asked for; what it shows comes from the gateway's API.
/// Its policy lets it load nothing from elsewhere, run nothing inline, and speak to this gateway
/// only. Pure; any thread.
[[nodiscard]] std::optional<net::HttpResponse> web_response(const net::HttpRequest& request);

}  // namespace nostril::client
