// CompletionTap: the same findings however the bytes are cut, counts within what a record can
// state; skim_member agrees with the parser. prepare_request: what it lets through is JSON with one
// model and no member that it drops.
#include "base/check.h"
#include "events/inference.h"
#include "node/completion.h"
#include "node/engine_request.h"
#include "node/json_skim.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

using nostril::node::AnswerForm;
using nostril::node::CompletionTap;

std::string findings(std::string_view bytes, std::size_t piece, AnswerForm form, bool stream) {
  CompletionTap tap(form, stream);
  bool good = true;
  while (!bytes.empty() && good) {
    good = tap.feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  tap.finish();
  constexpr auto kMax = static_cast<std::int64_t>(nostril::InferenceLimits::kTokensMax);
  std::string out = tap.finish_reason() + (tap.complete() ? " complete" : " not") +
                    (tap.failed() ? " failed " : " ") + std::to_string(tap.output_chunks());
  if (const auto& usage = tap.usage()) {
    CHECK(usage->input >= 0 && usage->input <= kMax && usage->output >= 0 &&
          usage->output <= kMax && usage->cached >= 0 && usage->cached <= usage->input);
    out += " " + std::to_string(usage->input) + " " + std::to_string(usage->cached) + " " +
           std::to_string(usage->output);
  }
  CHECK(tap.finish_reason().size() <= nostril::InferenceLimits::kNameBytesMax);
  return out;
}

/// What a parser finds at the top, skimming finds, too.
void check_skim(std::string_view bytes) {
  const auto parsed = nostril::Json::parse(bytes);
  if (!parsed || !parsed->is_object()) return;
  for (const auto& [key, value] : parsed->members()) {
    if (key.find_first_of("\"\\") != std::string::npos) continue;
    const auto skimmed = nostril::node::skim_member(bytes, key);
    if (!skimmed) continue;  // its key was written with escapes
    const auto again = nostril::Json::parse(*skimmed);
    CHECK(again && again->dump() == value.dump());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool stream = (data[0] & 1) != 0;
  // The digits 0 and 1 are completions, 2 and 3 responses, and so on.
  const auto form = static_cast<AnswerForm>((data[0] / 2U + 1U) % 5U);
  CHECK(findings(bytes, 1, form, stream) == findings(bytes, size, form, stream));
  check_skim(bytes);
  nostril::node::RequestRules rules;
  rules.model = "m";
  rules.engine = "vllm";
  rules.output_tokens_max = 4'096;
  rules.cache_salt = "our-salt";
  const auto request = nostril::node::prepare_request("/v1/chat/completions", bytes, rules);
  if (!request) return 0;
  const auto body = nostril::Json::parse(request->body);
  CHECK(body && body->find_string("model") == "m");
  CHECK(body->find_string("cache_salt") == "our-salt");
  CHECK(body->find("id_slot") == nullptr && body->find("cache_prompt") == nullptr);
  if (request->stream) {
    CHECK(body->find("stream_options")->find_boolean("include_usage") == true);
  }
  return 0;
}
