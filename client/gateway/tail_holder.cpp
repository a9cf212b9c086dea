#include "client/gateway/tail_holder.h"

#include <utility>

namespace nostril::client {

std::string TailHolder::feed(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part =
        bytes.substr(0, end == std::string_view::npos ? bytes.size() : end + 1);
    bytes.remove_prefix(part.size());
    line_ += part;
    if (end != std::string_view::npos) {
      on_line(std::exchange(line_, {}), out);
      unjudged_ = false;
    } else if (!ended_ && line_.size() > kLineBytesMax) {
      out += std::exchange(held_, {}) + std::exchange(line_, {});
      unjudged_ = true;
    }
  }
  return out;
}

void TailHolder::on_line(std::string_view line, std::string& out) {
  if (ended_ || unjudged_) {
    (ended_ ? held_ : out) += line;
    return;
  }
  std::string_view text = line;
  text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  const Tail tail = judge_(text);
  ended_ = tail == Tail::End;
  // Empty lines and comments end nothing, and begin nothing.
  const bool silent = text.empty() || text.starts_with(':');
  if (tail == Tail::No && !(silent && !held_.empty())) {
    out += std::exchange(held_, {});
    out += line;
    return;
  }
  if (tail == Tail::Maybe) out += std::exchange(held_, {});
  held_ += line;
}

std::string TailHolder::take() {
  return std::exchange(held_, {}) + std::exchange(line_, {});
}

}  // namespace nostril::client
