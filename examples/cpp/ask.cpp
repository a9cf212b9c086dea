// Asks a node that has proven itself, prints the words as they come, keeps the answer with all that
// proves it.
//   ask --home DIR --relay URL [--relay URL …] [--trust-test-root FILE] [--save FILE] QUESTION
#include <nostril/client/chat.h>
#include <nostril/client/client.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>

using namespace nostril::client;

namespace {

struct Arguments {
  ClientSettings settings;
  std::string save;
  std::string question;
};

Arguments read_arguments(int count, char** values) {
  Arguments out;
  for (int i = 1; i < count; ++i) {
    const std::string name = values[i];
    if (!name.starts_with("--")) {
      out.question = name;
      continue;
    }
    if (++i == count) throw std::runtime_error(name + " needs a value");
    const std::string value = values[i];
    if (name == "--home") {
      out.settings.home = value;
    } else if (name == "--relay") {
      out.settings.relays.push_back(value);
    } else if (name == "--trust-test-root") {
      out.settings.test_roots.push_back(value);
    } else if (name == "--save") {
      out.save = value;
    } else {
      throw std::runtime_error("unknown: " + name);
    }
  }
  if (out.settings.home.empty()) out.settings.home = default_home();
  if (out.question.empty()) throw std::runtime_error("ask what?");
  return out;
}

}  // namespace

int main(int count, char** values) {
  try {
    const Arguments arguments = read_arguments(count, values);
    Client client(arguments.settings);

    AnswerCallbacks callbacks;
    callbacks.on_node = [](const AnsweringNode& node) {
      std::cerr << node.model << " of " << node.npub
                << (node.verdict.simulated ? ", SIMULATED: no TEE stands behind it\n" : "\n");
      return true;
    };
    callbacks.on_words = [](std::string_view words) {
      std::fwrite(words.data(), 1, words.size(), stdout);
      std::fflush(stdout);
      return true;
    };
    const Answer answer =
        client.ask({.body = chat_body({.question = arguments.question})}, std::move(callbacks))
            .wait();
    std::puts("");
    // What was printed counts from here on only.
    if (!answer.verified) {
      std::cerr << word_of(answer.failure) << ": " << answer.detail << "\n";
      return 1;
    }
    std::cerr << "verified, recorded and paid\n";
    if (const auto file = answer.to_json(); file && !arguments.save.empty()) {
      std::ofstream(arguments.save, std::ios::binary) << *file << "\n";
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "ask: " << error.what() << "\n";
    return 2;
  }
}
