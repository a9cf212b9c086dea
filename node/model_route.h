#pragma once

#include "events/inference.h"
#include "net/http.h"
#include "node/api_server.h"

#include <string_view>

namespace nostril::node {

/// `GET /v1/models` and `GET /v1/models/{id}`, from the newest offers: OpenAI's members, those that
/// tools look for (context_length, max_model_len, max_output_length), and the offer's own.
[[nodiscard]] net::HttpResponse list_models(ModelDirectory& models);
/// `id`: as it stands in the path, percent-encoded.
[[nodiscard]] net::HttpResponse show_model(ModelDirectory& models, std::string_view id);

}  // namespace nostril::node
