#include "client/apps/app_files.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

namespace nostril::client::apps {

namespace {

constexpr std::string_view kBegin = "# nostril: begin (written by `nostril apps add`)";
constexpr std::string_view kBeginMark = "# nostril: begin";
constexpr std::string_view kEnd = "# nostril: end";

// ---- JSON ----

/// What is owned is ours as a whole: nothing of an earlier one stays in it.
void merge(JsonWriter& w, const Json& base, const Json& more, const std::vector<JsonPath>& owned,
           JsonPath& at) {
  if (!base.is_object() || !more.is_object() || std::ranges::find(owned, at) != owned.end()) {
    w.value(more);
    return;
  }
  w.begin_object();
  for (const auto& [key, value] : base.members()) {
    w.key(key);
    const Json* replaced = more.find(key);
    if (replaced != nullptr) {
      at.push_back(key);
      merge(w, value, *replaced, owned, at);
      at.pop_back();
    } else {
      w.value(value);
    }
  }
  for (const auto& [key, value] : more.members()) {
    if (base.find(key) == nullptr) w.key(key).value(value);
  }
  w.end_object();
}

const Json* at_path(const Json& base, std::span<const std::string> path) {
  const Json* at = &base;
  for (const std::string& key : path) {
    at = at->find(key);
    if (at == nullptr) return nullptr;
  }
  return at;
}

bool is_ours(const Json& base, const JsonPart& part) {
  const Json* mark = at_path(base, part.mark);
  const auto text = mark != nullptr ? mark->string() : std::nullopt;
  return text && text->starts_with(part.mark_begin);
}

/// What somebody else has put where `path` leads, or in its way.
std::optional<std::string> occupied(const Json& base, const JsonPath& path, bool ours) {
  const Json* at = &base;
  std::string name;
  for (const std::string& key : path) {
    if (!at->is_object()) return "`" + name + "` in it is no object";
    name += (name.empty() ? "" : ".") + key;
    at = at->find(key);
    if (at == nullptr) return std::nullopt;
  }
  if (ours) return std::nullopt;
  return "it has a `" + name + "` of its own";
}

/// Nothing is left of `base` when all its members were taken out.
std::optional<Json> removed(const Json& base, std::span<const std::string> path) {
  JsonWriter w;
  std::size_t left = 0;
  w.begin_object();
  for (const auto& [key, value] : base.members()) {
    std::optional<Json> kept = value;
    if (key == path.front()) {
      if (path.size() == 1) {
        kept.reset();
      } else if (value.is_object()) {
        kept = removed(value, path.subspan(1));
      }
    }
    if (!kept) continue;
    w.key(key).value(*kept);
    ++left;
  }
  w.end_object();
  if (left == 0) return std::nullopt;
  return *Json::parse(w.text());
}

void print_pretty(std::string& out, const Json& json, std::size_t indent) {
  const auto items = [&](char open, char close, std::size_t count, const auto& print_item) {
    out += open;
    for (std::size_t i = 0; i < count; ++i) {
      out += i == 0 ? "\n" : ",\n";
      out.append(indent + 2, ' ');
      print_item(i);
    }
    out += '\n';
    out.append(indent, ' ');
    out += close;
  };
  if (json.is_object() && !json.members().empty()) {
    items('{', '}', json.members().size(), [&](std::size_t i) {
      append_json_string(out, json.members()[i].first);
      out += ": ";
      print_pretty(out, json.members()[i].second, indent + 2);
    });
  } else if (json.is_array() && !json.items().empty()) {
    items('[', ']', json.items().size(),
          [&](std::size_t i) { print_pretty(out, json.items()[i], indent + 2); });
  } else {
    out += json.dump();
  }
}

std::string pretty(const Json& json) {
  std::string out;
  print_pretty(out, json, 0);
  return out + "\n";
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

Result<Json, std::string> read_object(std::string_view text) {
  auto json = Json::parse(is_blank(text) ? "{}" : text);
  if (json && json->is_object()) return std::move(*json);
  return failure(
      std::string("it is not plain JSON (comments or trailing commas?), which would be "
                  "lost"));
}

// ---- Lines ----

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

std::string_view trimmed(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  return line;
}

/// Without our lines; nothing when their end is missing.
std::optional<std::vector<std::string>> rest_of(const std::vector<std::string>& lines) {
  std::vector<std::string> out;
  bool inside = false;
  for (const std::string& line : lines) {
    if (trimmed(line).starts_with(kBeginMark)) inside = true;
    if (!inside) out.push_back(line);
    if (trimmed(line) == kEnd) inside = false;
  }
  if (inside) return std::nullopt;
  return out;
}

std::vector<std::string> block(const std::vector<std::string>& lines, const std::string& indent) {
  std::vector<std::string> out = {indent + std::string(kBegin)};
  for (const std::string& line : lines) out.push_back(indent + line);
  out.push_back(indent + std::string(kEnd));
  return out;
}

/// "NAME:", "NAME :", "'NAME':" (YAML) or "NAME=" at a line's beginning.
bool begins_with_key(std::string_view line, std::string_view name, char separator) {
  const auto skip_quote = [&line] {
    if (line.starts_with('"') || line.starts_with('\'')) line.remove_prefix(1);
  };
  skip_quote();
  if (!line.starts_with(name)) return false;
  line.remove_prefix(name.size());
  skip_quote();
  return trimmed(line).starts_with(separator);
}

/// Why lines at the end would not be members of it.
std::optional<std::string> yaml_problem(const std::vector<std::string>& lines) {
  bool begun = false;
  for (const std::string& line : lines) {
    const std::string_view content = trimmed(line);
    if (content.empty() || content.starts_with('#') || (!begun && line == "---")) continue;
    if (line.starts_with("---") || line.starts_with("...")) {
      return "it is more than one YAML document";
    }
    if (!begun && std::string_view(" \t{[-%").find(line.front()) != std::string_view::npos) {
      return "it is no YAML mapping of lines without indent";
    }
    begun = true;
  }
  return std::nullopt;
}

/// Where the list's items stand: under its name, as far in as its first item.
Result<std::string, std::string> put_in_list(std::vector<std::string> rest, const LinePart& part) {
  const std::string name = part.list + ":";
  const auto found = std::ranges::find_if(
      rest, [&part](const std::string& line) { return begins_with_key(line, part.list, ':'); });
  if (found == rest.end()) {
    std::vector<std::string> own = {name};
    for (const std::string& line : part.lines) own.push_back("  " + line);
    for (const std::string& line : block(own, "")) rest.push_back(line);
    return joined(rest);
  }
  const std::string_view behind = trimmed(std::string_view(*found).substr(found->find(':') + 1));
  if (!behind.empty() && !behind.starts_with('#')) {
    return failure("its list `" + name + "` is written in one line");
  }
  const auto first = std::find_if(found + 1, rest.end(), [](const std::string& line) {
    return !trimmed(line).empty() && !trimmed(line).starts_with('#');
  });
  std::string indent = "  ";
  if (first != rest.end()) {
    const std::size_t in = first->size() - trimmed(*first).size();
    if (trimmed(*first).starts_with('-')) {
      indent.assign(in, ' ');
    } else if (in > 0) {
      return failure("its `" + name + "` is no list of lines");
    }
  }
  const auto own = block(part.lines, indent);
  rest.insert(found + 1, own.begin(), own.end());
  return joined(rest);
}

}  // namespace

Result<std::string, std::string> with_part(std::string_view text, const JsonPart& part) {
  const auto base = read_object(text);
  if (!base) return failure(base.error());
  const bool ours = is_ours(*base, part);
  for (const JsonPath& path : part.owned) {
    if (auto found = occupied(*base, path, ours)) return failure(*std::move(found));
  }
  JsonWriter w;
  JsonPath root;
  merge(w, *base, part.values, part.owned, root);
  return pretty(*Json::parse(w.text()));
}

Result<std::string, std::string> without_part(std::string_view text, const JsonPart& part) {
  auto base = read_object(text);
  if (!base) return failure(base.error());
  for (const JsonPath& path : part.owned) {
    base = removed(*base, path).value_or(*Json::parse("{}"));
  }
  return pretty(*base);
}

bool has_part(std::string_view text, const JsonPart& part) {
  const auto base = read_object(text);
  return base && is_ours(*base, part);
}

std::string to_text(const JsonPart& part) {
  return pretty(part.values);
}

Result<std::string, std::string> with_part(std::string_view text, const LinePart& part) {
  if (text.find('\r') != std::string_view::npos) {
    return failure(std::string("its lines end as on Windows"));
  }
  auto rest = rest_of(lines_of(text));
  if (!rest) return failure("`" + std::string(kEnd) + "` is missing in it");
  if (part.separator == ':') {
    if (auto problem = yaml_problem(*rest)) return failure(*std::move(problem));
  }
  for (const std::string& line : *rest) {
    for (const std::string& key : part.keys) {
      if (begins_with_key(line, key, part.separator)) {
        return failure("it has a `" + key + "` of its own");
      }
    }
  }
  if (rest->empty()) *rest = part.head;
  if (!part.list.empty()) return put_in_list(std::move(*rest), part);
  for (const std::string& line : block(part.lines, "")) rest->push_back(line);
  return joined(*rest);
}

Result<std::string, std::string> without_part(std::string_view text, const LinePart& /*part*/) {
  const auto rest = rest_of(lines_of(text));
  if (!rest) return failure("`" + std::string(kEnd) + "` is missing in it");
  return joined(*rest);
}

bool has_part(std::string_view text, const LinePart& /*part*/) {
  return std::ranges::any_of(lines_of(text), [](const std::string& line) {
    return trimmed(line).starts_with(kBeginMark);
  });
}

std::string to_text(const LinePart& part) {
  std::vector<std::string> out = part.head;
  if (!part.list.empty()) out.push_back(part.list + ":");
  for (const std::string& line : part.lines) out.push_back((part.list.empty() ? "" : "  ") + line);
  return joined(out);
}

}  // namespace nostril::client::apps
