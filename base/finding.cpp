#include "base/finding.h"

#include "base/json.h"
#include "base/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nostril {

namespace {

std::string_view colour_of(Health health) {
  switch (health) {
    case Health::Ok:
      return "\033[32m";
    case Health::Warning:
      return "\033[33m";
    case Health::Wrong:
      return "\033[31m";
  }
  return "";
}

/// Lines after the first stand under it.
std::string indented(std::string_view text) {
  std::string out;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = text.find('\n', begin);
    out += one_line(text.substr(begin, end == std::string_view::npos ? end : end - begin));
    if (end == std::string_view::npos) return out;
    out += "\n                    ";
    begin = end + 1;
  }
}

}  // namespace

std::string_view to_string(Health health) {
  switch (health) {
    case Health::Ok:
      return "ok";
    case Health::Warning:
      return "warning";
    case Health::Wrong:
      return "wrong";
  }
  return "";
}

Health worst(const Findings& findings) {
  Health out = Health::Ok;
  for (const Finding& finding : findings) out = std::max(out, finding.health);
  return out;
}

int exit_status(Health health) {
  return static_cast<int>(health);
}

std::string to_text(const Finding& finding, bool colours) {
  const std::string_view colour = colours ? colour_of(finding.health) : "";
  const std::string_view plain = colours ? "\033[0m" : "";
  std::string out = fmt::format("{}{:<8}{} {:<10} {}\n", colour, to_string(finding.health), plain,
                                one_line(finding.check), indented(finding.found));
  if (!finding.remedy.empty()) {
    out += fmt::format("{:<20}-> {}\n", "", indented(finding.remedy));
  }
  return out;
}

std::string to_json(const Findings& findings) {
  JsonWriter w;
  w.begin_object().key("health").string(to_string(worst(findings)));
  w.key("checks").begin_array();
  for (const Finding& finding : findings) {
    w.begin_object().key("check").string(finding.check);
    w.key("health").string(to_string(finding.health)).key("found").string(finding.found);
    if (!finding.remedy.empty()) w.key("remedy").string(finding.remedy);
    w.end_object();
  }
  w.end_array().end_object();
  return std::move(w).take();
}

}  // namespace nostril
