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
    Endpoint{"/v1/audio/transcriptions", AnswerForm::Whole, false, true},
    Endpoint{"/v1/audio/translations", AnswerForm::Whole, false, true},
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

}  // namespace nostril::node
