#include "node/engine_load.h"

#include "base/json.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace nostril::node {

namespace {

constexpr std::array<std::string_view, 3> kRunning = {
    "vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"};
constexpr std::array<std::string_view, 3> kWaiting = {
    "vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"};
constexpr std::array<std::string_view, 3> kTokensIn = {
    "vllm:prompt_tokens_total", "sglang:prompt_tokens_total", "llamacpp:prompt_tokens_total"};
constexpr std::array<std::string_view, 3> kTokensOut = {"vllm:generation_tokens_total",
                                                        "sglang:generation_tokens_total",
                                                        "llamacpp:tokens_predicted_total"};
/// Of one line: what can't be is no count.
constexpr double kCountMax = 1e13;

/// The value of `name 3`, `name{label="x"} 3.0` or either with a time behind it.
std::optional<std::uint64_t> value_of(std::string_view line, std::string_view name) {
  if (!line.starts_with(name)) return std::nullopt;
  line.remove_prefix(name.size());
  if (line.starts_with('{')) {
    const std::size_t end = line.rfind('}');
    if (end == std::string_view::npos) return std::nullopt;
    line.remove_prefix(end + 1);
  }
  if (!line.starts_with(' ')) return std::nullopt;
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  double value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (error != std::errc{} || !(value >= 0 && value <= kCountMax)) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

bool add_if_named(std::string_view line, const std::array<std::string_view, 3>& names,
                  std::uint64_t& sum) {
  for (const std::string_view name : names) {
    if (const auto value = value_of(line, name)) {
      sum += *value;
      return true;
    }
  }
  return false;
}

}  // namespace

std::optional<EngineLoad> read_metrics(std::string_view text) {
  EngineLoad load;
  bool is_found = false;
  const auto add_count = [](std::string_view line, const auto& names,
                            std::optional<std::uint64_t>& count) {
    std::uint64_t sum = count.value_or(0);
    if (add_if_named(line, names, sum)) count = sum;
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    is_found = add_if_named(line, kRunning, load.running) ||
               add_if_named(line, kWaiting, load.waiting) || is_found;
    add_count(line, kTokensIn, load.tokens_in);
    add_count(line, kTokensOut, load.tokens_out);
  }
  if (!is_found) return std::nullopt;
  return load;
}

std::optional<EngineLoad> read_slots(std::string_view json) {
  const auto slots = Json::parse(json);
  if (!slots || !slots->is_array() || slots->items().empty()) return std::nullopt;
  EngineLoad load;
  load.slots = slots->items().size();
  for (const Json& slot : slots->items()) {
    if (slot.find_boolean("is_processing") == true) ++load.running;
  }
  return load;
}

}  // namespace nostril::node
