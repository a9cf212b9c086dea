#include "attestation/tee_tag.h"

#include "attestation/gpu_certificates.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

namespace nostril::attestation {

namespace {

constexpr std::string_view kSimulated = "simulated";

struct TeeParts {
  std::string cpu;
  std::map<std::string, std::size_t> gpus;  // count by chip
};

bool is_chip_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

TeeParts parts_of(const Evidence& evidence) {
  TeeParts out;
  if (evidence.kind == kKindTdx) {
    out.cpu = "tdx";
  } else if (evidence.kind == kKindSnp) {
    out.cpu = "sev-snp";
  } else {
    out.cpu = kSimulated;
  }
  for (const Bytes& chain : evidence.gpu_chains) {
    auto chip = gpu_chip(chain);
    if (!chip) continue;
    for (char& c : *chip) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (std::all_of(chip->begin(), chip->end(), is_chip_letter)) ++out.gpus[*chip];
  }
  return out;
}

std::string to_text(const TeeParts& parts) {
  std::string out = parts.cpu;
  for (const auto& [chip, count] : parts.gpus) out += fmt::format("+{}x{}", count, chip);
  return out;
}

/// Nothing unless to_text() would write it so.
std::optional<TeeParts> parse_tag(std::string_view tag) {
  TeeParts out;
  out.cpu = tag.substr(0, tag.find('+'));
  for (std::size_t at = tag.find('+'); at != std::string_view::npos; at = tag.find('+', at + 1)) {
    const std::string_view group = tag.substr(at + 1, tag.find('+', at + 1) - at - 1);
    std::size_t count = 0;
    const auto [stop, error] = std::from_chars(group.data(), group.data() + group.size(), count);
    const auto digits = static_cast<std::size_t>(stop - group.data());
    if (error != std::errc() || count == 0 || group.size() < digits + 2 || group[digits] != 'x') {
      return std::nullopt;
    }
    const std::string_view chip = group.substr(digits + 1);
    if (!std::all_of(chip.begin(), chip.end(), is_chip_letter)) return std::nullopt;
    out.gpus.emplace(chip, count);
  }
  return to_text(out) == tag ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace

std::string tee_tag(const Evidence& evidence) {
  return to_text(parts_of(evidence));
}

bool shows_tee(const Evidence& evidence, std::string_view tag) {
  const auto claimed = parse_tag(tag);
  if (!claimed) return false;
  const TeeParts shown = parts_of(evidence);
  const auto is_there = [&shown](const auto& group) {
    const auto found = shown.gpus.find(group.first);
    return found != shown.gpus.end() && found->second >= group.second;
  };
  return (claimed->cpu == shown.cpu || claimed->cpu == kSimulated) &&
         std::all_of(claimed->gpus.begin(), claimed->gpus.end(), is_there);
}

}  // namespace nostril::attestation
