#pragma once

#include "attestation/verdict.h"
#include "base/bytes.h"

#include <string>
#include <string_view>
#include <vector>

namespace nostril::attestation {

/// The checks of one verdict while it is made. All are listed first, in the order they are shown;
/// what is never recorded stays NotChecked, which refuses when it is required.
/// Threads: one. Borrows the verdict's list.
class Checklist {
 public:
  explicit Checklist(std::vector<Check>& checks) : checks_(checks) {}

  /// `source`: which bytes the check looks at, for people.
  void add(std::string_view name, bool required, std::string_view source);

  /// Writes the outcome of a listed check; returns `passed`.
  bool record(std::string_view name, bool passed, std::string found, std::string wanted);

  /// record() for bytes that must be equal; both are shown in hex.
  bool compare(std::string_view name, ByteSpan found, ByteSpan wanted);

  [[nodiscard]] Check& at(std::string_view name);
  [[nodiscard]] bool passed(std::string_view name) const;

  /// No check refuses the verdict.
  [[nodiscard]] bool accepts() const;

 private:
  std::vector<Check>& checks_;
};

/// Records the check `simulated` by the verdict's flag.
void record_simulated(Verdict& verdict, bool accepted);

}  // namespace nostril::attestation
