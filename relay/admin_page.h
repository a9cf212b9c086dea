#pragma once

#include "net/http.h"
#include "net/web_files.h"

#include <optional>
#include <span>

namespace nostril::relay {

/// The files of relay/admin/; written by the build (cmake/EmbedFiles.cmake).
[[nodiscard]] std::span<const net::WebFile> admin_files();

/// The operator's page: /admin and the files below it. It holds no secret: what it shows and does
/// goes through NIP-86, signed. Nothing for other paths. Pure; any thread.
[[nodiscard]] std::optional<net::HttpResponse> admin_page(const net::HttpRequest& request);

}  // namespace nostril::relay
