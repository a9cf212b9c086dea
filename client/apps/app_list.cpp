#include "client/apps/app_list.h"

#include "base/check.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::client::apps {

namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 6> kNames = {"aider",      "claude-code", "continue",
                                                    "open-webui", "opencode",    "zed"};

constexpr std::string_view kKeyBegin = "nk-";  // make_api_key()

Json parsed(const JsonWriter& w) {
  auto json = Json::parse(w.text());
  CHECK(json.has_value());
  return *std::move(json);
}

/// A JSON string is one of YAML, too.
std::string json_quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string base_url(const AppTarget& target) {
  return target.address + "/v1";
}

// aider.chat/docs/config/aider_conf.html
AppPlan aider(const AppPlaces& places, const AppTarget& target) {
  LinePart part;
  part.lines = {"openai-api-base: " + json_quoted(base_url(target)),
                "openai-api-key: " + json_quoted(target.key),
                "model: " + json_quoted("openai/" + target.models.front().id)};
  part.keys = {"openai-api-base", "openai-api-key", "model"};
  return {{{places.user / ".aider.conf.yml", std::move(part)}}, ""};
}

// code.claude.com/docs: settings.json, member env. The address is without /v1.
AppPlan claude_code(const AppPlaces& places, const AppTarget& target) {
  JsonPart part;
  JsonWriter w;
  w.begin_object().key("env").begin_object();
  const auto set = [&](const char* name, const std::string& value) {
    w.key(name).string(value);
    part.owned.push_back({"env", name});
  };
  set("ANTHROPIC_BASE_URL", target.address);
  set("ANTHROPIC_AUTH_TOKEN", target.key);
  for (const char* name : {"ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL",
                           "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL"}) {
    set(name, target.models.front().id);
  }
  w.end_object().end_object();
  part.values = parsed(w);
  part.mark = {"env", "ANTHROPIC_AUTH_TOKEN"};
  part.mark_begin = kKeyBegin;
  return {{{places.user / ".claude" / "settings.json", std::move(part)}},
          "unset ANTHROPIC_API_KEY where your shell sets it: both would be sent"};
}

// docs.continue.dev/reference: config.yaml, schema v1
AppPlan continue_dev(const AppPlaces& places, const AppTarget& target) {
  LinePart part;
  part.list = "models";
  part.head = {"name: My Config", "version: 0.0.1", "schema: v1"};
  for (const AppModel& model : target.models) {
    part.lines.push_back("- name: " + json_quoted("Nostril " + model.id));
    part.lines.emplace_back("  provider: openai");
    part.lines.push_back("  model: " + json_quoted(model.id));
    part.lines.push_back("  apiBase: " + json_quoted(base_url(target)));
    part.lines.push_back("  apiKey: " + json_quoted(target.key));
    part.lines.emplace_back("  roles: [chat, edit, apply]");
  }
  return {{{places.user / ".continue" / "config.yaml", std::move(part)}}, ""};
}

// docs.openwebui.com: env-configuration
AppPlan open_webui(const AppPlaces& places, const AppTarget& target) {
  LinePart part;
  part.lines = {"OPENAI_API_BASE_URL=" + base_url(target), "OPENAI_API_KEY=" + target.key};
  part.keys = {"OPENAI_API_BASE_URL", "OPENAI_API_KEY"};
  part.separator = '=';
  const fs::path file = places.nostril / "open-webui.env";
  return {{{file, std::move(part)}},
          "start it with these variables: docker run --network host --env-file " + file.string() +
              " …; a server that has run before keeps what its admin settings say"};
}

// opencode.ai/docs/providers: a provider of the package @ai-sdk/openai-compatible
AppPlan opencode(const AppPlaces& places, const AppTarget& target) {
  JsonPart part;
  JsonWriter w;
  w.begin_object().key("provider").begin_object().key("nostril").begin_object();
  w.key("npm").string("@ai-sdk/openai-compatible").key("name").string("Nostril");
  w.key("options").begin_object().key("baseURL").string(base_url(target));
  w.key("apiKey").string(target.key).end_object();
  w.key("models").begin_object();
  for (const AppModel& model : target.models) {
    w.key(model.id).begin_object().key("name").string(model.id);
    w.key("tool_call").boolean(model.tools);
    if (model.context_tokens > 0) {
      w.key("limit").begin_object();
      w.key("context").integer(static_cast<std::int64_t>(model.context_tokens));
      w.key("output").integer(static_cast<std::int64_t>(
          model.output_tokens_max > 0 ? model.output_tokens_max : model.context_tokens));
      w.end_object();
    }
    w.end_object();
  }
  w.end_object().end_object().end_object().end_object();
  part.values = parsed(w);
  part.owned = {{"provider", "nostril"}};
  part.mark = {"provider", "nostril", "options", "apiKey"};
  part.mark_begin = kKeyBegin;
  const fs::path folder = places.config / "opencode";
  const fs::path plain = folder / "opencode.json";
  const bool other = !fs::exists(plain) && fs::exists(folder / "opencode.jsonc");
  return {{{other ? folder / "opencode.jsonc" : plain, std::move(part)}},
          "choose a model of Nostril in it: /models"};
}

// zed.dev/docs/ai/llm-providers: openai_compatible; keys stand in the keychain or the environment
AppPlan zed(const AppPlaces& places, const AppTarget& target) {
  constexpr std::int64_t kContextUnknown = 32'768;
  JsonPart part;
  JsonWriter w;
  w.begin_object().key("language_models").begin_object().key("openai_compatible").begin_object();
  w.key("nostril").begin_object().key("api_url").string(base_url(target));
  w.key("available_models").begin_array();
  for (const AppModel& model : target.models) {
    w.begin_object().key("name").string(model.id).key("display_name").string("Nostril " + model.id);
    w.key("max_tokens")
        .integer(model.context_tokens > 0 ? static_cast<std::int64_t>(model.context_tokens)
                                          : kContextUnknown);
    w.key("capabilities").begin_object().key("tools").boolean(model.tools);
    w.key("images").boolean(false).end_object().end_object();
  }
  w.end_array().end_object().end_object().end_object().end_object();
  part.values = parsed(w);
  part.owned = {{"language_models", "openai_compatible", "nostril"}};
  part.mark = {"language_models", "openai_compatible", "nostril", "api_url"};
  part.mark_begin = "http";
  LinePart secret;
  secret.lines = {"NOSTRIL_API_KEY=" + target.key};
  secret.keys = {"NOSTRIL_API_KEY"};
  secret.separator = '=';
  const fs::path env = places.nostril / "zed.env";
  return {{{places.config / "zed" / "settings.json", std::move(part)}, {env, std::move(secret)}},
          "Zed takes no key from its settings: enter the one in " + env.string() +
              " in its provider settings, or start it with that variable"};
}

}  // namespace

std::span<const std::string_view> app_names() {
  return kNames;
}

std::optional<AppPlan> plan_for(std::string_view name, const AppPlaces& places,
                                const AppTarget& target) {
  CHECK(!target.models.empty());
  if (name == "aider") return aider(places, target);
  if (name == "claude-code") return claude_code(places, target);
  if (name == "continue") return continue_dev(places, target);
  if (name == "open-webui") return open_webui(places, target);
  if (name == "opencode") return opencode(places, target);
  if (name == "zed") return zed(places, target);
  return std::nullopt;
}

}  // namespace nostril::client::apps
