#include "base/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

namespace nostril {

namespace {

[[noreturn]] void fail(const std::string& file, const toml::node& node, std::string_view what) {
  throw ConfigError(fmt::format("{}:{}: {}", file, node.source().begin.line, what));
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string comment_lines(std::string_view comment) {
  std::string out;
  while (!comment.empty()) {
    const std::size_t end = std::min(comment.find('\n'), comment.size());
    out += fmt::format("# {}\n", comment.substr(0, end));
    comment.remove_prefix(std::min(end + 1, comment.size()));
  }
  return out;
}

}  // namespace

void Config::section(std::string name, std::string comment) {
  sections_.push_back({std::move(name), std::move(comment)});
}

void Config::add(std::string key, Target target, std::string comment) {
  if (sections_.empty()) section("", "");
  fields_.push_back({sections_.back().name, std::move(key), target, std::move(comment)});
}

void Config::text(std::string key, std::string* field, std::string comment) {
  add(std::move(key), field, std::move(comment));
}

void Config::flag(std::string key, bool* field, std::string comment) {
  add(std::move(key), field, std::move(comment));
}

void Config::number(std::string key, std::int64_t* field, std::int64_t min, std::int64_t max,
                    std::string comment) {
  add(std::move(key), Number{field, min, max}, std::move(comment));
}

void Config::list(std::string key, std::vector<std::string>* field, std::string comment) {
  add(std::move(key), field, std::move(comment));
}

void Config::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  // A directory opens like a file and reads as an empty one.
  if (!file || std::filesystem::is_directory(path))
    throw ConfigError(fmt::format("{}: can't be read", path));
  load_text(text.str(), path);
}

void Config::load_text(std::string_view toml_text, const std::string& name) {
  toml::table root;
  try {
    root = toml::parse(toml_text, name);
  } catch (const toml::parse_error& error) {
    throw ConfigError(
        fmt::format("{}:{}: {}", name, error.source().begin.line, error.description()));
  }
  const auto assign = [&](const Field& field, const toml::node& node) {
    if (auto* const* text_field = std::get_if<std::string*>(&field.target)) {
      if (!node.is_string()) fail(name, node, field.key + " must be a text in quotes");
      **text_field = node.value_or(std::string());
    } else if (auto* const* flag_field = std::get_if<bool*>(&field.target)) {
      if (!node.is_boolean()) fail(name, node, field.key + " must be true or false");
      **flag_field = node.value_or(false);
    } else if (const auto* number_field = std::get_if<Number>(&field.target)) {
      const std::int64_t value = node.value_or(std::int64_t{0});
      if (!node.is_integer() || value < number_field->min || value > number_field->max) {
        fail(name, node,
             fmt::format("{} must be a whole number from {} to {}", field.key, number_field->min,
                         number_field->max));
      }
      *number_field->field = value;
    } else if (auto* const* list_field = std::get_if<std::vector<std::string>*>(&field.target)) {
      const toml::array* array = node.as_array();
      if (array == nullptr) fail(name, node, field.key + " must be a list of texts");
      (*list_field)->clear();
      for (const toml::node& element : *array) {
        if (!element.is_string()) fail(name, element, field.key + " must be a list of texts");
        (*list_field)->push_back(element.value_or(std::string()));
      }
    }
  };
  const auto assign_table = [&](const std::string& section, const toml::table& table) {
    for (const auto& [key, node] : table) {
      if (section.empty() && node.is_table()) continue;
      const auto field = std::ranges::find_if(fields_, [&, &wanted = key](const Field& candidate) {
        return candidate.section == section && candidate.key == wanted.str();
      });
      if (field == fields_.end()) {
        fail(name, node,
             fmt::format("nobody reads {}{}{}; --print-config shows all keys", section,
                         section.empty() ? "" : ".", key.str()));
      }
      assign(*field, node);
    }
  };
  assign_table("", root);
  for (const auto& [key, node] : root) {
    const toml::table* table = node.as_table();
    if (table == nullptr) continue;
    const std::string section(key.str());
    if (std::ranges::find(sections_, section, &Section::name) == sections_.end()) {
      fail(name, node, fmt::format("nobody reads [{}]; --print-config shows all keys", section));
    }
    assign_table(section, *table);
  }
}

std::string Config::print() const {
  std::string out;
  for (const Section& section : sections_) {
    if (!out.empty()) out += '\n';
    out += comment_lines(section.comment);
    if (!section.name.empty()) out += fmt::format("[{}]\n", section.name);
    for (const Field& field : fields_) {
      if (field.section != section.name) continue;
      out += comment_lines(field.comment);
      std::string value;
      if (auto* const* text_field = std::get_if<std::string*>(&field.target)) {
        value = quote(**text_field);
      } else if (auto* const* flag_field = std::get_if<bool*>(&field.target)) {
        value = **flag_field ? "true" : "false";
      } else if (const auto* number_field = std::get_if<Number>(&field.target)) {
        value = std::to_string(*number_field->field);
      } else if (auto* const* list_field = std::get_if<std::vector<std::string>*>(&field.target)) {
        for (const std::string& item : **list_field) {
          value += (value.empty() ? "" : ", ") + quote(item);
        }
        value = fmt::format("[{}]", value);
      }
      out += fmt::format("{} = {}\n", field.key, value);
    }
  }
  return out;
}

}  // namespace nostril
