#include "events/tags.h"

#include "base/check.h"

#include <limits>

namespace nostril {

Tags::Tags(std::initializer_list<std::initializer_list<std::string_view>> tags) {
  for (const auto& tag : tags) add(tag);
}

void Tags::add_element(std::string_view element) {
  CHECK(text_.size() + element.size() <= std::numeric_limits<std::uint32_t>::max());
  text_ += element;
  element_ends_.push_back(static_cast<std::uint32_t>(text_.size()));
}

void Tags::finish_tag() {
  const std::size_t begin = tag_ends_.empty() ? 0 : tag_ends_.back();
  CHECK(element_ends_.size() > begin);
  tag_ends_.push_back(static_cast<std::uint32_t>(element_ends_.size()));
}

void Tags::add(std::initializer_list<std::string_view> tag) {
  for (const std::string_view element : tag) add_element(element);
  finish_tag();
}

std::optional<std::string_view> Tags::find(std::string_view name) const {
  for (const View tag : *this) {
    if (tag.name() == name) return tag.value();
  }
  return std::nullopt;
}

}  // namespace nostril
