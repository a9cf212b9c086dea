#include "client/cli/command_line.h"
#include "client/cli/signer.h"
#include "events/nip19.h"

#include <CLI/CLI.hpp>
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

void add_message(CLI::App& app, Options& o, Command& run) {
  auto* group = app.add_subcommand("message", "a message for one reader (NIP-44)");
  group->require_subcommand(1);
  const auto add = [&, group](const char* name, const char* what, const char* peer, bool open) {
    auto* sub = group->add_subcommand(name, what);
    sub->add_option("--key", o.message.key_file,
                    "yours: a key file or bunker://…; else the home's identity");
    sub->add_option(peer, o.message.peer, "npub of the other")->required();
    sub->add_option("--ca-file", o.message.ca_file, "PEM roots of a remote signer's wss:// relays");
    add_home(*sub, o.home);
    sub->callback([&o, &run, open] {
      run = [&o, open](Process& process) {
        o.message.open = open;
        use_identity(o, o.message.key_file, o.message.ca_file);
        return message(process, o.home, o.message);
      };
    });
  };
  add("seal", "standard input, encrypted", "--to", false);
  add("open", "standard input, decrypted", "--from", true);
}

}  // namespace nostril::client::cli
