#include "node/endpoint.h"

#include <algorithm>
#include <array>

namespace nostril::node {

namespace {

constexpr std::array kEndpoints = {
    Endpoint{"/v1/chat/completions", AnswerForm::Completion, true},
    Endpoint{"/v1/completions", AnswerForm::Completion, true},
    Endpoint{"/v1/responses", AnswerForm::Responses, true},
    Endpoint{"/v1/messages", AnswerForm::Messages, true},
    Endpoint{"/v1/embeddings", AnswerForm::Whole, true},
    Endpoint{"/v1/rerank", AnswerForm::Whole, true},
    Endpoint{"/v2/rerank", AnswerForm::Whole, true},
    Endpoint{"/rerank", AnswerForm::Whole, true},
    Endpoint{"/v1/score", AnswerForm::Whole, true},
    Endpoint{"/score", AnswerForm::Whole, true},
    Endpoint{"/api/chat", AnswerForm::Ollama, true},
    Endpoint{"/api/generate", AnswerForm::Ollama, true},
    Endpoint{"/api/embed", AnswerForm::Whole, true},
    Endpoint{"/v1/audio/speech", AnswerForm::Whole, false},
    Endpoint{"/v1/audio/transcriptions", AnswerForm::Transcript, false, true},
    Endpoint{"/v1/audio/translations", AnswerForm::Transcript, false, true},
    Endpoint{"/v1/images/generations", AnswerForm::Whole, false},
    Endpoint{"/v1/images/edits", AnswerForm::Whole, false, true},
    Endpoint{"/v1/images/variations", AnswerForm::Whole, false, true},
};

}  // namespace

std::span<const Endpoint> endpoints() {
  return kEndpoints;
}

const Endpoint* find_endpoint(std::string_view path) {
  const auto* found = std::ranges::find(kEndpoints, path, &Endpoint::path);
  return found == kEndpoints.end() ? nullptr : found;
}

std::vector<std::string_view> own_paths(std::string_view engine,
                                        std::span<const std::string> open) {
  std::vector<std::string_view> out;
  for (const Endpoint& endpoint : kEndpoints) {
    const bool ollama = endpoint.path.starts_with("/api/");
    const bool other =
        ollama || endpoint.form == AnswerForm::Responses || endpoint.form == AnswerForm::Messages;
    const bool answers = open.empty() ? ollama && engine == "ollama"
                                      : std::ranges::find(open, endpoint.path) != open.end();
    if (other && answers) out.push_back(endpoint.path);
  }
  return out;
}

}  // namespace nostril::node
