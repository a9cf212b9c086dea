#pragma once

#include "client/apps/app_files.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// The applications that `nostril apps` can point at the gateway, and what each wants to be told.
namespace nostril::client::apps {

struct AppModel {
  std::string id;
  std::uint64_t context_tokens = 0;
  std::uint64_t output_tokens_max = 0;
  bool tools = false;
};

/// What an application is pointed at.
struct AppTarget {
  std::string address;           ///< "http://127.0.0.1:8788"
  std::string key;               ///< of the gateway
  std::vector<AppModel> models;  ///< at least one; the first is the default
};

struct AppPlaces {
  std::filesystem::path user;     ///< $HOME
  std::filesystem::path config;   ///< $XDG_CONFIG_HOME
  std::filesystem::path nostril;  ///< the client's home
};

struct AppFile {
  std::filesystem::path path;
  std::variant<JsonPart, LinePart> part;
};

struct AppPlan {
  std::vector<AppFile> files;
  std::string note;  ///< what is left for the user to do
};

[[nodiscard]] std::span<const std::string_view> app_names();
/// Nothing for a name that is not among app_names(). Looks which of an application's files exist.
[[nodiscard]] std::optional<AppPlan> plan_for(std::string_view name, const AppPlaces& places,
                                              const AppTarget& target);

}  // namespace nostril::client::apps
