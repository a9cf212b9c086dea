#pragma once

#include "events/tags.h"

#include <algorithm>
#include <string_view>

namespace nostril::fuzz {

/// Tags as lines of elements parted by tabs: a form that a fuzzer finds quickly.
inline Tags read_tags(std::string_view rest) {
  Tags tags;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    while (true) {
      const std::size_t tab = line.find('\t');
      tags.add_element(line.substr(0, tab));
      if (tab == std::string_view::npos) break;
      line.remove_prefix(tab + 1);
    }
    tags.finish_tag();
  }
  return tags;
}

}  // namespace nostril::fuzz
