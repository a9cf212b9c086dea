#pragma once

#include "node/admission.h"

#include <optional>
#include <string_view>

namespace nostril::node {

/// What is running and waiting, from an engine's Prometheus text: vLLM (`vllm:num_requests_…`),
/// SGLang (`sglang:num_running_reqs`, `num_queue_reqs`), llama.cpp's server (`llamacpp:requests_…`,
/// with `--metrics`), and the tokens that each has counted since it started. Sums over label sets:
/// models, replicas. Nothing when neither count of requests stands there. Pure.
[[nodiscard]] std::optional<EngineLoad> read_metrics(std::string_view text);

/// llama.cpp's `/slots`: how many there are and how many compute. Pure.
[[nodiscard]] std::optional<EngineLoad> read_slots(std::string_view json);

}  // namespace nostril::node
