#pragma once

#include "base/json.h"
#include "client/gateway/chat_answer.h"

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

/// A picture or a text inside a message.
struct ContentPart {
  std::string text;
  std::string image_url;  ///< set: a picture, `data:` or https:
};

/// Writes bodies of /v1/chat/completions member by member. Pure.
class ChatRequestWriter {
 public:
  /// `from` is the application's request: its members are copied by name.
  explicit ChatRequestWriter(const Json& from) : from_(from) { w_.begin_object(); }

  /// Members that mean the same under the same name, where they stand and are not null.
  void copy(std::initializer_list<std::string_view> names);
  /// One member under another name.
  void copy_as(std::string_view name, std::string_view new_name);
  /// `stream`, and that its end states the usage.
  void stream(bool wanted);

  void begin_messages() { w_.key("messages").begin_array(); }

  void end_messages() { w_.end_array(); }

  /// A message of texts alone gets a plain string, which every engine's template reads.
  void message(std::string_view role, const std::vector<ContentPart>& parts);
  /// What the assistant said, if anything, and the tools that it called.
  void calls(std::string_view text, const std::vector<ToolCall>& calls);
  void tool_result(std::string_view call_id, std::string_view text);

  void begin_tools() { w_.key("tools").begin_array(); }

  /// Nulls are left out.
  void tool(std::string_view name, const Json* description, const Json* parameters,
            const Json* strict = nullptr);

  void end_tools() { w_.end_array(); }

  /// For all else.
  [[nodiscard]] JsonWriter& raw() { return w_; }

  [[nodiscard]] std::string take() &&;

 private:
  const Json& from_;
  JsonWriter w_;
};

/// A member that is there and not null.
[[nodiscard]] const Json* present(const Json& object, std::string_view name);

}  // namespace nostril::client
