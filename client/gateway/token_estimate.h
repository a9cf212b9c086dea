#pragma once

#include "base/json.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace nostril::client {

/// Bytes of all that a request says to the model, in any of the protocols.
[[nodiscard]] std::size_t said_bytes(const Json& request);

/// How many tokens a prompt will be, before a node is asked: by what the answers so far had, byte
/// for byte. An estimate: only the model's own tokenizer knows. Threads: one.
class TokenEstimate {
 public:
  static constexpr std::size_t kModelsMax = 256;
  static constexpr std::uint64_t kBytesPerToken = 4;  ///< before the first answer
  /// Older answers fade out.
  static constexpr std::uint64_t kBytesKept = 1U << 20;

  void learn(const std::string& model, std::size_t bytes, std::uint64_t tokens);
  [[nodiscard]] std::uint64_t tokens(const std::string& model, std::size_t bytes) const;

 private:
  struct Seen {
    std::uint64_t bytes = 0;
    std::uint64_t tokens = 0;
  };

  std::map<std::string, Seen> models_;
};

}  // namespace nostril::client
