#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nostril {

/// What is wrong with a configuration file, as a sentence with file and line. Start-up only.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads a TOML file into fields that the program declares, and prints the commented default file.
/// The value a field has when it is declared is its default. A key that nobody declared, a value of
/// another type and a number out of its range are errors: a misspelt limit must not be ignored.
///
///   Config config;
///   config.section("limits", "Bounds on what one peer may cost.");
///   config.number("message_bytes_max", &limits.message_bytes_max, 1024, 16 << 20, "bytes; …");
///   config.load("relay.toml");
///
/// Lifetime: the fields must outlive the Config. Threads: one.
class Config {
 public:
  /// Fields declared after this belong to `[name]`; "" is the top of the file.
  void section(std::string name, std::string comment);
  void text(std::string key, std::string* field, std::string comment);
  void flag(std::string key, bool* field, std::string comment);
  void number(std::string key, std::int64_t* field, std::int64_t min, std::int64_t max,
              std::string comment);
  void list(std::string key, std::vector<std::string>* field, std::string comment);

  /// Throws ConfigError.
  void load(const std::string& path);
  void load_text(std::string_view toml, const std::string& name);

  /// The declared fields with their present values as a TOML file, each with its comment.
  [[nodiscard]] std::string print() const;

 private:
  struct Number {
    std::int64_t* field;
    std::int64_t min;
    std::int64_t max;
  };

  using Target = std::variant<std::string*, bool*, Number, std::vector<std::string>*>;

  struct Field {
    std::string section;
    std::string key;
    Target target;
    std::string comment;
  };

  struct Section {
    std::string name;
    std::string comment;
  };

  void add(std::string key, Target target, std::string comment);

  std::vector<Section> sections_;
  std::vector<Field> fields_;
};

}  // namespace nostril
