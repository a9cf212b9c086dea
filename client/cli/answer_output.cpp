#include "client/cli/answer_output.h"

#include "client/saved_answer.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace nostril::client::cli {

void AnswerPrinter::feed(ByteSpan bytes) {
  print(words_.feed(bytes));
}

void AnswerPrinter::end() const {
  if (printed_) fmt::print("\n");
  std::fflush(stdout);
}

void AnswerPrinter::print(std::string_view text) {
  if (text.empty()) return;
  std::string clean(text);
  for (char& c : clean) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) c = '?';
  }
  fmt::print("{}", clean);
  std::fflush(stdout);
  printed_ = true;
}

void save_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  if (!file.flush()) throw std::runtime_error(path.string() + ": can't be written");
}

void save_answer(const std::filesystem::path& folder, std::string_view request,
                 std::string_view response, const QueryResult& result) {
  std::filesystem::create_directories(folder);
  save_file(folder / "request.json", request);
  save_file(folder / "response.txt", response);
  if (result.record_event) save_file(folder / "record.json", to_json(*result.record_event) + "\n");
  if (result.receipt) save_file(folder / "receipt.json", to_json(*result.receipt) + "\n");
  if (!result.record_event) return;
  // As the gateway's page saves it (client/web/record.js).
  SavedAnswer answer{.record = to_json(*result.record_event),
                     .request = std::string(request),
                     .response = std::string(response)};
  if (result.receipt) answer.receipt = to_json(*result.receipt);
  if (const auto text = to_json(answer)) save_file(folder / "answer.json", *text + "\n");
}

}  // namespace nostril::client::cli
