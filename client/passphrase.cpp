#include "client/passphrase.h"

#include "base/file.h"
#include "client/private_file.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

namespace nostril::client {

namespace {

constexpr char kInterrupt = '\x03';
constexpr char kEndOfInput = '\x04';
constexpr char kEraseLine = '\x15';
constexpr char kBackspace = '\b';
constexpr char kDelete = '\x7f';

/// The terminal shows nothing and makes no signals; as before when this goes.
class SilentTerminal {
 public:
  explicit SilentTerminal(int fd) : fd_(fd) {
    if (tcgetattr(fd_, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | ISIG);
    silent.c_cc[VMIN] = 1;
    silent.c_cc[VTIME] = 0;
    silent_ = tcsetattr(fd_, TCSAFLUSH, &silent) == 0;
  }

  ~SilentTerminal() {
    if (silent_) tcsetattr(fd_, TCSAFLUSH, &before_);
  }

  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;
  SilentTerminal(SilentTerminal&&) = delete;
  SilentTerminal& operator=(SilentTerminal&&) = delete;

  [[nodiscard]] bool silent() const { return silent_; }

 private:
  int fd_;
  termios before_{};
  bool silent_ = false;
};

/// A character of UTF-8 may be several bytes.
void erase_character(std::string& line) {
  while (!line.empty()) {
    const auto byte = static_cast<unsigned char>(line.back());
    line.back() = '\0';
    line.pop_back();
    if ((byte & 0xc0U) != 0x80U) return;
  }
}

std::optional<std::string> read_line(int fd) {
  std::string line;
  line.reserve(Passphrase::kBytesMax + 1);  // so that no copy of it is left behind
  for (;;) {
    char byte = 0;
    const ssize_t got = read(fd, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || byte == kInterrupt || byte == kEndOfInput) return std::nullopt;
    if (byte == '\n' || byte == '\r') return line;
    if (byte == kBackspace || byte == kDelete) {
      erase_character(line);
    } else if (byte == kEraseLine) {
      while (!line.empty()) erase_character(line);
    } else if (line.size() <= Passphrase::kBytesMax) {
      line.push_back(byte);
    }
  }
}

Result<Passphrase, std::string> checked(const SecretText& text, const std::string& from) {
  auto out = Passphrase::from(text.expose());
  if (!out) return failure(from + ": a passphrase is 1 to 1,024 bytes of UTF-8");
  return std::move(*out);
}

/// Nothing when neither variable is set.
std::optional<Result<Passphrase, std::string>> from_environment(const std::string& variable) {
  const std::string file_variable = variable + "_FILE";
  if (const char* file = std::getenv(file_variable.c_str())) {  // NOLINT(concurrency-mt-unsafe)
    const auto line = read_secret_line(file, Passphrase::kBytesMax);
    if (!line) return failure(file_variable + ": " + line.error());
    return checked(*line, file);
  }
  if (const char* text = std::getenv(variable.c_str())) {  // NOLINT(concurrency-mt-unsafe)
    return checked(SecretText(std::string(text)), variable);
  }
  return std::nullopt;
}

Result<Passphrase, std::string> asked(const std::string& prompt) {
  const auto line = ask_hidden(prompt);
  if (!line) return failure(line.error());
  return checked(*line, "the terminal");
}

}  // namespace

Result<SecretText, std::string> ask_hidden(const std::string& prompt) {
  const UniqueFd terminal(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!terminal.is_open()) return failure(std::string("there is no terminal to ask at"));
  const SilentTerminal silent(terminal.get());
  if (!silent.silent()) return failure(std::string("the terminal would show what is typed"));
  const auto say = [&terminal](std::string_view text) {
    return write_all(terminal.get(), as_bytes(text)) == 0;
  };
  say(prompt + ": ");
  auto line = read_line(terminal.get());
  say("\n");
  if (!line) return failure(std::string("nothing was entered"));
  return SecretText(std::move(*line));
}

Result<Passphrase, std::string> known_passphrase(const std::string& what) {
  if (auto found = from_environment("NOSTRIL_PASSPHRASE")) return std::move(*found);
  auto out = asked("passphrase of " + what);
  if (out) return out;
  return failure(what + " is encrypted, and no passphrase was given (" + out.error() +
                 "; NOSTRIL_PASSPHRASE_FILE may name a file that holds it)");
}

Result<Passphrase, std::string> chosen_passphrase(const std::string& what, int tries) {
  if (auto found = from_environment("NOSTRIL_NEW_PASSPHRASE")) return std::move(*found);
  if (auto found = from_environment("NOSTRIL_PASSPHRASE")) return std::move(*found);
  std::string question = "new passphrase for " + what;
  for (; tries > 0; --tries) {
    auto first = asked(question);
    if (!first) {
      return failure(what + ": no new passphrase (" + first.error() +
                     "; NOSTRIL_NEW_PASSPHRASE_FILE may name a file that holds it)");
    }
    const auto second = asked("the same again");
    if (!second) return failure(second.error());
    if (first->expose() == second->expose()) return first;
    question = "the two differ; new passphrase for " + what;
  }
  return failure(std::string("the two passphrases differ; nothing was changed"));
}

}  // namespace nostril::client
