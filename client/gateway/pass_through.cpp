#include "client/gateway/answer_form.h"
#include "client/gateway/tail_holder.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::string_view kDone = "data: [DONE]";

/// Where a line begins so; the end when none does.
std::size_t line_of(std::string_view lines, std::string_view begin) {
  for (std::size_t at = 0; at < lines.size();) {
    if (lines.substr(at).starts_with(begin)) return at;
    const std::size_t end = lines.find('\n', at);
    if (end == std::string_view::npos) break;
    at = end + 1;
  }
  return lines.size();
}

/// Whether the line is an SSE line `data: {…}` that holds `text`.
bool is_data_with(std::string_view line, std::string_view text) {
  return line.starts_with("data: {") && line.find(text) != std::string_view::npos;
}

bool is_usage_chunk(std::string_view line) {
  if (!is_data_with(line, "\"usage\"")) return false;
  const auto chunk = Json::parse(line.substr(std::string_view("data: ").size()));
  const Json* choices = chunk ? chunk->find("choices") : nullptr;
  const Json* usage = chunk ? chunk->find("usage") : nullptr;
  return choices != nullptr && choices->is_array() && choices->items().empty() &&
         usage != nullptr && usage->is_object();
}

bool ends_responses(std::string_view line) {
  return line == "event: response.completed" || line == "event: response.incomplete" ||
         line == "event: response.failed";
}

bool ends_ollama(std::string_view line) {
  if (line.find("\"done\"") == std::string_view::npos) return false;
  const auto object = Json::parse(line);
  return object && object->find_boolean("done").value_or(false);
}

Tail tail_at(StreamSort sort, std::string_view line) {
  switch (sort) {
    case StreamSort::OpenAi:
      if (line == kDone) return Tail::End;
      return is_usage_chunk(line) ? Tail::Maybe : Tail::No;
    case StreamSort::Responses:
      return ends_responses(line) ? Tail::End : Tail::No;
    case StreamSort::Anthropic:
      return line == "event: message_stop" ? Tail::End : Tail::No;
    case StreamSort::Ollama:
      return ends_ollama(line) ? Tail::End : Tail::No;
  }
  return Tail::No;
}

class PassThrough final : public AnswerForm {
 public:
  explicit PassThrough(StreamSort sort)
      : sort_(sort), holder_([sort](std::string_view line) { return tail_at(sort, line); }) {}

  [[nodiscard]] std::string_view stream_type() const override {
    return sort_ == StreamSort::Ollama ? "application/x-ndjson" : "text/event-stream";
  }

  [[nodiscard]] std::string feed(std::string_view bytes) override { return holder_.feed(bytes); }

  [[nodiscard]] std::string finish(const Proof& proof) override {
    const std::string held = holder_.take();
    if (sort_ == StreamSort::Ollama) return with_proof(held, proof);
    // A comment stands between two events: behind the usage chunk, before the very end.
    const std::size_t end = sort_ == StreamSort::OpenAi ? line_of(held, kDone) : 0;
    return with_proof(std::string_view(held).substr(0, end), proof) + ": nostril-record " +
           proof.full + "\n\n" + with_proof(std::string_view(held).substr(end), proof);
  }

  /// A line that broke off is left out; an event of which lines were sent ends.
  [[nodiscard]] std::string fail(const ApiError& error) override {
    switch (sort_) {
      case StreamSort::Ollama:
        return error_body(Protocol::Ollama, error) + "\n";
      case StreamSort::Anthropic:
        return "\nevent: error\ndata: " + error_body(Protocol::Anthropic, error) + "\n\n";
      default:
        return "\ndata: " + error_body(Protocol::OpenAi, error) + "\n\n";
    }
  }

  [[nodiscard]] std::optional<std::string> whole(std::string_view body) override {
    return std::string(body);
  }

 private:
  /// Each object among the lines gets the proof.
  [[nodiscard]] std::string with_proof(std::string_view lines, const Proof& proof) const {
    std::string out;
    while (!lines.empty()) {
      const std::size_t end = std::min(lines.find('\n'), lines.size() - 1) + 1;
      std::string line(lines.substr(0, end));
      lines.remove_prefix(end);
      const bool takes = sort_ == StreamSort::Ollama
                             ? line.starts_with('{')
                             : sort_ != StreamSort::Anthropic && line.starts_with("data: {");
      out += takes ? with_member(std::move(line), "nostril", proof.brief) : line;
    }
    return out;
  }

  StreamSort sort_;
  TailHolder holder_;
};

}  // namespace

std::unique_ptr<AnswerForm> pass_through(StreamSort sort) {
  return std::make_unique<PassThrough>(sort);
}

std::string with_member(std::string object, std::string_view key, std::string_view json) {
  const std::size_t end = object.find_last_not_of(" \r\n");
  if (end == std::string::npos || end == 0 || object[end] != '}') return object;
  const std::size_t before = object.find_last_not_of(" \r\n\t", end - 1);
  if (before == std::string::npos || object[before] == '{') return object;
  std::string member = ",";
  append_json_string(member, key);
  object.insert(end, member.append(":").append(json));
  return object;
}

}  // namespace nostril::client
