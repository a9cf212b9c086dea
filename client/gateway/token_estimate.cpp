#include "client/gateway/token_estimate.h"

#include <algorithm>
#include <string_view>

namespace nostril::client {

namespace {

std::size_t text_bytes(const Json& value) {
  std::size_t out = value.string().value_or("").size();
  for (const Json& item : value.items()) out += text_bytes(item);
  for (const auto& [name, member] : value.members()) {
    // A picture's size in tokens has nothing to do with that of its base64.
    if (name == "data" || name == "cache_control") continue;
    out += name.size() + text_bytes(member);
  }
  return out;
}

}  // namespace

std::size_t said_bytes(const Json& request) {
  std::size_t out = 0;
  for (const std::string_view name :
       {"system", "messages", "tools", "input", "instructions", "prompt"}) {
    if (const Json* value = request.find(name)) out += text_bytes(*value);
  }
  return out;
}

void TokenEstimate::learn(const std::string& model, std::size_t bytes, std::uint64_t tokens) {
  constexpr std::uint64_t kSane = 1U << 30;  // sums stay far from overflow
  if (bytes == 0 || tokens == 0 || bytes > kSane || tokens > kSane) return;
  if (models_.size() >= kModelsMax && !models_.contains(model)) return;
  Seen& seen = models_[model];
  seen.bytes += bytes;
  seen.tokens += tokens;
  while (seen.bytes > kBytesKept) {
    seen.bytes /= 2;
    seen.tokens = std::max<std::uint64_t>(1, seen.tokens / 2);
  }
}

std::uint64_t TokenEstimate::tokens(const std::string& model, std::size_t bytes) const {
  const auto found = models_.find(model);
  const Seen seen = found == models_.end() ? Seen{kBytesPerToken, 1} : found->second;
  return std::max<std::uint64_t>(1, (bytes * seen.tokens + seen.bytes - 1) / seen.bytes);
}

}  // namespace nostril::client
