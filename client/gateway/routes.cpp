#include "client/gateway/routes.h"

#include "client/gateway/anthropic.h"
#include "client/gateway/embeddings.h"
#include "client/gateway/ollama.h"
#include "client/gateway/responses.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::array kRoutes = {
    Route{"/v1/chat/completions", RouteKind::Chat},
    Route{"/v1/completions", RouteKind::Completions},
    Route{"/v1/responses", RouteKind::Responses},
    Route{"/v1/embeddings", RouteKind::Embeddings},
    Route{"/v1/messages", RouteKind::Messages},
    Route{"/api/chat", RouteKind::OllamaChat},
    Route{"/api/generate", RouteKind::OllamaGenerate},
    Route{"/api/embed", RouteKind::OllamaEmbed},
    Route{"/api/embeddings", RouteKind::OllamaEmbeddings},
};

bool wants_base64(const Json& body) {
  return body.find_string("encoding_format") == "base64";
}

}  // namespace

const Route* find_route(std::string_view path) {
  const auto* found = std::ranges::find(kRoutes, path, &Route::path);
  return found == kRoutes.end() ? nullptr : found;
}

Protocol protocol_of(std::string_view path) {
  if (path.starts_with("/api/")) return Protocol::Ollama;
  return path.starts_with("/v1/messages") ? Protocol::Anthropic : Protocol::OpenAi;
}

bool wants_stream(const Route& route, const Json& body) {
  switch (route.kind) {
    case RouteKind::OllamaChat:
    case RouteKind::OllamaGenerate:
      return ollama_streams(body);
    case RouteKind::Embeddings:
    case RouteKind::OllamaEmbed:
    case RouteKind::OllamaEmbeddings:
      return false;
    default:
      return body.find_boolean("stream").value_or(false);
  }
}

bool speaks(const Offer& offer, const Route& route) {
  switch (route.kind) {
    case RouteKind::Chat:
    case RouteKind::Completions:
    case RouteKind::Embeddings:
      return true;
    case RouteKind::OllamaEmbeddings:
      return false;  // no node serves it
    default:
      return std::ranges::find(offer.features, "path:" + std::string(route.path)) !=
             offer.features.end();
  }
}

Result<EngineCall, std::string> call_for(const Route& route, const Json& body, bool native) {
  if (native) return EngineCall{std::string(route.path), body.dump()};
  switch (route.kind) {
    case RouteKind::Responses:
      return responses_to_chat(body);
    case RouteKind::Messages:
      return anthropic_to_chat(body);
    case RouteKind::OllamaChat:
      return ollama_chat_to_chat(body);
    case RouteKind::OllamaGenerate:
      return ollama_generate_to_chat(body);
    case RouteKind::OllamaEmbed:
    case RouteKind::OllamaEmbeddings:
      return ollama_embed_to_embeddings(body);
    default:
      return EngineCall{std::string(route.path), body.dump()};
  }
}

std::unique_ptr<AnswerForm> form_for(const Route& route, const Json& body, bool native,
                                     AnswerEcho echo) {
  const auto ollama = [&echo](bool generate) {
    return ollama_answer(
        {echo.model, rfc3339(echo.created_at), generate, std::move(echo.elapsed_ns)});
  };
  switch (route.kind) {
    case RouteKind::Chat:
    case RouteKind::Completions:
      break;
    case RouteKind::Embeddings:
      return embeddings_answer(wants_base64(body));
    case RouteKind::Responses:
      if (native) return pass_through(StreamSort::Responses);
      return responses_answer({echo.id, echo.model, echo.created_at, body.dump()});
    case RouteKind::Messages:
      if (native) return pass_through(StreamSort::Anthropic);
      return anthropic_answer("msg_" + echo.id, echo.model);
    case RouteKind::OllamaChat:
    case RouteKind::OllamaGenerate:
      if (native) return pass_through(StreamSort::Ollama);
      return ollama(route.kind == RouteKind::OllamaGenerate);
    case RouteKind::OllamaEmbed:
      if (native) return pass_through(StreamSort::Ollama);
      return ollama_embeddings(echo.model, false);
    case RouteKind::OllamaEmbeddings:
      return ollama_embeddings(echo.model, true);
  }
  return pass_through(StreamSort::OpenAi);
}

std::string rfc3339(std::int64_t unix_s) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(unix_s)));
}

}  // namespace nostril::client
