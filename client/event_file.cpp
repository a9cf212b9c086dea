#include "client/event_file.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::streamsize kFileBytesMax = 1 << 20;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<std::size_t>(kFileBytesMax) + 1, '\0');
  file.read(text.data(), kFileBytesMax + 1);
  if (file.bad() || !file.eof()) {
    throw std::runtime_error(path.string() + ": can't be read, or is larger than 1 MiB");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

VerifiedEvent read_event_file(const std::filesystem::path& path, Verifier& verifier) {
  return read_event_text(text_of(path), path.string(), verifier);
}

std::vector<VerifiedEvent> read_event_lines(const std::filesystem::path& path, Verifier& verifier,
                                            std::size_t count_max) {
  const std::string text = text_of(path);
  std::vector<VerifiedEvent> out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (out.size() == count_max) throw std::runtime_error(path.string() + ": too many events");
    out.push_back(read_event_text(text.substr(at, end - at), path.string(), verifier));
    at = end + 1;
  }
  return out;
}

VerifiedEvent read_event_text(const std::string& text, const std::string& name,
                              Verifier& verifier) {
  EventLimits limits;
  limits.json_bytes_max = 1U << 20;
  limits.content_bytes_max = 1U << 20;
  auto event = parse_event(text, limits);
  if (!event) throw std::runtime_error(name + ": " + std::string(to_string(event.error())));
  auto verified = VerifiedEvent::verify(std::move(*event), verifier);
  if (!verified) throw std::runtime_error(name + ": the signature is wrong");
  return std::move(*verified);
}

}  // namespace nostril::client
