#pragma once

#include "net/http.h"
#include "net/web_files.h"

#include <optional>
#include <span>

namespace nostril::client {

using WebFile = net::WebFile;

/// The files of client/web/; written by the build (cmake/EmbedFiles.cmake).
[[nodiscard]] std::span<const WebFile> web_files();

/// The page that the gateway shows to people: one of its files, "/" for index.html. It holds no
/// secret, so it is served before a key is asked for; what it shows comes from the gateway's API.
/// Pure; any thread.
[[nodiscard]] std::optional<net::HttpResponse> web_response(const net::HttpRequest& request);

}  // namespace nostril::client
