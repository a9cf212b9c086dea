#pragma once

#include "base/result.h"
#include "client/gateway/answer_form.h"
#include "events/inference.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace nostril::client {

/// What an application may POST.
enum class RouteKind : std::uint8_t {
  Chat,
  Completions,
  Responses,
  Embeddings,
  Messages,
  OllamaChat,
  OllamaGenerate,
  OllamaEmbed,
  OllamaEmbeddings,
};

struct Route {
  std::string_view path;
  RouteKind kind;
};

[[nodiscard]] const Route* find_route(std::string_view path);

/// The language of a path, also of one that is not served.
[[nodiscard]] Protocol protocol_of(std::string_view path);

/// Whether the route's answer to this body is a stream.
[[nodiscard]] bool wants_stream(const Route& route, const Json& body);

/// Whether the node's engine answers this path itself: the offer's feature `path:…`
/// (spec/03-offer.md); chat, completions and embeddings are every engine's.
[[nodiscard]] bool speaks(const Offer& offer, const Route& route);

/// The application's request for a node that speaks the path, or for one that does not. The error
/// is a sentence for the application.
[[nodiscard]] Result<EngineCall, std::string> call_for(const Route& route, const Json& body,
                                                       bool native);

/// What an answer says besides the engine's words.
struct AnswerEcho {
  std::string id;  ///< random
  std::string model;
  std::int64_t created_at = 0;
  std::function<std::int64_t()> elapsed_ns;
};

[[nodiscard]] std::unique_ptr<AnswerForm> form_for(const Route& route, const Json& body,
                                                   bool native, AnswerEcho echo);

/// Unix seconds as RFC 3339, in UTC.
[[nodiscard]] std::string rfc3339(std::int64_t unix_s);

}  // namespace nostril::client
