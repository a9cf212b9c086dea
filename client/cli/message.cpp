#include "client/cli/signer.h"
#include "events/nip19.h"

#include <fmt/format.h>

#include <ios>
#include <iostream>
#include <stdexcept>
#include <string>
#include <variant>

namespace nostril::client::cli {

namespace {
constexpr std::size_t kInputBytesMax = 24U << 20;  // base64 of the longest message fits
}

int message(Process& process, const std::filesystem::path& home, const MessageOptions& options) {
  const auto code = nip19::decode(options.peer);
  const auto* peer = code ? std::get_if<nip19::Npub>(&*code) : nullptr;
  if (peer == nullptr) throw std::runtime_error(options.peer + ": not an npub");
  std::string text(kInputBytesMax + 1, '\0');
  std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::cin.gcount()));
  if (text.size() > kInputBytesMax) throw std::runtime_error("standard input: too long");
  UserSigner user(process, options.key_file, home, options.ca_file);
  if (!options.open) {
    fmt::print("{}\n", user.encrypt(peer->key, text));
    return 0;
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  fmt::print("{}", user.decrypt(peer->key, text));
  return 0;
}

}  // namespace nostril::client::cli
