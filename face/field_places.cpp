#include "face/field_places.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace nostril::face {

namespace {

/// A place of which the first names have been walked.
struct OpenPlace {
  std::string_view rest;
  FieldForm form;
};

class FieldWalker {
 public:
  FieldWalker(const FieldChange& change, PathIndex index) : change_(change), index_(index) {}

  bool walk(const Json& value, const std::vector<OpenPlace>& open) {
    if (open.empty()) {
      out_.value(value);
      return true;
    }
    for (const OpenPlace& place : open) {
      if (place.rest.empty() && is_field(value, place.form)) {
        return change_(out_, path_, value, place.form);
      }
    }
    if (value.is_array()) return walk_array(value, open);
    if (value.is_object()) return walk_object(value, open);
    out_.value(value);
    return true;
  }

  [[nodiscard]] std::string take() && { return std::move(out_).take(); }

 private:
  static bool is_field(const Json& value, FieldForm form) {
    return form == FieldForm::Json ? !value.is_null() : value.is_string();
  }

  bool walk_array(const Json& value, const std::vector<OpenPlace>& open) {
    const bool by_member = index_ == PathIndex::Member && (path_ == "choices" || path_ == "data");
    const std::vector<OpenPlace> inner = step(open, "*");
    out_.begin_array();
    for (std::size_t i = 0; i < value.items().size(); ++i) {
      const Json& item = value.items()[i];
      const auto index = by_member ? item.find_integer("index") : std::nullopt;
      if (!walk_named(item, inner, index ? std::to_string(*index) : std::to_string(i))) {
        return false;
      }
    }
    out_.end_array();
    return true;
  }

  bool walk_object(const Json& value, const std::vector<OpenPlace>& open) {
    out_.begin_object();
    for (const auto& [name, member] : value.members()) {
      out_.key(name);
      // A member may be called "*", which is no index.
      const auto inner = name == "*" ? std::vector<OpenPlace>() : step(open, name);
      if (!walk_named(member, inner, name)) return false;
    }
    out_.end_object();
    return true;
  }

  bool walk_named(const Json& value, const std::vector<OpenPlace>& open, std::string_view name) {
    const std::size_t size = path_.size();
    if (!path_.empty()) path_ += '.';
    path_ += name;
    const bool ok = walk(value, open);
    path_.resize(size);
    return ok;
  }

  /// The places that go on with this name.
  static std::vector<OpenPlace> step(const std::vector<OpenPlace>& open, std::string_view name) {
    std::vector<OpenPlace> out;
    for (const OpenPlace& place : open) {
      const std::size_t end = std::min(place.rest.find('.'), place.rest.size());
      if (end == 0 || place.rest.substr(0, end) != name) continue;
      out.push_back({place.rest.substr(std::min(end + 1, place.rest.size())), place.form});
    }
    return out;
  }

  const FieldChange& change_;
  PathIndex index_;
  JsonWriter out_;
  std::string path_;
};

}  // namespace

std::optional<Endpoint> endpoint_of(std::string_view path) {
  constexpr std::array<std::pair<std::string_view, Endpoint>, 8> kPaths{{
      {"/v1/chat/completions", Endpoint::Chat},
      {"/v1/completions", Endpoint::Completions},
      {"/v1/embeddings", Endpoint::Embeddings},
      {"/v1/images/generations", Endpoint::Images},
      {"/v1/images/edits", Endpoint::Images},
      {"/v1/audio/transcriptions", Endpoint::Transcriptions},
      {"/v1/rerank", Endpoint::Rerank},
      {"/v1/score", Endpoint::Score},
  }};
  for (const auto& [known, endpoint] : kPaths) {
    if (path == known) return endpoint;
  }
  return std::nullopt;
}

std::optional<Json> parse_fields_body(std::string_view body) {
  JsonLimits limits;
  limits.bytes_max = kFieldBodyBytesMax;
  auto parsed = Json::parse(body, limits);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  return *std::move(parsed);
}

std::optional<std::string> change_fields(const Json& document, std::span<const FieldPlace> places,
                                         const FieldChange& change, PathIndex index) {
  std::vector<OpenPlace> open;
  for (const FieldPlace& place : places) open.push_back({place.pattern, place.form});
  FieldWalker walker(change, index);
  if (!walker.walk(document, open)) return std::nullopt;
  return std::move(walker).take();
}

std::optional<std::string> field_text(const Json& value, FieldForm form) {
  if (form == FieldForm::Json) return value.dump();
  const auto text = value.string();
  if (!text || text->empty()) return std::nullopt;
  return std::string(*text);
}

bool write_field(JsonWriter& out, std::string_view text, FieldForm form) {
  const auto as_json = form == FieldForm::Text ? failure(JsonError::NotJson) : Json::parse(text);
  if (form == FieldForm::Json || (as_json && as_json->is_array())) {
    if (!as_json) return false;
    out.value(*as_json);
    return true;
  }
  std::string quoted;
  append_json_string(quoted, text);
  if (!Json::parse(quoted)) return false;  // not UTF-8
  out.raw(quoted);
  return true;
}

}  // namespace nostril::face
