#include "base/config.h"

#include "base/check.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

namespace nostril {

namespace {

std::string place(const std::string& file, const toml::node& node) {
  return fmt::format("{}:{}", file, node.source().begin.line);
}

[[noreturn]] void fail(const std::string& file, const toml::node& node, std::string_view what) {
  throw ConfigError(fmt::format("{}: {}", place(file, node), what));
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

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string comment_lines(std::string_view comment) {
  std::string out;
  for (const std::string_view line : lines_of(comment)) out += fmt::format("# {}\n", line);
  return out;
}

/// Characters to insert, to leave out or to change until `a` is `b` (Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

void Config::section(std::string name, std::string comment) {
  sections_.push_back({std::move(name), std::move(comment)});
}

void Config::add(std::string key, Target target, std::string comment) {
  if (sections_.empty()) section("", "");
  fields_.push_back({sections_.back().name, std::move(key), target, std::move(comment)});
}

void Config::add_tables(Tables tables) {
  tables_.push_back(std::move(tables));
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

/// One file, or one element of an array of tables in it.
class Config::Loader {
 public:
  Loader(Config& config, const std::string& file) : config_(config), file_(file) {}

  void load(const toml::table& root) const {
    assign_section("", root);
    for (const auto& [key, node] : root) {
      const std::string name(key.str());
      if (const toml::table* table = node.as_table()) {
        if (std::ranges::find(config_.sections_, name, &Section::name) == config_.sections_.end()) {
          nobody_reads(node, fmt::format("[{}]", name), name);
        }
        assign_section(name, *table);
      } else if (const Tables* tables = tables_named(name)) {
        assign_tables(*tables, node);
      }
    }
  }

 private:
  void assign_section(const std::string& section, const toml::table& table) const {
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      if (section.empty() && (node.is_table() || tables_named(name) != nullptr)) continue;
      const auto field = std::ranges::find_if(config_.fields_, [&](const Field& candidate) {
        return candidate.section == section && candidate.key == name;
      });
      const std::string full = section.empty() ? name : fmt::format("{}.{}", section, name);
      if (field == config_.fields_.end()) nobody_reads(node, full, full);
      assign(*field, node);
      config_.places_.insert_or_assign(full, place(file_, node));
    }
  }

  [[nodiscard]] const Tables* tables_named(std::string_view name) const {
    return config_.tables_of(name);
  }

  void assign_tables(const Tables& tables, const toml::node& node) const {
    const toml::array* array = node.as_array();
    if (array == nullptr) fail(file_, node, fmt::format("write [[{}]]", tables.name));
    for (const toml::node& element : *array) {
      const toml::table* table = element.as_table();
      if (table == nullptr) fail(file_, element, fmt::format("write [[{}]]", tables.name));
      if (tables.count() >= tables.count_max) {
        fail(file_, element, fmt::format("more than {} of [[{}]]", tables.count_max, tables.name));
      }
      const std::size_t index = tables.count();
      Config item;
      tables.declare_new(item);
      Loader(item, file_).load(*table);
      const auto set = [&](std::string_view key, const std::string& where) {
        config_.places_.insert_or_assign(table_key(tables.name, index, key), where);
      };
      set("", place(file_, element));
      for (const auto& [key, where] : item.places_) set(key, where);
    }
  }

  void assign(const Field& field, const toml::node& node) const {
    if (auto* const* text = std::get_if<std::string*>(&field.target)) {
      if (!node.is_string()) fail(file_, node, field.key + " must be a text in quotes");
      **text = node.value_or(std::string());
    } else if (auto* const* flag = std::get_if<bool*>(&field.target)) {
      if (!node.is_boolean()) fail(file_, node, field.key + " must be true or false");
      **flag = node.value_or(false);
    } else if (const auto* number = std::get_if<Number>(&field.target)) {
      const std::int64_t value = node.value_or(std::int64_t{0});
      if (!node.is_integer() || value < number->min || value > number->max) {
        fail(file_, node,
             fmt::format("{} must be a whole number from {} to {}", field.key, number->min,
                         number->max));
      }
      *number->field = value;
    } else if (auto* const* list = std::get_if<std::vector<std::string>*>(&field.target)) {
      const toml::array* array = node.as_array();
      if (array == nullptr) fail(file_, node, field.key + " must be a list of texts");
      (*list)->clear();
      for (const toml::node& element : *array) {
        if (!element.is_string()) fail(file_, element, field.key + " must be a list of texts");
        (*list)->push_back(element.value_or(std::string()));
      }
    }
  }

  /// `written` as it stands in the file; `name` is what is compared with the known ones.
  [[noreturn]] void nobody_reads(const toml::node& node, const std::string& written,
                                 std::string_view name) const {
    std::string nearest;
    std::size_t least = name.size() / 2 + 1;  // further away is another word
    const auto consider = [&](const std::string& known) {
      const std::size_t distance = edit_distance(name, known);
      if (distance >= least) return;
      least = distance;
      nearest = known;
    };
    for (const Field& field : config_.fields_) {
      consider(field.full_key());
    }
    for (const Section& section : config_.sections_) consider(section.name);
    for (const Tables& tables : config_.tables_) consider(tables.name);
    const std::string hint = nearest.empty() ? "" : fmt::format("; nearest: {}", nearest);
    fail(file_, node,
         fmt::format("nobody reads {}{}; --print-config shows all keys", written, hint));
  }

  Config& config_;
  const std::string& file_;
};

void Config::load_text(std::string_view toml_text, const std::string& name) {
  toml::table root;
  try {
    root = toml::parse(toml_text, name);
  } catch (const toml::parse_error& error) {
    throw ConfigError(
        fmt::format("{}:{}: {}", name, error.source().begin.line, error.description()));
  }
  Loader(*this, name).load(root);
}

std::string Config::placed(const std::string& error) const {
  const std::string_view key = std::string_view(error).substr(0, error.find_first_of(": "));
  auto found = places_.find(key);
  if (found == places_.end()) found = places_.find(key.substr(0, key.find("].") + 1));
  return found == places_.end() ? error : fmt::format("{}: {}", found->second, error);
}

std::string Config::table_key(std::string_view name, std::size_t index, std::string_view key) {
  const std::string table = fmt::format("{}[{}]", name, index);
  return key.empty() ? table : fmt::format("{}.{}", table, key);
}

std::string Config::print_field(const Field& field) const {
  std::string value;
  if (auto* const* text = std::get_if<std::string*>(&field.target)) {
    value = quote(**text);
  } else if (auto* const* flag = std::get_if<bool*>(&field.target)) {
    value = **flag ? "true" : "false";
  } else if (const auto* number = std::get_if<Number>(&field.target)) {
    value = std::to_string(*number->field);
  } else if (auto* const* list = std::get_if<std::vector<std::string>*>(&field.target)) {
    for (const std::string& item : **list) value += (value.empty() ? "" : ", ") + quote(item);
    value = fmt::format("[{}]", value);
  }
  return fmt::format("{} = {}\n", field.key, value);
}

const Config::Field& Config::field_of(const std::string& full_key) const {
  const auto found = std::ranges::find(fields_, full_key, &Field::full_key);
  CHECK(found != fields_.end());
  return *found;
}

std::vector<std::string> Config::different_keys(const Config& other) const {
  std::vector<std::string> out;
  for (const Field& field : fields_) {
    const std::string key = field.full_key();
    if (print_field(field) != other.print_field(other.field_of(key))) out.push_back(key);
  }
  for (const Tables& tables : tables_) {
    const Tables* others = other.tables_of(tables.name);
    CHECK(others != nullptr);
    if (print_items(tables) != other.print_items(*others)) out.push_back(tables.name);
  }
  return out;
}

const Config::Tables* Config::tables_of(std::string_view name) const {
  const auto found = std::ranges::find(tables_, name, &Tables::name);
  return found == tables_.end() ? nullptr : &*found;
}

std::string Config::print_items(const Tables& tables) const {
  std::string out;
  tables.with_items([&](const Config& item) {
    out += fmt::format("[[{}]]\n", tables.name);
    for (const Field& field : item.fields_) out += item.print_field(field);
  });
  return out;
}

void Config::copy_value(const std::string& key, const Config& other) {
  if (const Tables* tables = tables_of(key)) {
    tables->copy(other.tables_of(key)->items);
    return;
  }
  const Target& to = field_of(key).target;
  const Target& from = other.field_of(key).target;
  CHECK(to.index() == from.index());
  if (auto* const* text = std::get_if<std::string*>(&to)) {
    **text = *std::get<std::string*>(from);
  } else if (auto* const* flag = std::get_if<bool*>(&to)) {
    **flag = *std::get<bool*>(from);
  } else if (const auto* number = std::get_if<Number>(&to)) {
    *number->field = *std::get<Number>(from).field;
  } else if (auto* const* list = std::get_if<std::vector<std::string>*>(&to)) {
    **list = *std::get<std::vector<std::string>*>(from);
  }
}

Config::Change Config::keep_running(const Config& running,
                                    const std::function<bool(std::string_view key)>& may_change) {
  Change out;
  for (const std::string& key : different_keys(running)) {
    const bool is_taken = may_change(key);
    (is_taken ? out.taken : out.needs_restart).push_back(key);
    if (!is_taken) copy_value(key, running);
  }
  return out;
}

std::vector<Config::Shown> Config::shown() const {
  std::vector<Shown> out;
  for (const Field& field : fields_) {
    std::string line = print_field(field);
    const std::size_t value = line.find(" = ");
    line = line.substr(value == std::string::npos ? 0 : value + 3);
    while (line.ends_with('\n')) line.pop_back();
    out.push_back({field.full_key(), std::move(line), field.comment});
  }
  return out;
}

std::string Config::print() const {
  std::string out;
  for (const Section& section : sections_) {
    if (!out.empty()) out += '\n';
    out += comment_lines(section.comment);
    if (!section.name.empty()) out += fmt::format("[{}]\n", section.name);
    for (const Field& field : fields_) {
      if (field.section == section.name) out += comment_lines(field.comment) + print_field(field);
    }
  }
  // There is none by default: what one would look like.
  for (const Tables& tables : tables_) {
    out += "\n" + comment_lines(tables.comment) + fmt::format("# [[{}]]\n", tables.name);
    tables.with_defaults([&out](const Config& item) {
      for (const Field& field : item.fields_) {
        out += fmt::format("# {}", item.print_field(field));
        for (const std::string_view line : lines_of(field.comment)) {
          out += fmt::format("#   {}\n", line);
        }
      }
    });
  }
  return out;
}

}  // namespace nostril
