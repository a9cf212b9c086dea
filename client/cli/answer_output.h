#pragma once

#include "base/bytes.h"
#include "client/chat.h"
#include "client/inference_client.h"

#include <filesystem>
#include <string_view>

/// What `chat` and `pickup` do with an answer.
namespace nostril::client::cli {

/// Prints the words of a streamed answer as they come. Control characters but newline and tab are
/// replaced: an answer must not drive the terminal.
class AnswerPrinter {
 public:
  void feed(ByteSpan bytes);
  void end() const;

 private:
  void print(std::string_view text);

  ChatWords words_;
  bool printed_ = false;
};

/// The exact bytes and the proofs, in `folder`, which is made: request.json, response.txt,
/// record.json, receipt.json. Throws std::runtime_error with the file's name.
void save_answer(const std::filesystem::path& folder, std::string_view request,
                 std::string_view response, const QueryResult& result);
void save_file(const std::filesystem::path& path, std::string_view text);

}  // namespace nostril::client::cli
