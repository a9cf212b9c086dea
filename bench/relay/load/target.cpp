#include "bench/relay/load/target.h"

#include <charconv>
#include <optional>
#include <stdexcept>

namespace nostril::bench {

namespace {

int read_pid(std::string_view text) {
  int pid = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || pid <= 0) {
    throw std::runtime_error("not a process id: " + std::string(text));
  }
  return pid;
}

}  // namespace

Target read_target(std::string_view text) {
  std::string_view parts = text;
  const auto take_part = [&] {
    const std::size_t comma = parts.find(',');
    const std::string_view part = parts.substr(0, comma);
    parts = comma == std::string_view::npos ? std::string_view() : parts.substr(comma + 1);
    return part;
  };
  std::string_view address = take_part();
  std::string name = "relay";
  const std::size_t equals = address.find('=');
  if (equals != std::string_view::npos && equals < address.find(':')) {
    name = address.substr(0, equals);
    address.remove_prefix(equals + 1);
  }
  std::optional<int> pid;
  std::filesystem::path data;
  while (!parts.empty()) {
    const std::string_view part = take_part();
    if (part.starts_with("pid=")) {
      pid = read_pid(part.substr(4));
    } else if (part.starts_with("data=")) {
      data = part.substr(5);
    } else {
      throw std::runtime_error("pid= and data= only, not " + std::string(part));
    }
  }
  auto url = net::parse_url(address);
  if (!url) throw std::runtime_error("not a ws:// address: " + std::string(address));
  ServerProcess process = pid ? ServerProcess({*pid}) : ServerProcess::listening_on(url->port);
  return {std::move(name), std::move(*url), std::move(process), std::move(data), false};
}

}  // namespace nostril::bench
