#include "client/cli/answer_output.h"

#include "base/json.h"
#include "events/text.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace nostril::client::cli {

void AnswerPrinter::feed(ByteSpan bytes) {
  std::vector<net::SseEvent> events;
  if (!parser_.feed(as_text(bytes), events)) return;
  for (const net::SseEvent& event : events) {
    const auto chunk = Json::parse(event.data);
    if (!chunk) continue;
    const Json* choices = chunk->find("choices");
    if (choices == nullptr || choices->items().empty()) continue;
    const Json* delta = choices->items().front().find("delta");
    if (const auto text = delta == nullptr ? std::nullopt : delta->find_string("content")) {
      print(*text);
    }
  }
}

void AnswerPrinter::end() const {
  if (printed_) fmt::print("\n");
  std::fflush(stdout);
}

void AnswerPrinter::print(std::string_view text) {
  std::string clean(text);
  for (char& c : clean) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) c = '?';
  }
  fmt::print("{}", clean);
  std::fflush(stdout);
  printed_ = printed_ || !clean.empty();
}

void save_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  if (!file.flush()) throw std::runtime_error(path.string() + ": can't be written");
}

namespace {

/// As the gateway's page saves it (client/web/record.js).
std::string answer_file(std::string_view request, std::string_view response,
                        const QueryResult& result) {
  JsonWriter w;
  w.begin_object().key("record").raw(to_json(*result.record_event));
  if (result.receipt) w.key("receipt").raw(to_json(*result.receipt));
  w.key("request").string(request).key("response").string(response).end_object();
  return std::move(w).take();
}

}  // namespace

void save_answer(const std::filesystem::path& folder, std::string_view request,
                 std::string_view response, const QueryResult& result) {
  std::filesystem::create_directories(folder);
  save_file(folder / "request.json", request);
  save_file(folder / "response.txt", response);
  if (result.record_event) save_file(folder / "record.json", to_json(*result.record_event) + "\n");
  if (result.receipt) save_file(folder / "receipt.json", to_json(*result.receipt) + "\n");
  if (result.record_event && is_event_text(request) && is_event_text(response)) {
    save_file(folder / "answer.json", answer_file(request, response, result) + "\n");
  }
}

}  // namespace nostril::client::cli
