#pragma once

#include "base/bytes.h"
#include "net/sse.h"

#include <cstdint>
#include <string>
#include <string_view>

/// One question as a chat completion, and the words of its streamed answer.
namespace nostril::client {

inline constexpr const char* kChatPath = "/v1/chat/completions";

struct ChatQuestion {
  std::string model = {};  ///< empty: any
  std::string system = {};
  std::string question = {};
  std::int64_t tokens_max = 1024;
};

/// The body that asks it, streamed, at temperature 0.
[[nodiscard]] std::string chat_body(const ChatQuestion& question);

/// Reads the words out of a streamed chat answer, fed in pieces cut anywhere.
class ChatWords {
 public:
  /// The words that `bytes` complete; none once the stream can't be read.
  [[nodiscard]] std::string feed(ByteSpan bytes);

 private:
  net::SseParser parser_;
};

}  // namespace nostril::client
