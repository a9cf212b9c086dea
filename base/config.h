#pragma once

#include <cstdint>
#include <functional>
#include <map>
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
/// another type and a number out of its range are errors: a misspelt limit must not be ignored. The
/// error names file, line and the nearest key that is read.
///
///   Config config;
///   config.section("limits", "Bounds on what one peer may cost.");
///   config.number("message_bytes_max", &limits.message_bytes_max, 1024, 16 << 20, "bytes; …");
///   config.load("relay.toml");
///
/// Lifetime: the fields must outlive the Config. Threads: one.
class Config {
 public:
  /// What a changed file comes to for a program that runs.
  struct Change {
    std::vector<std::string> taken;          ///< keys that have their new value
    std::vector<std::string> needs_restart;  ///< keys that keep their running one
  };

  /// Fields declared after this belong to `[name]`; "" is the top of the file.
  void section(std::string name, std::string comment);
  void text(std::string key, std::string* field, std::string comment);
  void flag(std::string key, bool* field, std::string comment);
  void number(std::string key, std::int64_t* field, std::int64_t min, std::int64_t max,
              std::string comment);
  void list(std::string key, std::vector<std::string>* field, std::string comment);

  /// `[[name]]`, any number of times up to `count_max`: one T each, whose fields `declare`
  /// declares. A further `[[name]]` adds to what `items` has.
  template <typename T>
  void tables(std::string name, std::vector<T>* items, std::size_t count_max,
              void (*declare)(Config&, T&), std::string comment) {
    add_tables(
        {std::move(name), std::move(comment), count_max, [items] { return items->size(); },
         [items, declare](Config& config) { declare(config, items->emplace_back()); },
         [declare](const std::function<void(Config&)>& use) {
           T item;
           Config config;
           declare(config, item);
           use(config);
         },
         [items, declare](const std::function<void(const Config&)>& use) {
           for (T& item : *items) {
             Config config;
             declare(config, item);
             use(config);
           }
         },
         items,
         [items](const void* others) { *items = *static_cast<const std::vector<T>*>(others); }});
  }

  /// Throws ConfigError.
  void load(const std::string& path);
  void load_text(std::string_view toml, const std::string& name);

  /// An error that begins with the key ("section.key") of a field that a file has set, with the
  /// file's name and the line before it; any other as it is. Of arrays of tables the keys are those
  /// of table_key(), and one that the file has not set has the line of its [[name]].
  [[nodiscard]] std::string placed(const std::string& error) const;

  /// What an error begins with that is about the table `index` of those called `name`:
  /// "name[1].key".
  [[nodiscard]] static std::string table_key(std::string_view name, std::size_t index,
                                             std::string_view key);

  /// Keys ("section.key") of fields whose values differ, in the order of their declaration, and
  /// names of arrays of tables that do. `other` has the same declarations (CHECK).
  [[nodiscard]] std::vector<std::string> different_keys(const Config& other) const;
  /// Gives the field of that key, or the array of tables, the value that it has in `other`.
  void copy_value(const std::string& key, const Config& other);

  /// Gives every field that differs from `running`'s and may not change the running value.
  Change keep_running(const Config& running,
                      const std::function<bool(std::string_view key)>& may_change);

  struct Shown {
    std::string key;
    std::string value;  ///< as TOML
    std::string comment;
  };

  /// The fields with their present values, for people.
  [[nodiscard]] std::vector<Shown> shown() const;

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

    [[nodiscard]] std::string full_key() const {
      return section.empty() ? key : section + "." + key;
    }
  };

  struct Section {
    std::string name;
    std::string comment;
  };

  struct Tables {
    std::string name;
    std::string comment;
    std::size_t count_max;
    std::function<std::size_t()> count;
    std::function<void(Config&)> declare_new;
    /// Calls the argument with a Config of defaults.
    std::function<void(const std::function<void(Config&)>&)> with_defaults;
    /// Calls the argument with each item.
    std::function<void(const std::function<void(const Config&)>&)> with_items;
    const void* items = nullptr;  ///< for `copy` of the same declaration in another Config
    std::function<void(const void* others)> copy;
  };

  class Loader;

  void add(std::string key, Target target, std::string comment);
  void add_tables(Tables tables);
  [[nodiscard]] const Field& field_of(const std::string& full_key) const;
  [[nodiscard]] const Tables* tables_of(std::string_view name) const;  // or nothing
  [[nodiscard]] std::string print_field(const Field& field) const;
  [[nodiscard]] std::string print_items(const Tables& tables) const;

  std::vector<Section> sections_;
  std::vector<Tables> tables_;
  std::vector<Field> fields_;
  std::map<std::string, std::string, std::less<>> places_;  ///< file:line of what was set, by key
};

}  // namespace nostril
